//! The agent under load: its output, read as fast as it comes, its memory and its descriptors.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use backscope_tests::harness::json::{Value, address, is, number};
use backscope_tests::harness::signal;

use crate::server::Counts;

/// Time between two looks at memory and descriptors.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Figures of the agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Memory of its own (`RssAnon`), kB, and descriptors, once a second under load.
    pub(crate) memory_kb: Vec<u64>,
    pub(crate) descriptors: Vec<u64>,
    /// Objects by type.
    pub(crate) objects: BTreeMap<&'static str, u64>,
    /// Totals of what was lost, by probe.
    pub(crate) lost: BTreeMap<String, u64>,
    /// Accepted, by the listener's socket.
    listeners: BTreeMap<String, u64>,
    pub(crate) summary: Value,
    /// `connection` objects that came before the end began.
    before_end: u64,
    attached: bool,
}

impl Seen {
    /// Returns what all listeners have accepted.
    fn accepted(&self) -> u64 {
        self.listeners.values().sum()
    }

    /// Returns how many connections were told of at the end.
    pub(crate) fn told_at_end(&self) -> u64 {
        self.count("connection") - self.before_end
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    pub(crate) fn count(&self, kind: &str) -> u64 {
        self.objects.get(kind).copied().unwrap_or(0)
    }

    /// Takes a line. Most are only counted: as fast as they come they could not be parsed.
    fn take(&mut self, line: &[u8]) {
        for kind in ["accept", "exchange", "connection", "overflow"] {
            let begin = format!(r#"{{"type":"{kind}","#);
            if line.starts_with(begin.as_bytes()) {
                *self.objects.entry(kind).or_default() += 1;
                return;
            }
        }
        let Ok(object) = serde_json::from_slice::<Value>(line) else {
            *self.objects.entry("broken").or_default() += 1;
            return;
        };
        if is(&object, "listener") && address(&object, "/local").is_some() {
            let accepted = number(&object, "/accepted").unwrap_or(0);
            let sock = object["sock"].to_string();
            self.listeners.insert(sock, accepted);
        } else if is(&object, "lost") {
            let probe = object["probe"].as_str().unwrap_or_default().to_owned();
            self.lost.insert(probe, number(&object, "/total").unwrap_or(0));
        } else if is(&object, "attached") {
            self.attached = true;
        } else if is(&object, "summary") {
            self.summary = object;
        }
    }
}

/// A running agent, killed when the guard is dropped.
pub(crate) struct Agent {
    child: Child,
    reader: Option<JoinHandle<()>>,
    seen: Arc<Mutex<Seen>>,
    looked: Instant,
}

impl Agent {
    /// Watches this process, and waits until it has attached.
    pub(crate) fn start(program: &Path, pid: u32) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(["watch", "--json", "--interval", "1s", "--pid", &pid.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let output = child.stdout.take().context("the agent has no output")?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = seen.clone();
        let reader = Some(thread::spawn(move || read(output, &shared)));
        let mut agent = Self { child, reader, seen, looked: Instant::now() };
        agent.wait(Duration::from_secs(60), "attach", |seen| seen.attached)?;
        Ok(agent)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(
        &mut self,
        patience: Duration,
        what: &str,
        done: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while !done(&self.seen()) {
            ensure!(self.child.try_wait()?.is_none(), "the agent ended before it did {what}");
            ensure!(Instant::now() < deadline, "the agent did not {what} in {patience:?}");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Notes its memory and descriptors, once a second.
    pub(crate) fn measure(&mut self) -> anyhow::Result<()> {
        if self.looked.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        self.looked = Instant::now();
        let pid = self.child.id();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).context("its descriptors")?;
        let (memory, descriptors) = (memory_kb(pid)?, descriptors.count() as u64);
        let mut seen = self.seen();
        seen.memory_kb.push(memory);
        seen.descriptors.push(descriptors);
        Ok(())
    }

    /// Waits until its listeners have accepted as many as the server counted. False if they do not
    /// in time.
    pub(crate) fn await_accepted(&mut self, counts: &Counts, patience: Duration) -> bool {
        let wanted = counts.accepted();
        self.wait(patience, "count as many", |seen| seen.accepted() == wanted).is_ok()
    }

    /// Ends it with SIGINT. Returns all figures, and the most memory that the end took, kB.
    pub(crate) fn end(mut self) -> anyhow::Result<(Seen, u64)> {
        let mut most = 0;
        {
            let mut seen = self.seen();
            seen.before_end = seen.count("connection");
        }
        signal(self.child.id(), libc::SIGINT);
        let deadline = Instant::now() + Duration::from_secs(120);
        let status = loop {
            most = most.max(memory_kb(self.child.id()).unwrap_or(0));
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(Instant::now() < deadline, "the agent does not end");
            thread::sleep(Duration::from_millis(2));
        };
        ensure!(status.success(), "the agent ended with {status}");
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        }
        let seen = self.seen().clone();
        Ok((seen, most))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended already unless something failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(output: ChildStdout, seen: &Mutex<Seen>) {
    let mut lines = BufReader::with_capacity(1 << 20, output);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        seen.lock().unwrap_or_else(PoisonError::into_inner).take(&line);
        line.clear();
    }
}

/// Memory of its own, without pages of files, kB.
fn memory_kb(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("its memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).context("its status has no RssAnon")
}

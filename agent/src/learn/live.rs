//! A live run: server and clients in a network of their own, watched by a sensor of our own.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail};
use demo_servers::own_network;

use super::{
    check::Scenario,
    evidence::{self, Collector, Evidence, Who, report},
    machine,
    network::Network,
};
use crate::{
    model::{Sandbox, WallClock, event::Event, snapshot::Snapshot},
    privileges::sandbox::{self, Needs},
    record::{self, RecordEntry, Recorder, Writer},
    run::{self, DRAIN, Live, Run},
    sensor::{Options, Sensor, Targets, now_ns},
    text::Untrusted,
};

/// Name of the hidden verb that is a server or client of a lesson.
pub const PROCESS_VERB: &str = "lesson-part";
/// Time between two looks at the kernel's figures.
const REFRESH: Duration = Duration::from_millis(250);
/// A run that takes longer than this hangs. An emulated machine is slow.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// Time that the server's side of closed connections has to end, if the server may not have
/// accepted all of them.
const SETTLE: Duration = Duration::from_secs(1);
/// Time that they have if it has accepted all: on a busy machine segments are sent again, later and
/// later.
const SETTLE_ACCEPTED: Duration = Duration::from_secs(5);
/// Words for what is watched, in a recording.
const TARGET: &str = "a lesson's server and clients";

/// A line, and who said it.
pub(super) type Line = (Who, String);

/// Runs it, says what it is about, and returns the evidence. With a path, what the model was given
/// is recorded there.
///
/// # Errors
/// The sensor cannot watch, or server or client cannot do their part.
pub fn run(
    scenario: &Scenario,
    recording: Option<&Path>,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<Evidence> {
    // A network namespace is a thread's: ours stays as it is.
    thread::scope(|scope| {
        let (sender, told) = mpsc::channel();
        let worker = scope.spawn(move || {
            let mut say = |text: &str| drop(sender.send(text.to_owned()));
            own_network::enter().context("cannot make a network namespace for the lesson")?;
            set_sysctls(scenario)?;
            let (sender, lines) = mpsc::channel();
            let (scenario, network) = Network::make(scenario, &sender, &lines, &mut say)?;
            let watched =
                WatchedScenario::begin(&scenario, network, (sender, lines), recording, &mut say)?;
            watched.complete(&scenario, &mut say)
        });
        for text in told {
            tell(&text);
        }
        match worker.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("the run was cut short"),
        }
    })
}

/// Sets what the scenario wants of the kernel, in this thread's network.
fn set_sysctls(scenario: &Scenario) -> anyhow::Result<()> {
    for (name, value) in &scenario.sysctls {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::write(&path, value).with_context(|| format!("cannot set {name} to {value}"))?;
    }
    Ok(())
}

/// A scenario's processes, and the sensor that watches them.
///
/// [`WatchedScenario::begin`] starts them, stopped; [`WatchedScenario::complete`] lets them go, one
/// after the other, and watches ([`WatchedScenario::until`]) until the clients have ended.
struct WatchedScenario {
    live: Live<Collector>,
    server: Process,
    clients: Vec<Process>,
    network: Network,
    lines: Receiver<Line>,
    reports: Vec<String>,
    sampled: Instant,
}

impl WatchedScenario {
    fn begin(
        scenario: &Scenario,
        network: Network,
        (sender, lines): (Sender<Line>, Receiver<Line>),
        recording: Option<&Path>,
        tell: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Self> {
        let before = machine::others_percent();
        let server =
            network.on_servers_host(|| Process::start(Who::Server, &scenario.server, &sender))?;
        let mut pids = vec![server.child.id()];
        let mut clients = Vec::new();
        for words in &scenario.clients {
            let client = Process::start(Who::Client, words, &sender)?;
            pids.push(client.child.id());
            clients.push(client);
        }
        tell("loading the probes into the kernel");
        let mut sensor = Sensor::attach(&Options {
            targets: Targets { pids: pids.clone(), follow: true, ..Targets::default() },
            exchanges: true,
            protocols: true,
            ..Options::default()
        })?;
        let recording = match recording {
            Some(path) => Some(record::create(path, true)?),
            None => None,
        };
        pids.extend(network.pids());
        sensor.sandbox = Some(confine(&sensor, pids)?);
        let mut reports = vec![machine_report(before)];
        reports.extend(network.reports.clone());
        Ok(Self {
            live: live(sensor, recording)?,
            server,
            clients,
            lines,
            reports,
            network,
            sampled: Instant::now(),
        })
    }

    fn complete(
        mut self,
        scenario: &Scenario,
        tell: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Evidence> {
        self.sample()?;
        self.server.go()?;
        self.until("the server to listen", |run| {
            Ok(run.said(Who::Server, "listening on ") >= scenario.servers.max(1))
        })?;
        self.until("the workers to begin", |run| {
            Ok(run.said(Who::Server, "worker ") >= scenario.workers)
        })?;
        tell(&format!("the server listens on {}", scenario.address()));
        self.let_clients_go()?;
        if scenario.together {
            self.await_connections()?;
            tell("the clients are connected; now all ask at once");
            self.let_clients_go()?;
        }
        tell("the clients are running, and the kernel is being watched");
        self.until("the clients to end", |run| {
            let mut ended = true;
            for client in &mut run.clients {
                ended &= client.said_all()?;
            }
            Ok(ended)
        })?;
        tell("reading what the kernel counted");
        self.settle()?;
        self.network.end_capture();
        self.until("the capture to end", |run| run.network.captured_all())?;
        self.finish()?;
        let Self { live: Live { sensor, run }, .. } = self;
        // The kernel takes its time to detach, and nobody has to wait for it.
        thread::spawn(move || drop(sensor));
        Ok(evidence::of(run))
    }

    fn let_clients_go(&mut self) -> io::Result<()> {
        for client in &mut self.clients {
            client.go()?;
        }
        Ok(())
    }

    /// Watches until all clients are connected, and accepted: who waits in the accept queue is not
    /// asking yet, and a thread that has not begun has no name.
    fn await_connections(&mut self) -> anyhow::Result<()> {
        let clients = self.clients.len();
        self.until("the clients to connect", |run| {
            Ok(run.said(Who::Client, "connected ") >= clients)
        })?;
        self.until(
            "the server to accept them",
            |run| Ok(accepted(&run.state()) >= clients as u64),
        )?;
        self.sample()
    }

    /// Watches until something is so.
    fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.watch()?;
            if done(self)? {
                return Ok(());
            }
            if self.server.ended()? {
                bail!("the server ended; it printed: {}", self.reports.join("; "));
            }
            if Instant::now() > deadline {
                bail!(
                    "waited {PATIENCE:?} for {what}; server and clients printed: {}",
                    self.reports.join("; ")
                );
            }
            thread::sleep(DRAIN);
        }
    }

    /// Watches until the server's side of connections that the clients have closed has ended. It
    /// does by itself, if the server ever accepts.
    fn settle(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            self.watch()?;
            let state = self.state();
            let patience = if waiting(&state) == 0 { SETTLE_ACCEPTED } else { SETTLE };
            if state.connections_open == 0 || begin.elapsed() >= patience {
                return self.sample();
            }
            thread::sleep(DRAIN);
        }
    }

    /// Reads what was said, and takes what the kernel has: a sample if one is due.
    fn watch(&mut self) -> anyhow::Result<()> {
        self.read_lines();
        if self.sampled.elapsed() >= REFRESH { self.sample() } else { self.live.drain() }
    }

    fn read_lines(&mut self) {
        for (who, line) in self.lines.try_iter() {
            self.reports.push(report(who, &line));
        }
    }

    /// One refresh. Each one is complete: a lesson is too short for a scan that is put off.
    fn sample(&mut self) -> anyhow::Result<()> {
        self.sampled = Instant::now();
        let mut sample = self.live.sensor.last_sample();
        self.live.take_connections(&mut sample)?;
        self.live.begin_batch()?;
        self.live.end_batch(&Event::Sample(sample))?;
        Ok(self.live.refresh()?)
    }

    /// The state without connections and threads.
    fn state(&self) -> Snapshot {
        self.live.run.model.brief()
    }

    fn said(&self, who: Who, words: &str) -> usize {
        let begin = report(who, words);
        self.reports.iter().filter(|line| line.starts_with(&begin)).count()
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        for thread in &self.live.run.model.snapshot().threads {
            self.reports.extend(switches(thread.pid, thread.tid));
        }
        self.server.end();
        self.clients.iter_mut().for_each(Process::end);
        self.read_lines();
        self.reports.push(machine_report(machine::others_percent()));
        let reports = self.reports.iter().map(Untrusted::from).collect();
        self.live.run.take(RecordEntry::Notices(reports))?;
        self.live.run.take(RecordEntry::Finish(now_ns()))?;
        self.live.run.end_recording()?;
        Ok(())
    }
}

/// What is said of the machine while nothing of the lesson runs.
fn machine_report(percent: Option<u64>) -> String {
    let share = match percent {
        Some(percent) => percent.to_string(),
        None => "unknown".to_owned(),
    };
    report(Who::Machine, &format!("others percent={share}"))
}

/// Gives up what the calling thread needs no longer, as a watch does. Server and clients were
/// started, and it may end them.
fn confine(sensor: &Sensor, children: Vec<u32>) -> anyhow::Result<Sandbox> {
    let mut needs = Needs::of_watch(sensor.needed(), sensor.attaches_again());
    needs.calls.children = children;
    sandbox::enter(needs).context("cannot give up the rights that are no longer needed")
}

/// The sensor with its run, recorded if there is a file.
fn live(sensor: Sensor, recording: Option<File>) -> anyhow::Result<Live<Collector>> {
    let (setup, attached) = run::setup(&sensor, vec![TARGET.into()], false, true);
    let clock = WallClock { mono_ns: now_ns(), wall: SystemTime::now() };
    let header = run::header(setup, attached, clock, REFRESH);
    let recorder = match recording {
        Some(file) => Some(Recorder::File(Writer::new(file, &header)?)),
        None => None,
    };
    let (model, collector) = Collector::of(header);
    Ok(Live { sensor, run: Run::new(model, collector, recorder) })
}

fn accepted(state: &Snapshot) -> u64 {
    evidence::sum(state.listeners.iter().map(|listener| listener.totals.accepted))
}

/// Connections in accept queues.
fn waiting(state: &Snapshot) -> u64 {
    evidence::sum(state.listeners.iter().map(|listener| u64::from(listener.depth)))
}

/// Returns how often a thread of the server went to sleep (`voluntary`), how often a processor was
/// taken away from it, and its processor time, as a line of the server's report. A kernel without
/// CONFIG_SCHED_INFO does not tell the time.
fn switches(pid: u32, tid: u32) -> Option<String> {
    let status = fs::read(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let count = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim)
    };
    let voluntary = count("voluntary_ctxt_switches:")?;
    let involuntary = count("nonvoluntary_ctxt_switches:")?;
    let mut line =
        format!("switches pid={pid} tid={tid} voluntary={voluntary} involuntary={involuntary}");
    if let Some(us) = processor_us(pid, tid) {
        line.push_str(&format!(" cpu_us={us}"));
    }
    Some(report(Who::Server, &line))
}

/// Processor time of a thread, µs: the first figure of its schedstat is in ns.
fn processor_us(pid: u32, tid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?;
    Some(stat.split_whitespace().next()?.parse::<u64>().ok()? / 1_000)
}

/// A server or a client: this program once more, as a process of the lesson. It waits for a line
/// before it begins.
pub(super) struct Process {
    child: Child,
    /// Readers of what it says.
    readers: Vec<JoinHandle<()>>,
    /// Held open: a process that is to wait for more lines would take its end for one.
    stdin: Option<ChildStdin>,
}

impl Process {
    pub(super) fn start(who: Who, words: &[String], lines: &Sender<Line>) -> anyhow::Result<Self> {
        let name = who.name();
        let mut child = Command::new("/proc/self/exe")
            .args([PROCESS_VERB, name, "--"])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        let stdin = child.stdin.take();
        let mut readers = Vec::new();
        if let Some(out) = child.stdout.take() {
            readers.push(forward(who, out, lines.clone()));
        }
        if let Some(errors) = child.stderr.take() {
            readers.push(forward(who, errors, lines.clone()));
        }
        Ok(Self { child, readers, stdin })
    }

    /// Writes a line to it.
    pub(super) fn go(&mut self) -> io::Result<()> {
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(b"go\n"),
            None => Ok(()),
        }
    }

    fn ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends its standard input.
    pub(super) fn end_input(&mut self) {
        self.stdin.take();
    }

    /// True once it has ended, and all that it said was read.
    pub(super) fn said_all(&mut self) -> io::Result<bool> {
        Ok(self.ended()? && self.readers.iter().all(JoinHandle::is_finished))
    }

    fn end(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn forward(who: Who, from: impl io::Read + Send + 'static, lines: Sender<Line>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if lines.send((who, line)).is_err() {
                return;
            }
        }
    })
}

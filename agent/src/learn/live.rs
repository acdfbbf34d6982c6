//! A live run: server and clients in a network of their own, watched by a sensor of our own.

use std::{
    convert::Infallible,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail};
use demo_servers::own_network;

use super::{
    check::Cast,
    evidence::{Collector, Evidence, Who, report},
};
use crate::{
    model::{Attached, Setup, WallClock, event::Event},
    record::{self, Entry, Header, Writer},
    sensor::{Options, Sensor, Targets, now_ns},
};

/// Name of the hidden verb that is a part of a lesson's run.
pub const PART_VERB: &str = "lesson-part";
/// How often the ring buffer is emptied.
const DRAIN: Duration = Duration::from_millis(20);
/// How often the kernel's figures are read.
const REFRESH: Duration = Duration::from_millis(250);
/// A run that takes longer than this hangs. An emulated machine is slow.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the server's side of closed connections may take to end, if the server may not have
/// accepted all of them.
const SETTLE: Duration = Duration::from_secs(1);
/// And if it has: on a busy machine segments are sent again, later and later.
const SETTLE_ACCEPTED: Duration = Duration::from_secs(5);

/// A line, and who said it.
type Line = (Who, String);

/// Runs it, says what it is about, and returns the evidence. With a path, what the model was given
/// is recorded there.
///
/// # Errors
/// The sensor cannot watch, or server or client cannot do their part.
pub fn run(
    cast: &Cast,
    recording: Option<&Path>,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<Evidence> {
    // A network namespace is a thread's: ours stays as it is.
    thread::scope(|scope| {
        let (sender, told) = mpsc::channel();
        let worker = scope.spawn(move || {
            let mut say = |text: &str| drop(sender.send(text.to_owned()));
            own_network::enter().context("cannot make a network of its own for the lesson")?;
            let (sender, lines) = mpsc::channel();
            let (cast, link) = link(cast, &sender, &lines, &mut say)?;
            let run = Run::begin(&cast, link, (sender, lines), recording, &mut say)?;
            run.complete(&cast, &mut say)
        });
        told.iter().for_each(|text| tell(&text));
        worker.join().unwrap_or_else(|_| bail!("the run broke off"))
    })
}

/// Starts the link that the cast wants. Without a TUN device there is none, and all are on one
/// host.
fn link(
    cast: &Cast,
    sender: &Sender<Line>,
    lines: &Receiver<Line>,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<(Cast, Option<Link>)> {
    let Some(link_ms) = cast.link_ms else { return Ok((cast.clone(), None)) };
    let words = ["delay-link".to_owned(), format!("--rtt={link_ms}ms")];
    let mut part = Part::start(Who::Link, &words, sender)?;
    part.go()?;
    let (_, said) = lines.recv_timeout(PATIENCE).context("the link says nothing")?;
    if said.starts_with("link ") {
        let report = report(Who::Link, &format!("round-trip us={}", link_ms * 1_000));
        return Ok((cast.clone(), Some(Link { report, _part: Some(part) })));
    }
    tell(&format!("no link, so server and client are next to one another: {said}"));
    Ok((cast.clone().near(), Some(Link { report: report(Who::Link, &said), _part: None })))
}

/// What is between server and clients.
struct Link {
    report: String,
    /// Held, as it ends when it is dropped.
    _part: Option<Part>,
}

struct Run {
    sensor: Sensor,
    collector: Collector,
    recorder: Option<Writer<std::fs::File>>,
    server: Part,
    clients: Vec<Part>,
    _link: Option<Link>,
    lines: Receiver<Line>,
    reports: Vec<String>,
    events: Vec<Event>,
    sampled: Instant,
}

impl Run {
    fn begin(
        cast: &Cast,
        link: Option<Link>,
        (sender, lines): (Sender<Line>, Receiver<Line>),
        recording: Option<&Path>,
        tell: &mut dyn FnMut(&str),
    ) -> anyhow::Result<Self> {
        let server = Part::start(Who::Server, &cast.server, &sender)?;
        let clients = cast.clients.iter().map(|words| Part::start(Who::Client, words, &sender));
        let clients = clients.collect::<anyhow::Result<Vec<_>>>()?;
        tell("loading the probes into the kernel");
        let pids = std::iter::once(&server).chain(&clients).map(|part| part.child.id()).collect();
        let targets = Targets { pids, follow: true, ..Targets::default() };
        let sensor = Sensor::attach(&Options {
            targets,
            exchanges: true,
            protocols: true,
            ..Options::default()
        })?;
        let header = header(&sensor);
        let recorder = match recording {
            Some(path) => Some(Writer::new(record::create(path, true)?, &header)?),
            None => None,
        };
        Ok(Self {
            sensor,
            collector: Collector::new(header),
            recorder,
            server,
            clients,
            lines,
            reports: link.iter().map(|link| link.report.clone()).collect(),
            _link: link,
            events: Vec::new(),
            sampled: Instant::now(),
        })
    }

    fn complete(mut self, cast: &Cast, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Evidence> {
        self.sample()?;
        self.server.go()?;
        self.until("the server to listen", |run| Ok(run.said(Who::Server, "listening on ") > 0))?;
        self.until("the workers to begin", |run| {
            Ok(run.said(Who::Server, "worker ") >= cast.workers)
        })?;
        tell(&format!("the server listens on {}", cast.address()));
        let clients = self.clients.len();
        self.clients.iter_mut().try_for_each(Part::go)?;
        if cast.together {
            self.until("the clients to connect", |run| {
                Ok(run.said(Who::Client, "connected ") >= clients)
            })?;
            // Who waits in the accept queue is not asking yet, and a thread that has not begun has
            // no name.
            self.until("the server to accept them", |run| {
                Ok(run.collector.accepted() >= clients as u64)
            })?;
            self.sample()?;
            tell("the clients are connected; now all ask at once");
            self.clients.iter_mut().try_for_each(Part::go)?;
        }
        tell("the clients are at it, and the kernel is watched");
        self.until("the clients to end", |run| {
            let mut ended = true;
            for client in &mut run.clients {
                ended &= client.said_all()?;
            }
            Ok(ended)
        })?;
        tell("reading what the kernel counted");
        self.settle()?;
        self.finish()?;
        let Self { sensor, collector, server, clients, .. } = self;
        drop((server, clients));
        // The kernel takes its time to detach, and nobody has to wait for it.
        thread::spawn(move || drop(sensor));
        Ok(collector.evidence())
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
                bail!("the server ended; it said: {}", self.reports.join("; "));
            }
            if Instant::now() > deadline {
                bail!("waited {PATIENCE:?} for {what}; they said: {}", self.reports.join("; "));
            }
            thread::sleep(DRAIN);
        }
    }

    /// The server's side of connections that the clients have closed ends by itself, if the server
    /// ever accepts.
    fn settle(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        self.watch()?;
        while self.collector.connections_open() > 0
            && begin.elapsed()
                < if self.collector.waiting() == 0 { SETTLE_ACCEPTED } else { SETTLE }
        {
            thread::sleep(DRAIN);
            self.watch()?;
        }
        self.sample()
    }

    fn watch(&mut self) -> anyhow::Result<()> {
        self.reports.extend(self.lines.try_iter().map(|(who, line)| report(who, &line)));
        if self.sampled.elapsed() >= REFRESH {
            return self.sample();
        }
        self.drain();
        self.apply()
    }

    fn drain(&mut self) {
        let events = &mut self.events;
        let Ok(()) = self.sensor.drain(|event| {
            events.push(event.clone());
            Ok::<_, Infallible>(())
        });
    }

    fn sample(&mut self) -> anyhow::Result<()> {
        self.sampled = Instant::now();
        let mut sample = self.sensor.last_sample();
        while self.sensor.scan_on(&mut sample) {}
        self.drain();
        self.events.push(Event::Sample(sample));
        self.apply()
    }

    fn apply(&mut self) -> anyhow::Result<()> {
        if self.events.is_empty() {
            return Ok(());
        }
        self.take(Entry::Batch(now_ns()))?;
        for event in std::mem::take(&mut self.events) {
            self.take(Entry::Event(event))?;
        }
        Ok(())
    }

    fn take(&mut self, entry: Entry) -> anyhow::Result<()> {
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&entry)?;
        }
        self.collector.take(&entry);
        Ok(())
    }

    fn said(&self, who: Who, words: &str) -> usize {
        let begin = report(who, words);
        self.reports.iter().filter(|line| line.starts_with(&begin)).count()
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        for (pid, tid) in self.collector.threads() {
            self.reports.extend(switches(pid, tid));
        }
        self.reports.extend(self.lines.try_iter().map(|(who, line)| report(who, &line)));
        self.take(Entry::Notices(self.reports.clone()))?;
        self.take(Entry::Finish(now_ns()))?;
        if let Some(recorder) = self.recorder.take() {
            recorder.end()?;
        }
        Ok(())
    }
}

fn header(sensor: &Sensor) -> Header {
    let setup = Setup {
        attached_ns: sensor.attached_ns,
        target: "a lesson's server and clients".to_owned(),
        tier: sensor.chosen().tier().to_string(),
        detail_events: false,
        exchanges: true,
    };
    let attached = Attached {
        ts_ns: sensor.attached_ns,
        kernel: sensor.preflight.release.clone(),
        tier: setup.tier.clone(),
        hooks: sensor.chosen().hooks(),
        targets: vec![setup.target.clone()],
        attach_us: sensor.attach_us,
        gaps: sensor.chosen().gaps(),
    };
    let clock = WallClock { mono_ns: now_ns(), wall: SystemTime::now() };
    let written_by = concat!("backscope ", env!("CARGO_PKG_VERSION")).to_owned();
    Header { written_by, attached, setup, clock, refresh: REFRESH }
}

/// How often a thread of the server went to sleep, as a line of the server's report.
fn switches(pid: u32, tid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let count = field("voluntary_ctxt_switches:")?;
    Some(report(Who::Server, &format!("switches pid={pid} tid={tid} voluntary={count}")))
}

/// A server or a client: this program once more, as a part of the lesson. It waits for a line
/// before it begins.
struct Part {
    child: Child,
    /// Who reads what it says.
    readers: Vec<JoinHandle<()>>,
    /// Held open: a part that is to wait for more lines would take its end for one.
    stdin: Option<std::process::ChildStdin>,
}

impl Part {
    fn start(who: Who, words: &[String], lines: &Sender<Line>) -> anyhow::Result<Self> {
        let name = who.name();
        let mut child = Command::new("/proc/self/exe")
            .args([PART_VERB, name, "--"])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        let stdin = child.stdin.take();
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|out| forward(who, out, lines.clone())));
        readers.extend(child.stderr.take().map(|errors| forward(who, errors, lines.clone())));
        Ok(Self { child, readers, stdin })
    }

    /// Writes a line to it.
    fn go(&mut self) -> io::Result<()> {
        self.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(b"go\n"))
    }

    fn ended(&mut self) -> io::Result<bool> {
        self.child.try_wait().map(|status| status.is_some())
    }

    /// It has ended, and all that it said was read.
    fn said_all(&mut self) -> io::Result<bool> {
        Ok(self.ended()? && self.readers.iter().all(JoinHandle::is_finished))
    }

    fn end(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Part {
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

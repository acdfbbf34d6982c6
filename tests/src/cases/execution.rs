//! The bundled demos of execution patterns. They answer every request, have the threads and
//! processes that they are said to have, and leave nothing behind. No agent takes part, except with
//! `--watch`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};

use super::native;
use crate::harness::{Case, Demo, World};

pub(super) const CASES: &[Case] = &[
    native("execution::every_pattern_answers_every_request", every_pattern_answers),
    native("execution::threads_and_processes_are_as_said", threads_and_processes),
    native("execution::uneven_readers", uneven_readers),
    native("execution::a_key_makes_two_deliveries_one_order", idempotency),
    native("execution::the_kernel_connects_without_an_accept", never_accepts),
    native("execution::children_go_with_their_server", children_go),
    native("execution::the_agent_has_the_demos", agent_has_them),
    native("execution::the_agent_watches_a_demo", agent_watches),
];

/// Demos whose client ends by itself, and the names of their threads while three connections are
/// open: process by process, sorted.
const SHAPES: &[(&str, &[&[&str]])] = &[
    ("thread-per-connection", &[&["acceptor", "conn-1", "conn-2", "conn-3"]]),
    ("process-per-connection", &[&["acceptor"], &["conn-1"], &["conn-2"], &["conn-3"]]),
    ("prefork", &[&["master"], &["worker-1"], &["worker-2"], &["worker-3"], &["worker-4"]]),
    ("listener-acceptor-reader", &[&["acceptor", "reader-1", "reader-2"], &["listener"]]),
    ("single-thread", &[&["event-loop"]]),
    ("acceptor-plus-readers", &[&["acceptor", "reader-1", "reader-2", "reader-3", "reader-4"]]),
    (
        "message-load-balancing",
        &[&["acceptor-reader", "worker-1", "worker-2", "worker-3", "worker-4"]],
    ),
    ("multiple-acceptors", &[&["demo-servers", "worker-1", "worker-2", "worker-3", "worker-4"]]),
    ("epoll-exclusive", &[&["master"], &["worker-1"], &["worker-2"], &["worker-3"], &["worker-4"]]),
    ("socket-sharding", &[&["demo-servers", "worker-1", "worker-2", "worker-3", "worker-4"]]),
];

/// Other demos whose client ends by itself.
const SERVING: &[&str] = &[
    "single-thread-blocking",
    "thundering-herd",
    "cpu-competition",
    "slow-reader",
    "small-reads",
    "nagle",
];

/// The report that a client printed at its end.
#[derive(Debug)]
struct Report {
    text: String,
}

impl Report {
    /// Runs the command to its end.
    fn of(mut command: Command) -> anyhow::Result<Self> {
        let output = command.output()?;
        let text = String::from_utf8(output.stdout)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?}: {}: {text}{errors}", output.status);
        Ok(Self { text })
    }

    fn demo(world: &World, args: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(world.demo_servers());
        command.arg("demo").args(args);
        Self::of(command)
    }

    /// Returns the text behind a word at the beginning of a line.
    fn line(&self, word: &str) -> anyhow::Result<&str> {
        let found = self.text.lines().find_map(|line| line.strip_prefix("  ")?.strip_prefix(word));
        found.map(str::trim).with_context(|| format!("no line `{word}`: {}", self.text))
    }

    fn number(&self, word: &str) -> anyhow::Result<u64> {
        let first = self.line(word)?.split_whitespace().next().unwrap_or_default();
        first.parse().with_context(|| format!("`{word}` has no number: {}", self.text))
    }

    fn workers(&self) -> anyhow::Result<BTreeMap<&str, u64>> {
        let workers = self.line("answered by")?.split(", ").map(worker).collect::<Option<_>>();
        workers.with_context(|| format!("not all workers have counts: {}", self.text))
    }

    /// Checks that every request was sent once and answered once.
    fn check(&self, requests: u64, connections: u64) -> anyhow::Result<()> {
        let counts = self.line("requests")?;
        let as_asked = counts.starts_with(&format!("{requests} asked, {requests} answered,"));
        ensure!(as_asked && self.number("connections")? == connections, "{}", self.text);
        ensure!(self.line("errors")? == "none", "{}", self.text);
        Ok(())
    }
}

fn every_pattern_answers(world: &World) -> anyhow::Result<()> {
    let names = SHAPES.iter().map(|(name, _)| name).chain(SERVING);
    for name in names {
        let load =
            [name, "--clients", "4", "--connections", "10", "--requests", "5", "--timeout", "60s"];
        let report = Report::demo(world, &load)?;
        report.check(50, 10).with_context(|| (*name).to_owned())?;
        let workers = report.workers()?;
        ensure!(workers.values().sum::<u64>() == 50, "{name}: {}", report.text);
    }
    Ok(())
}

/// Returns the process and the address of a demo's server, from its line.
fn server(demo: &mut Demo) -> anyhow::Result<(u32, SocketAddr)> {
    let line = demo.await_line("  server  process ")?;
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, _, pid, _, address, ..] = words[..] else { anyhow::bail!("no server in `{line}`") };
    Ok((pid.parse()?, address.trim_end_matches(':').parse()?))
}

/// The process and its descendants.
fn tree(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children = children.collect::<Vec<_>>().join(" ");
    let descendants =
        children.split_whitespace().filter_map(|child| child.parse().ok()).flat_map(tree);
    [pid].into_iter().chain(descendants).collect()
}

/// Names of the threads, process by process, sorted.
fn names(pids: &[u32]) -> Vec<Vec<String>> {
    let mut processes: Vec<_> = pids
        .iter()
        .map(|pid| {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let mut names: Vec<_> = tasks
                .filter_map(|task| {
                    Some(fs::read_to_string(task.path().join("comm")).ok()?.trim_end().to_owned())
                })
                .collect();
            names.sort();
            names
        })
        .collect();
    processes.sort();
    processes
}

/// A connection that was answered once.
fn converse(server: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut connection = BufReader::new(TcpStream::connect(server)?);
    connection.get_mut().write_all(b"hello\n")?;
    let mut answer = String::new();
    connection.read_line(&mut answer)?;
    ensure!(answer.len() == 200, "an answer of {} bytes: {answer}", answer.len());
    Ok(connection.into_inner())
}

fn threads_and_processes(world: &World) -> anyhow::Result<()> {
    for (name, expected) in SHAPES {
        let mut demo = world.demo_waiting(&["demo", name, "--server-only"])?;
        let (pid, address) = server(&mut demo)?;
        let connections = (0..3).map(|_| converse(address)).collect::<anyhow::Result<Vec<_>>>()?;
        // Workers take their names after their start.
        let deadline = Instant::now() + world.patience();
        while names(&tree(pid)) != *expected {
            ensure!(Instant::now() < deadline, "{name}: {:?}, not {expected:?}", names(&tree(pid)));
            std::thread::yield_now();
        }
        drop(connections);
    }
    Ok(())
}

fn uneven_readers(world: &World) -> anyhow::Result<()> {
    let load = ["acceptor-plus-readers", "--uneven", "--connections", "20", "--requests", "5"];
    let report = Report::demo(world, &load)?;
    report.check(100, 20)?;
    let expected = BTreeMap::from([("reader-1", 90), ("reader-2", 5), ("reader-3", 5)]);
    ensure!(report.workers()? == expected, "{}", report.text);
    Ok(())
}

fn idempotency(world: &World) -> anyhow::Result<()> {
    for (knob, keyed) in [("--attempts=9", true), ("--no-key", false)] {
        let report = Report::demo(
            world,
            &["idempotency", "--orders", "20", "--timeout", "400ms", "--late", "1s", knob],
        )?;
        let [orders, retries, delivered, done] =
            ["orders", "retries", "delivered", "done"].map(|word| report.number(word));
        let (orders, retries, delivered, done) = (orders?, retries?, delivered?, done?);
        ensure!(orders == 20 && retries >= 4, "each fifth answer is late: {}", report.text);
        ensure!(
            delivered == orders + retries,
            "the kernel delivers whatever is sent: {}",
            report.text
        );
        ensure!(done == if keyed { orders } else { delivered }, "keys {keyed}: {}", report.text);
    }
    Ok(())
}

fn never_accepts(world: &World) -> anyhow::Result<()> {
    let report = Report::demo(world, &["never-accepts", "--duration", "1s"])?;
    ensure!(report.number("connections")? == 3, "a backlog of 2 has room for 3: {}", report.text);
    ensure!(report.line("requests")?.starts_with("3 asked, 0 answered"), "{}", report.text);
    Ok(())
}

fn children_go(world: &World) -> anyhow::Result<()> {
    for name in
        ["prefork", "process-per-connection", "listener-acceptor-reader", "thread-per-connection"]
    {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGKILL] {
            let mut demo = world.demo_waiting(&["demo", name, "--server-only"])?;
            let (pid, address) = server(&mut demo)?;
            let _connections =
                (0..3).map(|_| converse(address)).collect::<anyhow::Result<Vec<_>>>()?;
            let pids = tree(pid);
            demo.signal(signal);
            let status = demo.await_end()?;
            ensure!(status.success() || signal == libc::SIGKILL, "{name} ended with {status}");
            let deadline = Instant::now() + world.patience();
            for pid in pids {
                while is_alive(pid) {
                    ensure!(
                        Instant::now() < deadline,
                        "{name}: process {pid} is left after signal {signal}"
                    );
                    std::thread::yield_now();
                }
            }
        }
    }
    Ok(())
}

/// `NAME COUNT`.
fn worker(words: &str) -> Option<(&str, u64)> {
    let (name, count) = words.split_once(' ')?;
    Some((name, count.parse().ok()?))
}

/// Returns whether the process runs; a zombie does not.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn agent_has_them(world: &World) -> anyhow::Result<()> {
    let list = world.agent_command(&["demo", "--list"]).output()?;
    let list = String::from_utf8(list.stdout)?;
    for name in SHAPES.iter().map(|(name, _)| name).chain(SERVING) {
        ensure!(
            list.lines().any(|line| line.starts_with(&format!("{name} "))),
            "{name} is not in {list}"
        );
    }
    let load = ["demo", "prefork", "--connections", "10", "--requests", "5"];
    Report::of(world.agent_command(&load))?.check(50, 10)?;
    let unknown = world.agent_command(&["demo", "prefrok"]).output()?;
    ensure!(unknown.status.code() == Some(2), "{unknown:?}");
    ensure!(
        String::from_utf8_lossy(&unknown.stderr).contains("prefork"),
        "it is to say what is similar: {unknown:?}"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let at = taken.local_addr()?.to_string();
    let failed = world.agent_command(&["demo", "prefork", "--listen", &at]).output()?;
    ensure!(failed.status.code() == Some(1), "{failed:?}");
    ensure!(
        String::from_utf8_lossy(&failed.stderr).contains("in use"),
        "it is to say why: {failed:?}"
    );
    Ok(())
}

fn agent_watches(world: &World) -> anyhow::Result<()> {
    let report =
        Report::of(world.agent_command(&["demo", "prefork", "--watch", "--duration", "3s"]))?;
    ensure!(report.text.contains("Summary after"), "{}", report.text);
    let answered = report.workers()?.values().sum::<u64>();
    ensure!(answered > 0, "{}", report.text);
    // The server's end is not the client's failure.
    ensure!(report.line("errors")? == "none", "{}", report.text);
    Ok(())
}

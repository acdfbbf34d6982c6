//! While exchanges come by thousands, ordinary ones are told one in several. What is said of all of
//! them is the same.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use backscope_abi::suspension;

use super::record::replay;
use super::{exchange, native};
use crate::harness::exporter::{Exporter, await_it, sum_of};
use crate::harness::json::{is, number};
use crate::harness::terminal::OnScreen;
use crate::harness::{Case, Demo, Process, Protocol, World, bpf, talk};
use crate::servers::{PORT, Server};

pub(super) const CASES: &[Case] = &[
    exchange("thinned::all_are_counted_and_slow_ones_told", held_up),
    native("thinned::of_nginx", |world| real(world, "nginx")),
    native("thinned::of_redis", |world| real(world, "redis")),
    native("thinned::of_node", |world| real(world, "node")),
    native("thinned::of_go", |world| real(world, "go")),
    native("thinned::what_other_threads_serve_is_told", by_other_threads),
    native("thinned::exported_figures_are_of_all", exported),
    native("thinned::json_has_each", json_has_each),
    native("thinned::a_recording_has_each", recording_has_each),
    native("thinned::none_where_calls_are_made", where_calls_are_made),
    native("thinned::short_connections", short_connections).alone(),
    native("thinned::short_connections_of_nginx", |world| visits(world, "nginx", HTTP)).alone(),
    native("thinned::short_connections_of_redis", |world| visits(world, "redis", REDIS)).alone(),
];

/// Records a second from which on exchanges are thinned here.
const MANY: (&str, &str) = ("BACKSCOPE_THIN", "100");
const DEMO: Protocol = Protocol { greeting: b"", request: b"ask\n", end: b"\n" };
const CLIENTS: usize = 3;
/// Exchanges that are made once they are thinned, and more than that.
const ENOUGH: usize = 2_000;
/// Times that a server is held up, and for how long.
const STOPS: usize = 4;
const STOPPED: Duration = Duration::from_millis(60);
/// From here on a client calls an answer slow: each of them has to be told. And one that is told as
/// slow took a client as long as that.
const SLOW: Duration = Duration::from_millis(50);
const TOLD: Duration = Duration::from_millis(10);
const INTERVAL: Duration = Duration::from_millis(200);

/// Connections a second that are a rush here: then whole connections are left untold.
const RUSH: (&str, &str) = ("BACKSCOPE_RUSH", "20");
/// Requests that a connection has one of. The server ends the first, the client the second.
const HTTP: Protocol = Protocol {
    greeting: b"",
    request: b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    end: b"",
};
const REDIS: Protocol = Protocol { greeting: b"", request: b"PING\r\n", end: b"\r\n" };
/// Time between two connections of a client: there is not a port for many more.
const PACE: Duration = Duration::from_millis(1);

/// A watch that prints lines.
struct Lines {
    process: Process,
    deadline: Instant,
    text: String,
}

impl Lines {
    fn start(world: &World, pids: &[u32]) -> anyhow::Result<Self> {
        let mut command = world.agent_command(&["watch", "--plain", "--interval", "200ms"]);
        for pid in pids {
            command.arg("--pid").arg(pid.to_string());
        }
        let process = Process::start({
            command.envs([MANY, RUSH]);
            command
        })?;
        let deadline = Instant::now() + world.case_limit() / 2;
        let mut lines = Self { process, deadline, text: String::new() };
        lines.await_line("Watching")?;
        Ok(lines)
    }

    fn next(&mut self) -> anyhow::Result<Option<String>> {
        let line = self.process.next_line(self.deadline).with_context(|| self.text.clone())?;
        for part in line.iter().map(String::as_str).chain(["\n"]) {
            self.text += part;
        }
        Ok(line)
    }

    fn await_line(&mut self, word: &str) -> anyhow::Result<()> {
        while let Some(line) = self.next()? {
            if line.contains(word) {
                return Ok(());
            }
        }
        anyhow::bail!("no {word:?}: {}; {}", self.text, self.process.finish());
    }

    /// Ends it. Returns all that it printed.
    fn stop(mut self) -> anyhow::Result<String> {
        self.process.signal(libc::SIGINT);
        while self.next()?.is_some() {}
        Ok(self.text)
    }
}

/// The times that clients waited for their answers.
struct Clients {
    took: Mutex<Vec<Duration>>,
    over: AtomicBool,
    /// Most that each of them asks.
    most: u64,
}

impl Clients {
    fn new() -> Self {
        Self { took: Mutex::new(Vec::new()), over: AtomicBool::new(false), most: u64::MAX }
    }

    /// Asks until they are to end.
    fn ask(&self, addr: SocketAddr, protocol: Protocol) -> anyhow::Result<()> {
        thread_local!(static ASKED: Cell<Option<Instant>> = const { Cell::new(None) });
        talk(addr, protocol, CLIENTS, |asked| {
            let now = Instant::now();
            let before = ASKED.replace(Some(now));
            if let (Some(before), true, Ok(mut took)) = (before, asked > 0, self.took.lock()) {
                took.push(now - before);
            }
            asked < self.most && !self.over.load(Ordering::Relaxed)
        })?;
        Ok(())
    }

    /// Asks once on each of many connections, until they are to end.
    fn visit(&self, addr: SocketAddr, protocol: Protocol) -> anyhow::Result<()> {
        while !self.over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            visit(addr, protocol)?;
            if let Ok(mut took) = self.took.lock() {
                took.push(begun.elapsed());
            }
            thread::sleep(PACE);
        }
        Ok(())
    }

    fn answers(&self) -> usize {
        self.took.lock().map_or(0, |took| took.len())
    }

    /// Answers that took at least so long.
    fn slow(&self, least: Duration) -> usize {
        self.took.lock().map_or(0, |took| took.iter().filter(|&&took| took >= least).count())
    }

    /// Has them ask while `work` runs.
    fn during(
        &self,
        addr: SocketAddr,
        protocol: Protocol,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.while_running(|| self.ask(addr, protocol), 1, work)
    }

    /// Has them visit while `work` runs.
    fn visiting(
        &self,
        addr: SocketAddr,
        protocol: Protocol,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.while_running(|| self.visit(addr, protocol), CLIENTS, work)
    }

    fn while_running(
        &self,
        client: impl Fn() -> anyhow::Result<()> + Sync,
        threads: usize,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..threads).map(|_| scope.spawn(&client)).collect();
            let mut result = work();
            self.over.store(true, Ordering::Relaxed);
            for client in clients {
                let asked = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
                result = result.and(asked);
            }
            result
        })
    }
}

/// Connects, asks, and closes once it has the answer; without a known end of that, once the server
/// has closed.
fn visit(addr: SocketAddr, protocol: Protocol) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(protocol.request)?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while protocol.end.is_empty() || !answer.ends_with(protocol.end) {
        let got = stream.read(&mut buffer)?;
        if got == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..got]);
    }
    ensure!(answer.len() > protocol.end.len(), "{:?}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// The number behind a word of the summary.
fn summed(text: &str, word: &str) -> anyhow::Result<Option<usize>> {
    let (_, summary) = text.split_once("\nSummary after").context("no summary")?;
    let Some(line) = summary.lines().find(|line| line.trim_start().starts_with(word)) else {
        return Ok(None);
    };
    let number = line.split_whitespace().nth(1).context("no number")?.replace(',', "");
    Ok(Some(number.parse().with_context(|| line.to_owned())?))
}

/// Checks what a watch printed of these clients' exchanges.
fn check(text: &str, clients: &Clients) -> anyhow::Result<()> {
    let exchanges = summed(text, "exchanges")?.context("no exchanges")?;
    let answers = clients.answers();
    ensure!(exchanges == answers, "{exchanges} of {answers} were counted: {text}");
    let told = summed(text, "sampled")?.with_context(|| format!("all were told: {text}"))?;
    ensure!(told < exchanges, "none was left untold: {text}");
    let slow = text.lines().filter(|line| line.split_whitespace().nth(1) == Some("slow")).count();
    let (least, most) = (clients.slow(SLOW), clients.slow(TOLD));
    ensure!((least..=most).contains(&slow), "{least} to {most} were slow: {text}");
    ensure!(!text.contains(" lost: "), "nothing is lost: {text}");
    Ok(())
}

fn held_up(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll"])?;
    let mut lines = Lines::start(world, &[demo.pid()])?;
    let clients = Clients::new();
    clients.during(demo.addr, DEMO, || {
        lines.await_line("one in eight")?;
        for _ in 0..STOPS {
            demo.signal(libc::SIGSTOP);
            thread::sleep(STOPPED);
            demo.signal(libc::SIGCONT);
            // No more than a few slow ones are printed in one interval.
            thread::sleep(2 * INTERVAL);
        }
        Ok(())
    })?;
    ensure!(clients.slow(SLOW) >= STOPS, "it was held up {STOPS} times");
    check(&lines.stop()?, &clients)
}

fn real(world: &World, name: &str) -> anyhow::Result<()> {
    let server = Server::named(name)?;
    let running = server.start(world)?;
    let mut lines = Lines::start(world, &[running.process.pid()])?;
    let clients = Clients::new();
    let deadline = Instant::now() + world.patience();
    clients.during((Ipv4Addr::LOCALHOST, PORT).into(), server.protocol, || {
        lines.await_line("one in eight")?;
        let enough = clients.answers() + ENOUGH;
        while clients.answers() < enough {
            ensure!(Instant::now() < deadline, "{} answers", clients.answers());
            thread::sleep(INTERVAL);
        }
        Ok(())
    })?;
    check(&lines.stop()?, &clients)
}

/// Waits until it is a rush, and so many more visits were made in it.
fn await_visits(lines: &Lines, clients: &Clients, world: &World) -> anyhow::Result<()> {
    let (deadline, mut enough) = (Instant::now() + world.patience(), usize::MAX);
    while clients.answers() < enough {
        ensure!(Instant::now() < deadline, "{} answers: {}", clients.answers(), lines.text);
        if enough == usize::MAX && bpf::suspension(lines.process.pid())? & suspension::RUSH != 0 {
            enough = clients.answers() + ENOUGH;
        }
        thread::sleep(INTERVAL);
    }
    Ok(())
}

/// Checks what a watch printed of clients that had a connection for each exchange.
fn check_visits(text: &str, clients: &Clients) -> anyhow::Result<()> {
    check(text, clients)?;
    let (connections, visits) = (summed(text, "connections")?, clients.answers());
    ensure!(connections == Some(visits), "{connections:?} of {visits} were counted: {text}");
    let told = summed(text, "sampled")?.context("all were told")?;
    ensure!(told < visits - ENOUGH / 2, "{told} of {visits} were told: {text}");
    Ok(())
}

fn short_connections(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll"])?;
    let lines = Lines::start(world, &[demo.pid()])?;
    let clients = Clients::new();
    clients.visiting(demo.addr, DEMO, || {
        await_visits(&lines, &clients, world)?;
        for _ in 0..STOPS {
            demo.signal(libc::SIGSTOP);
            thread::sleep(STOPPED);
            demo.signal(libc::SIGCONT);
            // No more than a few slow ones are printed in one interval.
            thread::sleep(2 * INTERVAL);
        }
        Ok(())
    })?;
    ensure!(clients.slow(SLOW) >= STOPS, "it was held up {STOPS} times");
    check_visits(&lines.stop()?, &clients)
}

fn visits(world: &World, name: &str, protocol: Protocol) -> anyhow::Result<()> {
    let running = Server::named(name)?.start(world)?;
    let lines = Lines::start(world, &[running.process.pid()])?;
    let clients = Clients::new();
    clients.visiting((Ipv4Addr::LOCALHOST, PORT).into(), protocol, || {
        await_visits(&lines, &clients, world)
    })?;
    check_visits(&lines.stop()?, &clients)
}

/// Where threads take turns at each connection, that is seen all the time: patterns are named by it.
fn by_other_threads(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["message-load-balancing", "--workers=4"])?;
    let mut lines = Lines::start(world, &[demo.pid()])?;
    let clients = Clients::new();
    let (deadline, mut before) = (Instant::now() + world.patience(), 0);
    clients.during(demo.addr, DEMO, || {
        lines.await_line("one in eight")?;
        before = clients.answers();
        while clients.answers() < before + 2 * ENOUGH {
            ensure!(Instant::now() < deadline, "{} answers", clients.answers());
            thread::sleep(INTERVAL);
        }
        Ok(())
    })?;
    let text = lines.stop()?;
    check(&text, &clients)?;
    let told = summed(&text, "sampled")?.context("all were told")?;
    let since = clients.answers() - before;
    ensure!(told > before + since / 2, "{told} were told, {since} since the notice: {text}");
    ensure!(text.contains("message load balancing"), "{text}");
    Ok(())
}

fn exported(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll"])?;
    let pid = demo.pid_arg();
    let args = ["--pid", &pid, "--budget", "100%"];
    let exporter = Exporter::start_with(world, args, &[MANY])?;
    let clients = Clients { most: 5 * ENOUGH as u64, ..Clients::new() };
    clients.ask(demo.addr, DEMO)?;
    let answers = clients.answers() as f64;
    let (label, mut page) = (format!("server_port=\"{}\"", demo.addr.port()), String::new());
    let figure = |page: &str, metric| sum_of(page, metric, &[&label, "role=\"server\""]);
    await_it(world.patience(), "the end of the connections", || {
        page = exporter.page()?;
        let requests =
            sum_of(&page, "backscope_exchange_io_bytes_total", &["direction=\"request\""]);
        Ok(requests.is_some_and(|bytes| bytes >= 0.98 * answers * DEMO.request.len() as f64))
    })?;
    let counted = figure(&page, "backscope_exchange_duration_seconds_count").unwrap_or(0.0);
    // What was left untold at the very end of a connection may stand for nobody.
    ensure!(counted <= answers && counted >= 0.98 * answers, "{counted} of {answers}: {page}");
    let by_kind = figure(&page, "backscope_exchange_time_seconds_total").unwrap_or(0.0);
    let sum = figure(&page, "backscope_exchange_duration_seconds_sum").unwrap_or(0.0);
    ensure!((by_kind - sum).abs() < 1e-6, "{by_kind} s by kind are not {sum} s");
    let (_, said) = exporter.stop()?;
    ensure!(said.contains("one in eight"), "all were told: {said}");
    Ok(())
}

/// Who reads JSON has asked for each exchange.
fn json_has_each(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll"])?;
    let mut agent = world.watch().pid(demo.pid()).interval("200ms").env(MANY.0, MANY.1).start()?;
    let clients = Clients { most: ENOUGH as u64, ..Clients::new() };
    let port = demo.addr.port();
    clients.during(demo.addr, DEMO, || {
        while clients.answers() < CLIENTS * ENOUGH {
            agent.await_refresh(port)?;
        }
        Ok(())
    })?;
    let ended = agent.stop()?;
    ended.check_clean()?;
    let told = ended.of("exchange").count();
    ensure!(told == clients.answers(), "{told} of {} are told", clients.answers());
    Ok(())
}

/// So has who records, from the key that begins it.
fn recording_has_each(world: &World) -> anyhow::Result<()> {
    const FIRST: usize = 200;
    let (folder, demo) = (tempfile::tempdir()?, world.demo(&["serve", "--epoll"])?);
    let mut command = world.agent_command(&["watch", "--interval", "200ms"]);
    command.args(["--pid", &demo.pid_arg()]).env(MANY.0, MANY.1).current_dir(folder.path());
    let mut screen = OnScreen::start(command)?;
    screen.await_shown(world, &demo.pid().to_string())?;
    let clients = Clients::new();
    clients.during(demo.addr, DEMO, || {
        screen.await_shown(world, "one in eight")?;
        screen.type_keys("r")?;
        screen.await_shown(world, "● rec")?;
        screen.stays("● rec", 3 * INTERVAL)?;
        screen.type_keys("r")?;
        screen.await_shown(world, "recorded backscope-")?;
        Ok(())
    })?;
    screen.type_keys("q")?;
    ensure!(screen.end(world)?.0.success(), "a healthy end");
    let file = fs::read_dir(folder.path())?.next().context("no recording")??.path();
    let (objects, output) = replay(world, &file)?;
    ensure!(output.status.success(), "{output:?}");
    let mut seqs = BTreeMap::<String, Vec<u64>>::new();
    for exchange in objects.iter().filter(|object| is(object, "exchange")) {
        let seq = number(exchange, "/seq").context("no number")?;
        seqs.entry(exchange["sock"].to_string()).or_default().push(seq);
    }
    ensure!(seqs.len() == CLIENTS, "{} connections", seqs.len());
    for (sock, seqs) in seqs {
        // The first is what a scan showed a while before the recording began. Later some may be
        // lost: an agent that is not optimised takes long to write them.
        let first = &seqs[1..FIRST.min(seqs.len())];
        let gap = first.windows(2).find(|two| two[1] != two[0] + 1);
        ensure!(seqs.len() > FIRST && gap.is_none(), "{sock}: {gap:?} of {}", seqs.len());
    }
    Ok(())
}

/// A process that is watched asks one that is watched: a call shows what its request waited for.
fn where_calls_are_made(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll"])?;
    let target = demo.addr.to_string();
    let count = (2 * ENOUGH).to_string();
    let mut caller: Demo =
        world.demo_waiting(&["client", "--target", &target, "--count", &count, "--wait"])?;
    let lines = Lines::start(world, &[demo.pid(), caller.pid()])?;
    caller.go()?;
    caller.await_line(&format!("answered {count}"))?;
    let text = lines.stop()?;
    // On either side.
    ensure!(summed(&text, "exchanges")? == Some(4 * ENOUGH), "{text}");
    ensure!(summed(&text, "sampled")?.is_none(), "all of them are told: {text}");
    Ok(())
}

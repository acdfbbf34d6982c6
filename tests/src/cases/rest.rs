//! The hooks of accept are detached on a busy machine where no connection comes, and nothing is
//! missed by that.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use backscope_abi::suspension;

use super::{each_tier, native};
use crate::harness::json::{Value, is, number, sees};
use crate::harness::net::monotonic_ns;
use crate::harness::{Agent, Case, Process, Tier, World, bpf, connect, skip};
use crate::servers::{PORT, Server};

pub(super) const CASES: &[Case] = &[
    each_tier("rest::an_accept_meanwhile_is_seen", accept_meanwhile).by_processor().alone(),
    native("rest::takes_cap_perfmon", takes_perfmon),
    native("rest::a_listener_meanwhile_has_its_own_backlog", listener_meanwhile),
    native("rest::not_where_an_accept_would_be_missed", never_where_unseen),
    native("rest::once_where_nothing_was_accepted_yet", once_before_the_first),
    native("rest::a_first_accept_that_nothing_shows_is_counted", first_is_counted),
];

/// Time without a connection after which they are detached, if the machine is busy.
pub(super) const QUIET: Duration = Duration::from_secs(10);

/// Keeps a processor busy while `work` runs.
fn busy<T>(work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Counts the system call tracepoints that the agent holds attached.
pub(super) fn attached(agent: &Agent) -> anyhow::Result<usize> {
    let files = fs::read_dir(format!("/proc/{}/fd", agent.pid())).context("the agent's files")?;
    let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    Ok(links.filter(|link| link.to_string_lossy().contains("perf_event")).count())
}

/// Waits until the hooks of accept serve again.
fn await_back(agent: &Agent) -> anyhow::Result<()> {
    let deadline = Instant::now() + QUIET;
    while bpf::suspension(agent.pid())? <= suspension::CHANGING {
        ensure!(Instant::now() < deadline, "they are attached, and do not serve");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn await_attached(agent: &Agent, wanted: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + 3 * QUIET;
    while attached(agent)? != wanted {
        ensure!(
            Instant::now() < deadline,
            "{} tracepoints are attached, not {wanted}",
            attached(agent)?
        );
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn accept_meanwhile(world: &World) -> anyhow::Result<()> {
    let _lenient = Lenient::begin(world)?;
    for detail in ["queues", "exchanges"] {
        let demo = world.demo(&["serve", "--epoll"])?;
        let mut agent = world.watch().pid(demo.pid()).args(["--detail", detail]).start()?;
        let all = attached(&agent)?;
        if !sees(agent.objects(), "accept_at_rest") {
            ensure!(all >= 4, "{all} tracepoints are attached");
            continue;
        }
        if agent.tier() == Tier::Full {
            // The accept hooks use no system call tracepoint here.
            ensure!(all == 0, "{all} tracepoints are attached");
            continue;
        }
        ensure!(all >= 4, "{all} tracepoints are attached from the beginning");
        if stays_attached() {
            return skip("kernel.perf_event_paranoid is above 2: no hook is suspended");
        }
        let first = connect(demo.addr)?;
        agent.await_accepted(demo.addr.port(), 1)?;
        let mut clients = vec![first];
        busy(|| {
            await_attached(&agent, 0)?;
            clients.push(connect(demo.addr)?);
            await_attached(&agent, all)?;
            await_back(&agent)?;
            clients.push(connect(demo.addr)?);
            agent.await_accepted(demo.addr.port(), 3).map(drop)
        })?;
        let ended = agent.stop()?;
        let accepts: Vec<&Value> =
            ended.objects.iter().filter(|object| is(object, "accept")).collect();
        ensure!(accepts.len() == 3, "three were accepted, each once: {accepts:?}");
        for (accept, client) in accepts.iter().zip(&clients) {
            let peer = format!("127.0.0.1:{}", client.port);
            ensure!(accept["peer"] == peer.as_str(), "of {peer}: {accept}");
            let queued_us =
                number(accept, "/queued_us").with_context(|| format!("no wait: {accept}"))?;
            ensure!(
                queued_us < 1_000_000,
                "a server that does nothing else accepts sooner: {accept}"
            );
        }
        ensure!(number(accepts[2], "/fd").is_some(), "the hooks were back: {}", accepts[2]);
        let listener = ended.listener(demo.addr.port())?;
        ensure!(number(listener, "/abandoned") == Some(0), "nobody left: {listener}");
    }
    Ok(())
}

/// Attaching them again is all that CAP_PERFMON is kept for. Without it they are never detached.
fn takes_perfmon(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll"])?;
    let mut agent =
        world.watch().pid(demo.pid()).env("BACKSCOPE_WITHOUT", "CAP_PERFMON").start()?;
    let all = attached(&agent)?;
    if all == 0 || !sees(agent.objects(), "accept_at_rest") {
        return skip("no hook is suspended here");
    }
    let _first = connect(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    busy(|| agent.await_time(monotonic_ns() + u64::try_from((QUIET + QUIET / 4).as_nanos())?))?;
    ensure!(attached(&agent)? == all, "{} of {all} are attached", attached(&agent)?);
    agent.stop().map(drop)
}

const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";

/// Some distributions let nobody attach them again who is not all of root.
pub(super) fn stays_attached() -> bool {
    let paranoid = fs::read_to_string(PARANOID).unwrap_or_default();
    paranoid.trim().parse().is_ok_and(|paranoid: i32| paranoid > 2)
}

/// Makes a test machine that is such a distribution one that is not, until it is dropped. The
/// machine of somebody stays as it is.
pub(super) struct Lenient(Option<String>);

impl Lenient {
    pub(super) fn begin(world: &World) -> anyhow::Result<Self> {
        if !world.vm || !stays_attached() {
            return Ok(Self(None));
        }
        let before = fs::read_to_string(PARANOID)?;
        fs::write(PARANOID, "2")?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Lenient {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = fs::write(PARANOID, before);
        }
    }
}

/// One thread listens twice. The backlog of its first call must not be taken for that of its
/// second.
fn listener_meanwhile(world: &World) -> anyhow::Result<()> {
    const SERVER: &str = "
import socket, sys
def listen(backlog):
    sys.stdin.readline()
    listener = socket.create_server(('127.0.0.1', 0), backlog=backlog)
    print(listener.getsockname()[1], flush=True)
    return listener
first = listen(7)
accepted = first.accept()
second = listen(11)
sys.stdin.readline()
";
    let mut command = Command::new("python3");
    command.args(["-c", SERVER]);
    let mut server = Process::start(command)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let all = attached(&agent)?;
    let mut listen = |backlog: u64, agent: &mut Agent| {
        server.write_line("listen")?;
        let line =
            server.next_line(Instant::now() + world.patience())?.context("the server ended")?;
        let port: u16 = line.trim().parse()?;
        let listener =
            agent.await_listener(port, "backlog", |listener| !listener["backlog"].is_null())?;
        ensure!(
            number(&listener, "/backlog") == Some(backlog),
            "{backlog} was asked for: {listener}"
        );
        anyhow::Ok(port)
    };
    let port = listen(7, &mut agent)?;
    let _client = connect(([127, 0, 0, 1], port).into())?;
    agent.await_accepted(port, 1)?;
    busy(|| {
        await_attached(&agent, 0)?;
        listen(11, &mut agent)?;
        await_attached(&agent, all)
    })?;
    agent.stop().map(drop)
}

/// Node does not ask accept for the peer's address.
fn never_where_unseen(world: &World) -> anyhow::Result<()> {
    let server = Server::named("node")?;
    let running = server.start(world)?;
    let mut agent = world.watch().pid(running.process.pid()).start()?;
    let all = attached(&agent)?;
    let _client = connect(([127, 0, 0, 1], PORT).into())?;
    agent.await_object("accept", |object| is(object, "accept"))?;
    busy(|| agent.await_time(monotonic_ns() + u64::try_from((QUIET + QUIET / 4).as_nanos())?))?;
    ensure!(attached(&agent)? == all, "{} of {all} tracepoints are attached", attached(&agent)?);
    agent.stop().map(drop)
}

/// Whether the first accept will be seen without them is not known before it comes. Of a program
/// that asks for the peer's address it is. Of Node it shows by its first read, and from then on they
/// stay attached.
fn once_before_the_first(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll"])?;
    let asking = first_of_all(world, demo.pid(), demo.addr, |_| Ok(()))?;
    let Some(asking) = asking else { return skip("no hook is suspended here") };
    ensure!(number(&asking, "/queued_us").is_some(), "{asking}");
    ensure!(asking["pid"] == demo.pid(), "{asking}");

    let running = Server::named("node")?.start(world)?;
    let pid = running.process.pid();
    let node = first_of_all(world, pid, ([127, 0, 0, 1], PORT).into(), |agent| {
        let all = attached(agent)?;
        busy(|| agent.await_time(monotonic_ns() + u64::try_from((QUIET + QUIET / 4).as_nanos())?))?;
        ensure!(attached(agent)? == all, "{} of {all} are attached", attached(agent)?);
        Ok(())
    })?;
    let node = node.context("of Node none is suspended")?;
    ensure!(node["pid"] == pid, "{node}");
    Ok(())
}

/// Has the hooks suspended before anything was accepted, and returns the first accept; `None` if
/// they are not suspended here. The second is seen by them.
fn first_of_all(
    world: &World,
    pid: u32,
    addr: SocketAddr,
    then: impl FnOnce(&mut Agent) -> anyhow::Result<()>,
) -> anyhow::Result<Option<Value>> {
    let Some(mut agent) = asked_twice(world, pid, addr, "exchanges")? else { return Ok(None) };
    then(&mut agent)?;
    let ended = agent.stop()?;
    let accepts: Vec<&Value> = ended.objects.iter().filter(|object| is(object, "accept")).collect();
    let [first, second] = accepts[..] else { bail!("two were accepted: {accepts:?}") };
    ensure!(number(second, "/fd").is_some(), "the hooks were back: {second}");
    Ok(Some(first.clone()))
}

/// Without exchanges no read is seen, and the first accept of Node shows by nothing but its end.
fn first_is_counted(world: &World) -> anyhow::Result<()> {
    let running = Server::named("node")?.start(world)?;
    let (pid, addr) = (running.process.pid(), ([127, 0, 0, 1], PORT).into());
    let Some(agent) = asked_twice(world, pid, addr, "queues")? else {
        return skip("no hook is suspended here");
    };
    let ended = agent.stop()?;
    let accepts = ended.objects.iter().filter(|object| is(object, "accept")).count();
    ensure!(accepts == 1, "{accepts} of two accepts were shown");
    let listener = ended.listener(PORT)?;
    let counts = ["/queued", "/accepted", "/abandoned"].map(|name| number(listener, name));
    ensure!(counts == [Some(2), Some(2), Some(0)], "{listener}");
    Ok(())
}

/// Watches a server until the hooks of accept are suspended, and asks it once then, and once when
/// they are back. `None` if they are not suspended here.
fn asked_twice(
    world: &World,
    pid: u32,
    addr: SocketAddr,
    detail: &str,
) -> anyhow::Result<Option<Agent>> {
    let mut agent = world.watch().pid(pid).args(["--detail", detail]).start()?;
    let all = attached(&agent)?;
    if all == 0 || !sees(agent.objects(), "accept_at_rest") || stays_attached() {
        return Ok(None);
    }
    busy(|| {
        await_attached(&agent, 0)?;
        ask(addr)?;
        await_attached(&agent, all)?;
        await_back(&agent)
    })?;
    ask(addr)?;
    agent.await_accepted(addr.port(), 2)?;
    Ok(Some(agent))
}

/// Asks, and waits for something that comes back.
fn ask(addr: SocketAddr) -> anyhow::Result<()> {
    let mut client = TcpStream::connect(addr)?;
    client.set_read_timeout(Some(Duration::from_secs(60)))?;
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    ensure!(client.read(&mut [0; 64])? > 0, "no answer");
    Ok(())
}

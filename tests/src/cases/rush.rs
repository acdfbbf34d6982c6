//! While very many connections come the hooks of accept and of state changes are detached, and what
//! is told is the same.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use backscope_abi::suspension;
use socket2::{Domain, Socket, Type};

use super::field::connects::{Failing, check_by_address, connects};
use super::ledger::serve;
use super::rest::{Lenient, QUIET, attached, stays_attached};
use super::{close, each_tier, native};
use crate::harness::json::{Value, is, number, sees};
use crate::harness::ledger::{Truth, is_connection, paired, spent_us};
use crate::harness::trace::Conversation;
use crate::harness::{Agent, Case, Process, Tier, World, bpf, connect, skip};
use crate::servers::{PORT, Server};

// An emulated machine takes minutes to come to a rush: one case with exchanges is enough there.
pub(super) const CASES: &[Case] = &[
    each_tier("rush::is_told_whole", rush).alone(),
    each_tier("rush::a_listener_that_ends_is_told", listener_ends_meanwhile).alone(),
    native("rush::a_listener_that_begins_is_told", listener_begins_meanwhile).alone(),
    each_tier("rush::states_are_seen_where_others_are_busy", states_stay).alone(),
    native("rush::ends_are_told", ends_meanwhile).alone(),
    native("rush::data_that_came_before_accept_waited", data_before_accept).alone(),
    native("rush::connects_are_told", connects_meanwhile).alone(),
    native("rush::tells_nothing_of_others_at_the_port", others_at_the_port).alone(),
    native("rush::none_where_an_accept_would_be_missed", no_rush_where_unseen),
];

/// Connects and closes, again and again, while `goes_on`; returns how often. Each time it waits until
/// the server has closed, too, and a moment: faster than that it would only fill the accept queue, and
/// take the processor of the others.
fn churn(
    addr: SocketAddr,
    mut goes_on: impl FnMut(u64) -> anyhow::Result<bool>,
) -> anyhow::Result<u64> {
    let mut made = 0;
    while goes_on(made)? {
        thread::sleep(Duration::from_millis(1));
        let mut client = connect_apart(addr)?;
        client.set_read_timeout(Some(QUIET))?;
        client.shutdown(Shutdown::Write)?;
        let _ = client.read(&mut [0]);
        made += 1;
    }
    Ok(made)
}

/// Connects from a port that no other client has: cases tell their connections by the client's port.
fn connect_apart(addr: SocketAddr) -> anyhow::Result<TcpStream> {
    /// `IP_LOCAL_PORT_RANGE` (`include/uapi/linux/in.h`, 6.3 on), which socket2 lacks; below the
    /// range that others have.
    const LOCAL_PORT_RANGE: i32 = 51;
    static PORTS: u32 = 32_767 << 16 | 16_384;
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    // SAFETY: the pointer and the size describe `PORTS`. A failure leaves the range as it was.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            LOCAL_PORT_RANGE,
            (&raw const PORTS).cast(),
            size_of_val(&PORTS) as u32,
        );
    }
    socket.connect(&addr.into())?;
    Ok(socket.into())
}

/// Where connections come fast the hooks are detached while they do, and each accept is told all the
/// same. They come back to look, and once fewer come.
fn rush(world: &World) -> anyhow::Result<()> {
    let _lenient = Lenient::begin(world)?;
    const MEANWHILE: u64 = 200;
    for detail in ["queues", "exchanges"] {
        let demo = world.demo(&["serve", "--epoll"])?;
        let Some(mut agent) = watch_rush(world, detail, &[demo.pid()])? else {
            return skip("no hook is suspended here");
        };
        let all = attached(&agent)?;
        let deadline = Instant::now() + 3 * QUIET;
        let until = |wanted: usize| {
            let agent = &agent;
            move |_| {
                ensure!(Instant::now() < deadline, "not {wanted} of {all} are attached");
                Ok(attached(agent)? != wanted)
            }
        };
        let mut made = churn(demo.addr, until(0))?;
        if detail == "queues" || sees(agent.objects(), "data_in") {
            made += churn(demo.addr, without_states(&agent, true))?;
        }
        made += churn(demo.addr, |made| Ok(made < MEANWHILE))?;
        made += churn(demo.addr, until(all))?;
        agent.await_accepted(demo.addr.port(), made)?;
        let _last = connect(demo.addr)?;
        agent.await_accepted(demo.addr.port(), made + 1)?;
        if detail == "exchanges" {
            let over = Cell::new(0);
            agent.await_object("every end", |object| {
                over.set(over.get() + u64::from(is(object, "connection")));
                over.get() >= made
            })?;
        }
        let ended = agent.stop()?;
        let accepts: Vec<&Value> = ended.of("accept").collect();
        ensure!(accepts.len() as u64 == made + 1, "{} of {}", accepts.len(), made + 1);
        let meanwhile = accepts.iter().filter(|accept| accept["fd"].is_null()).count() as u64;
        ensure!(meanwhile > 1, "{meanwhile} accepts while they were detached");
        let timed = accepts.iter().all(|accept| number(accept, "/queued_us").is_some());
        ensure!(timed, "the wait of each is known");
        let ours = accepts.iter().all(|accept| accept["pid"] == demo.pid());
        ensure!(ours, "each is told of its process");
        let listener = ended.listener(demo.addr.port())?;
        ensure!(number(listener, "/abandoned") == Some(0), "nobody left: {listener}");
        ensure!(number(listener, "/queued") == Some(made + 1), "of {}: {listener}", made + 1);
        if detail == "exchanges" {
            let by_peers = |connection: &&Value| {
                connection["close"]["by"] == "peer" && connection["attached_midway"] == false
            };
            let closed = ended.of("connection").filter(by_peers).count() as u64;
            // The last one is open.
            ensure!(closed == made, "{closed} of {made} were closed by their clients");
        }
        let told = listener["gaps"].to_string().contains("accept_errors and");
        ensure!(told, "calls that failed meanwhile are missing: {listener}");
        ended.check_clean()?;
    }
    Ok(())
}

/// Watches processes, with few connections for a rush. `None` where no hook is
/// suspended.
fn watch_rush(world: &World, detail: &str, pids: &[u32]) -> anyhow::Result<Option<Agent>> {
    let mut watch = world.watch().args(["--detail", detail]).env("BACKSCOPE_RUSH", "20");
    for pid in pids {
        watch = watch.pid(*pid);
    }
    let agent = watch.start()?;
    let rests = sees(agent.objects(), "accept_at_rest") && !stays_attached();
    Ok((agent.tier() != Tier::Full && rests).then_some(agent))
}

/// Goes on until the hook of state changes is off, or on.
fn without_states(agent: &Agent, wanted: bool) -> impl FnMut(u64) -> anyhow::Result<bool> + use<> {
    let (deadline, pid) = (Instant::now() + 6 * QUIET, agent.pid());
    move |_| {
        ensure!(Instant::now() < deadline, "the hook of state changes should be off: {wanted}");
        let is_off = bpf::suspension(pid)? & suspension::STATELESS != 0;
        Ok(is_off != wanted)
    }
}

/// Makes connections all the time while `work` runs; returns how many.
fn rushing(addr: SocketAddr, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients = scope.spawn(|| churn(addr, |_| Ok(!over.load(Ordering::Relaxed))));
        let result = work();
        over.store(true, Ordering::Relaxed);
        let made = clients.join().map_err(|_| anyhow::anyhow!("the clients panicked"))?;
        result.and(made)
    })
}

/// While no state change is seen a listener ends with connections in its queue.
fn listener_ends_meanwhile(world: &World) -> anyhow::Result<()> {
    // Few: at some tens of accepts a second, as on a slow machine, more would end the rush.
    const WAITING: u64 = 2;
    let _lenient = Lenient::begin(world)?;
    let (busy, idle) = (world.demo(&["serve", "--epoll"])?, world.demo(&["serve", "--epoll"])?);
    let Some(mut agent) = watch_rush(world, "queues", &[busy.pid(), idle.pid()])? else {
        return skip("no hook is suspended here");
    };
    idle.signal(libc::SIGSTOP);
    let (port, mut waiting) = (idle.addr.port(), Vec::new());
    let made = rushing(busy.addr, || {
        await_stateless(&agent)?;
        for _ in 0..WAITING {
            waiting.push(connect(idle.addr)?);
        }
        await_stateless(&agent)?;
        idle.signal(libc::SIGKILL);
        agent.await_listener(port, "its end", |listener| listener["closed"] == true).map(drop)
    })?;
    agent.await_accepted(busy.addr.port(), made)?;
    let ended = agent.stop()?;
    let listener = ended.listener(port)?;
    let (queued, abandoned) = (number(listener, "/queued"), number(listener, "/abandoned"));
    ensure!(abandoned == Some(WAITING), "all who waited were dropped: {listener}");
    ensure!(queued == abandoned, "nobody else came: {listener}");
    let listener = ended.listener(busy.addr.port())?;
    ensure!(number(listener, "/abandoned") == Some(0), "nobody waited there: {listener}");
    ensure!(number(listener, "/queued") == Some(made), "{made} came: {listener}");
    ended.check_clean()
}

fn await_stateless(agent: &Agent) -> anyhow::Result<()> {
    let mut goes_on = without_states(agent, true);
    while goes_on(0)? {
        // To ask takes a slow machine long, and the clients need its processor.
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// While no state change is seen connections end in every way, and are told as ever.
fn ends_meanwhile(world: &World) -> anyhow::Result<()> {
    let _lenient = Lenient::begin(world)?;
    let busy = world.demo(&["serve", "--epoll"])?;
    let servers = close::WAYS.into_iter().map(|way| Ok((way, serve(world, way.server)?)));
    let mut servers = servers.collect::<anyhow::Result<Vec<_>>>()?;
    let pids: Vec<u32> = servers.iter().map(|(_, demo)| demo.pid()).chain([busy.pid()]).collect();
    let Some(mut agent) = watch_rush(world, "exchanges", &pids)? else {
        return skip("no hook is suspended here");
    };
    let mut talks = Vec::new();
    rushing(busy.addr, || {
        for (way, demo) in &mut servers {
            await_stateless(&agent)?;
            talks.push((*way, way.take(world, demo, &mut agent)?));
        }
        Ok(())
    })?;
    let ended = agent.stop()?;
    for (way, talk) in talks {
        way.check(&ended, &talk)?;
    }
    ended.check_clean()
}

/// Data come to a connection that waits to be accepted, while nobody keeps anything of it. They have
/// waited for their read all the same.
fn data_before_accept(world: &World) -> anyhow::Result<()> {
    let _lenient = Lenient::begin(world)?;
    let delay = if world.vm { "2s" } else { "300ms" };
    let busy = world.demo(&["serve", "--epoll"])?;
    let mut demo = serve(world, &["--accept-delay", delay, "--sleep-before-read", "50ms"])?;
    let Some(mut agent) = watch_rush(world, "exchanges", &[busy.pid(), demo.pid()])? else {
        return skip("no hook is suspended here");
    };
    let mut talks = Vec::new();
    rushing(busy.addr, || {
        // The first finds the server in accept, the other comes while it sleeps.
        for _ in 0..2 {
            await_stateless(&agent)?;
            talks.push(Conversation::hold(world, &mut demo, &[])?);
        }
        for talk in &talks {
            agent.await_object("the end", |object| is_connection(object, "server", talk.port))?;
        }
        Ok(())
    })?;
    let ended = agent.stop()?;
    for (exchange, server, client) in paired(&ended, "server", &talks[1])? {
        let (accepted_ns, read_ns) = (talks[1].accepted.returned_ns, server.get("first_read_ns")?);
        let written_ns = client.get("written_ns")?;
        ensure!(written_ns < accepted_ns, "they came before: {written_ns}, {accepted_ns}");
        let truth = read_ns.saturating_sub(accepted_ns);
        Truth::new(truth, truth).check(
            world,
            "receive_queue",
            spent_us(exchange, &["receive_queue", "run_queue"]),
            client,
        )?;
    }
    ended.check_clean()
}

/// Another process listens at the same port of another address. While no state change is seen its
/// connections come, talk and end, and are nobody's.
fn others_at_the_port(world: &World) -> anyhow::Result<()> {
    let _lenient = Lenient::begin(world)?;
    let busy = world.demo(&["serve", "--epoll"])?;
    let Some(mut agent) = watch_rush(world, "exchanges", &[busy.pid()])? else {
        return skip("no hook is suspended here");
    };
    let other = TcpListener::bind(("127.0.0.2", busy.addr.port()))?;
    let made = rushing(busy.addr, || {
        await_stateless(&agent)?;
        for answers in [true, true, false] {
            let mut client = TcpStream::connect(other.local_addr()?)?;
            client.write_all(b"ask")?;
            let (mut server, _) = other.accept()?;
            if answers {
                server.read_exact(&mut [0; 3])?;
                server.write_all(b"answer")?;
                client.read_exact(&mut [0; 6])?;
            }
        }
        Ok(())
    })?;
    agent.await_accepted(busy.addr.port(), made)?;
    let ended = agent.stop()?;
    let local = other.local_addr()?.to_string();
    let told: Vec<&Value> =
        ended.objects.iter().filter(|object| object["local"] == local.as_str()).collect();
    ensure!(told.is_empty(), "of somebody else's: {told:?}");
    let summary = ended.summary()?;
    ensure!(number(summary, "/exchanges") == Some(0), "nobody asks our server: {summary}");
    ended.check_clean()
}

/// A process connects while no state change is seen: each connect is told, with its outcome.
fn connects_meanwhile(world: &World) -> anyhow::Result<()> {
    let _lenient = Lenient::begin(world)?;
    let (busy, failing) = (world.demo(&["serve", "--epoll"])?, Failing::new(world)?);
    let works = busy.addr.to_string();
    let knobs = [&["connects", "--to", &works][..], &failing.knobs()].concat();
    let mut demo = world.demo_waiting(&knobs)?;
    demo.await_line("ready")?;
    let Some(mut agent) = watch_rush(world, "exchanges", &[demo.pid(), busy.pid()])? else {
        return skip("no hook is suspended here");
    };
    let mut saw = Vec::new();
    rushing(busy.addr, || {
        await_stateless(&agent)?;
        saw = connects(&mut demo, &mut agent)?;
        Ok(())
    })?;
    check_by_address(&failing, &saw, &agent.stop()?)
}

/// A server that accepts at one listener, and makes another when it is told to.
const LISTENERS: &str = "
import socket, sys, threading
def listen():
    listener = socket.create_server(('127.0.0.1', 0))
    print(listener.getsockname()[1], flush=True)
    return listener
def serve(listener):
    while True:
        listener.accept()[0].close()
threading.Thread(target=serve, args=[listen()], daemon=True).start()
sys.stdin.readline()
another = listen()
sys.stdin.readline()
";

/// While no state change is seen a listener begins.
fn listener_begins_meanwhile(world: &World) -> anyhow::Result<()> {
    let mut command = Command::new("python3");
    command.args(["-c", LISTENERS]);
    let mut server = Process::start(command)?;
    let deadline = Instant::now() + world.patience();
    let next_port = |server: &mut Process| -> anyhow::Result<u16> {
        let line = server.next_line(deadline)?.context("the server ended")?;
        Ok(line.trim().parse()?)
    };
    let busy = next_port(&mut server)?;
    let Some(mut agent) = watch_rush(world, "queues", &[server.pid()])? else {
        return skip("no hook is suspended here");
    };
    let made = rushing(([127, 0, 0, 1], busy).into(), || {
        await_stateless(&agent)?;
        server.write_line("listen")?;
        let port = next_port(&mut server)?;
        agent
            .await_listener(port, "its process", |listener| listener["pid"] == server.pid())
            .map(drop)
    })?;
    agent.await_accepted(busy, made)?;
    agent.stop()?.check_clean()
}

/// Where another listener of the network namespace is busy, the kernel's count of connections says
/// nothing of the watched one: state changes stay seen, or are again.
fn states_stay(world: &World) -> anyhow::Result<()> {
    let _lenient = Lenient::begin(world)?;
    let (demo, other) = (world.demo(&["serve", "--epoll"])?, world.demo(&["serve", "--epoll"])?);
    let Some(mut agent) = watch_rush(world, "queues", &[demo.pid()])? else {
        return skip("no hook is suspended here");
    };
    let mut made = churn(demo.addr, without_states(&agent, true))?;
    let mut is_on = without_states(&agent, false);
    made += churn(demo.addr, |made| {
        drop(TcpStream::connect(other.addr)?);
        is_on(made)
    })?;
    // It stays so in the next rush, which comes within this time.
    let end = Instant::now() + Duration::from_secs(4);
    let mut rushes = false;
    made += churn(demo.addr, |_| {
        drop(TcpStream::connect(other.addr)?);
        let state = bpf::suspension(agent.pid())?;
        rushes |= state & suspension::RUSH != 0;
        ensure!(state & suspension::STATELESS == 0, "accepts may go unseen");
        Ok(Instant::now() < end)
    })?;
    ensure!(rushes, "the hooks of accept are suspended all the same");
    agent.await_accepted(demo.addr.port(), made)?;
    let ended = agent.stop()?;
    let listener = ended.listener(demo.addr.port())?;
    ensure!(number(listener, "/queued") == Some(made), "{made} came: {listener}");
    ended.check_clean()
}

/// The same where accept does not ask for the peer's name: the hooks stay.
fn no_rush_where_unseen(world: &World) -> anyhow::Result<()> {
    let running = Server::named("node")?.start(world)?;
    let mut agent = world.watch().pid(running.process.pid()).env("BACKSCOPE_RUSH", "20").start()?;
    let all = attached(&agent)?;
    let end = Instant::now() + Duration::from_secs(4);
    let addr = ([127, 0, 0, 1], PORT).into();
    let made = churn(addr, |_| {
        ensure!(attached(&agent)? == all, "{} of {all} are attached", attached(&agent)?);
        Ok(Instant::now() < end)
    })?;
    agent.await_accepted(PORT, made)?;
    agent.stop()?.check_clean()
}

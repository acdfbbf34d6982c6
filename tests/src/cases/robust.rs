//! Faults and loads: the agent stays bounded and alive, and leaves nothing behind.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use backscope_abi::counter::{ENDED, RING_FULL};

use super::{any_exchange, any_tier, each_tier, native};
use crate::harness::json::{Value, address, is, listens_on, number, overflows};
use crate::harness::ledger::is_connection;
use crate::harness::net::{self, Counters};
use crate::harness::{Agent, Case, Demo, World, bpf, converse};

pub(super) const CASES: &[Case] = &[
    each_tier("robust::killed_leaves_nothing", killed).on_each_kernel().alone(),
    each_tier("robust::two_at_once_agree", two_at_once),
    any_tier("robust::ring_overflow_is_counted", ring_overflow),
    any_exchange("robust::lost_ends_are_made_up_for", lost_ends).alone(),
    native("robust::records_that_outrun_it", outrun).alone(),
    any_tier("robust::a_thousand_forks", thousand_forks).alone(),
    each_tier("robust::syn_flood", syn_flood).alone(),
    native("robust::more_children_than_fit", more_children_than_fit).alone(),
    native("robust::many_listeners_with_many_holders", many_holders).alone(),
    native("robust::more_listeners_than_fit", more_listeners_than_fit).alone(),
    native("robust::few_descriptors", few_descriptors),
];

fn killed(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    let held = bpf::held_by(agent.pid())?;
    let programs = held.iter().filter(|object| !matches!(object, bpf::Object::Map(_))).count();
    ensure!(programs > 0, "the agent holds no program: {held:?}");
    ensure!(
        held.iter().all(|object| bpf::exists(*object)),
        "some of them do not exist while it runs: {held:?}"
    );
    agent.signal(libc::SIGKILL);
    agent.ended()?;
    // The kernel frees programs and maps after a grace period.
    let deadline = Instant::now() + world.patience();
    loop {
        let left: Vec<_> = held.iter().filter(|object| bpf::exists(**object)).collect();
        if left.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "left in the kernel after SIGKILL: {left:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn two_at_once(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let mut agents =
        [world.watch().pid(demo.pid()).start()?, world.watch().pid(demo.pid()).start()?];
    for _ in 0..5 {
        converse(demo.addr)?;
    }
    for agent in &mut agents {
        agent.await_accepted(demo.addr.port(), 5)?;
    }
    let mut seen = Vec::new();
    for agent in agents {
        let ended = agent.stop()?;
        let listener = ended.listener(demo.addr.port())?;
        seen.push((number(listener, "/accepted"), ended.of("accept").count()));
    }
    ensure!(seen == [(Some(5), 5); 2], "five accepts, both agents are to show five: {seen:?}");
    Ok(())
}

fn ring_overflow(world: &World) -> anyhow::Result<()> {
    const CONNECTIONS: u64 = 500;
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let mut agent = world.watch().pid(demo.pid()).env("BACKSCOPE_RING_BYTES", "4096").start()?;
    // A stopped agent reads nothing, so that the ring surely fills up.
    agent.signal(libc::SIGSTOP);
    for _ in 0..CONNECTIONS {
        converse(demo.addr)?;
    }
    agent.signal(libc::SIGCONT);
    let lost = agent.await_object("lost", |object| object["type"] == "lost")?;
    ensure!(number(&lost, "/count").is_some_and(|count| count > 0), "{lost}");
    agent.await_accepted(demo.addr.port(), CONNECTIONS)?;
    let ended = agent.stop()?;
    let listener = ended.listener(demo.addr.port())?;
    ensure!(
        number(listener, "/accepted") == Some(CONNECTIONS),
        "the totals are the kernel's: {listener}"
    );
    let summary = ended.summary()?;
    ensure!(
        number(summary, "/events/lost").is_some_and(|lost| lost > 0),
        "the loss is in the summary: {summary}"
    );
    Ok(())
}

/// Connections in a burst.
const IN_A_BURST: usize = 200;
/// Connections that begin before the agent is asked about them: so few that their records surely
/// fit into the ring.
const AT_A_TIME: usize = 10;

/// Bursts of ends while the agent is stopped, so that most of their records are lost. No connection
/// stays open for that, and what comes after is seen as before.
fn lost_ends(world: &World) -> anyhow::Result<()> {
    const BURSTS: usize = 2;
    let demo = world.demo(&["serve", "--epoll"])?;
    let mut agent = world.watch().pid(demo.pid()).env("BACKSCOPE_RING_BYTES", "16384").start()?;
    // They stay, and have nothing to do meanwhile.
    let (idle, stay) = open_connections(&mut agent, &demo, AT_A_TIME)?;
    let mut lost = 0;
    for burst in 1..=BURSTS {
        let ports = burst_of_ends(&mut agent, &demo, burst)?;
        let before = std::mem::replace(&mut lost, bpf::counter(agent.pid(), RING_FULL)?);
        ensure!(lost > before, "burst {burst} lost nothing");
        let mut untold = 0;
        for port in ports {
            let end = agent.await_object(&format!("end of {port} in burst {burst}"), |object| {
                is_connection(object, "server", port)
            })?;
            untold += u64::from(is_untold(&end));
        }
        ensure!(untold > 0, "burst {burst}: each end was told, though records were lost");
    }
    // With a second one the ring would be too full for its first bytes.
    let (new, _) = open_connections(&mut agent, &demo, 1)?;
    // One after the other, so that no record of these is lost, however late the agent reads it.
    for client in idle.into_iter().chain(new) {
        let port = client.port()?;
        drop(client);
        let end = agent.await_object(&format!("end of {port}"), |object| {
            is_connection(object, "server", port)
        })?;
        ensure!(end["close"]["by"] == "peer", "it was there until its client ended it: {end}");
        let streams = number(&end, "/streams/opened");
        ensure!(streams == Some(1) || stay.contains(&port), "its stream was seen: {end}");
    }
    let ended = agent.stop()?;
    let (ends, all) = (ended.of("connection").count(), BURSTS * IN_A_BURST + AT_A_TIME + 1);
    ensure!(ends == all, "{ends} connections were reported, there were {all}");
    Ok(())
}

fn is_untold(connection: &Value) -> bool {
    let Some(gaps) = connection["gaps"].as_array() else { return false };
    gaps.iter().any(|gap| gap.as_str().is_some_and(|gap| gap.starts_with("close: no record")))
}

/// A client that speaks HTTP/2, as far as its server lets it.
struct Http2(TcpStream);

impl Http2 {
    fn connect(demo: &Demo) -> anyhow::Result<Self> {
        const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        /// `GET /`, the first stream.
        const HEADERS: [u8; 12] = [0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84];
        let mut stream = TcpStream::connect(demo.addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        stream.write_all(&[&preface[..], &SETTINGS, &HEADERS].concat())?;
        // Any answer shows that it was accepted and read.
        stream.read_exact(&mut [0])?;
        Ok(Self(stream))
    }

    fn port(&self) -> anyhow::Result<u16> {
        Ok(self.0.local_addr()?.port())
    }
}

/// Opens some connections, and waits until the agent has heard of them. Returns them with their
/// ports.
fn open_connections(
    agent: &mut Agent,
    demo: &Demo,
    count: usize,
) -> anyhow::Result<(Vec<Http2>, BTreeSet<u16>)> {
    let (mut clients, mut ports) = (Vec::new(), BTreeSet::new());
    for _ in 0..count {
        let client = Http2::connect(demo)?;
        ports.insert(client.port()?);
        clients.push(client);
    }
    await_accepts(agent, &ports)?;
    Ok((clients, ports))
}

/// Opens connections that the agent hears of, and ends them while it is stopped; it is the
/// burst with this number. Returns their ports.
fn burst_of_ends(agent: &mut Agent, demo: &Demo, burst: usize) -> anyhow::Result<BTreeSet<u16>> {
    let (mut clients, mut ports) = (Vec::new(), BTreeSet::new());
    while clients.len() < IN_A_BURST {
        let (new, at) = open_connections(agent, demo, AT_A_TIME)?;
        clients.extend(new);
        ports.extend(at);
    }
    agent.signal(libc::SIGSTOP);
    drop(clients);
    agent.await_counter("ends", ENDED, burst * IN_A_BURST)?;
    agent.signal(libc::SIGCONT);
    Ok(ports)
}

/// Waits until the agent has told of the accepts of these clients.
fn await_accepts(agent: &mut Agent, ports: &BTreeSet<u16>) -> anyhow::Result<()> {
    for port in ports {
        agent.await_object(&format!("accept of {port}"), |object| {
            is(object, "accept") && address(object, "/peer").is_some_and(|at| at.port() == *port)
        })?;
    }
    Ok(())
}

/// Records that come faster than the agent reads them. It still refreshes, and ends when it is told
/// to.
fn outrun(world: &World) -> anyhow::Result<()> {
    for detail in ["exchanges", "events"] {
        outrun_with(world, detail).context(detail)?;
    }
    Ok(())
}

fn outrun_with(world: &World, detail: &str) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    // Reading a full buffer of the usual size would take seconds.
    let watch = world
        .watch()
        .pid(demo.pid())
        .env("BACKSCOPE_RING_BYTES", "262144")
        .args(["--detail", detail]);
    let mut agent = watch.start()?;
    agent.be_nice()?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let _ = converse(demo.addr);
                }
            });
        }
        let result = refreshes_and_ends(&mut agent, demo.addr.port());
        over.store(true, Ordering::Relaxed);
        result
    })?;
    agent.ended()?.check_clean()
}

fn refreshes_and_ends(agent: &mut Agent, port: u16) -> anyhow::Result<()> {
    agent.await_patiently("2,000 accepts", |object| {
        listens_on(object, port) && number(object, "/accepted") >= Some(2_000)
    })?;
    let now = net::monotonic_ns();
    agent.await_patiently("fresh figures", |object| {
        listens_on(object, port) && number(object, "/ts_ns") > Some(now)
    })?;
    agent.signal(libc::SIGINT);
    agent.await_patiently("summary", |object| is(object, "summary"))?;
    Ok(())
}

fn thousand_forks(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo_waiting(&["fork-storm", "--children", "1000", "--wait"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    demo.go()?;
    demo.await_listening()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    agent.stop().map(drop)
}

/// Memory that a process holds, bytes.
fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kilobytes * 1_024)
}

fn syn_flood(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "16"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let at_first = resident_bytes(agent.pid())?;
    let before = Counters::read()?;
    let target = demo.addr.to_string();
    let mut flood =
        world.demo_waiting(&["load", "--target", &target, "--flood", "--connections", "10000"])?;
    flood.await_line("flooded 10000")?;
    flood.await_end()?;
    let expected = Counters::read()?.get("ListenOverflows") - before.get("ListenOverflows");
    ensure!(expected > 5_000, "the flood provoked only {expected} overflows");
    agent.await_listener(demo.addr.port(), &format!("{expected} overflows"), |listener| {
        overflows(listener) == expected
    })?;
    let ended = agent.stop()?;
    let rss = number(ended.summary()?, "/overhead/agent_rss_bytes").unwrap_or(u64::MAX);
    // What a build for tests maps of itself differs from build to build.
    let grown = rss.saturating_sub(at_first);
    ensure!(grown < 16 << 20, "the agent grew by {grown} bytes to {rss}");
    Ok(())
}

/// Processes that are watched at once.
const MAX_TARGETS: u64 = 8_192;

/// The one child that listens is the youngest of more than can be watched: it is watched in the
/// place of another, and those left out are counted.
fn more_children_than_fit(world: &World) -> anyhow::Result<()> {
    const IDLE: u64 = 8_300;
    let mut demo =
        world.demo_waiting(&["fork-storm", "--children", "0", "--idle", &IDLE.to_string()])?;
    demo.await_listening()?;
    let mut agent = world.watch_queues().pid(demo.pid()).interval("1s").start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    // The demo itself, the idle ones, and the one that listens.
    let left_out = IDLE + 2 - MAX_TARGETS;
    let lost = agent.await_object("lost targets", |object| {
        is(object, "lost") && object["probe"] == "targets"
    })?;
    ensure!(number(&lost, "/total") == Some(left_out), "{left_out} are left out: {lost}");
    let ended = agent.stop()?;
    let said = ended.stderr.contains("8,192 processes are watched");
    ensure!(said, "it is to say so: {:?}", ended.stderr);
    Ok(())
}

/// The number of their pairs has no bound: names do, and the rest is counted.
fn many_holders(world: &World) -> anyhow::Result<()> {
    // More than all names together have room for.
    const LISTENERS: u64 = 1_100;
    // More would only make the scans slow: each meets every pair.
    const HOLDERS: u64 = 300;
    let listeners = LISTENERS.to_string();
    let idle = HOLDERS.to_string();
    let args = ["fork-storm", "--children", "0", "--listeners", &listeners, "--idle", &idle];
    let mut demo = world.demo_waiting(&args)?;
    demo.await_listening()?;
    let mut agent = world.watch_queues().pid(demo.pid()).interval("1s").start()?;
    let listener = agent.await_object("a listener with all its holders", |object| {
        is(object, "listener") && number(object, "/holders_total") == Some(HOLDERS + 2)
    })?;
    let named = listener["holders"].as_array().map_or(0, Vec::len);
    ensure!((1..=64).contains(&named), "{named} are named: {listener}");
    let told = listener["gaps"].as_array().is_some_and(|gaps| {
        gaps.iter().filter_map(|gap| gap.as_str()).any(|gap| gap.starts_with("holders:"))
    });
    ensure!(told, "that some are not named is to be among the gaps: {listener}");
    let ended = agent.stop()?;
    let rss = number(ended.summary()?, "/overhead/agent_rss_bytes").unwrap_or(u64::MAX);
    ensure!(rss < 60 << 20, "the agent grew to {rss} bytes");
    Ok(())
}

/// A listener that finds no room is counted once, however often it is met.
fn more_listeners_than_fit(world: &World) -> anyhow::Result<()> {
    const ROOM: u64 = 10_240;
    const MORE: u64 = 60;
    let listeners = (ROOM + MORE - 1).to_string();
    let mut demo =
        world.demo_waiting(&["fork-storm", "--children", "0", "--listeners", &listeners])?;
    demo.await_listening()?;
    let mut agent = world.watch().args(["--detail", "queues"]).pid(demo.pid()).start()?;
    let is_count = |object: &Value| is(object, "lost") && object["probe"] == "listeners";
    let first = agent.await_object("lost listeners", is_count)?;
    let total = number(&first, "/total");
    ensure!(total == Some(MORE), "{MORE} find no room: {first}");
    for _ in 0..3 {
        let now = net::monotonic_ns();
        agent.await_object("fresh figures", |object| {
            is(object, "listener") && number(object, "/ts_ns") > Some(now)
        })?;
    }
    let ended = agent.stop()?;
    let again = ended.of("lost").filter(|object| is_count(object)).count();
    ensure!(again == 1, "the same listeners were counted {again} times");
    Ok(())
}

/// With too few descriptors it says so; where it may have more it takes them.
fn few_descriptors(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    for limit in [16, 40, 64, 80, 82, 84] {
        let by = ["prlimit".to_owned(), format!("--nofile={limit}:{limit}")];
        let ended = world.watch().pid(demo.pid()).by(by).spawn()?.ended()?;
        ensure!(
            ended.status.code() == Some(3) && ended.stderr.contains("RLIMIT_NOFILE"),
            "with {limit}: {}, {:?}",
            ended.status,
            ended.stderr
        );
    }
    let mut agent = world.watch().pid(demo.pid()).by(["prlimit", "--nofile=40:4096"]).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    agent.stop().map(drop)
}

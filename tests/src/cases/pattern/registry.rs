//! The demos as a user runs them. Each is recognised as the pattern that it announces.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, ensure};

use super::{await_kind, check_soon, check_useful};
use crate::cases::native;
use crate::harness::json::{is, number};
use crate::harness::{Case, Process, World, cpu_pressure};

macro_rules! demos {
    ($($name:literal)*) => {
        pub(in crate::cases) const CASES: &[Case] = &[
            native("pattern::every_demo_is_here", every_demo),
            $(native(concat!("pattern::demo::", $name), |world| inferred(world, $name))),*
        ];

        const NAMES: &[&str] = &[$($name),*];
    };
}

demos! {
    "thread-per-connection" "process-per-connection" "prefork" "cpu-competition"
    "slow-acceptor" "tiny-backlog" "slow-reader" "small-reads" "blocked-writer"
    "listener-acceptor-reader" "single-thread" "single-thread-blocking"
    "acceptor-plus-readers" "message-load-balancing" "multiple-acceptors" "thundering-herd"
    "epoll-exclusive" "socket-sharding" "idempotency" "nagle"
    "layers" "tcp" "who-speaks-first" "blocking" "durable-writes"
    "https-tls12" "https-tls12-resumed" "https-tls13" "https-tfo-tls13" "https-tfo-0rtt"
    "https-tls13-0rtt"
    "request-response" "synchronous-asynchronous" "push" "short-polling" "long-polling"
    "server-sent-events" "publish-subscribe" "multiplexing" "stateful-stateless" "sidecar"
    "http1" "websocket" "http2" "grpc"
    "forward-proxy" "reverse-proxy" "layer4-balancer" "layer7-balancer"
}

/// Demos without a pattern to recognise: they serve nobody, one connection, or datagrams.
const WITHOUT: &[&str] = &[
    "never-accepts",
    "same-message",
    "udp",
    "tls",
    "http3",
    "webrtc",
    "https-quic",
    "https-quic-0rtt",
];

fn every_demo(world: &World) -> anyhow::Result<()> {
    let listed = world.agent_command(&["demo", "--list"]).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let listed: Vec<&str> =
        listed.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    for name in &listed {
        ensure!(NAMES.contains(name) || WITHOUT.contains(name), "no case for the demo {name}");
    }
    ensure!(listed.len() == NAMES.len() + WITHOUT.len(), "cases for {NAMES:?}, demos {listed:?}");
    Ok(())
}

/// A running demo, server or client.
fn demo(world: &World, args: &[&str]) -> anyhow::Result<Process> {
    Process::start(world.agent_command(&[&["demo"], args].concat()))
}

/// A demo's own description: its server's process and address, and the pattern.
struct Introduced {
    pid: u32,
    address: SocketAddr,
    pattern: String,
}

impl Introduced {
    fn read(server: &Process, deadline: Instant) -> anyhow::Result<Self> {
        let (mut at, mut pattern) = (None, None);
        while let Some(line) = server.next_line(deadline)? {
            let line = line.trim();
            if let Some(rest) = line.strip_prefix("server  process ") {
                let (pid, rest) = rest.split_once(" at ").context("its address")?;
                let address = rest.split(": ").next().context("its address")?;
                at = Some((pid.parse()?, address.parse()?));
            } else if let Some(rest) = line.strip_prefix("pattern ") {
                pattern = Some(rest.to_owned());
            } else if line.starts_with("Running.") {
                break;
            }
        }
        let (pid, address) = at.context("it does not say where its server is")?;
        Ok(Self { pid, address, pattern: pattern.context("it names no pattern")? })
    }
}

fn inferred(world: &World, name: &str) -> anyhow::Result<()> {
    let server = demo(world, &[name, "--server-only"])?;
    let introduced = Introduced::read(&server, Instant::now() + world.patience())?;
    let words: Vec<&str> = introduced.pattern.split(", ").collect();
    let &[pattern, units, io] = words.as_slice() else { anyhow::bail!("pattern {words:?}") };
    let mut agent = world.watch().pid(introduced.pid).start()?;
    let pressure = cpu_pressure();
    let _client = demo(world, &[name, "--client-only", &introduced.address.to_string()])?;
    let first = agent.await_object("a connection", |object| is(object, "accept"))?;
    let told = await_kind(&mut agent, (pattern, units, Some(io)))?;
    check_useful(&told)?;
    check_soon(world, number(&first, "/ts_ns").unwrap_or(0), pressure, &told)?;
    agent.stop().map(drop)
}

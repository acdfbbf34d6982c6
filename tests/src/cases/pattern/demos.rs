//! The demo servers.

use std::time::Duration;

use super::load::{Load, Manner};
use super::{Kind, check};
use crate::cases::native;
use crate::harness::{Case, Protocol, World};

pub(in crate::cases) const CASES: &[Case] = &[
    native("pattern::single_thread", single_thread),
    native("pattern::thread_per_connection", thread_per_connection),
    native("pattern::multiple_acceptors", multiple_acceptors),
    native("pattern::prefork", prefork),
    native("pattern::herd", herd),
    native("pattern::exclusive", exclusive),
    native("pattern::socket_sharding", socket_sharding),
];

fn lines(clients: usize, requests: usize) -> Manner {
    let protocol = Protocol { greeting: b"", request: b"ask\n", end: b"\n" };
    Manner { protocol, clients, requests, pause: Duration::from_millis(20) }
}

/// Short connections, so that many are accepted.
fn once() -> Manner {
    lines(6, 1)
}

fn demo(
    world: &World,
    args: &[&str],
    expected: Kind,
    manner: Manner,
) -> anyhow::Result<crate::harness::Ended> {
    let mut demo = world.demo(args)?;
    if let Some(workers) = args.iter().position(|arg| *arg == "--workers") {
        demo.await_lines("worker ", args[workers + 1].parse()?)?;
    }
    let to = demo.ipv4();
    check(world, demo.pid(), expected, || Load::start(to, manner))
}

fn single_thread(world: &World) -> anyhow::Result<()> {
    let expected = ("single-thread", "threads", Some("event-loop"));
    demo(world, &["serve", "--epoll"], expected, lines(6, 5)).map(drop)
}

fn thread_per_connection(world: &World) -> anyhow::Result<()> {
    demo(world, &["serve"], ("thread-per-connection", "threads", Some("blocking")), lines(6, 5))
        .map(drop)
}

fn multiple_acceptors(world: &World) -> anyhow::Result<()> {
    let args = ["acceptors", "--mode", "blocking", "--workers", "4"];
    let ended = demo(world, &args, ("multiple-acceptors", "threads", Some("blocking")), once())?;
    ended.check_no_finding("thundering-herd")
}

fn prefork(world: &World) -> anyhow::Result<()> {
    let args = ["acceptors", "--mode", "blocking", "--workers", "4", "--processes"];
    demo(world, &args, ("multiple-acceptors", "processes", Some("blocking")), once()).map(drop)
}

/// All waiters wake for each connection.
fn herd(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo(&["acceptors", "--mode", "epoll", "--workers", "8"])?;
    demo.await_lines("worker ", 8)?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let load = Load::start(demo.ipv4(), once());
    super::await_kind(&mut agent, ("multiple-acceptors", "threads", Some("event-loop")))?;
    let finding = agent.await_finding("thundering-herd")?;
    crate::cases::finding::check_useful(&finding)?;
    load.stop()?;
    agent.stop().map(drop)
}

/// With EPOLLEXCLUSIVE one of the waiters wakes.
fn exclusive(world: &World) -> anyhow::Result<()> {
    let args = ["acceptors", "--mode", "exclusive", "--workers", "8"];
    let ended = demo(world, &args, ("multiple-acceptors", "threads", Some("event-loop")), once())?;
    ended.check_no_finding("thundering-herd")
}

fn socket_sharding(world: &World) -> anyhow::Result<()> {
    let args = ["acceptors", "--mode", "reuseport", "--workers", "4"];
    demo(world, &args, ("socket-sharding", "threads", Some("event-loop")), once()).map(drop)
}

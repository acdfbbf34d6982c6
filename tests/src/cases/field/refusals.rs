//! Connections that are refused, and some that only look refused: health checks that reset, and
//! clients that send late.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use socket2::{Domain, Socket, Type};

use crate::cases::{each_tier, native};
use crate::harness::json::{finds, number, overflows};
use crate::harness::net::Counters;
use crate::harness::{Case, Client, Ended, World, connect, connect_nonblocking};

pub(super) const CASES: &[Case] = &[
    each_tier("refusals::a_neighbour_overflows", a_neighbour_overflows).on_each_kernel(),
    each_tier("refusals::two_overflow_at_once", two_overflow_at_once),
    native("refusals::deferred_clients_are_silent", deferred_clients_are_silent),
    native("refusals::a_backlog_of_0", backlog_of_0),
];

/// Acts like the TCP check of HAProxy, which gives the connection up before it is complete: SYN,
/// SYN-ACK, RST.
fn check_health(server: SocketAddr) -> anyhow::Result<()> {
    let socket =
        Socket::new(Domain::for_address(server), Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_linger(Some(Duration::ZERO))?;
    // The kernel delays the final ACK, so that the close comes first.
    socket.set_tcp_quickack(false)?;
    socket.connect(&server.into()).context("a health check")
}

fn check_silent(ended: &Ended) -> anyhow::Result<()> {
    match ended.of("finding").find(|finding| finding["severity"] != "info") {
        Some(finding) => anyhow::bail!("an unfounded finding: {finding}"),
        None => Ok(()),
    }
}

/// A healthy server that health checks reset, beside one that overflows: the kernel counts drops at
/// the socket of the one, and overflows of the namespace for the other.
fn a_neighbour_overflows(world: &World) -> anyhow::Result<()> {
    let healthy = world.demo(&["slow-acceptor", "--accept-delay", "0ms", "--keep"])?;
    let neighbour = world.demo(&["never-accept", "--backlog", "2"])?;
    let (port, before) = (healthy.addr.port(), Counters::read()?);
    let mut agent = world.watch_queues().pid(healthy.pid()).start()?;
    let refused = connect_nonblocking(neighbour.addr, 30)?;
    for _ in 0..20 {
        check_health(healthy.addr)?;
    }
    let served = (0..20).map(|_| connect(healthy.addr)).collect::<anyhow::Result<Vec<Client>>>()?;
    agent.await_accepted(port, 20)?;
    agent.await_refresh(port)?;
    let after = Counters::read()?;
    let since = |name: &str| after.get(name) - before.get(name);
    ensure!(
        since("ListenOverflows") >= 27,
        "the neighbour overflowed {} times",
        since("ListenOverflows")
    );
    ensure!(since("EmbryonicRsts") > 0, "no check was reset: the case proves nothing");
    drop((refused, served));
    let ended = agent.stop()?;
    let listener = ended.listener(port)?;
    ensure!(overflows(listener) == 0, "the neighbour's overflows: {listener}");
    ensure!(number(listener, "/syn_dropped").unwrap_or(0) == 0, "nothing was dropped: {listener}");
    ensure!(ended.of("overflow").next().is_none(), "nobody was refused here");
    // On a busy machine it may be slow to accept, which is then reported rightly.
    ended.check_no_finding("accept-queue-overflow")?;
    ended.check_no_finding("syn-queue-pressure")
}

/// Each listener has its own refusals, and together they are the kernel's count.
fn two_overflow_at_once(world: &World) -> anyhow::Result<()> {
    let one = world.demo(&["never-accept", "--backlog", "2"])?;
    let other = world.demo(&["never-accept", "--backlog", "5"])?;
    let mut agent = world.watch_queues().pid(one.pid()).pid(other.pid()).start()?;
    let before = Counters::read()?;
    let clients = [connect_nonblocking(one.addr, 23)?, connect_nonblocking(other.addr, 16)?];
    let ports = [one.addr.port(), other.addr.port()];
    // The queue takes one more than the backlog.
    agent.await_listener(ports[0], "20 refused", |listener| overflows(listener) >= 20)?;
    agent.await_listener(ports[1], "10 refused", |listener| overflows(listener) >= 10)?;
    drop(clients);
    for port in ports {
        agent.await_refresh(port)?;
    }
    let counted = Counters::read()?.get("ListenOverflows") - before.get("ListenOverflows");
    let ended = agent.stop()?;
    let told = ports.map(|port| ended.listener(port).map(overflows));
    let [one, other] = told;
    let (one, other) = (one?, other?);
    ensure!(one + other == counted, "{one} and {other} were told, the kernel counted {counted}");
    ensure!(one * 10 >= counted * 6, "20 of 30 were the first one's: {one} of {counted}");
    Ok(())
}

/// Connections whose clients send late are neither a flood nor a loss.
fn deferred_clients_are_silent(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "64", "--defer-accept", "30s"])?;
    let port = demo.addr.port();
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let clients = (0..12).map(|_| connect(demo.addr)).collect::<anyhow::Result<Vec<Client>>>()?;
    let finding = agent.await_finding("syn-queue-pressure")?;
    ensure!(finding["severity"] == "info" && finding["owner"] == "peer", "{finding}");
    let text = finding["text"].to_string();
    ensure!(text.contains("first data") && !text.contains("flood"), "{finding}");
    let listener = agent.await_refresh(port)?;
    ensure!(
        number(&listener, "/defer_accept_s").is_some_and(|seconds| seconds >= 30),
        "{listener}"
    );
    ensure!(number(&listener, "/syn_depth") == Some(12) && overflows(&listener) == 0, "{listener}");
    drop(clients);
    check_silent(&agent.stop()?)
}

/// memcached at its limit of connections: it listens again with a backlog of 0.
fn backlog_of_0(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "0"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let _clients = connect_nonblocking(demo.addr, 4)?;
    let named = |object: &_| {
        finds(object, "accept-starved") && object["text"].to_string().contains("a backlog of 0")
    };
    let finding = agent.await_object("the backlog has a name", named)?;
    ensure!(finding["fix"].to_string().contains("connection limit"), "{finding}");
    ensure!(
        finding["headline"].to_string().contains("1 established connection is waiting"),
        "{finding}"
    );
    agent.stop().map(drop)
}

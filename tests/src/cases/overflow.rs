//! Refused connections, compared with the kernel's counters.

use anyhow::ensure;

use super::each_tier;
use crate::harness::json::{Value, address, number, overflows};
use crate::harness::net::{self, Counters};
use crate::harness::{
    Agent, Case, Client, Ended, Tier, World, connect, connect_nonblocking, converse,
};

pub(super) const CASES: &[Case] = &[
    each_tier("overflow::at_the_syn", at_the_syn).by_processor().on_each_kernel(),
    each_tier("overflow::at_the_final_ack", at_the_ack).on_each_kernel(),
    each_tier("overflow::before_the_attach_is_not_counted", before_attach),
    each_tier("overflow::none_on_a_healthy_server", none),
];

/// Overflows that the kernel has counted since `before`.
fn counted(before: &Counters) -> anyhow::Result<u64> {
    let after = Counters::read()?;
    let since = |name| after.get(name) - before.get(name);
    let overflows = since("ListenOverflows");
    // Drops of a listener without another reason are overflows.
    ensure!(
        since("ListenDrops") == overflows,
        "{} ListenDrops, {overflows} ListenOverflows",
        since("ListenDrops")
    );
    Ok(overflows)
}

/// Waits until the listener's overflows equal those that the kernel has counted since `before`.
/// They must never exceed them.
fn agree_with_kernel(agent: &mut Agent, port: u16, before: &Counters) -> anyhow::Result<Value> {
    ensure!(counted(before)? > 0, "the kernel counted no overflow: the test did not provoke one");
    // Read again for each object: packets on their way may still be refused.
    let agrees =
        |listener: &Value| counted(before).is_ok_and(|expected| overflows(listener) == expected);
    let listener = agent.await_listener(port, "as many overflows as the kernel counts", agrees)?;
    let fresh = agent.await_refresh(port)?;
    let (shown, expected) = (overflows(&fresh), counted(before)?);
    ensure!(
        (overflows(&listener)..=expected).contains(&shown),
        "the kernel counted {expected}, the agent: {fresh}"
    );
    Ok(listener)
}

fn at_the_syn(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "2"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let before = Counters::read()?;
    let clients = connect_nonblocking(demo.addr, 10)?;
    let port = demo.addr.port();
    let full = agent.await_listener(port, "7 overflows", |listener| overflows(listener) >= 7)?;
    // Linux refuses above the limit, so that a limit of 2 lets 3 in.
    ensure!(number(&full, "/accept_depth") == Some(3), "three wait: {full}");
    ensure!(number(&full, "/limit") == Some(2), "listen(2): {full}");
    let ports: Vec<u16> = clients.iter().map(|client| client.port).collect();
    drop(clients);
    let listener = agree_with_kernel(&mut agent, port, &before)?;
    ensure!(
        number(&listener, "/overflows/ack").unwrap_or(0) == 0,
        "all of them at the SYN: {listener}"
    );
    let tier = agent.tier();
    let ended = agent.stop()?;
    check_victims(tier, &ended, &ports, "syn", overflows(ended.listener(port)?))
}

/// Checks the overflow objects. They stand for as many refusals as the listener's last object
/// counts. They are of this stage, where the kernel tells. Each names one of these clients, or
/// nobody on the tracepoint tier, where the kernel may only count them.
fn check_victims(
    tier: Tier,
    ended: &Ended,
    ports: &[u16],
    stage: &str,
    expected: u64,
) -> anyhow::Result<()> {
    let mut refused = 0;
    for object in ended.of("overflow") {
        let named = address(object, "/peer").map(|peer| peer.port());
        ensure!(named.is_some() || tier == Tier::Tracepoint, "nobody is named: {object}");
        ensure!(named.is_none_or(|port| ports.contains(&port)), "none of the clients: {object}");
        let doubtful = object["gaps"].to_string().contains("stage:");
        ensure!(object["stage"] == stage || doubtful, "not at the {stage} stage: {object}");
        refused += number(object, "/count").unwrap_or(1);
    }
    ensure!(
        refused == expected,
        "{expected} refusals are counted, the overflow objects stand for {refused}"
    );
    Ok(())
}

fn at_the_ack(world: &World) -> anyhow::Result<()> {
    // With TCP_DEFER_ACCEPT the handshakes wait in the SYN queue for the first data. Meanwhile the
    // limit shrinks.
    let mut demo = world.demo(&[
        "never-accept",
        "--backlog",
        "20",
        "--defer-accept",
        "30s",
        "--relisten",
        "2",
    ])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let before = Counters::read()?;
    let clients = (0..6).map(|_| connect(demo.addr)).collect::<Result<Vec<Client>, _>>()?;
    demo.go()?;
    demo.await_line("relistened 2")?;
    for client in &clients {
        client.socket.send(b"data")?;
    }
    let port = demo.addr.port();
    // Depth and drops are read at different times, so one object may show only one of them.
    agent.await_listener(port, "3 let in and 3 overflows", |listener| {
        number(listener, "/accept_depth") == Some(3) && overflows(listener) >= 3
    })?;
    let ports: Vec<u16> = clients.iter().map(|client| client.port).collect();
    // Dropping them resets them. The FIN of a close would be one more final ACK to be ignored.
    drop(clients);
    let listener = agree_with_kernel(&mut agent, port, &before)?;
    if let Some(ack) = number(&listener, "/overflows/ack") {
        ensure!(ack == overflows(&listener), "all of them at the final ACK: {listener}");
    }
    let tier = agent.tier();
    let ended = agent.stop()?;
    check_victims(tier, &ended, &ports, "ack", overflows(ended.listener(port)?))
}

fn before_attach(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "1"])?;
    drop(connect_nonblocking(demo.addr, 6)?);
    let before = Counters::read()?;
    ensure!(before.get("ListenOverflows") > 0, "nothing overflowed before the attach");
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let port = demo.addr.port();
    let first = agent.await_listener(port, "any figures", |_| true)?;
    ensure!(overflows(&first) == 0, "these were before the attach: {first}");
    drop(connect_nonblocking(demo.addr, 3)?);
    agree_with_kernel(&mut agent, port, &before)?;
    agent.stop().map(drop)
}

fn none(world: &World) -> anyhow::Result<()> {
    net::set("core/somaxconn", 4096)?;
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    for _ in 0..50 {
        converse(demo.addr)?;
    }
    agent.await_accepted(demo.addr.port(), 50)?;
    let ended = agent.stop()?;
    let listener = ended.listener(demo.addr.port())?;
    ensure!(
        overflows(listener) == 0 && ended.of("overflow").next().is_none(),
        "nothing overflowed: {listener}"
    );
    ensure!(number(listener, "/accepted") == Some(50), "fifty were accepted: {listener}");
    Ok(())
}

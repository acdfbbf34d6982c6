//! Waits in the accept queue, compared with the times of server and client.

use anyhow::{Context, ensure};

use super::each_tier;
use crate::harness::json::{Value, is, number, sees};
use crate::harness::net::{self, Counters};
use crate::harness::truth::{self, Handshake, check_blocked, check_waits};
use crate::harness::{Case, Client, Demo, World, connect};

pub(super) const CASES: &[Case] = &[
    each_tier("accept::waits_of_a_slow_acceptor", slow_acceptor)
        .by_processor()
        .on_each_kernel()
        .alone(),
    each_tier("accept::accept4", accept4),
    each_tier("accept::several_threads", several_threads),
    each_tier("accept::several_processes", several_processes),
    each_tier("accept::nonblocking_with_epoll", nonblocking_epoll),
    each_tier("accept::io_uring", io_uring).by_processor().on_each_kernel(),
    each_tier("accept::ipv6", ipv6),
    each_tier("accept::ipv4_mapped", ipv4_mapped),
    each_tier("accept::fast_open", fast_open),
    each_tier("accept::syncookies", syncookies).on_each_kernel(),
    each_tier("accept::blocked_before_the_attach", blocked_before_attach)
        .by_processor()
        .on_each_kernel()
        .alone(),
    each_tier("accept::waiting_since_before_the_attach", waiting_before_attach)
        .on_each_kernel()
        .alone(),
];

/// Starts the server, attaches, makes three connections one after another, and checks every wait.
fn waits(
    world: &World,
    server: &[&str],
    to: fn(&Demo) -> std::net::SocketAddr,
) -> anyhow::Result<Vec<Value>> {
    let mut demo = world.demo(&[server, &["--trace"]].concat())?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let clients: Vec<Client> = (0..3).map(|_| connect(to(&demo))).collect::<Result<_, _>>()?;
    let accepts = demo.await_accepts(clients.len())?;
    agent.await_accepted(demo.addr.port(), 3)?;
    let ended = agent.stop()?;
    let handshakes: Vec<Handshake> = clients.iter().map(Into::into).collect();
    check_waits(world, &ended.objects, &accepts, &handshakes)?;
    let listener = ended.listener(demo.addr.port())?;
    ensure!(number(listener, "/accepted") == Some(3), "three were accepted: {listener}");
    let known = number(listener, "/accept_wait_us/count");
    ensure!(known == Some(3) || !sees(&ended.objects, "queued"), "3 waits are known: {listener}");
    Ok(ended.objects)
}

fn slow_acceptor(world: &World) -> anyhow::Result<()> {
    let objects = waits(world, &["slow-acceptor", "--accept-delay", "300ms"], |demo| demo.addr)?;
    if !sees(&objects, "queued") {
        return Ok(());
    }
    let slowest = objects.iter().filter_map(|object| number(object, "/queued_us")).max();
    ensure!(
        slowest > Some(500_000),
        "the third waited for two others, yet the longest wait is {slowest:?} µs"
    );
    let unblocked =
        objects.iter().filter(|object| number(object, "/blocked_us") == Some(0)).count();
    // The first connection may find the thread already in accept.
    ensure!(
        unblocked >= 2,
        "two connections were there before their accept, yet {unblocked} have blocked_us 0"
    );
    Ok(())
}

fn accept4(world: &World) -> anyhow::Result<()> {
    waits(world, &["slow-acceptor", "--accept-delay", "50ms", "--accept4"], |demo| demo.addr)
        .map(drop)
}

fn several_threads(world: &World) -> anyhow::Result<()> {
    waits(world, &["slow-acceptor", "--accept-delay", "100ms", "--threads", "3"], |demo| demo.addr)
        .map(drop)
}

fn several_processes(world: &World) -> anyhow::Result<()> {
    // The clients send nothing. Without the timeout a worker would wait for ever for those that it
    // got.
    let server = ["acceptors", "--workers", "3", "--processes", "--idle-timeout", "200ms"];
    waits(world, &server, |demo| demo.addr).map(drop)
}

fn nonblocking_epoll(world: &World) -> anyhow::Result<()> {
    waits(world, &["slow-acceptor", "--accept-delay", "50ms", "--nonblocking-epoll"], |demo| {
        demo.addr
    })
    .map(drop)
}

fn io_uring(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo(&["io-uring", "--accept-delay", "50ms", "--trace"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let clients = [connect(demo.addr)?, connect(demo.addr)?];
    let accepts = demo.await_accepts(clients.len())?;
    if !sees(agent.objects(), "accept_io_uring") {
        agent.await_refresh(demo.addr.port())?;
        let ended = agent.stop()?;
        let shown = ended.objects.iter().find(|object| is(object, "accept"));
        ensure!(shown.is_none(), "the agent says that it cannot see these accepts: {shown:?}");
        return Ok(());
    }
    agent.await_accepted(demo.addr.port(), 2)?;
    let handshakes: Vec<Handshake> = clients.iter().map(Into::into).collect();
    check_waits(world, &agent.stop()?.objects, &accepts, &handshakes)
}

fn ipv6(world: &World) -> anyhow::Result<()> {
    let server = ["slow-acceptor", "--accept-delay", "50ms", "--listen", "[::1]:0"];
    let objects = waits(world, &server, |demo| demo.addr)?;
    let wrong = objects
        .iter()
        .find(|o| o["type"] == "accept" && !o["peer"].as_str().unwrap_or("").starts_with("[::1]:"));
    ensure!(wrong.is_none(), "the peer was on [::1]: {wrong:?}");
    Ok(())
}

fn ipv4_mapped(world: &World) -> anyhow::Result<()> {
    let server = ["slow-acceptor", "--accept-delay", "50ms", "--listen", "[::]:0"];
    let objects = waits(world, &server, Demo::ipv4)?;
    for accept in objects.iter().filter(|object| object["type"] == "accept") {
        let peer = crate::harness::json::address(accept, "/peer").context("no peer")?;
        ensure!(peer.ip().to_canonical().is_ipv4(), "the client came over IPv4: {accept}");
    }
    Ok(())
}

fn fast_open(world: &World) -> anyhow::Result<()> {
    // Client, server, and both of them without a cookie, so that every SYN carries data.
    net::set("ipv4/tcp_fastopen", 0x1 | 0x2 | 0x4 | 0x200)?;
    let mut demo = world.demo(&[
        "slow-acceptor",
        "--accept-delay",
        "50ms",
        "--fastopen",
        "8",
        "--reply",
        "--trace",
    ])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let target = demo.addr.to_string();
    let mut load = world.demo_waiting(&[
        "load",
        "--target",
        &target,
        "--connections",
        "3",
        "--fastopen",
        "--trace",
    ])?;
    let lines = load.await_lines("connected ", 4)?;
    let handshakes: Vec<Handshake> =
        lines[..3].iter().map(|line| Handshake::parse(line)).collect::<Result<_, _>>()?;
    let accepts = demo.await_accepts(3)?;
    ensure!(Counters::read()?.get("TCPFastOpenPassive") == 3, "the kernel did no Fast Open here");
    agent.await_accepted(demo.addr.port(), 3)?;
    let objects = agent.stop()?.objects;
    // Only a watch of exchanges counts them.
    let used = objects
        .iter()
        .filter(|object| is(object, "connection") && number(object, "/exchanges") > Some(0));
    for connection in used {
        ensure!(connection["fast_open"] == true, "its SYN carried data: {connection}");
    }
    check_waits(world, &objects, &accepts, &handshakes)
}

fn syncookies(world: &World) -> anyhow::Result<()> {
    net::set("ipv4/tcp_syncookies", 2)?;
    let objects = waits(world, &["slow-acceptor", "--accept-delay", "50ms"], |demo| demo.addr)?;
    let sent = Counters::read()?.get("SyncookiesSent");
    ensure!(sent == 3, "every SYN was to be answered by a cookie, the kernel sent {sent}");
    for accept in objects.iter().filter(|object| object["type"] == "accept") {
        ensure!(
            accept["handshake_us"].is_null(),
            "no time is known of a handshake by cookie: {accept}"
        );
    }
    let last =
        objects.iter().rev().find(|object| object["type"] == "listener").context("no listener")?;
    let told = number(last, "/cookies_sent");
    ensure!(told.is_none_or(|told| told == sent), "{sent} cookies were sent: {last}");
    Ok(())
}

fn blocked_before_attach(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms", "--trace"])?;
    // After this connection the server has entered accept again.
    connect(demo.addr)?;
    demo.await_accepts(1)?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let second = connect(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    let third = connect(demo.addr)?;
    let accepts = demo.await_accepts(3)?;
    agent.await_accepted(demo.addr.port(), 2)?;
    let ended = agent.stop()?;
    let shakes = [Handshake::from(&second), Handshake::from(&third)];
    check_waits(world, &ended.objects, &accepts[1..], &shakes)?;
    check_blocked(world, &ended.objects, &accepts[2], shakes[1])
}

fn waiting_before_attach(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo_waiting(&["inherit", "--via", "fork", "--wait", "--trace"])?;
    demo.await_listening()?;
    let early = connect(demo.addr)?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let late = connect(demo.addr)?;
    demo.go()?;
    let accepts = demo.await_accepts(2)?;
    agent.await_accepted(demo.addr.port(), 2)?;
    let ended = agent.stop()?;
    let of = |client: &Client| {
        accepts.iter().find(|accept| accept.port == client.port).context("not accepted")
    };

    check_waits(world, &ended.objects, &[*of(&late)?], &[(&late).into()])?;
    let object = truth::accept_of(&ended.objects, early.port)?;
    let known = object["queued_us"].is_u64() && object["observed_by"].is_null();
    ensure!(known, "the socket has kept when it was queued: {object}");
    truth::check_early(world, object, of(&early)?, (&early).into())
}

//! Multipath TCP: its listeners also serve plain TCP clients, as those of every Go server do.

use anyhow::ensure;
use socket2::{Domain, Protocol, Socket, Type};

use crate::cases::{each_tier, exchange};
use crate::harness::json::{is, number, sees};
use crate::harness::ledger::{check_bytes, connection_of, exchanges_of, is_connection};
use crate::harness::net::free_port;
use crate::harness::trace::Conversation;
use crate::harness::truth::{Handshake, check_waits};
use crate::harness::{Case, Ended, World, connect, skip};

pub(super) const CASES: &[Case] = &[
    each_tier("mptcp::plain_clients_wait_and_are_accepted", plain_clients_wait).on_each_kernel(),
    exchange("mptcp::plain_clients_have_exchanges", plain_clients_exchange),
    exchange("mptcp::listens_after_the_attach", listens_after_attach),
    each_tier("mptcp::watched_by_its_port", by_port),
    exchange("mptcp::clients_that_speak_it_have_a_gap", speaks_it),
];

/// Whether this kernel has it, and this network namespace allows it.
fn available() -> anyhow::Result<()> {
    match Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)) {
        Ok(_) => Ok(()),
        Err(error) => skip(format!("no Multipath TCP: {error}")),
    }
}

/// Checks the listener's totals. It is reported once, not once as a Multipath TCP socket and once
/// as its subflow.
fn check_listener(ended: &Ended, port: u16, accepted: u64) -> anyhow::Result<()> {
    ensure!(
        number(ended.summary()?, "/listeners") == Some(1),
        "one listener: {}",
        ended.summary()?
    );
    let listener = ended.listener(port)?;
    ensure!(
        number(listener, "/accepted") == Some(accepted),
        "{accepted} were accepted: {listener}"
    );
    if sees(&ended.objects, "queued") {
        ensure!(
            number(listener, "/queued") == Some(accepted),
            "{accepted} were queued: {listener}"
        );
    }
    let left = (number(listener, "/abandoned"), number(listener, "/accept_depth"));
    ensure!(left == (Some(0), Some(0)), "none is left: {listener}");
    Ok(())
}

fn plain_clients_wait(world: &World) -> anyhow::Result<()> {
    available()?;
    let delayed =
        ["slow-acceptor", "--mptcp", "--backlog", "8", "--accept-delay", "200ms", "--trace"];
    let mut demo = world.demo(&delayed)?;
    let port = demo.addr.port();
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let clients = (0..4).map(|_| connect(demo.addr)).collect::<Result<Vec<_>, _>>()?;
    let accepts = demo.await_accepts(clients.len())?;
    let listener = agent.await_accepted(port, 4)?;
    ensure!(number(&listener, "/limit") == Some(8), "the limit is what was asked for: {listener}");
    let ended = agent.stop()?;
    let handshakes: Vec<Handshake> = clients.iter().map(Into::into).collect();
    check_waits(world, &ended.objects, &accepts, &handshakes)?;
    check_listener(&ended, port, 4)?;
    // The three that came while the server slept were in the queue together.
    let peaks = ended.of("listener").filter_map(|listener| number(listener, "/accept_peak"));
    ensure!(peaks.max() >= Some(2), "the queue had two at least: {}", ended.listener(port)?);
    Ok(())
}

/// Lets clients ask a server, and checks all that is reported of them.
fn plain_clients_exchange(world: &World) -> anyhow::Result<()> {
    available()?;
    let mut demo = world.demo(&["serve", "--mptcp", "--trace"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let talks = (0..3)
        .map(|_| Conversation::hold(world, &mut demo, &["--count", "3"]))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for talk in &talks {
        agent.await_object("end of the connection", |object| {
            is_connection(object, "server", talk.port)
        })?;
    }
    let ended = agent.stop()?;
    check_listener(&ended, demo.addr.port(), 3)?;
    talks.iter().try_for_each(|talk| check_talk(&ended, talk))
}

/// Checks all exchanges, the bytes, and the end of the connection.
fn check_talk(ended: &Ended, talk: &Conversation) -> anyhow::Result<()> {
    check_bytes(ended, talk)?;
    let connection = connection_of(&ended.objects, "server", talk.port)?;
    let exchanges = exchanges_of(&ended.objects, connection).len();
    ensure!(exchanges == talk.served.len(), "{exchanges} exchanges are told: {connection}");
    ensure!(connection["close"]["by"] == "peer", "the client closed: {connection}");
    Ok(())
}

fn listens_after_attach(world: &World) -> anyhow::Result<()> {
    available()?;
    let program = world.demo_servers();
    let port = free_port()?;
    let listen = format!("127.0.0.1:{port}");
    let server = ["serve", "--mptcp", "--trace", "--backlog", "9", "--listen", &listen];
    let command =
        std::iter::once(program.as_os_str()).chain(server.iter().map(|word| word.as_ref()));
    let mut agent = world.watch().command(command).start()?;
    agent.await_refresh(port)?;
    for _ in 0..3 {
        world
            .demo_waiting(&["client", "--target", &listen, "--count", "3"])?
            .await_line("answered 3")?;
    }
    agent.await_accepted(port, 3)?;
    agent.await_object("third end", |object| is(object, "connection"))?;
    let ended = agent.stop()?;
    check_listener(&ended, port, 3)?;
    let listener = ended.listener(port)?;
    ensure!(
        number(listener, "/backlog") == Some(9),
        "the backlog is what was asked for: {listener}"
    );
    let exchanges = ended.of("exchange").count();
    ensure!(exchanges == 9, "3 clients asked 3 times each, {exchanges} exchanges were told");
    Ok(())
}

fn by_port(world: &World) -> anyhow::Result<()> {
    available()?;
    let mut demo =
        world.demo(&["slow-acceptor", "--mptcp", "--accept-delay", "10ms", "--trace"])?;
    let port = demo.addr.port();
    let mut agent = world.watch_queues().args(["--port", &port.to_string()]).start()?;
    let clients = (0..3).map(|_| connect(demo.addr)).collect::<Result<Vec<_>, _>>()?;
    let accepts = demo.await_accepts(clients.len())?;
    agent.await_accepted(port, 3)?;
    let ended = agent.stop()?;
    let handshakes: Vec<Handshake> = clients.iter().map(Into::into).collect();
    check_waits(world, &ended.objects, &accepts, &handshakes)?;
    check_listener(&ended, port, 3)
}

/// Fields of a connection that are not seen are null, with a reason; those that the first subflow
/// shows are there.
fn speaks_it(world: &World) -> anyhow::Result<()> {
    available()?;
    let mut demo = world.demo(&[
        "slow-acceptor",
        "--mptcp",
        "--accept-delay",
        "10ms",
        "--reply",
        "--trace",
    ])?;
    let port = demo.addr.port();
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let target = demo.addr.to_string();
    for _ in 0..3 {
        world
            .demo_waiting(&["client", "--mptcp", "--target", &target, "--response", "41"])?
            .await_line("answered 1")?;
    }
    let ports: Vec<u16> = demo.await_accepts(3)?.iter().map(|accept| accept.port).collect();
    for &port in &ports {
        agent.await_object("end of the connection", |object| {
            is_connection(object, "server", port)
        })?;
    }
    let ended = agent.stop()?;
    check_listener(&ended, port, 3)?;
    for &port in &ports {
        let connection = connection_of(&ended.objects, "server", port)?;
        let unseen = ["/exchanges", "/bytes/in", "/bytes/out", "/times_us", "/phases_us"];
        let told = unseen
            .iter()
            .find(|field| connection.pointer(field).is_none_or(|value| !value.is_null()));
        ensure!(
            told.is_none() && connection["multipath"] == true,
            "{told:?} was not seen: {connection}"
        );
        ensure!(
            connection["gaps"].to_string().contains("Multipath"),
            "a gap says so: {connection}"
        );
        ensure!(!connection["close"].is_null(), "its end was seen: {connection}");
    }
    ensure!(ended.of("exchange").next().is_none(), "no exchange was seen");
    let finding = ended.of("finding").find(|finding| finding["severity"] != "info");
    ensure!(finding.is_none(), "nothing is wrong: {finding:?}");
    Ok(())
}

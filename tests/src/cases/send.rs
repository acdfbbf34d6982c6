//! From the write to the wire: bytes that are held, their holder, and the event that releases them.

use anyhow::{Context, ensure};

use super::ack::{FAR, linked};
use super::finding::check_useful;
use super::ledger::{found, serve, watched};
use super::{any_exchange, exchange, native};
use crate::harness::json::number;
use crate::harness::ledger::{
    Truth, check_verdict, connection_of, is_connection, paired, spent_us,
};
use crate::harness::trace::{Conversation, Trace};
use crate::harness::{Case, Ended, World, net};

pub(super) const CASES: &[Case] = &[
    exchange("send::nagle_and_a_delayed_ack", nagle).on_each_kernel().alone(),
    any_exchange("send::nagle_of_a_client", nagle_of_a_client).alone(),
    any_exchange("send::nodelay", |world| not_held(world, &["--nodelay"], &[])).alone(),
    any_exchange("send::quickack", |world| not_held(world, &[], &["--quickack"])).alone(),
    any_exchange("send::one_writev", |world| not_held(world, &["--out", "writev"], &[])).alone(),
    any_exchange("send::cork_lifted", |world| not_held(world, &["--cork", "lift"], &[])).alone(),
    any_exchange("send::cork_forgotten", cork).alone(),
    native("send::send_buffer_full", send_buffer).alone(),
    native("send::write_blocked", write_blocked).alone(),
    any_exchange("send::window_shut", window).alone(),
    native("send::nagle_is_found", nagle_found),
    native("send::small_writes_are_found", small_writes_found),
    native("send::a_blocked_send_is_found", blocked_found),
    native("send::a_shut_window_is_found", zero_window_found),
];

/// A response in two pieces, which the client acknowledges late.
const PIECES: [&str; 2] = ["--writes", "4,200"];
const CLIENT: [&str; 4] = ["--response", "204", "--count", "6"];
/// Longer than any delay here but a delayed ACK (40 ms), ns.
const HELD_NS: u64 = 20_000_000;

fn nagle(world: &World) -> anyhow::Result<()> {
    let (ended, talk) = watched(world, &PIECES, &CLIENT)?;
    let (mut held, mut held_ns) = (0, 0);
    for (exchange, server, client) in paired(&ended, "server", &talk)? {
        // The client has the first piece at once, and the second once it has acknowledged the
        // first.
        let wait_ns = client.between("first_ns", "done_ns")?;
        if wait_ns < HELD_NS {
            continue;
        }
        held += 1;
        held_ns += wait_ns;
        check_verdict(exchange, "kernel", "nagle")?;
        held_until_done(server, client)?.check(
            world,
            "nagle",
            spent_us(exchange, &["nagle"]),
            client,
        )?;
    }
    // The first exchanges of a connection are acknowledged at once.
    ensure!(held >= 2, "the kernel delayed only {held} of 6 acknowledgements: {:?}", talk.asked);
    let connection = connection_of(&ended.objects, "server", talk.port)?;
    ensure!(
        number(connection, "/nagle/holds") >= Some(held),
        "{held} writes were held: {connection}"
    );
    let total = number(connection, "/nagle/held_us").unwrap_or(0);
    ensure!(total * 1_000 > held_ns / 10 * 9, "held for {held_ns} ns: {connection}");
    Ok(())
}

/// Returns the time from the last write until the client had everything, seen from outside.
fn held_until_done(server: &Trace, client: &Trace) -> anyhow::Result<Truth> {
    let done_ns = client.get("done_ns")?;
    Ok(Truth::new(
        done_ns.saturating_sub(server.get("written_ns")?),
        done_ns.saturating_sub(server.get("write_ns")?),
    ))
}

fn nagle_of_a_client(world: &World) -> anyhow::Result<()> {
    let mut demo = serve(world, &[])?;
    let mut begun = Conversation::begin(world, &demo, &["--wwr", "--count", "6", "--wait"])?;
    begun.0.await_line("connected ")?;
    let mut agent = world.watch().pid(begun.0.pid()).start()?;
    begun.0.go()?;
    let talk = begun.end(&mut demo)?;
    agent.await_object("end of the connection", |object| {
        is_connection(object, "client", talk.port)
    })?;
    let ended = agent.stop()?;
    let mut held = 0;
    for (exchange, server, client) in paired(&ended, "client", &talk)? {
        let read_ns = server.get("read_ns")?;
        if server.between("first_read_ns", "read_ns")? < HELD_NS {
            continue;
        }
        held += 1;
        check_verdict(exchange, "kernel", "nagle")?;
        let truth =
            Truth::new(read_ns - client.get("written_ns")?, read_ns - client.get("write_ns")?);
        truth.check(world, "nagle", spent_us(exchange, &["nagle"]), client)?;
    }
    ensure!(held >= 2, "the kernel held only {held} of 6 requests back: {:?}", talk.served);
    Ok(())
}

/// Checks that nothing is held for long, by the traces and by the ledger, and that nothing is
/// found.
fn not_held(world: &World, server: &[&str], client: &[&str]) -> anyhow::Result<()> {
    let (ended, talk) = watched(world, &[&PIECES, server].concat(), &[&CLIENT, client].concat())?;
    for (exchange, server, client) in paired(&ended, "server", &talk)? {
        let wait_ns = client.between("write_ns", "done_ns")?;
        ensure!(
            world.vm || wait_ns < HELD_NS,
            "the remedy does not help here: {server:?} {client:?}"
        );
        let nagle = spent_us(exchange, &["nagle", "cork"]);
        ensure!(
            nagle * 1_000 <= wait_ns && nagle < HELD_NS / 4_000,
            "held for {nagle} µs: {exchange}"
        );
    }
    ended.check_no_finding("nagle-delayed-ack")
}

fn cork(world: &World) -> anyhow::Result<()> {
    let knobs = [&PIECES[..], &["--cork", "forget"]].concat();
    let (ended, talk) = watched(world, &knobs, &CLIENT)?;
    for (exchange, server, client) in paired(&ended, "server", &talk)? {
        check_verdict(exchange, "app", "cork")?;
        held_until_done(server, client)?.check(
            world,
            "cork",
            spent_us(exchange, &["cork"]),
            client,
        )?;
    }
    Ok(())
}

/// The peer does not read. Whether the write blocks or its bytes wait, the time is the peer's.
fn peer_does_not_read(
    world: &World,
    bytes: &str,
    client: &[&str],
) -> anyhow::Result<(Ended, Conversation)> {
    // On a busy machine BBR believes in a slow network, and paces bytes that the peer's window
    // would still take.
    net::set("ipv4/tcp_congestion_control", "reno")?;
    let client = [&["--response", bytes, "--slow-read", "300ms", "--count", "3"], client].concat();
    let (ended, talk) = watched(world, &["--response", bytes], &client)?;
    for (exchange, server, client) in paired(&ended, "server", &talk)? {
        let verdict = exchange["verdict"]["kind"].as_str().unwrap_or("none");
        ensure!(
            ["send_buffer", "receive_window"].contains(&verdict),
            "the peer does not read: {exchange}, {server:?}"
        );
        ensure!(exchange["verdict"]["owner"] == "peer", "the peer's: {exchange}");
        let write_ns = server.get("write_ns")?;
        let truth =
            Truth::new(client.get("first_ns")? - write_ns, client.get("done_ns")? - write_ns);
        let waited_us = spent_us(exchange, &["send_buffer", "receive_window"]);
        truth
            .check(world, "waiting for the peer", waited_us, client)
            .with_context(|| exchange.to_string())?;
    }
    Ok((ended, talk))
}

fn send_buffer(world: &World) -> anyhow::Result<()> {
    // More than both buffers hold, so that the write blocks because the window is shut. The limit
    // is needed: the kernel would enlarge the receive buffer, perhaps for all of it.
    net::set("ipv4/tcp_rmem", "4096 131072 1000000")?;
    peer_does_not_read(world, "8000000", &[]).map(drop)
}

/// A send buffer that holds less than the answer. The write waits for room in it, because the
/// window is shut.
fn write_blocked(world: &World) -> anyhow::Result<()> {
    net::set("ipv4/tcp_wmem", "4096 16384 16384")?;
    let (_, talk) = peer_does_not_read(world, "60000", &["--receive-buffer", "4096"])?;
    for server in &talk.served {
        let blocked_ns = server.between("write_ns", "written_ns")?;
        ensure!(
            blocked_ns > 200_000_000,
            "the write blocked for 300 ms, the server saw {blocked_ns} ns: {server:?}"
        );
    }
    Ok(())
}

fn window(world: &World) -> anyhow::Result<()> {
    let (ended, _) = peer_does_not_read(world, "60000", &["--receive-buffer", "4096"])?;
    let shut: u64 = ended.objects.iter().map(|object| spent_us(object, &["receive_window"])).sum();
    ensure!(
        shut > 300_000,
        "no write blocked, the window was shut for 300 ms each time, it shows {shut} µs"
    );
    Ok(())
}

fn nagle_found(world: &World) -> anyhow::Result<()> {
    found(world, "nagle-delayed-ack", &PIECES, &["--response", "204", "--count", "100000"])
}

fn small_writes_found(world: &World) -> anyhow::Result<()> {
    let pieces = vec!["10"; 20].join(",");
    found(world, "small-writes", &["--writes", &pieces, "--nodelay"], &["--count", "1000000"])
}

/// The peer reads, but it is far away. Its window is open, but the network takes no more.
fn blocked_found(world: &World) -> anyhow::Result<()> {
    const BYTES: [&str; 2] = ["--response", "20000000"];
    let (_link, server) = linked(world, &[], &BYTES)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let _client = Conversation::begin_at(world, FAR, &[&BYTES[..], &["--count", "1000"]].concat())?;
    check_useful(&agent.await_finding("send-blocked")?)?;
    agent.stop().map(drop)
}

fn zero_window_found(world: &World) -> anyhow::Result<()> {
    let client = [
        "--response",
        "60000",
        "--receive-buffer",
        "4096",
        "--slow-read",
        "300ms",
        "--count",
        "10000",
    ];
    found(world, "zero-window", &["--response", "60000"], &client)
}

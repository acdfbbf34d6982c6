//! Clients whose packets the kernel ignores because the accept queue is full. They believe that
//! they are connected, and retransmit. The time is the server's, not the clients', and nothing was
//! lost.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};

use crate::cases::native;
use crate::harness::json::{Value, address, is};
use crate::harness::ledger::{connection_of, exchanges_of, is_connection, spent_us};
use crate::harness::net::monotonic_ns;
use crate::harness::{Case, Ended, Process, World};

pub(super) const CASES: &[Case] = &[
    native("ignored::it_is_the_servers_time", let_in_late),
    native("ignored::nobody_is_on_a_server_with_room", with_room),
    native("ignored::a_fin_alone_is_nothing_to_read", fin_alone),
];

const NEAR: &str = "10.77.0.1:7200";
const RTT_US: u64 = 300_000;

/// A connection as its client and its server report it, in `CLOCK_MONOTONIC`.
struct Talk {
    port: u16,
    /// Time at which the client believed to be connected.
    connected_ns: u64,
    /// Time at which the server accepted it.
    accepted_ns: u64,
}

/// Two waves of three clients each: as many as the SYN queue takes at a backlog of three, without
/// syncookies.
/// The accept queue is not yet full when the second wave's SYNs come, but it is when their final
/// ACKs do. Each client writes as soon as it believes to be connected.
const CROWD: &str = "
import socket, sys, threading, time

def talk(wave):
    time.sleep(0.7 * wave)
    client = socket.create_connection(('10.77.0.2', 7200))
    connected = time.monotonic_ns()
    client.sendall(b'x' * 39 + b'\\n')
    client.recv(4096)
    print('talked', client.getsockname()[1], connected, flush=True)

threads = [threading.Thread(target=talk, args=(wave,)) for wave in (0, 1) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
";
const CLIENTS: usize = 6;

/// Lets the clients of [`CROWD`] ask a server at the other end of a slow path.
fn crowd(world: &World, backlog: &str) -> anyhow::Result<(Ended, Vec<Talk>)> {
    let mut link = world.demo_waiting(&["delay-link", "--rtt", "300ms"])?;
    link.await_line("link ")?;
    let knobs =
        ["serve", "--trace", "--listen", NEAR, "--backlog", backlog, "--accept-delay", "1200ms"];
    let mut server = world.demo(&knobs)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let mut python = Command::new("python3");
    python.args(["-c", CROWD]);
    let clients = Process::start(python)?;
    let accepted = server.await_accepts(CLIENTS)?;
    let deadline = Instant::now() + world.patience();
    let mut talks = Vec::new();
    for _ in 0..CLIENTS {
        let line = clients.next_line(deadline)?.context("the clients ended")?;
        let mut words = line.split(' ').skip(1).map(str::parse::<u64>);
        let mut next =
            || words.next().and_then(Result::ok).with_context(|| format!("not a trace: {line}"));
        let (port, connected_ns) = (next()? as u16, next()?);
        agent.await_object("end of the connection", |object| {
            is_connection(object, "server", port)
        })?;
        let accepted =
            accepted.iter().find(|accept| accept.port == port).context("no accept was traced")?;
        talks.push(Talk { port, connected_ns, accepted_ns: accepted.returned_ns });
    }
    Ok((agent.stop()?, talks))
}

/// Returns the ports of the clients whose final ACK was ignored, by the agent's objects.
fn ignored(ended: &Ended) -> BTreeSet<u16> {
    let packets = ended.of("overflow").filter(|object| object["stage"] == "ack");
    packets.filter_map(|object| address(object, "/peer")).map(|peer| peer.port()).collect()
}

fn first_exchange(ended: &Ended, port: u16) -> anyhow::Result<&Value> {
    let connection = connection_of(&ended.objects, "server", port)?;
    exchanges_of(&ended.objects, connection)
        .first()
        .copied()
        .with_context(|| format!("no exchange: {connection}"))
}

fn let_in_late(world: &World) -> anyhow::Result<()> {
    let (ended, talks) = crowd(world, "3")?;
    let ports = ignored(&ended);
    ensure!(!ports.is_empty(), "nobody was ignored: the test did not provoke it");
    for talk in &talks {
        let exchange = first_exchange(&ended, talk.port)?;
        if !ports.contains(&talk.port) {
            ensure!(spent_us(exchange, &["ignored"]) == 0, "it was let in at once: {exchange}");
            continue;
        }
        let late_us = (talk.accepted_ns - talk.connected_ns) / 1_000;
        let waited_us = spent_us(exchange, &["ignored", "accept_queue"]);
        let expected = late_us.saturating_sub(RTT_US)..=late_us + 20_000;
        ensure!(
            expected.contains(&waited_us),
            "the client was kept waiting for {late_us} µs: {exchange}"
        );
        ensure!(spent_us(exchange, &["ignored"]) > 0, "its packets were ignored: {exchange}");
        let others_us = spent_us(exchange, &["request", "unknown"]);
        ensure!(others_us < 20_000, "the client had sent it long ago: {exchange}");
        let shake_us = spent_us(exchange, &["handshake"]);
        ensure!(shake_us < 2 * RTT_US, "the handshake took one round trip: {exchange}");
    }
    Ok(())
}

fn with_room(world: &World) -> anyhow::Result<()> {
    let (ended, talks) = crowd(world, "64")?;
    ensure!(ignored(&ended).is_empty(), "there was room for all");
    for talk in &talks {
        let exchange = first_exchange(&ended, talk.port)?;
        ensure!(spent_us(exchange, &["ignored"]) == 0, "there was room: {exchange}");
    }
    Ok(())
}

/// Accepts connections and reads nothing.
const NEVER_READS: &str = "
import socket, sys
listener = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % listener.getsockname()[1], flush=True)
kept = []
while True:
    kept.append(listener.accept())
    print('accepted', flush=True)
";

fn fin_alone(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("never_reads.py");
    std::fs::write(&script, NEVER_READS)?;
    let mut agent = world.watch().command(["python3".as_ref(), script.as_os_str()]).start()?;
    let port = agent.await_object("a listener", |object| is(object, "listener"))?;
    let port = address(&port, "/local").context("no address")?;
    for _ in 0..3 {
        drop(std::net::TcpStream::connect(port)?);
    }
    agent.await_accepted(port.port(), 3)?;
    // Data that stay unread for a second make a finding.
    agent.await_time(monotonic_ns() + 3_000_000_000)?;
    let ended = agent.stop()?;
    ended.check_no_finding("slow-reader")?;
    let told = ended.of("exchange").next();
    ensure!(told.is_none(), "nothing was sent: {told:?}");
    let unread = ended.of("connection").filter(|object| object["bytes"]["in"] != 0).count();
    ensure!(unread == 0 && ended.of("connection").count() == 3, "three connections without data");
    Ok(())
}

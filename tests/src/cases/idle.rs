//! Idle connections, of which the probes keep less. Everything reported of them must stay as it
//! would be.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use backscope_abi::counter::{COMPACTED, EXPANDED};
use socket2::SockRef;

use super::{any_exchange, exchange, native};
use crate::harness::bpf::{counter, keeps_connections_in_a_hash};
use crate::harness::json::{Value, number};
use crate::harness::ledger::{check_sums, connection_of, exchanges_of, is_connection, spent_us};
use crate::harness::net::monotonic_ns;
use crate::harness::{Agent, Case, Demo, Ended, World, skip};

pub(super) const CASES: &[Case] = &[
    exchange("idle::asked_again", asked_again),
    any_exchange("idle::every_single_event", single_events),
    native("idle::asked_when_silence_gets_long", asked_when_long),
];

const ANSWER: u64 = 200;

const NOTHING_SHRINKS: &str = "this kernel's verifier knows no socket behind a file";

/// A client, with the times of its requests and answers.
struct Client {
    socket: TcpStream,
    port: u16,
    asked: Vec<(u64, u64)>,
}

impl Client {
    fn connect(demo: &Demo) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(demo.addr)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let port = socket.local_addr()?.port();
        Ok(Self { socket, port, asked: Vec::new() })
    }

    fn ask(&mut self) -> anyhow::Result<()> {
        let begin_ns = monotonic_ns();
        self.socket.write_all(b"ask\n")?;
        self.socket.read_exact(&mut [0; ANSWER as usize]).context("no answer")?;
        self.asked.push((begin_ns, monotonic_ns()));
        Ok(())
    }

    /// Checks the report of it: every exchange once and at its time, every byte, and the end.
    fn check(&self, ended: &Ended, how: &str) -> anyhow::Result<()> {
        let connection = connection_of(&ended.objects, "server", self.port)?;
        let exchanges = exchanges_of(&ended.objects, connection);
        let count = self.asked.len() as u64;
        let told = ["/exchanges", "/bytes/in", "/bytes/out"].map(|name| number(connection, name));
        ensure!(
            told == [count, count * 4, count * ANSWER].map(Some),
            "asked {count} times: {connection}"
        );
        check_sums(&ended.objects, connection)?;
        let close = &connection["close"];
        ensure!(
            close["by"] == "peer" && close["how"] == how,
            "ended by the peer, {how}: {connection}"
        );
        ensure!(connection["attached_midway"] == false, "accepted under watch: {connection}");
        ensure!(exchanges.len() == self.asked.len(), "told of {exchanges:?}, asked {count} times");
        exchanges
            .iter()
            .zip(&self.asked)
            .zip(1..)
            .try_for_each(|((exchange, asked), seq)| check(exchange, *asked, seq))
    }
}

fn check(exchange: &Value, (begin_ns, end_ns): (u64, u64), seq: u64) -> anyhow::Result<()> {
    ensure!(number(exchange, "/seq") == Some(seq), "the exchange with number {seq}: {exchange}");
    ensure!(exchange["midway"] == false, "all of it was seen: {exchange}");
    ensure!(spent_us(exchange, &["unknown"]) == 0, "all of it was seen: {exchange}");
    let start_ns = number(exchange, "/start_ns").unwrap_or(0);
    // The first exchange begins with the handshake.
    ensure!(
        start_ns < end_ns && (seq == 1 || start_ns >= begin_ns),
        "between {begin_ns} and {end_ns}: {exchange}"
    );
    let first = spent_us(exchange, &["handshake", "accept_queue"]);
    ensure!(seq == 1 || first == 0, "only the first has a handshake: {exchange}");
    Ok(())
}

fn serve(world: &World) -> anyhow::Result<Demo> {
    world.demo(&["serve", "--epoll"])
}

/// Closes the connections, a third of them by reset. Ends the watch when it has reported them all.
fn close(mut agent: Agent, clients: &mut [Client]) -> anyhow::Result<Ended> {
    for (at, client) in clients.iter_mut().enumerate() {
        let linger = (how(at) == "reset").then_some(Duration::ZERO);
        SockRef::from(&client.socket).set_linger(linger)?;
        client.socket =
            TcpStream::from(std::os::fd::OwnedFd::from(std::fs::File::open("/dev/null")?));
    }
    for client in clients.iter() {
        agent.await_object("end of the connection", |object| {
            is_connection(object, "server", client.port)
        })?;
    }
    agent.stop()
}

fn how(at: usize) -> &'static str {
    if at.is_multiple_of(3) { "reset" } else { "fin" }
}

/// Connections that become idle, are asked again, become idle again, and close. Some were asked
/// twice, some once, and some only after they had become idle.
fn asked_again(world: &World) -> anyhow::Result<()> {
    let count = if world.vm { 24 } else { 240 };
    let demo = serve(world)?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    if keeps_connections_in_a_hash() {
        return skip(NOTHING_SHRINKS);
    }
    let mut clients = (0..count).map(|_| Client::connect(&demo)).collect::<Result<Vec<_>, _>>()?;
    clients[count / 4..].iter_mut().try_for_each(Client::ask)?;
    agent.await_counter("connections that have shrunk", COMPACTED, count)?;
    let again = 0..count / 2;
    clients[again.clone()].iter_mut().try_for_each(Client::ask)?;
    agent.await_counter("connections that have shrunk", COMPACTED, count + again.len())?;
    let grown = counter(agent.pid(), EXPANDED)?;
    ensure!(grown >= again.len() as u64, "{grown} have grown, {} were asked", again.len());
    let ended = close(agent, &mut clients)?;
    clients.iter().enumerate().try_for_each(|(at, client)| client.check(&ended, how(at)))
}

/// With single events everything is kept: the socket's largest value has more than the compact one.
fn single_events(world: &World) -> anyhow::Result<()> {
    let demo = serve(world)?;
    let mut agent = world.watch().args(["--detail", "events"]).pid(demo.pid()).start()?;
    let mut client = Client::connect(&demo)?;
    client.ask()?;
    agent.await_time(monotonic_ns() + 4_000_000_000)?;
    ensure!(counter(agent.pid(), COMPACTED)? == 0, "a connection has shrunk");
    client.ask()?;
    let mut clients = [client];
    let ended = close(agent, &mut clients)?;
    clients[0].check(&ended, how(0))
}

/// Many connections, each asked again at about the time at which the probes begin to keep less.
fn asked_when_long(world: &World) -> anyhow::Result<()> {
    const CLIENTS: u64 = 400;
    const ROUNDS: u64 = 5;
    let demo = serve(world)?;
    let agent = world.watch().interval("100ms").pid(demo.pid()).start()?;
    if keeps_connections_in_a_hash() {
        return skip(NOTHING_SHRINKS);
    }
    let mut clients =
        (0..CLIENTS).map(|_| Client::connect(&demo)).collect::<Result<Vec<_>, _>>()?;
    // Each at a time of its own, so that the answers are spread over the whole interval of
    // refreshes.
    let begin = Instant::now();
    for round in 0..ROUNDS {
        for (at, client) in clients.iter_mut().enumerate() {
            let due = Duration::from_millis(2_050 * round) + Duration::from_micros(500 * at as u64);
            thread::sleep(due.saturating_sub(begin.elapsed()));
            client.ask()?;
        }
    }
    let (shrunk, grown) = (counter(agent.pid(), COMPACTED)?, counter(agent.pid(), EXPANDED)?);
    ensure!((CLIENTS..CLIENTS * ROUNDS).contains(&shrunk), "{shrunk} have shrunk");
    ensure!(shrunk - grown <= CLIENTS, "{shrunk} have shrunk, {grown} have grown");
    let ended = close(agent, &mut clients)?;
    clients.iter().enumerate().try_for_each(|(at, client)| client.check(&ended, how(at)))
}

//! Requests without an answer, answers on connections that one end keeps open, and connections
//! without a request.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use socket2::SockRef;

use crate::cases::exchange;
use crate::cases::ledger::serve;
use crate::harness::json::{Value, finds, is, number};
use crate::harness::ledger::{check_sums, is_connection, spent_us};
use crate::harness::trace::Conversation;
use crate::harness::{Agent, Case, Ended, World};

pub(super) const CASES: &[Case] = &[
    exchange("unanswered::clients_that_reset", |world| abandoned(world, true)),
    exchange("unanswered::clients_that_close", |world| abandoned(world, false)),
    exchange("unanswered::the_patient_have_their_answer", patient),
    // Where open sockets cannot be looked at, such an exchange is reported at the end of its
    // socket.
    exchange("unanswered::answers_on_a_socket_that_is_kept", kept),
    exchange("unanswered::spare_connections", spare),
    exchange("unanswered::clients_of_a_deferred_accept", deferred),
];

/// Time that the server takes, and time that a client waits for it.
const WORK: &str = "900ms";
const PATIENCE: Duration = Duration::from_millis(300);
const CLIENTS: usize = 4;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Waits until `count` different sockets have an object of this type.
fn await_all(agent: &mut Agent, kind: &str, count: usize) -> anyhow::Result<()> {
    let seen = RefCell::new(HashSet::new());
    agent.await_object(kind, |object| {
        if is(object, kind) {
            seen.borrow_mut().insert(object["sock"].to_string());
        }
        seen.borrow().len() >= count
    })?;
    Ok(())
}

/// Clients give up before the server answers. The time until they leave is the application's.
fn abandoned(world: &World, resets: bool) -> anyhow::Result<()> {
    let demo = world.demo(&["http", "--sleep", WORK])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let mut waited_us = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(demo.addr)?;
        let begin = Instant::now();
        stream.write_all(REQUEST)?;
        // The truth is the client's own time.
        thread::sleep(PATIENCE);
        if resets {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        let least = begin.elapsed();
        drop(stream);
        waited_us.push((least.as_micros() as u64, begin.elapsed().as_micros() as u64));
    }
    await_all(&mut agent, "connection", CLIENTS)?;
    let finding = agent.await_finding("unanswered")?;
    let ended = agent.stop()?;
    let exchanges: Vec<&Value> = ended.of("exchange").collect();
    ensure!(exchanges.len() == CLIENTS, "{CLIENTS} asked: {exchanges:?}");
    // On a busy machine the server accepts and reads late. That time belongs to the client's wait,
    // too.
    let wait_us = |exchange: &&Value| {
        spent_us(exchange, &["accept_queue", "receive_queue", "run_queue", "app"])
    };
    let mut told: Vec<u64> = exchanges.iter().map(wait_us).collect();
    told.sort_unstable();
    waited_us.sort_unstable();
    for (told, (least, most)) in told.iter().zip(&waited_us) {
        // A client that leaves may wait for a processor, too.
        let slices =
            || exchanges.iter().map(|exchange| exchange["slices"].to_string()).collect::<Vec<_>>();
        ensure!(
            *told + 50_000 > *least && *told < most + 200_000,
            "waited {least} to {most} µs, told {told}: {:?}",
            slices()
        );
    }
    for exchange in exchanges {
        ensure!(
            exchange["unanswered"] == true && exchange["verdict"]["owner"] == "app",
            "{exchange}"
        );
        let connection = ended
            .of("connection")
            .find(|one| one["sock"] == exchange["sock"])
            .context("its end")?;
        check_sums(&ended.objects, connection)?;
    }
    ensure!(finding["owner"] == "app" && finding["severity"] == "warning", "{finding}");
    Ok(())
}

fn check_silent(world: &World, ended: &Ended) -> anyhow::Result<()> {
    // A busy machine may really keep the server from a CPU; that time is the kernel's. An emulated
    // machine stops now and then, which no clock in it shows: a sleeping server then looks late.
    let late = ["accept-starved", "slow-reader", "slow-app"];
    let loud = |object: &&Value| {
        let theirs =
            object["owner"] == "kernel" || world.vm && late.iter().any(|kind| finds(object, kind));
        is(object, "finding") && object["severity"] != "info" && !theirs
    };
    let found = ended.objects.iter().find(loud);
    ensure!(found.is_none(), "nothing is wrong here: {found:?}");
    Ok(())
}

/// Clients that wait long enough: all is answered, and nothing is found.
fn patient(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["http", "--sleep", "50ms"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(demo.addr)?;
        stream.write_all(REQUEST)?;
        ensure!(stream.read(&mut [0; 1_024])? > 0, "no answer");
    }
    await_all(&mut agent, "connection", CLIENTS)?;
    let ended = agent.stop()?;
    ensure!(ended.of("exchange").count() == CLIENTS, "{CLIENTS} asked");
    ensure!(
        ended.of("exchange").all(|exchange| exchange["unanswered"] == false),
        "all were answered"
    );
    ended.check_no_finding("unanswered")?;
    check_silent(world, &ended)
}

/// Clients close, and the server keeps their sockets. The answers are reported all the same.
fn kept(world: &World) -> anyhow::Result<()> {
    let mut demo = serve(world, &["--leak-close-wait"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let talks = (0..CLIENTS)
        .map(|_| Conversation::hold(world, &mut demo, &[]))
        .collect::<anyhow::Result<Vec<Conversation>>>()?;
    await_all(&mut agent, "exchange", CLIENTS)?;
    let ended = agent.stop()?;
    ensure!(ended.of("exchange").count() == CLIENTS, "{CLIENTS} were answered");
    for talk in &talks {
        let is_its = |object: &&Value| is_connection(object, "server", talk.port);
        let connection = ended.objects.iter().rfind(is_its).context("its object")?;
        ensure!(
            number(connection, "/exchanges") == Some(1) && connection["state"] == "close-wait",
            "{connection}"
        );
        ensure!(
            connection["close"]["by"] == "peer" && connection["close"]["pending"] == true,
            "{connection}"
        );
    }
    Ok(())
}

/// Connections without a request are no exchanges. A late request begins when it comes.
fn spare(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["http"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let mut used = TcpStream::connect(demo.addr)?;
    let spare =
        (0..CLIENTS).map(|_| TcpStream::connect(demo.addr)).collect::<Result<Vec<_>, _>>()?;
    let mut late = TcpStream::connect(demo.addr)?;
    agent.await_accepted(demo.addr.port(), spare.len() as u64 + 2)?;
    // The client's own silence, which must not be part of the exchange.
    thread::sleep(Duration::from_millis(1_500));
    for stream in [&mut used, &mut late] {
        stream.write_all(REQUEST)?;
        ensure!(stream.read(&mut [0; 1_024])? > 0, "no answer");
    }
    drop((used, late, spare));
    await_all(&mut agent, "connection", CLIENTS + 2)?;
    let ended = agent.stop()?;
    let exchanges: Vec<&Value> = ended.of("exchange").collect();
    ensure!(exchanges.len() == 2, "two were asked: {exchanges:?}");
    ensure!(
        exchanges.iter().all(|exchange| number(exchange, "/total_us") < Some(1_000_000)),
        "{exchanges:?}"
    );
    check_silent(world, &ended)
}

/// With TCP_DEFER_ACCEPT a client is queued once it sends. Its silence is its own time, and not
/// part of the handshake. A client that was silent for long had nothing to ask.
fn deferred(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["http", "--defer-accept", "10s"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let silences = [0, 400, 1_500];
    let mut ports = Vec::new();
    for silent_ms in silences {
        let mut stream = TcpStream::connect(demo.addr)?;
        ports.push(stream.local_addr()?.port());
        thread::sleep(Duration::from_millis(silent_ms));
        stream.write_all(REQUEST)?;
        ensure!(stream.read(&mut [0; 1_024])? > 0, "no answer");
    }
    await_all(&mut agent, "connection", silences.len())?;
    let ended = agent.stop()?;
    for (port, silent_ms) in ports.into_iter().zip(silences) {
        let peer = format!(":{port}");
        let of =
            |object: &&Value| object["peer"].as_str().is_some_and(|text| text.ends_with(&peer));
        let connection =
            ended.of("connection").find(of).with_context(|| format!("nothing of port {port}"))?;
        let told = ended
            .of("exchange")
            .find(|exchange| exchange["sock"] == connection["sock"])
            .context("no exchange")?;
        // The listener of the first one may not have been known before the accept.
        ensure!(
            silent_ms == 0 || connection["handshake_us"].is_null(),
            "it lasted until the client sent: {connection}"
        );
        let (request_us, handshake_us) =
            (spent_us(told, &["request"]), spent_us(told, &["handshake"]));
        let expected = if silent_ms == 400 { 380_000..480_000 } else { 0..20_000 };
        ensure!(expected.contains(&request_us), "silent for {silent_ms} ms: {told}");
        ensure!(handshake_us < 100_000, "silent for {silent_ms} ms: {told}");
        ensure!(number(told, "/total_us") < Some(1_000_000), "silent for {silent_ms} ms: {told}");
    }
    check_silent(world, &ended)
}

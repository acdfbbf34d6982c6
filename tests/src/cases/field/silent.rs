//! Bytes that are left unread on purpose, and bytes that nobody asked for.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use socket2::SockRef;

use super::accepts::python;
use crate::cases::native;
use crate::harness::json::{Value, is, number};
use crate::harness::ledger::spent_us;
use crate::harness::{Agent, Case, Ended, Process, World};

pub(super) const CASES: &[Case] = &[
    native("silent::a_rest_is_left_unread_while_the_work_goes_on", rest_left),
    native("silent::a_part_that_comes_later_waits_for_its_reader", part_waits),
    native("silent::the_rest_of_an_answered_request_is_no_request", rest_answered),
    native("silent::a_server_of_http_takes_leave_of_the_silent", farewells),
    native("silent::who_speaks_first_is_told", greetings),
    native("silent::requests_that_meet_a_lingering_close", lingering),
    native("silent::a_lingering_close_of_clients_that_go_is_no_race", lingering_twin),
    native("silent::a_request_behind_an_answer_is_told_while_it_waits", behind_an_answer),
    native("silent::what_a_reset_cut_off_is_told_while_its_socket_is_kept", kept_after_reset),
];

const CLIENTS: usize = 4;
/// Time after which a client gives up, and for which the server works.
const PATIENCE: Duration = Duration::from_millis(300);
/// A request whose last 8 bytes are a record of their own, as in FastCGI.
const REQUEST: [u8; 200] = [b'r'; 200];

/// Reads all but the end of a request, works, and then reads the end.
const LEAVES_A_REST: &str = "
def serve(client):
    try:
        for size in (8, 92, 8, 84):
            client.recv(size, socket.MSG_WAITALL)
        time.sleep(0.6)
        client.recv(8)
        client.sendall(b'x' * 100)
        client.recv(1)
    except OSError:
        pass
    client.close()
";

/// Waits a second for a request of HTTP, and sends an error to a client without one.
const TAKES_LEAVE: &str = "
def serve(client):
    client.settimeout(1)
    try:
        status = b'200 OK' if client.recv(1000) else b'400 Bad Request'
    except TimeoutError:
        status = b'408 Request Timeout'
    except OSError:
        return client.close()
    try:
        client.sendall(b'HTTP/1.1 ' + status + b'\\r\\nContent-Length: 0\\r\\n\\r\\n')
    except OSError:
        pass
    client.close()
";

/// Greets its clients after 200 ms, as a mail server does.
const GREETS: &str = "
def serve(client):
    time.sleep(0.2)
    client.sendall(b'220 mail.example ESMTP\\r\\n')
    client.recv(100)
    client.close()
";

/// Closes idle connections after half a second with shutdown(), and reads on for two, as Apache
/// does.
const LINGERS: &str = "
def serve(client):
    client.settimeout(0.5)
    try:
        while client.recv(1000):
            client.sendall(b'x' * 100)
    except TimeoutError:
        client.shutdown(socket.SHUT_WR)
        client.settimeout(2)
        try:
            while client.recv(1000):
                pass
        except OSError:
            pass
    except OSError:
        pass
    client.close()
";

/// Answers one request of each connection, and keeps the connection without reading on.
const KEEPS: &str = "
import socket
server = socket.create_server(('127.0.0.1', 0), backlog=64)
kept = []
print(server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept()
    kept.append(client)
    client.recv(1000)
    client.sendall(b'x' * 100)
";

/// Returns a server with a thread for each connection, which runs `serve`.
fn threaded(serve: &str) -> String {
    format!(
        "
import socket, threading, time
server = socket.create_server(('127.0.0.1', 0), backlog=64)
{serve}
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"
    )
}

fn watched(world: &World, script: &str) -> anyhow::Result<(Process, SocketAddr, Agent)> {
    let (server, port) = python(world, script)?;
    let agent = world.watch().pid(server.pid()).start()?;
    Ok((server, SocketAddr::from(([127, 0, 0, 1], port.parse()?)), agent))
}

/// Waits for the ends of so many connections, and ends the watch.
fn ended(mut agent: Agent, count: usize) -> anyhow::Result<Ended> {
    let seen = Cell::new(0);
    agent.await_object("every connection's end", |object| {
        seen.set(seen.get() + usize::from(is(object, "connection")));
        seen.get() >= count
    })?;
    agent.stop()
}

fn exchanges(ended: &Ended) -> Vec<&Value> {
    ended.of("exchange").collect()
}

/// Each client gives up: the server had the request all that time. The part that it had not read
/// delayed nobody.
fn rest_left(world: &World) -> anyhow::Result<()> {
    let (_server, to, agent) = watched(world, &threaded(LEAVES_A_REST))?;
    let mut waited_us = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(to)?;
        let begin = Instant::now();
        stream.write_all(&REQUEST)?;
        thread::sleep(PATIENCE);
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        let least_us = begin.elapsed().as_micros() as u64;
        drop(stream);
        waited_us.push((least_us, begin.elapsed().as_micros() as u64));
    }
    let ended = ended(agent, CLIENTS)?;
    let told = exchanges(&ended);
    ensure!(told.len() == CLIENTS, "{CLIENTS} asked: {told:?}");
    for (exchange, (least_us, most_us)) in told.iter().zip(waited_us) {
        let (app_us, unread_us) =
            (spent_us(exchange, &["app"]), spent_us(exchange, &["receive_queue"]));
        // A busy machine keeps the server from its processor for a while.
        ensure!(
            app_us + 50_000 > least_us && app_us < most_us + 50_000,
            "{least_us} to {most_us} µs: {exchange}"
        );
        ensure!(unread_us < 50_000 && exchange["unanswered"] == true, "{exchange}");
        // No time is counted twice.
        let slices = exchange["slices"].as_array().context("slices")?;
        let sum_us: u64 = slices.iter().filter_map(|slice| number(slice, "/us")).sum();
        ensure!(number(exchange, "/total_us") == Some(sum_us), "{exchange}");
    }
    ended.check_no_finding("slow-reader")
}

/// The twin: the unread part comes later, while the server sleeps. It does wait to be read.
fn part_waits(world: &World) -> anyhow::Result<()> {
    let (_server, to, agent) = watched(world, &threaded(LEAVES_A_REST))?;
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(to)?;
        stream.write_all(&REQUEST[..192])?;
        thread::sleep(Duration::from_millis(100));
        stream.write_all(&REQUEST[192..])?;
        ensure!(stream.read(&mut [0; 200])? > 0, "no answer");
    }
    let ended = ended(agent, CLIENTS)?;
    let told = exchanges(&ended);
    ensure!(told.len() == CLIENTS, "{CLIENTS} asked: {told:?}");
    for exchange in told {
        let unread_us = spent_us(exchange, &["receive_queue", "run_queue"]);
        ensure!((400_000..700_000).contains(&unread_us), "unread for half a second: {exchange}");
        ensure!(exchange["verdict"]["kind"] == "receive_queue", "{exchange}");
    }
    Ok(())
}

/// Requests whose rest is left unread for a while, but which are answered.
fn rest_answered(world: &World) -> anyhow::Result<()> {
    let (_server, to, agent) = watched(world, &threaded(LEAVES_A_REST))?;
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(to)?;
        stream.write_all(&REQUEST)?;
        ensure!(stream.read(&mut [0; 200])? > 0, "no answer");
    }
    let ended = ended(agent, CLIENTS)?;
    let told = exchanges(&ended);
    ensure!(told.len() == CLIENTS, "{CLIENTS} asked: {told:?}");
    for exchange in told {
        let (app_us, bytes) = (spent_us(exchange, &["app"]), number(exchange, "/request_bytes"));
        ensure!(
            app_us > 500_000 && bytes == Some(200) && number(exchange, "/reads") == Some(5),
            "{exchange}"
        );
    }
    ended.check_no_finding("slow-reader")
}

/// Clients leave or stay without a request. What the server sends then is no exchange.
fn farewells(world: &World) -> anyhow::Result<()> {
    let (_server, to, agent) = watched(world, &threaded(TAKES_LEAVE))?;
    for leaves in [true, true, false, false] {
        let mut stream = TcpStream::connect(to)?;
        thread::sleep(PATIENCE);
        if leaves {
            stream.shutdown(Shutdown::Write)?;
        }
        let mut said = [0; 100];
        let size = stream.read(&mut said)?;
        ensure!(
            said[..size].starts_with(if leaves { b"HTTP/1.1 400" } else { b"HTTP/1.1 408" }),
            "{said:?}"
        );
    }
    let mut asks = TcpStream::connect(to)?;
    asks.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    ensure!(asks.read(&mut [0; 100])? > 0, "no answer");
    let ended = ended(agent, 5)?;
    let told = exchanges(&ended);
    ensure!(
        told.len() == 1 && number(told[0], "/request_bytes") == Some(27),
        "one asked: {told:?}"
    );
    for connection in ended.of("connection").filter(|one| one["sock"] != told[0]["sock"]) {
        ensure!(number(connection, "/exchanges") == Some(0), "{connection}");
        ensure!(
            number(connection, "/bytes/out") > Some(0),
            "it was written all the same: {connection}"
        );
    }
    ended.check_no_finding("slow-app")
}

/// The twin: in other protocols the server speaks first, and the time until then is its own.
fn greetings(world: &World) -> anyhow::Result<()> {
    let (_server, to, agent) = watched(world, &threaded(GREETS))?;
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(to)?;
        ensure!(stream.read(&mut [0; 100])? > 0, "no greeting");
    }
    let ended = ended(agent, CLIENTS)?;
    let told = exchanges(&ended);
    ensure!(told.len() == CLIENTS, "{CLIENTS} were greeted: {told:?}");
    for exchange in told {
        let app_us = spent_us(exchange, &["app", "run_queue"]);
        ensure!((190_000..400_000).contains(&app_us), "{exchange}");
    }
    // Cases of `greetings` judge whether that was late.
    ended.check_no_finding("slow-app")
}

fn asks(stream: &mut TcpStream) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(&REQUEST)?;
    ensure!(stream.read(&mut [0; 200])? > 0, "no answer");
    Ok(())
}

/// The next request comes when the server has closed its side, and reads on. No RST is sent, but
/// the request is lost all the same.
fn lingering(world: &World) -> anyhow::Result<()> {
    let (_server, to, mut agent) = watched(world, &threaded(LINGERS))?;
    let mut streams =
        (0..CLIENTS).map(|_| Ok(TcpStream::connect(to)?)).collect::<anyhow::Result<Vec<_>>>()?;
    streams.iter_mut().try_for_each(asks)?;
    thread::sleep(Duration::from_millis(900));
    for stream in &mut streams {
        stream.write_all(&REQUEST)?;
        ensure!(stream.read(&mut [0; 200])? == 0, "the server has closed");
    }
    let finding = agent.await_finding("keepalive-race")?;
    drop(streams);
    let ended = ended(agent, CLIENTS)?;
    ensure!(finding["owner"] == "app" && !finding["text"].to_string().contains("RST"), "{finding}");
    let late = ended.of("connection").filter(|one| one["close"]["why"] == "late_request");
    let resets = &ended.summary()?["resets"];
    ensure!(
        late.count() == CLIENTS && number(resets, "/late_requests") == Some(CLIENTS as u64),
        "{resets}"
    );
    ensure!(number(resets, "/sent") == Some(0), "no RST: {resets}");
    ensure!(exchanges(&ended).len() == CLIENTS, "what was lost is no exchange");
    Ok(())
}

/// The twin: clients that see the close, and close, too.
fn lingering_twin(world: &World) -> anyhow::Result<()> {
    let (_server, to, agent) = watched(world, &threaded(LINGERS))?;
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(to)?;
        asks(&mut stream)?;
        ensure!(stream.read(&mut [0; 200])? == 0, "the server has closed");
    }
    let ended = ended(agent, CLIENTS)?;
    ensure!(ended.of("connection").all(|one| one["close"]["why"].is_null()), "nothing came late");
    ended.check_no_finding("keepalive-race")
}

/// The server answers, and never reads the next request. Each is reported while it waits, and once.
fn behind_an_answer(world: &World) -> anyhow::Result<()> {
    let (_server, to, mut agent) = watched(world, KEEPS)?;
    let mut stream = TcpStream::connect(to)?;
    asks(&mut stream)?;
    thread::sleep(Duration::from_millis(100));
    stream.write_all(&REQUEST)?;
    let finding = agent.await_finding("slow-reader")?;
    ensure!(number(&finding, "/evidence/unread_now") == Some(1), "{finding}");
    agent.await_object("the answer", |object| is(object, "exchange"))?;
    let ended = agent.stop()?;
    let told = exchanges(&ended);
    ensure!(told.len() == 1 && number(told[0], "/total_us") < Some(500_000), "{told:?}");
    Ok(())
}

/// Clients reset connections that the server keeps, with a request behind the answer.
fn kept_after_reset(world: &World) -> anyhow::Result<()> {
    let (_server, to, mut agent) = watched(world, KEEPS)?;
    for _ in 0..CLIENTS {
        let mut stream = TcpStream::connect(to)?;
        asks(&mut stream)?;
        stream.write_all(&REQUEST)?;
        thread::sleep(PATIENCE);
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    let seen = Cell::new(0);
    agent.await_object("two exchanges of each", |object| {
        seen.set(seen.get() + usize::from(is(object, "exchange")));
        seen.get() >= 2 * CLIENTS
    })?;
    let ended = agent.stop()?;
    let told = exchanges(&ended);
    let cut = told.iter().filter(|one| one["unanswered"] == true && one["seq"] == 2).count();
    ensure!(told.len() == 2 * CLIENTS && cut == CLIENTS, "an answer and a request each: {told:?}");
    for exchange in told.iter().filter(|one| one["seq"] == 2) {
        let unread_us = spent_us(exchange, &["receive_queue"]);
        ensure!((250_000..600_000).contains(&unread_us), "until the client left: {exchange}");
    }
    Ok(())
}

//! Servers that do not accept, because one client holds them, or because they are at a limit of
//! their own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::cases::native;
use crate::harness::json::{Value, finds, number, sees};
use crate::harness::{Agent, Case, Process, World, connect, skip};

pub(super) const CASES: &[Case] = &[
    native("held::by_a_client_that_is_silent", silent),
    native("held::by_a_client_that_was_answered", answered),
    native("held::by_work_is_no_client", works),
    native("held::at_a_limit_of_its_own", at_limit).alone(),
];

/// Returns a server that serves one connection at a time, to its end. It runs `sleep` for each
/// request.
fn one_at_a_time(sleep: &str) -> String {
    format!(
        "
import socket, time
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    while client.recv(1000):
        time.sleep({sleep})
        client.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n')
    client.close()
"
    )
}

fn python(world: &World, script: &str) -> anyhow::Result<(Process, SocketAddr)> {
    let mut command = Command::new("python3");
    command.args(["-c", script]);
    let server = Process::start(command)?;
    let port = server.next_line(Instant::now() + world.patience())?.context("the server ended")?;
    Ok((server, SocketAddr::from(([127, 0, 0, 1], port.trim().parse()?))))
}

fn ask(stream: &mut TcpStream) -> anyhow::Result<()> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    ensure!(stream.read(&mut [0; 200])? > 0, "no answer");
    Ok(())
}

/// Waits for the finding on a server that accepts nothing though connections wait.
fn stalled(agent: &mut Agent) -> anyhow::Result<Value> {
    agent.await_object("nothing accepted", |object| {
        finds(object, "accept-starved")
            && number(object, "/evidence/stalled_us").is_some_and(|us| us >= 1_000_000)
    })
}

/// One client sends nothing more while others wait: after a request, or without any.
fn watched(world: &World, sleep: &str, asks: bool) -> anyhow::Result<Option<(Value, SocketAddr)>> {
    let (server, to) = python(world, &one_at_a_time(sleep))?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    if !sees(agent.objects(), "connection_end") {
        agent.stop()?;
        return Ok(None);
    }
    let mut first = TcpStream::connect(to)?;
    if asks {
        ask(&mut first)?;
    }
    agent.await_accepted(to.port(), 1)?;
    let others: Vec<_> = (0..3).map(|_| connect(to)).collect::<anyhow::Result<_>>()?;
    let told = stalled(&mut agent)?;
    let peer = first.local_addr()?;
    drop((first, others));
    agent.stop()?;
    Ok(Some((told, peer)))
}

fn silent(world: &World) -> anyhow::Result<()> {
    let Some((told, peer)) = watched(world, "0", false)? else {
        return skip("this kernel shows no connections");
    };
    let text = told["text"].to_string();
    ensure!(text.contains(&format!("from {peer}, has sent nothing yet")), "who holds it: {told}");
    ensure!(
        told["owner"] == "app" && told["fix"].to_string().contains("hold the accepting thread"),
        "{told}"
    );
    Ok(())
}

fn answered(world: &World) -> anyhow::Result<()> {
    let Some((told, peer)) = watched(world, "0", true)? else {
        return skip("this kernel shows no connections");
    };
    let text = told["text"].to_string();
    ensure!(
        text.contains(&format!("from {peer}, has sent nothing since it was answered")),
        "who holds it: {told}"
    );
    Ok(())
}

/// The healthy twin: the thread works on a request, so no client is to blame.
fn works(world: &World) -> anyhow::Result<()> {
    let (server, to) = python(world, &one_at_a_time("5"))?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let mut first = TcpStream::connect(to)?;
    first.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    agent.await_accepted(to.port(), 1)?;
    let _others: Vec<_> = (0..3).map(|_| connect(to)).collect::<anyhow::Result<_>>()?;
    let told = stalled(&mut agent)?;
    ensure!(
        !told["text"].to_string().contains("has sent nothing"),
        "it sleeps in its work: {told}"
    );
    agent.stop().map(drop)
}

/// A server that takes its listener out of epoll while it has two clients, and serves each for some
/// time. It accepts often enough never to look stalled.
fn at_limit(world: &World) -> anyhow::Result<()> {
    const SERVER: &str = "
import select, socket, time
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
listener.setblocking(False)
epoll = select.epoll()
epoll.register(listener, select.EPOLLIN)
print(listener.getsockname()[1], flush=True)
clients, listens = [], True
while True:
    epoll.poll(0.05)
    while listens and len(clients) < 2:
        try:
            clients.append((listener.accept()[0], time.monotonic()))
        except BlockingIOError:
            break
    for client in [client for client in clients if time.monotonic() - client[1] > 0.7]:
        client[0].recv(1000)
        client[0].sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n')
        client[0].close()
        clients.remove(client)
    wants = len(clients) < 2
    if wants != listens:
        epoll.register(listener, select.EPOLLIN) if wants else epoll.unregister(listener)
        listens = wants
";
    let (server, to) = python(world, SERVER)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = TcpStream::connect(to)?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            Ok(stream)
        })
        .collect::<anyhow::Result<_>>()?;
    let told = agent.await_object("the limit", |object| {
        finds(object, "accept-starved") && object["fix"].to_string().contains("connection limit")
    })?;
    ensure!(told["owner"] == "app", "{told}");
    let text = told["text"].to_string();
    ensure!(
        text.contains("does not ask for connections")
            || text.contains("did not ask for connections"),
        "{told}"
    );
    drop(clients);
    std::thread::sleep(Duration::from_millis(100));
    agent.stop().map(drop)
}

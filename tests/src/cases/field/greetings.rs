//! Servers that speak first, as in SMTP, FTP and SSH.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::cases::native;
use crate::harness::json::{finds, number, sees};
use crate::harness::{Case, Ended, Process, World, skip};

pub(super) const CASES: &[Case] = &[
    native("greetings::late", late).alone(),
    native("greetings::late_over_ipv6", late_over_ipv6).alone(),
    native("greetings::prompt_and_feeds_are_silent", prompt),
];

/// Starts a server on `::1` or `127.0.0.1` that greets after so long, and answers each line with
/// the same text.
fn server(world: &World, host: &str, after: &str) -> anyhow::Result<(Process, SocketAddr)> {
    let script = format!(
        "
import socket, threading, time
family = socket.AF_INET6 if ':' in '{host}' else socket.AF_INET
listener = socket.create_server(('{host}', 0), family=family, backlog=64)
print(listener.getsockname()[1], flush=True)
def serve(client):
    time.sleep({after})
    client.sendall(b'220 hello\\r\\n')
    while client.recv(100):
        client.sendall(b'250 well\\r\\n')
    client.close()
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"
    );
    let mut command = Command::new("python3");
    command.args(["-c", &script]);
    let server = Process::start(command)?;
    let port = server.next_line(Instant::now() + world.patience())?.context("the server ended")?;
    Ok((server, SocketAddr::new(host.parse()?, port.trim().parse()?)))
}

/// Waits for the greeting, and sends so many lines. Returns how long the client waited for the
/// greeting.
fn talk(to: SocketAddr, lines: usize) -> anyhow::Result<Duration> {
    // Begins before connect: the server may accept before the client's call returns.
    let begin = Instant::now();
    let mut stream = TcpStream::connect(to)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let waited = begin.elapsed();
    for _ in 0..lines {
        stream.write_all(b"NOOP\r\n")?;
        reader.read_line(&mut line)?;
    }
    Ok(waited)
}

fn late(world: &World) -> anyhow::Result<()> {
    greets_late(world, "127.0.0.1")
}

fn late_over_ipv6(world: &World) -> anyhow::Result<()> {
    if TcpStream::connect("[::1]:1")
        .is_err_and(|error| error.kind() != std::io::ErrorKind::ConnectionRefused)
    {
        return skip("no IPv6 here");
    }
    greets_late(world, "::1")
}

fn greets_late(world: &World, host: &str) -> anyhow::Result<()> {
    let (server, to) = server(world, host, "0.4")?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    if !sees(agent.objects(), "connection_end") {
        return skip("this kernel shows no connections");
    }
    let waited: Vec<_> = (0..4).map(|_| talk(to, 2)).collect::<anyhow::Result<_>>()?;
    let told = agent.await_object("late greetings", |object| {
        finds(object, "slow-app")
            && number(object, "/evidence/greetings").is_some_and(|greetings| greetings >= 3)
    })?;
    agent.stop()?;
    ensure!(told["owner"] == "app" && told["severity"] == "warning", "{told}");
    let headline = told["headline"].to_string();
    ensure!(headline.contains("to greet its clients"), "nobody had asked: {told}");
    ensure!(!told["text"].to_string().contains("last byte"), "there was no response: {told}");
    // Compares with the waits that the clients measured.
    let worst_us = number(&told, "/evidence/greeting_max_us").unwrap_or(0);
    let longest = waited.iter().max().context("clients")?.as_micros() as u64;
    // The server's write may return after the client has read the text.
    let room = 2_000;
    ensure!(worst_us >= 400_000 && worst_us <= longest + room, "{worst_us} of {longest}: {told}");
    Ok(())
}

/// The healthy twins: a server that greets at once, and one whose clients never send anything.
fn prompt(world: &World) -> anyhow::Result<()> {
    for (after, lines) in [("0", 2), ("0.4", 0)] {
        let (server, to) = server(world, "127.0.0.1", after)?;
        let mut agent = world.watch().pid(server.pid()).start()?;
        (0..4).try_for_each(|_| talk(to, lines).map(drop))?;
        agent.await_accepted(to.port(), 4)?;
        for _ in 0..2 {
            agent.await_refresh(to.port())?;
        }
        let ended: Ended = agent.stop()?;
        ended.check_no_finding("slow-app")?;
    }
    Ok(())
}

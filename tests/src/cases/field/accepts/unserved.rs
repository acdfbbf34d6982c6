//! Connections that are accepted and not served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::ensure;

use super::{address, python};
use crate::harness::json::{finds, number, sees};
use crate::harness::{World, converse, skip};

const CLOSES_AT_ONCE: &str = "
import socket
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    listener.accept()[0].close()
";

pub(super) fn closed_at_once(world: &World) -> anyhow::Result<()> {
    let (server, port) = python(world, CLOSES_AT_ONCE)?;
    let to = address(&port)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    if !sees(agent.objects(), "connection_end") {
        return skip("this kernel shows no connections");
    }
    for _ in 0..20 {
        // With a request or without, and closed or reset.
        converse(to)?;
        let _ = TcpStream::connect(to)?.read(&mut [0]);
    }
    let finding = agent.await_object("closed at once", |object| {
        finds(object, "closed-unserved") && object["severity"] == "warning"
    })?;
    ensure!(finding["owner"] == "app", "{finding}");
    ensure!(
        number(&finding, "/evidence/pid") == Some(server.pid().into()),
        "who closed them: {finding}"
    );
    agent.stop().map(drop)
}

/// A server that says why it closes, and reads nothing, as Redis does above its limit of clients.
/// The request has come already, or comes right behind the close.
pub(super) fn closed_with_reason(world: &World) -> anyhow::Result<()> {
    for (waits, pause) in [("select.select([client], [], [])", 0), ("pass", 30)] {
        let script = format!(
            "
import select, socket
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    {waits}
    client.sendall(b'-ERR max number of clients reached\\r\\n')
    client.close()
"
        );
        let (server, port) = python(world, &script)?;
        let to = address(&port)?;
        let mut agent = world.watch().pid(server.pid()).start()?;
        if !sees(agent.objects(), "connection_end")
            || pause > 0 && !sees(agent.objects(), "late_data")
        {
            return skip("this kernel does not show what comes behind a close");
        }
        // These clients do not wait for the server's text.
        for _ in 0..20 {
            let mut stream = TcpStream::connect(to)?;
            std::thread::sleep(Duration::from_millis(pause));
            let _ = stream.write_all(b"PING\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let finding = agent.await_object("closed at once", |object| {
            finds(object, "closed-unserved") && object["severity"] == "warning"
        })?;
        ensure!(finding["owner"] == "app", "{finding}");
        let told = number(&finding, "/evidence/written_to");
        ensure!(
            told.is_some_and(|told| told >= 3) && told == number(&finding, "/evidence/connections"),
            "{finding}"
        );
        agent.stop()?.check_no_finding("truncated-responses")?;
    }
    Ok(())
}

/// A server that speaks first, one that is asked and answers, and one whose clients leave on their
/// own.
pub(super) fn served(world: &World) -> anyhow::Result<()> {
    const GREETS: &str = "
import socket
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    client.sendall(b'220 hello\\r\\n')
    client.close()
";
    const WAITS: &str = "
import socket
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    if client.recv(100):
        client.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n')
    client.close()
";
    for (script, asks) in [(GREETS, true), (WAITS, true), (WAITS, false)] {
        let (server, port) = python(world, script)?;
        let to = address(&port)?;
        let mut agent = world.watch().pid(server.pid()).start()?;
        for _ in 0..20 {
            if asks && script == WAITS {
                converse(to)?;
            } else if asks {
                let mut greeting = String::new();
                TcpStream::connect(to)?.read_to_string(&mut greeting)?;
                ensure!(greeting.starts_with("220"), "no greeting");
            } else {
                TcpStream::connect(to)?;
            }
        }
        agent.await_accepted(to.port(), 20)?;
        agent.await_refresh(to.port())?;
        let ended = agent.stop()?;
        ended.check_no_finding("closed-unserved")?;
        ended.check_no_finding("abandoned")?;
    }
    Ok(())
}

//! Connections whose exchanges are not one request with its response at once: long polls, streams
//! of events, WebSocket, pipelined requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;

use anyhow::ensure;

use super::native;
use crate::harness::json::{Value, finds, number};
use crate::harness::ledger::{exchanges_of, is_connection};
use crate::harness::{Agent, Case, Process, World, net};
use crate::servers::{PORT, installed};

pub(super) const CASES: &[Case] = &[
    native("waiting::long_polls_are_not_slow", long_polls),
    native("waiting::events_and_messages_are_exchanges", streams),
    native("waiting::paths_and_pipelining", paths),
];

/// An event loop. On one path it has news each 1.6 s for all who ask. On another it streams events
/// 1.3 s apart. On a third a WebSocket answers each message, and sends one of its own later.
/// Anything else is answered at once.
const SERVER: &str = "
import asyncio, sys
news = asyncio.Condition()
async def tell():
    while True:
        await asyncio.sleep(1.6)
        async with news:
            news.notify_all()
async def serve(reader, writer):
    answer = b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok'
    try:
        while True:
            head = await reader.readuntil(b'\\r\\n\\r\\n')
            path = head.split(b' ')[1]
            if path == b'/poll':
                async with news:
                    await news.wait()
            if path == b'/events':
                writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n')
                for number in range(3):
                    writer.write(b'data: %d\\n\\n' % number)
                    await writer.drain()
                    await asyncio.sleep(1.3)
                break
            if path == b'/socket':
                writer.write(b'HTTP/1.1 101 Switching\\r\\n'
                             b'Upgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n')
                for _ in range(3):
                    writer.write(b'\\x81\\x02' + (await reader.readexactly(8))[:2])
                    await writer.drain()
                await asyncio.sleep(1.3)
                writer.write(b'\\x81\\x02by')
                await writer.drain()
                break
            writer.write(answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()
async def main():
    teller = asyncio.create_task(tell())
    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
";

fn start(world: &World) -> anyhow::Result<Process> {
    let mut python = Command::new(installed("python3")?);
    python.args(["-c", SERVER, &PORT.to_string()]);
    let server = Process::start(python)?;
    net::await_listening(PORT, world.patience())?;
    Ok(server)
}

fn server() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PORT).into()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn ended(agent: &mut Agent, port: u16) -> anyhow::Result<Value> {
    agent.await_object("end of the connection", |object| is_connection(object, "server", port))
}

/// Asks for that again and again on one connection.
fn ask(path: &str, times: u32) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(server())?;
    let mut reader = BufReader::new(stream.try_clone()?);
    for _ in 0..times {
        stream.write_all(get(path).as_bytes())?;
        while {
            let mut line = String::new();
            reader.read_line(&mut line)? > 2
        } {}
        reader.read_exact(&mut [0; 2])?;
    }
    Ok(())
}

fn long_polls(world: &World) -> anyhow::Result<()> {
    let server = start(world)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| ask("/poll", 3))).collect();
        clients.into_iter().try_for_each(|client| {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
        })
    })?;
    // Time for the verdicts, and for a finding to appear if there was one.
    agent.await_time(net::monotonic_ns() + 4_000_000_000)?;
    let ended = agent.stop()?;
    let is_long = |object: &&Value| {
        object["type"] == "exchange" && number(object, "/total_us") > Some(1_000_000)
    };
    ensure!(ended.objects.iter().filter(is_long).count() >= 8, "they did wait");
    let slow = ended.objects.iter().find(|object| finds(object, "slow-app"));
    ensure!(slow.is_none(), "{slow:?}");
    Ok(())
}

fn streams(world: &World) -> anyhow::Result<()> {
    let process = start(world)?;
    let mut agent = world.watch().pid(process.pid()).start()?;
    let mut events = TcpStream::connect(server())?;
    let mut socket = TcpStream::connect(server())?;
    let ports = [events.local_addr()?.port(), socket.local_addr()?.port()];
    events.write_all(get("/events").as_bytes())?;
    socket.write_all(get("/socket").as_bytes())?;
    let mut reader = BufReader::new(socket.try_clone()?);
    while {
        let mut line = String::new();
        reader.read_line(&mut line)? > 2
    } {}
    for _ in 0..3 {
        socket.write_all(b"\x81\x82\0\0\0\0hi")?;
        reader.read_exact(&mut [0; 4])?;
    }
    reader.read_to_end(&mut Vec::new())?;
    events.read_to_end(&mut Vec::new())?;
    for (port, protocol, expected) in [(ports[0], "sse", 3), (ports[1], "websocket", 5)] {
        let connection = ended(&mut agent, port)?;
        ensure!(connection["protocol"] == protocol, "{connection}");
        let exchanges = exchanges_of(agent.objects(), &connection);
        ensure!(
            exchanges.len() == expected,
            "{protocol}: {} exchanges: {exchanges:?}",
            exchanges.len()
        );
    }
    let ended = agent.stop()?;
    let slow = ended.objects.iter().find(|object| finds(object, "slow-app"));
    ensure!(slow.is_none(), "{slow:?}");
    Ok(())
}

fn paths(world: &World) -> anyhow::Result<()> {
    let process = start(world)?;
    for asked in [false, true] {
        let watch = world.watch().pid(process.pid());
        let watch = if asked { watch.args(["--paths"]) } else { watch };
        let mut agent = watch.start()?;
        let mut stream = TcpStream::connect(server())?;
        let port = stream.local_addr()?.port();
        let target = "http://user:secret@secret.test/orders;id=secret/7;secret?token=secret";
        stream.write_all(get(target).repeat(3).as_bytes())?;
        stream.read_exact(&mut [0; 3 * 40])?;
        drop(stream);
        let connection = ended(&mut agent, port)?;
        ensure!(
            connection["protocol"] == "http/1.1" && number(&connection, "/pipelined") == Some(3),
            "{connection}"
        );
        let first = connection.get("first_request");
        let expected = serde_json::json!({ "method": "GET", "path": "/orders/7" });
        ensure!(first == Some(&expected).filter(|_| asked), "{connection}");
        let exchanges = exchanges_of(agent.objects(), &connection);
        ensure!(exchanges.len() == 1, "one read takes all: {exchanges:?}");
        let all = agent.stop()?.objects.iter().map(Value::to_string).collect::<String>();
        ensure!(
            !all.contains("secret") && all.contains("orders") == asked,
            "no more than was asked for"
        );
    }
    Ok(())
}

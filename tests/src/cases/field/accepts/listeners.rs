//! Other listeners: on the same port, of Unix-domain sockets, of a group.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{address, check_silent, python};
use crate::harness::json::{Value, is, listens_on, number, sees};
use crate::harness::{Agent, World, connect, converse, skip};

/// Two processes listen on one port, each on a socket of its own; one is watched.
pub(super) fn another_socket(world: &World) -> anyhow::Result<()> {
    let script = |port: &str| {
        format!(
            "
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(('127.0.0.1', {port}))
listener.listen(16)
print(listener.getsockname()[1], flush=True)
sys.stdin.readline()
"
        )
    };
    let (watched, port) = python(world, &script("0"))?;
    let (other, _) = python(world, &script(&port))?;
    let to = address(&port)?;
    // Both sockets get some of them, and nobody accepts them.
    let _clients: Vec<_> = (0..16).map(|_| connect(to)).collect::<anyhow::Result<_>>()?;
    let mut agent = world.watch().pid(watched.pid()).start()?;
    let listener = agent
        .await_listener(to.port(), "another socket", |listener| listener["others"].is_array())?;
    let others = listener["others"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(
        others.len() == 1 && number(&others[0], "/pid") == Some(other.pid().into()),
        "its holder: {listener}"
    );
    let queues = number(&listener, "/accept_depth").zip(number(&others[0], "/accept_depth"));
    ensure!(
        queues.is_some_and(|(here, there)| here + there == 16),
        "16 wait in both queues: {listener}"
    );
    ensure!(number(&others[0], "/limit") == Some(16), "{listener}");
    agent.stop()?;
    let mut command = world.agent_command(&["watch", "--plain", "--duration", "1s", "--pid"]);
    let text = String::from_utf8(command.arg(watched.pid().to_string()).output()?.stdout)?;
    let note = text.lines().find(|line| line.contains("is not watched")).context("no note")?;
    ensure!(note.contains(&format!("python3 {}", other.pid())), "the holder is named: {note}");
    // A watch of the port watches both, so there is no other listener.
    let mut agent = world.watch().args(["--port", &port]).start()?;
    agent.await_refresh(to.port())?;
    let ended = agent.stop()?;
    ensure!(
        ended.of("listener").all(|listener| listener.get("others").is_none()),
        "both are watched"
    );
    Ok(())
}

pub(super) fn unix_listeners(world: &World) -> anyhow::Result<()> {
    const SERVER: &str = "
import os, socket, sys, tempfile
path = os.path.join(tempfile.mkdtemp(), 'web app.sock')
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(4)
hidden = socket.socket(socket.AF_UNIX)
hidden.bind('\\0' + str(os.getpid()))
hidden.listen(7)
print(path, flush=True)
sys.stdin.readline()
while True:
    listener.accept()
";
    let (mut server, path) = python(world, SERVER)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let of = |object: &Value, name: &str| is(object, "listener") && object["path"] == name;
    let hidden = format!("@{}", server.pid());
    let object = agent.await_object("the hidden one", |object| of(object, &hidden))?;
    ensure!(
        number(&object, "/limit") == Some(7) && number(&object, "/accept_depth") == Some(0),
        "{object}"
    );
    // The kernel refuses only above the limit, so five find room.
    let clients: Vec<_> = (0..5).map(|_| UnixStream::connect(&path)).collect::<Result<_, _>>()?;
    let refused = try_connect(&path)?;
    ensure!(refused == Some(libc::EAGAIN), "the sixth finds it full: {refused:?}");
    let full = agent
        .await_object("5 that wait", |object| of(object, &path) && object["accept_depth"] == 5)?;
    ensure!(full["family"] == "unix" && full["local"] == format!("unix:{path}"), "{full}");
    ensure!(
        number(&full, "/limit") == Some(4) && number(&full, "/pid") == Some(server.pid().into()),
        "{full}"
    );
    let mut command = world.agent_command(&["listeners", "--pid", &server.pid().to_string()]);
    let text = String::from_utf8(command.output()?.stdout)?;
    let row = text
        .lines()
        .find(|line| line.contains(&path))
        .with_context(|| format!("no row: {text}"))?;
    ensure!(
        row.contains("5 full") && row.contains(&server.pid().to_string()),
        "depth and holder: {row}"
    );
    server.write_line("accept")?;
    agent.await_object("none that waits", |object| {
        of(object, &path)
            && object["accept_depth"] == 0
            && number(object, "/ts_ns") > number(&full, "/ts_ns")
    })?;
    drop(clients);
    let ended = agent.stop()?;
    check_silent(&ended)?;
    ensure!(
        number(ended.summary()?, "/listeners") == Some(0),
        "listeners of TCP: {}",
        ended.summary()?
    );
    Ok(())
}

/// Connects without waiting: the error, if there is one.
fn try_connect(path: &str) -> anyhow::Result<Option<i32>> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket.connect(&socket2::SockAddr::unix(path)?).err().and_then(|error| error.raw_os_error()))
}

/// A member of a SO_REUSEPORT group ends; the other goes on, and accepts alone.
pub(super) fn member_ends(world: &World) -> anyhow::Result<()> {
    let script = |port: &str| {
        format!(
            "
import socket
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(('127.0.0.1', {port}))
listener.listen(64)
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    if client.recv(100):
        client.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n')
    client.close()
"
        )
    };
    let (_stays, port) = python(world, &script("0"))?;
    let (mut ends, _) = python(world, &script(&port))?;
    let to = address(&port)?;
    let mut agent = world.watch().args(["--port", &port]).start()?;
    if !sees(agent.objects(), "connection_end") {
        return skip("this kernel shows no connections");
    }
    ask_until(&mut agent, to, |object| {
        is(object, "pattern") && object["name"] == "socket-sharding"
    })?;
    ends.finish();
    agent.await_object("its end", |object| {
        listens_on(object, to.port()) && object["closed"] == true
    })?;
    ask_until(&mut agent, to, |object| is(object, "pattern") && object["name"] == "single-thread")?;
    let ended = agent.stop()?;
    for pattern in ended.of("pattern") {
        ensure!(
            pattern["name"] != "multiple-acceptors",
            "there never were several on one listener: {pattern}"
        );
    }
    let last = ended.of("pattern").last().context("no pattern")?;
    ensure!(last["name"] == "single-thread", "at the end: {last}");
    Ok(())
}

/// Asks the server again and again, until such an object comes.
fn ask_until(
    agent: &mut Agent,
    to: SocketAddr,
    wanted: impl Fn(&Value) -> bool,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let begin = agent.objects().len();
    while !agent.arrived()?[begin..].iter().any(&wanted) {
        ensure!(
            Instant::now() < deadline,
            "not told: {:?}",
            agent.objects().iter().rfind(|one| is(one, "pattern"))
        );
        for _ in 0..5 {
            converse(to)?;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

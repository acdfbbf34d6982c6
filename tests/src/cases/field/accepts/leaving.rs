//! Connections that leave the queue, or are in it when its listener ends.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{address, check_silent, python};
use crate::harness::json::{finds, listens_on, number, sees};
use crate::harness::{Ended, World, connect, skip};

/// Returns a figure of the connections that left the queue, from the last `listener` object.
fn left(ended: &Ended, port: u16, figure: &str) -> anyhow::Result<Option<u64>> {
    Ok(number(ended.listener(port)?, &format!("/left_queue/{figure}")))
}

pub(super) fn clients_give_up(world: &World) -> anyhow::Result<()> {
    // Clients that connect and close at once: the server that serves is the twin, the other is
    // late.
    let twin = world.demo(&["serve"])?;
    let mut agent = world.watch_queues().pid(twin.pid()).start()?;
    for _ in 0..30 {
        TcpStream::connect(twin.addr)?;
    }
    agent.await_accepted(twin.addr.port(), 30)?;
    let ended = agent.stop()?;
    // An emulated server is itself late for one or two.
    let truly_late = world.vm
        && ended.of("finding").all(|finding| number(finding, "/evidence/gave_up") < Some(3));
    ensure!(truly_late || check_silent(&ended).is_ok(), "{:?}", check_silent(&ended));

    let demo = world.demo(&["never-accept", "--backlog", "20"])?;
    let port = demo.addr.port();
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    for _ in 0..5 {
        TcpStream::connect(demo.addr)?;
    }
    let soon = agent.await_listener(port, "5 that left", |listener| {
        number(listener, "/left_queue/peer_closed") == Some(5)
    })?;
    // An emulated client is itself late.
    let late = number(&soon, "/left_queue/late");
    ensure!(world.vm || late <= Some(1), "they left at once: {soon}");
    let patient: Vec<_> =
        (0..4).map(|_| TcpStream::connect(demo.addr)).collect::<Result<_, _>>()?;
    let resetting = (0..3).map(|_| connect(demo.addr)).collect::<anyhow::Result<Vec<_>>>()?;
    agent.await_listener(port, "7 that wait", |listener| {
        number(listener, "/accept_depth") == Some(12)
    })?;
    std::thread::sleep(Duration::from_millis(100));
    drop(patient);
    drop(resetting);
    let finding = agent.await_object("gave up", |object| {
        finds(object, "abandoned") && object["severity"] == "warning"
    })?;
    ensure!(finding["owner"] == "app", "{finding}");
    agent.await_refresh(port)?;
    let ended = agent.stop()?;
    let figures = [left(&ended, port, "peer_closed")?, left(&ended, port, "peer_reset")?];
    ensure!(figures == [Some(9), Some(3)], "9 closed, 3 reset: {figures:?}");
    ensure!(left(&ended, port, "late")? >= Some(7), "7 had waited: {}", ended.listener(port)?);
    ensure!(left(&ended, port, "reset_by_close")? == Some(0), "the listener is open");
    Ok(())
}

pub(super) fn closes_with_queue(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo(&["never-accept", "--backlog", "20"])?;
    let port = demo.addr.port();
    // A watch of the port goes on when the server has ended.
    let mut agent = world.watch_queues().args(["--port", &port.to_string()]).start()?;
    let mut clients: Vec<_> =
        (0..6).map(|_| TcpStream::connect(demo.addr)).collect::<Result<_, _>>()?;
    drop(clients.pop());
    agent.await_listener(port, "6 that wait, one gone", |listener| {
        number(listener, "/left_queue/peer_closed") == Some(1)
            && number(listener, "/accept_depth") == Some(6)
    })?;
    demo.signal(libc::SIGKILL);
    demo.await_end()?;
    // The truth: each client that was there got a reset.
    for client in &mut clients {
        client.set_read_timeout(Some(Duration::from_secs(10)))?;
        let error = client.read(&mut [0]).err().context("no reset")?;
        ensure!(error.raw_os_error() == Some(libc::ECONNRESET), "{error}");
    }
    let finding = agent.await_finding("abandoned")?;
    ensure!(number(&finding, "/evidence/reset_by_close") == Some(5), "5 were reset: {finding}");
    let ended = agent.stop()?;
    let listener = ended.listener(port)?;
    ensure!(
        listener["closed"] == true && number(listener, "/abandoned") == Some(6),
        "6 left unaccepted: {listener}"
    );
    Ok(())
}

/// A server is killed with open connections, and with some in its queue. A watch of the port is not
/// told of its end.
pub(super) fn killed(world: &World) -> anyhow::Result<()> {
    const SERVER: &str = "
import socket, time
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
kept = [listener.accept() for _ in range(5)]
print('taken', flush=True)
time.sleep(100)
";
    let (server, port) = python(world, SERVER)?;
    let to = address(&port)?;
    let mut agent = world.watch().args(["--port", &port]).start()?;
    if !sees(agent.objects(), "connection_end") {
        return skip("this kernel shows no connections");
    }
    let mut clients: Vec<_> = (0..8).map(|_| TcpStream::connect(to)).collect::<Result<_, _>>()?;
    server.next_line(Instant::now() + world.patience())?.context("the server ended")?;
    server.signal(libc::SIGKILL);
    // The truth: the end of the process is that of each connection.
    for client in &mut clients {
        let _ = client.read(&mut [0]);
    }
    agent.await_object("its end", |object| {
        listens_on(object, to.port()) && object["closed"] == true
    })?;
    std::thread::sleep(Duration::from_secs(2));
    let ended = agent.stop()?;
    ended.check_no_finding("closed-unserved")?;
    ensure!(ended.of("connection").count() >= 5, "they were seen");
    Ok(())
}

//! Real servers, each started before the agent, and by the agent.

use std::process::Command;

use anyhow::ensure;

use super::native;
use crate::harness::json::{number, sees};
use crate::harness::{Agent, Case, Process, World, connect, connect_nonblocking, net};
use crate::servers::{PORT, Server, installed};

pub(super) const CASES: &[Case] = &[
    native("server::python_http", python_http),
    native("server::nginx", |world| real(world, "nginx")),
    native("server::redis", |world| real(world, "redis")),
    native("server::python_never_accepts", python_never_accepts),
];

/// Watches a server that was started before the agent, and one that the agent starts: five
/// connections, five accepts.
fn serves(world: &World, command: &Command) -> anyhow::Result<()> {
    {
        let mut server = Command::new(command.get_program());
        server.args(command.get_args());
        let server = Process::start(server)?;
        net::await_listening(PORT, world.patience())?;
        let mut agent = world.watch().pid(server.pid()).start()?;
        five_connections(&mut agent)?;
        agent.stop()?;
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut agent = world.watch().command(words).start()?;
    net::await_listening(PORT, world.patience())?;
    five_connections(&mut agent)?;
    let listener = agent.await_refresh(PORT)?;
    ensure!(listener["backlog"].is_u64(), "listen(2) was in view: {listener}");
    agent.stop().map(drop)
}

fn five_connections(agent: &mut Agent) -> anyhow::Result<()> {
    for _ in 0..5 {
        connect(([127, 0, 0, 1], PORT).into())?;
    }
    let listener = agent.await_accepted(PORT, 5)?;
    ensure!(number(&listener, "/accepted") == Some(5), "five connections: {listener}");
    let known =
        !sees(agent.objects(), "queued") || number(&listener, "/accept_wait_us/count") == Some(5);
    ensure!(known, "five known waits: {listener}");
    Ok(())
}

fn python_http(world: &World) -> anyhow::Result<()> {
    let mut python = Command::new(installed("python3")?);
    serves(world, python.args(["-m", "http.server", "--bind", "127.0.0.1"]).arg(PORT.to_string()))
}

fn real(world: &World, name: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    serves(world, &Server::named(name)?.command(folder.path())?)
}

fn python_never_accepts(world: &World) -> anyhow::Result<()> {
    let program = installed("python3")?;
    let script = format!(
        "import socket,signal; s=socket.socket(); \
         s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind(('127.0.0.1',{PORT})); \
         s.listen(2); signal.pause()"
    );
    {
        let mut python = Command::new(&program);
        python.args(["-c", &script]);
        let server = Process::start(python)?;
        net::await_listening(PORT, world.patience())?;
        let mut agent = world.watch().pid(server.pid()).start()?;
        overflowing(&mut agent)?;
        agent.stop()?;
    }
    let mut agent = world.watch().command(["python3", "-c", &script]).start()?;
    net::await_listening(PORT, world.patience())?;
    overflowing(&mut agent)?;
    agent.stop().map(drop)
}

fn overflowing(agent: &mut Agent) -> anyhow::Result<()> {
    let _clients = connect_nonblocking(([127, 0, 0, 1], PORT).into(), 10)?;
    agent.await_listener(PORT, "a full queue", |listener| {
        number(listener, "/accept_depth") == Some(3) && number(listener, "/limit") == Some(2)
    })?;
    agent.await_finding("accept-queue-overflow").map(drop)
}

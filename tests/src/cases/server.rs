//! Real servers, each started before the agent and by it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;

use super::native;
use crate::harness::json::{number, sees};
use crate::harness::{Agent, Case, Process, World, connect, connect_nonblocking, net, skip};

pub(super) const CASES: &[Case] = &[
    native("server::python_http", python_http),
    native("server::nginx", nginx),
    native("server::redis", redis),
    native("server::python_never_accepts", python_never_accepts),
];

pub(super) const PORT: u16 = 7100;

pub(super) fn check_installed(program: &str) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|dir| dir.join(program).is_file());
    if found { Ok(()) } else { skip(format!("{program} is not installed")) }
}

/// Watches the server started before the agent, then started by it: five connections, five accepts.
fn serves(world: &World, command: &str) -> anyhow::Result<()> {
    let shell = ["sh".into(), "-c".into(), format!("exec {command}")];
    {
        let mut server = Command::new(&shell[0]);
        server.args(&shell[1..]);
        let server = Process::start(server)?;
        net::await_listening(PORT, world.patience())?;
        let mut agent = world.watch().pid(server.pid()).start()?;
        five_connections(&mut agent)?;
        agent.stop()?;
    }
    let mut agent = world.watch().command(&shell).start()?;
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
    let known = !sees(agent.objects(), "queued") || number(&listener, "/accept_wait_us/count") == Some(5);
    ensure!(known, "five known waits: {listener}");
    Ok(())
}

fn python_http(world: &World) -> anyhow::Result<()> {
    check_installed("python3")?;
    serves(world, &format!("python3 -m http.server --bind 127.0.0.1 {PORT}"))
}

fn nginx(world: &World) -> anyhow::Result<()> {
    check_installed("nginx")?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("nginx.conf");
    fs::write(&config, nginx_config(folder.path()))?;
    serves(world, &format!("nginx -p {} -c {}", folder.path().display(), config.display()))
}

pub(super) fn nginx_config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "daemon off; user root; worker_processes 2; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
         server {{ listen 127.0.0.1:{PORT}; return 200 'ok'; }} }}\n"
    )
}

fn redis(world: &World) -> anyhow::Result<()> {
    check_installed("redis-server")?;
    serves(world, &format!("redis-server --port {PORT} --bind 127.0.0.1 --save '' --appendonly no"))
}

fn python_never_accepts(world: &World) -> anyhow::Result<()> {
    check_installed("python3")?;
    let script = format!(
        "import socket,signal; s=socket.socket(); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); \
         s.bind(('127.0.0.1',{PORT})); s.listen(2); signal.pause()"
    );
    {
        let mut python = Command::new("python3");
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

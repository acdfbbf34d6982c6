//! One cause with several symptoms: workers that are used up, alone and behind a proxy.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::cases::native;
use crate::harness::json::{Value, finds, is, number};
use crate::harness::{Agent, Case, Ended, Process, World, connect, net};
use crate::servers::{PORT, apps, installed};

pub(super) const CASES: &[Case] = &[
    native("chain::used_up_workers_are_the_root", used_up),
    native("chain::enough_workers_have_no_chain", enough),
    native("chain::a_burst_is_not_the_answers_fault", burst),
    native("chain::slow_answers_without_a_queue_explain_nothing", slow_without_queue),
    native("chain::behind_nginx_the_upstream_is_the_root", behind_nginx),
    native("chain::a_healthy_upstream_behind_nginx_has_no_chain", healthy_behind_nginx),
];

/// Clients of a case, and the time that an answer takes, ms.
const MANY: usize = 48;
const FEW: usize = 2;
const SLOW_MS: u64 = 250;
const QUICK_MS: u64 = 5;
/// A client waits no longer than this for an answer.
const PATIENCE: Duration = Duration::from_secs(6);
const BACKLOG: u32 = 16;

/// Starts the server with two workers.
fn gunicorn(world: &World, folder: &Path, port: u16) -> anyhow::Result<Process> {
    let server = Process::start(apps::gunicorn_sync(folder, port, BACKLOG)?)?;
    net::await_listening(port, world.patience())?;
    // It listens before its workers are there, and a request waits for them.
    ask(port, 0)?;
    Ok(server)
}

/// One request on a connection of its own.
fn ask(port: u16, ms: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&local(port), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET /sleep?ms={ms} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "no answer");
    Ok(())
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Runs so many clients, each of which asks again and again, while `watch` runs. A client rests
/// for `pause` in between.
fn under_load<T>(
    port: u16,
    clients: usize,
    ms: u64,
    pause: Duration,
    watch: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Some are refused: that is what the case is about.
                    ask(port, ms).ok();
                    // This is the rate of the clients.
                    thread::sleep(pause);
                }
            });
        }
        let watched = watch();
        over.store(true, Ordering::Relaxed);
        watched
    })
}

fn port_of(finding: &Value) -> Option<u16> {
    finding["subject"].as_str()?.rsplit_once(':')?.1.parse().ok()
}

fn is_at(finding: &Value, kind: &str, port: u16) -> bool {
    finds(finding, kind) && finding["state"] != "ended" && port_of(finding) == Some(port)
}

/// The cause that a finding names: its kind and its listener.
fn cause(finding: &Value) -> Option<(String, String)> {
    let by = &finding["explained_by"];
    Some((by["kind"].as_str()?.to_owned(), by["subject"].as_str()?.to_owned()))
}

/// Waits until a finding of this kind on this port names its cause.
fn await_cause(agent: &mut Agent, kind: &str, port: u16) -> anyhow::Result<Value> {
    agent.await_object(&format!("{kind} with its cause"), |object| {
        is_at(object, kind, port) && cause(object).is_some()
    })
}

/// Checks that the root is the two workers, whose figures are known.
fn check_root(root: &Value) -> anyhow::Result<()> {
    ensure!(root["explained_by"].is_null() && root["owner"] == "app", "{root}");
    ensure!(number(root, "/evidence/workers") == Some(2), "two workers: {root}");
    let hold_us = number(root, "/evidence/hold_mean_us").context("no time")?;
    ensure!((SLOW_MS * 1_000..400_000).contains(&hold_us), "each holds one for 250 ms: {root}");
    let capacity = root.pointer("/evidence/capacity_per_second").and_then(Value::as_f64);
    let capacity = capacity.context("no capacity")?;
    ensure!((5.0..=8.0).contains(&capacity), "two in 250 ms are eight a second: {root}");
    let (headline, fix) = (root["headline"].to_string(), root["fix"].to_string());
    ensure!(headline.contains("2 workers serve one connection at a time"), "{root}");
    ensure!(fix.contains("run more workers") && fix.contains("answer sooner"), "{root}");
    Ok(())
}

/// No finding advises a thread for accept() to workers that block, or names what is not there.
fn check_fixes(ended: &Ended) -> anyhow::Result<()> {
    for finding in ended.of("finding").filter(|finding| finding["kind"] == "accept-starved") {
        let fix = finding["fix"].to_string();
        ensure!(!fix.contains("own thread") && !fix.contains("thread of its own"), "{finding}");
    }
    Ok(())
}

fn no_links(ended: &Ended) -> anyhow::Result<()> {
    for finding in ended.of("finding") {
        ensure!(finding["explained_by"].is_null(), "it follows from nothing: {finding}");
    }
    Ok(())
}

fn no_fault(ended: &Ended) -> anyhow::Result<()> {
    for finding in ended.of("finding") {
        let is_refused = ["accept-queue-overflow", "accept-starved", "slow-app", "connect-fails"]
            .iter()
            .any(|kind| finding["kind"] == *kind);
        ensure!(!is_refused || finding["severity"] == "info", "it is healthy: {finding}");
    }
    no_links(ended)
}

fn used_up(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = gunicorn(world, folder.path(), PORT)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let (root, overflow) = under_load(PORT, MANY, SLOW_MS, Duration::ZERO, || {
        let root = agent.await_object("the arithmetic", |object| {
            is_at(object, "slow-app", PORT) && number(object, "/evidence/workers").is_some()
        })?;
        let starved = await_cause(&mut agent, "accept-starved", PORT)?;
        let by = cause(&starved).map(|(kind, _)| kind);
        ensure!(by.as_deref() == Some("slow-app"), "{starved}");
        Ok((root, await_cause(&mut agent, "accept-queue-overflow", PORT)?))
    })?;
    check_root(&root)?;
    let by = cause(&overflow).map(|(kind, _)| kind);
    ensure!(by.as_deref() == Some("accept-starved"), "{overflow}");
    let ended = agent.stop()?;
    check_fixes(&ended)
}

/// The healthy twin: two workers that answer in five milliseconds, and two clients.
fn enough(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = gunicorn(world, folder.path(), PORT)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    under_load(PORT, FEW, QUICK_MS, Duration::from_millis(50), || {
        agent.await_accepted(PORT, 60).map(drop)
    })?;
    no_fault(&agent.stop()?)
}

/// Quick workers and a burst that their queue has no room for: answers are no cause.
fn burst(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = gunicorn(world, folder.path(), PORT)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let deadline = Instant::now() + world.patience();
    let overflow = loop {
        let clients: Vec<_> = (0..64).map(|_| thread::spawn(|| ask(PORT, 1))).collect();
        for client in clients {
            client.join().ok();
        }
        agent.await_refresh(PORT)?;
        let found = |object: &&Value| is_at(object, "accept-queue-overflow", PORT);
        if let Some(overflow) = agent.objects().iter().find(found) {
            break overflow.clone();
        }
        ensure!(Instant::now() < deadline, "no burst was too large");
    };
    // Where processors are short, the burst waits long for quick workers as well.
    let by = cause(&overflow).map(|(kind, _)| kind);
    ensure!(by.is_none_or(|kind| kind == "accept-starved"), "{overflow}");
    let ended = agent.stop()?;
    let by_answers =
        |finding: &&Value| matches!(cause(finding), Some((kind, _)) if kind == "slow-app");
    match ended.of("finding").find(by_answers) {
        Some(finding) => anyhow::bail!("answers take a millisecond: {finding}"),
        None => Ok(()),
    }
}

/// Answers take as long as in the faulty case, but the one client waits for no worker.
fn slow_without_queue(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = gunicorn(world, folder.path(), PORT)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    under_load(PORT, 1, SLOW_MS, Duration::ZERO, || {
        agent.await_object("slow answers", |object| is_at(object, "slow-app", PORT))?;
        agent.await_accepted(PORT, 24).map(drop)
    })?;
    let ended = agent.stop()?;
    ended.check_no_finding("accept-queue-overflow")?;
    no_links(&ended)
}

/// Starts nginx in front of the server at `upstream`.
fn nginx(world: &World, folder: &Path, port: u16, upstream: u16) -> anyhow::Result<Process> {
    let place = folder.display();
    let config = format!(
        "daemon off; worker_processes 2; error_log {place}/error; pid {place}/nginx.pid;\n\
         events {{}}\nhttp {{ access_log off; client_body_temp_path {place}/body; \
         proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; \
         scgi_temp_path {place}/s;\n server {{ listen 127.0.0.1:{port}; \
         location / {{ proxy_pass http://127.0.0.1:{upstream}; }} }} }}\n"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, config)?;
    let mut command = Command::new(installed("nginx")?);
    command.arg("-c").arg(&file).arg("-p").arg(folder);
    let server = Process::start(command)?;
    net::await_listening(port, world.patience())?;
    drop(connect(local(port))?);
    Ok(server)
}

fn behind_nginx(world: &World) -> anyhow::Result<()> {
    let (folder, front) = (tempfile::tempdir()?, PORT + 1);
    let server = gunicorn(world, folder.path(), PORT)?;
    let proxy = nginx(world, folder.path(), front, PORT)?;
    let mut agent = world.watch().pid(proxy.pid()).pid(server.pid()).start()?;
    under_load(front, MANY, SLOW_MS, Duration::ZERO, || {
        let root = agent.await_object("the arithmetic", |object| {
            is_at(object, "slow-app", PORT) && number(object, "/evidence/workers").is_some()
        })?;
        check_root(&root)?;
        let of_front = await_cause(&mut agent, "slow-app", front)?;
        ensure!(of_front["owner"] == "peer", "its upstream holds it: {of_front}");
        check_chain(&mut agent, &of_front, PORT)
    })?;
    check_fixes(&agent.stop()?)
}

/// Follows the causes of a finding: they must lead to the workers at this port. A finding that was
/// reported before its cause was is reported again with it.
fn check_chain(agent: &mut Agent, from: &Value, root: u16) -> anyhow::Result<()> {
    let (mut next, mut path) = (cause(from), Vec::new());
    while let Some((kind, subject)) = next {
        path.push(format!("{kind} at {subject}"));
        ensure!(path.len() < 8, "a circle: {path:?}");
        let of = |object: &Value| {
            is(object, "finding") && object["kind"] == *kind && object["subject"] == *subject
        };
        let is_root = kind == "slow-app" && subject == local(root).to_string();
        if is_root {
            return Ok(());
        }
        let at = agent
            .await_object("the next cause", |object| of(object) && cause(object).is_some())
            .with_context(|| format!("the root is the workers at {root}: {path:?}"))?;
        next = cause(&at);
    }
    anyhow::bail!("the root is the workers at {root}: {path:?}")
}

fn healthy_behind_nginx(world: &World) -> anyhow::Result<()> {
    let (folder, front) = (tempfile::tempdir()?, PORT + 1);
    let server = gunicorn(world, folder.path(), PORT)?;
    let proxy = nginx(world, folder.path(), front, PORT)?;
    let mut agent = world.watch().pid(proxy.pid()).pid(server.pid()).start()?;
    under_load(front, FEW, QUICK_MS, Duration::from_millis(50), || {
        agent.await_accepted(front, 60).map(drop)
    })?;
    no_fault(&agent.stop()?)
}

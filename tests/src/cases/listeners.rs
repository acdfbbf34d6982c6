//! `listeners`: order, network namespaces, and `--watch`.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};

use super::native;
use crate::harness::json::{Value, number};
use crate::harness::{Case, Process, World};

pub(super) const CASES: &[Case] = &[
    native("listeners::trouble_comes_first", trouble_first),
    native("listeners::of_another_network_namespace", another_namespace),
    native("listeners::watched_again_and_again", watched).alone(),
];

fn listed(world: &World, args: &[&str]) -> anyhow::Result<Vec<Value>> {
    let output = world.agent_command(&["listeners", "--json"]).args(args).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Whoever else runs on this machine may listen on the same ports, in another namespace.
fn is_own(object: &Value) -> bool {
    object["netns_own"] == true
}

fn place_of(listed: &[Value], local: &str) -> anyhow::Result<usize> {
    let is_meant = |object: &Value| object["local"] == local;
    listed.iter().position(is_meant).with_context(|| local.to_owned())
}

/// A full queue comes before a waiting connection, and that before nothing, whoever was first.
fn trouble_first(world: &World) -> anyhow::Result<()> {
    let demo = |port: &str| {
        let listen = format!("127.0.0.1:{port}");
        world.demo(&["never-accept", "--backlog", "1", "--listen", &listen])
    };
    let (idle, waiting, full) = (demo("7101")?, demo("7102")?, demo("7103")?);
    let mut clients = Vec::new();
    for (demo, count) in [(&waiting, 1), (&full, 2)] {
        for _ in 0..count {
            clients.push(TcpStream::connect(demo.addr)?);
        }
    }
    let [idle, waiting, full] = [&idle, &waiting, &full].map(|demo| demo.addr.to_string());
    let listed = listed(world, &["--port", "7101", "--port", "7102", "--port", "7103"])?;
    let own: Vec<Value> = listed.iter().filter(|object| is_own(object)).cloned().collect();
    ensure!(own.len() == 3, "{listed:?}");
    let [idle, waiting, full] =
        [place_of(&own, &idle)?, place_of(&own, &waiting)?, place_of(&own, &full)?];
    ensure!(full < waiting && waiting < idle, "{listed:?}");
    ensure!(number(&own[full], "/accept_depth") == Some(2), "{:?}", own[full]);
    let table = world.agent_command(&["listeners", "--port", "7103"]).output()?;
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    ensure!(table.contains("2 full"), "{table}");
    if listed.iter().all(is_own) {
        ensure!(!table.contains("NETWORK"), "there is one alone: {table}");
    }
    drop(clients);
    Ok(())
}

/// What listens in another network namespace is listed, with that namespace and who is in it.
fn another_namespace(world: &World) -> anyhow::Result<()> {
    let script = "import socket\n\
        s=socket.create_server(('0.0.0.0',7105))\n\
        print('ready',flush=True)\n\
        socket.socket().accept() if False else __import__('time').sleep(600)\n";
    let mut command = Command::new("unshare");
    command.args(["--net", "python3", "-c", script]);
    let inside = Process::start(command)?;
    inside.next_line(Instant::now() + world.patience())?.context("it is ready")?;
    let listed = listed(world, &["--port", "7105"])?;
    let object = &listed[place_of(&listed, "0.0.0.0:7105")?];
    let netns = std::fs::read_link(format!("/proc/{}/ns/net", inside.pid()))?;
    let inode = number(object, "/netns").context("an inode")?;
    ensure!(netns.to_string_lossy() == format!("net:[{inode}]"), "{netns:?}, {object}");
    ensure!(object["netns_own"] == false, "{object}");
    let table = world.agent_command(&["listeners", "--port", "7105"]).output()?;
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let wanted = format!("{inode} of python3 {}", inside.pid());
    ensure!(table.contains("NETWORK") && table.contains(&wanted), "{wanted}: {table}");
    Ok(())
}

/// Each look has its own figures: drops since the look before, listeners that came, and none that
/// have gone. A signal ends it in good order.
fn watched(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "1", "--listen", "127.0.0.1:7106"])?;
    let mut command = world.agent_command(&["listeners", "--json", "--watch"]);
    command.args(["--interval", "200ms", "--port", "7106", "--port", "7107"]);
    command.stdout(Stdio::piped());
    let mut watch = Process::start(command)?;
    let deadline = Instant::now() + world.patience();
    let next = |local: &str| -> anyhow::Result<Value> {
        loop {
            let line = watch.next_line(deadline)?.context("it ended")?;
            let object: Value = serde_json::from_str(&line)?;
            if object["local"] == local && is_own(&object) {
                return Ok(object);
            }
        }
    };
    let first = next("127.0.0.1:7106")?;
    ensure!(number(&first, "/accept_depth") == Some(0), "{first}");
    ensure!(first.get("drops_since").is_none(), "there was no look before: {first}");
    let clients: Vec<_> =
        (0..2).map(|_| TcpStream::connect(demo.addr)).collect::<Result<_, _>>()?;
    // A third finds no room: its SYN is dropped.
    let timeout = std::time::Duration::from_millis(300);
    let refused = TcpStream::connect_timeout(&demo.addr, timeout);
    ensure!(refused.is_err(), "there was room for a third");
    let mut since = 0;
    let full = loop {
        let object = next("127.0.0.1:7106")?;
        since += number(&object, "/drops_since").context("there was a look before")?;
        if number(&object, "/accept_depth") == Some(2) && since > 0 {
            break object;
        }
    };
    ensure!(number(&full, "/drops") == Some(since), "{since} since the first: {full}");
    let later = world.demo(&["never-accept", "--backlog", "1", "--listen", "127.0.0.1:7107"])?;
    next("127.0.0.1:7107")?;
    drop((clients, demo));
    // Whole looks without it: the other's objects follow one another.
    let mut last = None;
    loop {
        let line = watch.next_line(deadline)?.context("it ended")?;
        let object: Value = serde_json::from_str(&line)?;
        if !is_own(&object) {
            continue;
        }
        let is_later = object["local"] == later.addr.to_string();
        if is_later && last == Some(true) {
            break;
        }
        last = Some(is_later);
    }
    watch.signal(libc::SIGINT);
    let status = watch.wait(world.patience())?;
    ensure!(status.success(), "{status}");
    Ok(())
}

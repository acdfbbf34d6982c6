//! A target that is not there yet, or not any more.

use std::net::TcpStream;
use std::time::{Instant, SystemTime};

use anyhow::{Context, ensure};

use super::{is_notice, quick, server_named, sleeper_named};
use crate::harness::json::{listens_on, number};
use crate::harness::{Process, World, converse, net, skip};

pub(super) fn no_socket_yet(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo_waiting(&["fork-storm", "--children", "0", "--wait"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    demo.go()?;
    demo.await_listening()?;
    agent.await_listener(demo.addr.port(), "any figures", |_| true)?;
    let ended = agent.stop()?;
    ensure!(ended.stderr.contains("no listening"), "it is to say so: {:?}", ended.stderr);
    Ok(())
}

/// It is said at once, with what may have been meant, and until there is one.
pub(super) fn nobody_has_the_name_yet(world: &World) -> anyhow::Result<()> {
    const NAME: &str = "Awaited-one";
    let mut agent = world.watch_queues().args(["--comm", "/opt/Awaited-one"]).start()?;
    agent.await_object("what is waited for", |object| {
        is_notice(object, "begun", "watching for one") && is_notice(object, "begun", NAME)
    })?;
    let ended = agent.stop()?;
    ensure!(!ended.objects.iter().any(|object| is_notice(object, "ended", "")), "it never came");

    let mut agent = world.watch_queues().args(["--comm", NAME]).start()?;
    let told = "no process is named Awaited-one yet; watching for one";
    agent.await_object("what is waited for", |object| is_notice(object, "begun", told))?;
    let (_folder, _sleeper) = sleeper_named(NAME)?;
    agent.await_object("that it came", |object| is_notice(object, "ended", told))?;
    agent.stop()?;
    let server = server_named(world, NAME)?;

    // Whose name is there is not waited for; whose differs in case is.
    for (name, state) in [(NAME, None), ("awaited-ONE", Some("One is named Awaited-one"))] {
        let mut agent = world.watch_queues().args(["--comm", name]).start()?;
        if let Some(hint) = state {
            agent.await_object("the hint", |object| is_notice(object, "begun", hint))?;
            agent.stop()?;
        } else {
            agent.await_object("its listener", |object| listens_on(object, 7002))?;
            let ended = agent.stop()?;
            let waits = ended.objects.iter().find(|object| is_notice(object, "begun", "yet"));
            ensure!(waits.is_none(), "{waits:?}");
        }
    }
    drop(server);
    Ok(())
}

pub(super) fn nobody_listens_yet(world: &World) -> anyhow::Result<()> {
    let plain = world
        .agent_command(&["watch", "--port", "7003", "--plain", "--duration", "1500ms"])
        .output()?;
    let text = String::from_utf8_lossy(&plain.stdout).into_owned();
    let told = "nothing listens on port 7003 yet";
    let at = text.lines().find(|line| line.contains(told)).context("it is said")?;
    let at: f64 = at.trim_start().split(' ').next().unwrap_or_default().parse()?;
    ensure!(at < 1.0, "at once, not at the end: {text}");
    let mut agent = world.watch_queues().args(["--port", "7003"]).start()?;
    agent.await_object("what is waited for", |object| is_notice(object, "begun", told))?;
    let _demo =
        world.demo(&["slow-acceptor", "--accept-delay", "0ms", "--listen", "127.0.0.1:7003"])?;
    agent.await_object("that it came", |object| is_notice(object, "ended", told))?;
    agent.stop().map(drop)
}

/// A server that listens for one connection, takes it and closes its listener.
const ONE_CONNECTION: &str = "import socket,sys\n\
    s=socket.create_server(('127.0.0.1',7004))\n\
    c,_=s.accept()\n\
    s.close()\n\
    sys.stdin.readline()\n";

pub(super) fn closed_listener(world: &World) -> anyhow::Result<()> {
    let mut python = std::process::Command::new("python3");
    python.args(["-c", ONE_CONNECTION]);
    let server = Process::start(python)?;
    net::await_listening(7004, world.patience())?;
    let watch = world.watch_queues().pid(server.pid()).args(["--duration", "2s"]);
    let mut agent = watch.start()?;
    agent.await_object("its listener", |object| listens_on(object, 7004))?;
    let _client = TcpStream::connect(("127.0.0.1", 7004))?;
    agent.await_accepted(7004, 1)?;
    // Many refreshes come after the listener is closed.
    let ended = agent.ended()?;
    let told = ended.objects.iter().find(|object| is_notice(object, "begun", "no listening"));
    ensure!(told.is_none(), "it is no fault: {told:?}");
    Ok(())
}

pub(super) fn dies(world: &World) -> anyhow::Result<()> {
    let mut demo = quick(world)?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    demo.signal(libc::SIGKILL);
    demo.await_end()?;
    let ended = agent.ended()?;
    ended.check_clean()?;
    ensure!(
        number(ended.listener(demo.addr.port())?, "/accepted") == Some(1),
        "the last figures are missing"
    );
    Ok(())
}

pub(super) fn sigterm(world: &World) -> anyhow::Result<()> {
    let demo = quick(world)?;
    let agent = world.watch_queues().pid(demo.pid()).start()?;
    agent.signal(libc::SIGTERM);
    agent.ended()?.check_clean()
}

pub(super) fn duration(world: &World) -> anyhow::Result<()> {
    let demo = quick(world)?;
    let ended = world.watch_queues().pid(demo.pid()).args(["--duration", "1s"]).spawn()?.ended()?;
    ended.check_clean()?;
    let watched = number(ended.summary()?, "/duration_us").unwrap_or(0);
    ensure!(watched >= 1_000_000, "a second was asked for, it watched {watched} µs");
    Ok(())
}

/// Starts a server and a child of it; ends the server, and gives its number to another process.
const REUSED: &str = "import os, sys, time\n\
    def idle():\n\
    \x20   while True: time.sleep(3600)\n\
    first = os.fork()\n\
    if first == 0:\n\
    \x20   if os.fork() == 0: idle()\n\
    \x20   sys.stdin.readline()\n\
    \x20   os._exit(0)\n\
    print(first, flush=True)\n\
    os.waitpid(first, 0)\n\
    for _ in range(2000):\n\
    \x20   open('/proc/sys/kernel/ns_last_pid', 'w').write(str(first - 1))\n\
    \x20   other = os.fork()\n\
    \x20   if other == 0:\n\
    \x20       if os.getpid() == first:\n\
    \x20           open('/proc/self/comm', 'w').write('stranger')\n\
    \x20           idle()\n\
    \x20       os._exit(0)\n\
    \x20   if other == first: break\n\
    \x20   os.waitpid(other, 0)\n\
    print('again' if other == first else 'never', flush=True)\n\
    idle()\n";

/// A process that has the number of a target that ended is another one.
pub(super) fn number_used_again(world: &World) -> anyhow::Result<()> {
    let mut python = std::process::Command::new("python3");
    python.args(["-c", REUSED]);
    let mut parent = Process::start(python)?;
    let deadline = Instant::now() + world.patience();
    let pid = parent.next_line(deadline)?.context("it has ended")?;
    // Its figures come at each refresh.
    let other = quick(world)?;
    let port = other.addr.port();
    let mut agent =
        world.watch_queues().args(["--pid", &pid, "--port", &port.to_string()]).start()?;
    agent.await_refresh(port)?;
    // The watched process ends, its child remains, and a stranger takes its number.
    parent.write_line("end")?;
    let outcome = parent.next_line(deadline)?.context("it has ended")?;
    if outcome != "again" {
        return skip("no process could be given that number");
    }
    for _ in 0..2 {
        agent.await_refresh(port)?;
    }
    let ended = agent.stop()?;
    ensure!(
        ended.stderr.contains(&format!("{pid} has no listening TCP socket")),
        "the note on the process itself is missing: {:?}",
        ended.stderr
    );
    ensure!(!ended.stderr.contains("stranger"), "nobody asked for it: {:?}", ended.stderr);
    Ok(())
}

/// A time namespace shifts the clocks of the agent, not those of the kernel's records.
pub(super) fn in_a_time_namespace(world: &World) -> anyhow::Result<()> {
    let demo = quick(world)?;
    let by = ["unshare", "--time", "--monotonic", "100000", "--boottime", "200000"];
    let mut agent = world.watch_queues().pid(demo.pid()).by(by).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    let now_ns = net::monotonic_ns();
    let ended = agent.stop()?;
    let attached = ended.of("attached").next().context("no attached")?;
    let attached_ns = number(attached, "/ts_ns").unwrap_or(0);
    ensure!(attached_ns <= now_ns, "attached in {} s", (attached_ns - now_ns) / 1_000_000_000);
    let accept = ended.of("accept").next().context("no accept")?;
    let time = accept["time"].as_str().context("no time")?;
    let date = std::process::Command::new("date").args(["-d", time, "+%s"]).output()?;
    let second: u64 = String::from_utf8_lossy(&date.stdout).trim().parse()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let shifted = now.abs_diff(second);
    ensure!(shifted < 60, "its time is off by {shifted} s: {accept}");
    Ok(())
}

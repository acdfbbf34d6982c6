//! Choice of the process to watch, and the end of a watch.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::time::{Instant, SystemTime};

use anyhow::{Context, ensure};

use super::{any_tier, native};
use crate::harness::json::{Value, is, listens_on, number};
use crate::harness::{Agent, Case, Demo, Process, World, converse, copy_program, net, skip};

pub(super) const CASES: &[Case] = &[
    any_tier("target::several_pids", several_pids),
    any_tier("target::port", port).alone(),
    any_tier("target::comm", comm).alone(),
    any_tier("target::all", all).alone(),
    any_tier("target::command", command),
    any_tier("target::command_status", command_status),
    any_tier("target::children_are_followed", followed),
    any_tier("target::no_follow", no_follow),
    any_tier("target::thread_id", thread_id),
    any_tier("target::in_another_pid_namespace", in_another_pid_namespace),
    any_tier("target::no_socket_yet", no_socket_yet),
    native("target::nobody_has_the_name_yet", nobody_has_the_name_yet),
    native("target::nobody_listens_on_the_port_yet", nobody_listens_yet),
    native("target::a_name_longer_than_the_kernels", long_name),
    native("target::who_has_closed_its_listener_is_no_fault", closed_listener),
    native("target::what_was_meant", what_was_meant),
    native("target::no_such_process", no_such_process),
    native("target::unusable_arguments", unusable_arguments),
    any_tier("target::dies", dies),
    any_tier("target::sigterm", sigterm),
    any_tier("target::duration", duration),
    any_tier("target::no_privilege", no_privilege),
    native("target::comm_is_escaped", comm_is_escaped),
    native("target::names_of_any_bytes", names_of_any_bytes).alone(),
    native("target::a_number_used_again", number_used_again).alone(),
    native("target::in_a_time_namespace", in_a_time_namespace),
];

fn quick(world: &World) -> anyhow::Result<Demo> {
    world.demo(&["slow-acceptor", "--accept-delay", "0ms"])
}

fn several_pids(world: &World) -> anyhow::Result<()> {
    let demos = [quick(world)?, quick(world)?];
    let mut agent = world.watch_queues().pid(demos[0].pid()).pid(demos[1].pid()).start()?;
    for demo in &demos {
        converse(demo.addr)?;
        agent.await_accepted(demo.addr.port(), 1)?;
    }
    agent.stop().map(drop)
}

fn port(world: &World) -> anyhow::Result<()> {
    let [wanted, other] = [quick(world)?, quick(world)?];
    let mut agent =
        world.watch_queues().args(["--port", &wanted.addr.port().to_string()]).start()?;
    converse(other.addr)?;
    converse(wanted.addr)?;
    agent.await_accepted(wanted.addr.port(), 1)?;
    let ended = agent.stop()?;
    let stranger = ended.objects.iter().find(|object| listens_on(object, other.addr.port()));
    ensure!(stranger.is_none(), "only port {} is watched: {stranger:?}", wanted.addr.port());
    Ok(())
}

fn comm(world: &World) -> anyhow::Result<()> {
    let demo = quick(world)?;
    let mut agent = world.watch_queues().args(["--comm", "demo-servers"]).start()?;
    converse(demo.addr)?;
    await_accept_by(&mut agent, &demo)?;
    agent.stop().map(drop)
}

fn all(world: &World) -> anyhow::Result<()> {
    let before = quick(world)?;
    let mut agent = world.watch_queues().args(["--all"]).start()?;
    let after = quick(world)?;
    for demo in [&before, &after] {
        converse(demo.addr)?;
        await_accept_by(&mut agent, demo)?;
    }
    agent.stop().map(drop)
}

/// Other network namespaces may use this port, too, but not this process id.
fn await_accept_by(agent: &mut Agent, demo: &Demo) -> anyhow::Result<()> {
    let what = format!("accept by {}", demo.pid());
    agent
        .await_object(&what, |object| is(object, "accept") && object["pid"] == demo.pid())
        .map(drop)
}

fn command(world: &World) -> anyhow::Result<()> {
    let demos = world.demo_servers().display().to_string();
    let server = [
        &demos,
        "slow-acceptor",
        "--accept-delay",
        "0ms",
        "--listen",
        "127.0.0.1:7000",
        "--backlog",
        "11",
    ];
    let mut agent = world.watch_queues().command(server).start()?;
    net::await_listening(7000, world.patience())?;
    converse(([127, 0, 0, 1], 7000).into())?;
    let listener = agent.await_accepted(7000, 1)?;
    ensure!(
        number(&listener, "/backlog") == Some(11),
        "watched from its first system call: {listener}"
    );
    // The case stops the command by a signal. Its status is not the agent's.
    agent.stop().map(drop)
}

fn command_status(world: &World) -> anyhow::Result<()> {
    let demos = world.demo_servers().display().to_string();
    let command = [demos.as_str(), "fork-storm", "--children", "3", "--exit-with", "7"];
    let ended = world.watch_queues().command(command).spawn()?.ended()?;
    ensure!(
        ended.status.code() == Some(7),
        "the command's status is 7, got {}: {}",
        ended.status,
        ended.stderr
    );
    ended.summary().map(drop)
}

fn followed(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo_waiting(&["fork-storm", "--children", "3", "--wait"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    demo.go()?;
    demo.await_listening()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    agent.stop().map(drop)
}

fn no_follow(world: &World) -> anyhow::Result<()> {
    let own = quick(world)?;
    let mut demo = world.demo_waiting(&["fork-storm", "--children", "3", "--wait"])?;
    let mut agent =
        world.watch_queues().pid(demo.pid()).pid(own.pid()).args(["--no-follow"]).start()?;
    demo.go()?;
    demo.await_listening()?;
    converse(demo.addr)?;
    // The accept of the other target comes after the child's, so the child's would have been shown
    // by then.
    converse(own.addr)?;
    agent.await_accepted(own.addr.port(), 1)?;
    let ended = agent.stop()?;
    let child = ended.objects.iter().find(|object| listens_on(object, demo.addr.port()));
    ensure!(child.is_none(), "a child is shown in spite of --no-follow: {child:?}");
    Ok(())
}

fn thread_id(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo(&["acceptors", "--workers", "2", "--close-after", "1"])?;
    demo.await_lines("worker ", 2)?;
    let thread = fs::read_dir(format!("/proc/{}/task", demo.pid()))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .find(|tid| *tid != demo.pid())
        .context("the server has one thread")?;
    let mut agent = world.watch_queues().pid(thread).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    let ended = agent.stop()?;
    let said = ended.stderr.contains("thread") && ended.stderr.contains(&demo.pid_arg());
    ensure!(said, "it is to say that {thread} is a thread of {}: {:?}", demo.pid(), ended.stderr);
    Ok(())
}

fn in_another_pid_namespace(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo_apart(&["inherit", "--via", "fork"])?;
    demo.await_listening()?;
    let holder = demo.holder()?;
    let mut agent = world.watch_queues().pid(holder).start()?;
    converse(demo.addr)?;
    agent.await_object("accept by the process", |object| {
        is(object, "accept") && object["pid"] == holder
    })?;
    let ended = agent.stop()?;
    let said = ended.stderr.contains(&format!("{holder} is process 1 inside"));
    ensure!(said, "it is to say by which id the process knows itself: {:?}", ended.stderr);
    Ok(())
}

fn no_socket_yet(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo_waiting(&["fork-storm", "--children", "0", "--wait"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    demo.go()?;
    demo.await_listening()?;
    agent.await_listener(demo.addr.port(), "any figures", |_| true)?;
    let ended = agent.stop()?;
    ensure!(ended.stderr.contains("no listening"), "it is to say so: {:?}", ended.stderr);
    Ok(())
}

/// The text of a notice that begins, or ends.
fn is_notice(object: &Value, state: &str, text: &str) -> bool {
    is(object, "notice")
        && object["state"] == state
        && object["text"].as_str().is_some_and(|told| told.contains(text))
}

/// A server under a name of its own.
fn server_named(world: &World, name: &str) -> anyhow::Result<Process> {
    let script = format!(
        "import socket\n\
         open('/proc/self/comm','w').write('{name}')\n\
         s=socket.create_server(('127.0.0.1',7002))\n\
         while True: c,_=s.accept(); c.recv(9); c.send(b'x'); c.close()\n"
    );
    let mut python = std::process::Command::new("python3");
    python.args(["-c", &script]);
    let server = Process::start(python)?;
    net::await_listening(7002, world.patience())?;
    Ok(server)
}

/// A program that does nothing, under a name of its own, in a folder that goes with it.
fn sleeper_named(name: &str) -> anyhow::Result<(tempfile::TempDir, Process)> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join(name);
    copy_program(std::path::Path::new("/bin/sleep"), &program)?;
    let mut command = std::process::Command::new(&program);
    command.arg("600");
    Ok((folder, Process::start(command)?))
}

/// It is said at once, with what may have been meant, and until there is one.
fn nobody_has_the_name_yet(world: &World) -> anyhow::Result<()> {
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

fn nobody_listens_yet(world: &World) -> anyhow::Result<()> {
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

/// The kernel keeps 15 bytes of a name, and so many are compared.
fn long_name(world: &World) -> anyhow::Result<()> {
    const NAME: &str = "a-server-with-a-long-name";
    let _server = server_named(world, NAME)?;
    let mut agent = world.watch_queues().args(["--comm", NAME]).start()?;
    agent.await_object("that it is cut", |object| {
        is_notice(object, "begun", "the first 15 bytes") && is_notice(object, "begun", &NAME[..15])
    })?;
    TcpStream::connect(("127.0.0.1", 7002))?;
    agent.await_accepted(7002, 1)?;
    let ended = agent.stop()?;
    let waits = ended.objects.iter().find(|object| is_notice(object, "begun", "yet"));
    ensure!(waits.is_none(), "it is there: {waits:?}");
    Ok(())
}

/// A server that listens for one connection, takes it and closes its listener.
const ONE_CONNECTION: &str = "import socket,sys\n\
    s=socket.create_server(('127.0.0.1',7004))\n\
    c,_=s.accept()\n\
    s.close()\n\
    sys.stdin.readline()\n";

fn closed_listener(world: &World) -> anyhow::Result<()> {
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

/// Errors name what was meant: an option, an example of a value, the processes of that name.
fn what_was_meant(world: &World) -> anyhow::Result<()> {
    let (_folder, server) = sleeper_named("meant-one")?;
    let pid = server.pid().to_string();
    for (args, wanted) in [
        (["watch", "--pid", "meant-one"], &["--comm meant-one", &pid][..]),
        (["watch", "--pid", "no-such-one"], &["such as 4242", "--comm NAME"]),
        (["watch", "--pdi", "4242"], &["'--pid'"]),
        (["watch", "--port", "http"], &["from 1 to 65535", "such as 8080"]),
        (["watch", "--comm", ""], &["it is empty"]),
        (["watch", "--duration", "soon"], &["500ms, 10s or 5min"]),
    ] {
        let output = world.agent_command(&args).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(2), "{args:?}: {}: {said}", output.status);
        for word in wanted {
            ensure!(said.contains(word), "{args:?}: no {word:?} in {said}");
        }
        ensure!(!said.contains("digit found") && !said.contains("-- --"), "{args:?}: {said}");
    }
    Ok(())
}

fn no_such_process(world: &World) -> anyhow::Result<()> {
    // Above the highest process id that Linux gives.
    let ended = world.watch().pid(4_194_305).spawn()?.ended()?;
    ensure!(ended.status.code() == Some(2), "exit status 2, got {}", ended.status);
    ensure!(ended.stderr.contains("4194305"), "which process: {:?}", ended.stderr);
    ensure!(ended.objects.is_empty(), "nothing was watched: {:?}", ended.objects);
    Ok(())
}

fn unusable_arguments(world: &World) -> anyhow::Result<()> {
    for args in [
        ["--pid", "x"],
        ["--port", "70000"],
        ["--duration", "soon"],
        ["--nonsense", "1"],
        ["--pid", "0"],
    ] {
        let ended = world.watch().args(args).spawn()?.ended()?;
        ensure!(
            ended.status.code() == Some(2),
            "{args:?}: exit status 2, got {}: {}",
            ended.status,
            ended.stderr
        );
        ensure!(!ended.stderr.is_empty(), "{args:?}: no message");
    }
    Ok(())
}

fn dies(world: &World) -> anyhow::Result<()> {
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

fn sigterm(world: &World) -> anyhow::Result<()> {
    let demo = quick(world)?;
    let agent = world.watch_queues().pid(demo.pid()).start()?;
    agent.signal(libc::SIGTERM);
    agent.ended()?.check_clean()
}

fn duration(world: &World) -> anyhow::Result<()> {
    let demo = quick(world)?;
    let ended = world.watch_queues().pid(demo.pid()).args(["--duration", "1s"]).spawn()?.ended()?;
    ended.check_clean()?;
    let watched = number(ended.summary()?, "/duration_us").unwrap_or(0);
    ensure!(watched >= 1_000_000, "a second was asked for, it watched {watched} µs");
    Ok(())
}

fn no_privilege(world: &World) -> anyhow::Result<()> {
    const NOBODY: u32 = 65_534;
    // Other users may have no access to the build directory.
    let folder = tempfile::Builder::new().prefix("backscope").tempdir_in("/tmp")?;
    let copy = folder.path().join("backscope");
    copy_program(&world.agent(), &copy)?;
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut command = std::process::Command::new(&copy);
    command.args(["watch", "--json", "--all"]).current_dir("/").uid(NOBODY).gid(NOBODY);
    let mut process = Process::start(command)?;
    let status = process.wait(world.patience())?;
    let stderr = process.finish();
    ensure!(status.code() == Some(3), "exit status 3, got {status}: {stderr}");
    ensure!(stderr.contains("CAP_"), "which capability is missing: {stderr:?}");
    ensure!(stderr.contains("sudo") || stderr.contains("setcap"), "what to do: {stderr:?}");
    Ok(())
}

/// A program may choose any name, which must not control the terminal.
fn comm_is_escaped(world: &World) -> anyhow::Result<()> {
    let script = "import socket,sys\n\
        open('/proc/self/comm','w').write('\\x1b[31mred')\n\
        s=socket.create_server(('127.0.0.1',7001))\n\
        sys.stdin.readline()\n";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", script]);
    let server = Process::start(python)?;
    net::await_listening(7001, world.patience())?;
    let pid = server.pid().to_string();
    let output = world.agent_command(&["listeners", "--pid", &pid]).output()?;
    ensure!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text.contains("red"), "the server is missing: {text}");
    ensure!(!text.contains("\x1b[31mred"), "an escape sequence reached the terminal: {text:?}");
    Ok(())
}

/// A name that is no text, with all that has a meaning in files of `/proc`.
const ANY_BYTES: &[u8] = b"\xff\xfe) S (\n\\ x";

/// A server whose child accepts. Both have the name [`ANY_BYTES`]; prints the parent's second
/// thread.
const NAMED_SERVER: &str = "import ctypes, os, socket, sys, threading\n\
    name = b'\\xff\\xfe) S (\\n\\\\ x'\n\
    assert ctypes.CDLL(None).prctl(15, name, 0, 0, 0) == 0\n\
    child = os.fork()\n\
    if child == 0:\n\
    \x20   ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)\n\
    \x20   s = socket.create_server(('127.0.0.1', 7002))\n\
    \x20   while True:\n\
    \x20       c, _ = s.accept()\n\
    \x20       c.close()\n\
    t = threading.Thread(target=sys.stdin.readline, daemon=True)\n\
    t.start()\n\
    print(t.native_id, flush=True)\n\
    os.waitpid(child, 0)\n";

/// Names may hold any bytes, and are found by them.
fn names_of_any_bytes(world: &World) -> anyhow::Result<()> {
    let mut python = std::process::Command::new("python3");
    python.args(["-c", NAMED_SERVER]);
    let server = Process::start(python)?;
    let deadline = Instant::now() + world.patience();
    let thread = server.next_line(deadline)?.context("the server has ended")?;
    net::await_listening(7002, world.patience())?;
    let own = server.pid().to_string();
    let by_comm = [OsStr::new("--comm"), OsStr::from_bytes(ANY_BYTES)];
    let targets = [["--pid", &own].map(OsStr::new), ["--pid", &thread].map(OsStr::new), by_comm];
    for target in targets {
        let mut agent = world.watch_queues().args(target).start()?;
        TcpStream::connect(("127.0.0.1", 7002))?;
        agent.await_accepted(7002, 1).with_context(|| format!("{target:?}"))?;
        let ended = agent.stop()?;
        ensure!(
            target != targets[1] || ended.stderr.contains("is a thread of"),
            "{thread} is a thread: {:?}",
            ended.stderr
        );
    }
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
fn number_used_again(world: &World) -> anyhow::Result<()> {
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
fn in_a_time_namespace(world: &World) -> anyhow::Result<()> {
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

//! Names that are longer than the kernel's, or of any bytes.

use std::ffi::OsStr;
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use anyhow::{Context, ensure};

use super::{is_notice, server_named};
use crate::harness::{Process, World, net};

/// The kernel keeps 15 bytes of a name, and so many are compared.
pub(super) fn long_name(world: &World) -> anyhow::Result<()> {
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

/// A program may choose any name, which must not control the terminal.
pub(super) fn comm_is_escaped(world: &World) -> anyhow::Result<()> {
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
pub(super) fn names_of_any_bytes(world: &World) -> anyhow::Result<()> {
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

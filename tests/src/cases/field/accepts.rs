//! Accepts that fail, queues that clients leave, connections that are accepted and not served, and
//! other listeners.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::cases::{each_tier, native};
use crate::harness::json::{Value, finds, is, listens_on, number, sees};
use crate::harness::{Agent, Case, Ended, Process, World, connect, converse, skip};

pub(super) const CASES: &[Case] = &[
    each_tier("accepts::no_descriptor_left", no_descriptor_left),
    each_tier("accepts::no_descriptor_left_for_io_uring", no_descriptor_for_io_uring)
        .on_each_kernel(),
    native("accepts::a_million_failures_make_no_flood", no_flood),
    each_tier("accepts::clients_give_up_in_the_queue", clients_give_up).on_each_kernel(),
    each_tier("accepts::a_listener_closes_with_a_queue", closes_with_queue),
    native("accepts::closed_at_once_and_unread", closed_at_once),
    native("accepts::closed_at_once_with_a_reason", closed_with_reason),
    native("accepts::served_in_any_way_is_no_such_case", served),
    native("accepts::a_server_that_is_killed_is_at_no_limit", killed),
    native("accepts::another_socket_on_the_port", another_socket),
    native("accepts::unix_listeners_have_their_queue", unix_listeners),
    native("accepts::a_reuseport_member_ends", member_ends),
];

/// Checks that there is none of this file's findings. Others may be right: on a busy or an emulated
/// machine connections do wait.
fn check_silent(ended: &Ended) -> anyhow::Result<()> {
    ["accept-fails", "abandoned", "closed-unserved"]
        .into_iter()
        .try_for_each(|kind| ended.check_no_finding(kind))
}

/// Starts a server of our own, in Python, and waits for its first line: its port, or what else it
/// prints.
pub(super) fn python(world: &World, script: &str) -> anyhow::Result<(Process, String)> {
    let mut command = Command::new("python3");
    command.args(["-c", script]);
    let server = Process::start(command)?;
    let first = server.next_line(Instant::now() + world.patience())?.context("the server ended")?;
    Ok((server, first.trim().to_owned()))
}

fn address(port: &str) -> anyhow::Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))
}

/// The soft limit of descriptors of a process.
fn limit_of(pid: u32) -> anyhow::Result<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .context("no such limit")?;
    Ok(line.split_whitespace().next().context("no figure")?.parse()?)
}

fn no_descriptor_left(world: &World) -> anyhow::Result<()> {
    let mut twin = world.demo(&["slow-acceptor", "--accept-delay", "0ms", "--keep", "--trace"])?;
    let mut agent = world.watch_queues().pid(twin.pid()).start()?;
    let healthy: Vec<_> = (0..8).map(|_| connect(twin.addr)).collect::<anyhow::Result<_>>()?;
    twin.await_accepts(healthy.len())?;
    agent.await_accepted(twin.addr.port(), 8)?;
    let ended = agent.stop()?;
    check_silent(&ended)?;
    ensure!(number(ended.listener(twin.addr.port())?, "/accept_fails") == Some(0), "none failed");

    let mut demo = world.demo(&[
        "slow-acceptor",
        "--accept-delay",
        "20ms",
        "--keep",
        "--spare",
        "3",
        "--trace",
    ])?;
    let port = demo.addr.port();
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let clients: Vec<_> = (0..8).map(|_| connect(demo.addr)).collect::<anyhow::Result<_>>()?;
    let finding = agent.await_finding("accept-fails")?;
    ensure!(finding["owner"] == "app" && finding["severity"] != "info", "{finding}");
    ensure!(
        finding["headline"].to_string().contains("EMFILE"),
        "the error has its name: {finding}"
    );
    let limit = limit_of(demo.pid())?;
    ensure!(
        number(&finding, "/evidence/open_limit") == Some(limit),
        "the limit is {limit}: {finding}"
    );
    ensure!(number(&finding, "/evidence/open") == Some(limit), "all of them are open: {finding}");
    ensure!(number(&finding, "/evidence/depth") == Some(5), "3 of 8 were accepted: {finding}");
    agent.await_object("stalled", |object| {
        finds(object, "accept-fails") && object["severity"] == "critical"
    })?;
    // The tool's count lies between two counts of the server, before and after.
    let before = demo.await_lines("failed 24", 5)?.len() as u64;
    let listener = agent.await_listener(port, "what failed before", |listener| {
        number(listener, "/accept_fails") >= Some(before)
    })?;
    let told = number(&listener, "/accept_fails").unwrap_or(0);
    ensure!(
        number(&listener, "/accept_errors/EMFILE") == Some(told),
        "all for one reason: {listener}"
    );
    demo.await_lines("failed 24", told as usize)?;
    drop(clients);
    let ended = agent.stop()?;
    let starved: Vec<_> =
        ended.of("finding").filter(|finding| finding["kind"] == "accept-starved").collect();
    for finding in starved {
        ensure!(!finding["fix"].to_string().contains("two accepts"), "it contradicts: {finding}");
    }
    Ok(())
}

fn no_descriptor_for_io_uring(world: &World) -> anyhow::Result<()> {
    let mut demo =
        world.demo(&["io-uring", "--accept-delay", "20ms", "--spare", "3", "--trace"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    if !sees(agent.objects(), "accept_fails_io_uring") {
        return skip("this kernel shows no failure of io_uring's accept");
    }
    let _clients: Vec<_> = (0..8).map(|_| connect(demo.addr)).collect::<anyhow::Result<_>>()?;
    let before = demo.await_lines("failed 24", 5)?.len() as u64;
    let listener = agent.await_listener(demo.addr.port(), "what failed before", |listener| {
        number(listener, "/accept_fails") >= Some(before)
    })?;
    demo.await_lines("failed 24", number(&listener, "/accept_fails").unwrap_or(0) as usize)?;
    agent.await_finding("accept-fails")?;
    agent.stop().map(drop)
}

/// A server that retries at once fails some hundred thousand times a second. All are counted,
/// without a record for each.
fn no_flood(world: &World) -> anyhow::Result<()> {
    const SERVER: &str = "
import resource, select, signal, socket, sys
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))
kept, failed = [], 0
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(1000):
        try:
            kept.append(listener.accept())
        except OSError:
            failed += 1
print(failed, flush=True)
sys.stdin.readline()
";
    let (mut server, port) = python(world, SERVER)?;
    let to = address(&port)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let _clients: Vec<_> = (0..20).map(|_| connect(to)).collect::<anyhow::Result<_>>()?;
    server.write_line("begin")?;
    agent.await_listener(to.port(), "100,000 failures", |listener| {
        number(listener, "/accept_fails") >= Some(100_000)
    })?;
    server.write_line("end")?;
    let failed =
        server.next_line(Instant::now() + world.patience())?.context("the server ended")?;
    let failed: u64 = failed.trim().parse()?;
    agent.await_refresh(to.port())?;
    let ended = agent.stop()?;
    let listener = ended.listener(to.port())?;
    ensure!(number(listener, "/accept_fails") == Some(failed), "{failed} failed: {listener}");
    let events = &ended.summary()?["events"];
    ensure!(number(events, "/seen").is_some_and(|seen| seen < 1_000), "a record each: {events}");
    ensure!(number(events, "/lost") == Some(0), "some were lost: {events}");
    Ok(())
}

/// Returns a figure of the connections that left the queue, from the last `listener` object.
fn left(ended: &Ended, port: u16, figure: &str) -> anyhow::Result<Option<u64>> {
    Ok(number(ended.listener(port)?, &format!("/left_queue/{figure}")))
}

fn clients_give_up(world: &World) -> anyhow::Result<()> {
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

fn closes_with_queue(world: &World) -> anyhow::Result<()> {
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

const CLOSES_AT_ONCE: &str = "
import socket
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    listener.accept()[0].close()
";

fn closed_at_once(world: &World) -> anyhow::Result<()> {
    let (server, port) = python(world, CLOSES_AT_ONCE)?;
    let to = address(&port)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    if !sees(agent.objects(), "connection_end") {
        return skip("this kernel shows no connections");
    }
    for _ in 0..20 {
        // With a request or without, and closed or reset.
        converse(to)?;
        let _ = TcpStream::connect(to)?.read(&mut [0]);
    }
    let finding = agent.await_object("closed at once", |object| {
        finds(object, "closed-unserved") && object["severity"] == "warning"
    })?;
    ensure!(finding["owner"] == "app", "{finding}");
    ensure!(
        number(&finding, "/evidence/pid") == Some(server.pid().into()),
        "who closed them: {finding}"
    );
    agent.stop().map(drop)
}

/// A server that says why it closes, and reads nothing, as Redis does above its limit of clients.
/// The request has come already, or comes right behind the close.
fn closed_with_reason(world: &World) -> anyhow::Result<()> {
    for (waits, pause) in [("select.select([client], [], [])", 0), ("pass", 30)] {
        let script = format!(
            "
import select, socket
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    {waits}
    client.sendall(b'-ERR max number of clients reached\\r\\n')
    client.close()
"
        );
        let (server, port) = python(world, &script)?;
        let to = address(&port)?;
        let mut agent = world.watch().pid(server.pid()).start()?;
        if !sees(agent.objects(), "connection_end")
            || pause > 0 && !sees(agent.objects(), "late_data")
        {
            return skip("this kernel does not show what comes behind a close");
        }
        // These clients do not wait for the server's text.
        for _ in 0..20 {
            let mut stream = TcpStream::connect(to)?;
            std::thread::sleep(Duration::from_millis(pause));
            let _ = stream.write_all(b"PING\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let finding = agent.await_object("closed at once", |object| {
            finds(object, "closed-unserved") && object["severity"] == "warning"
        })?;
        ensure!(finding["owner"] == "app", "{finding}");
        let told = number(&finding, "/evidence/written_to");
        ensure!(
            told.is_some_and(|told| told >= 3) && told == number(&finding, "/evidence/connections"),
            "{finding}"
        );
        agent.stop()?.check_no_finding("truncated-responses")?;
    }
    Ok(())
}

/// A server that speaks first, one that is asked and answers, and one whose clients leave on their
/// own.
fn served(world: &World) -> anyhow::Result<()> {
    const GREETS: &str = "
import socket
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    client.sendall(b'220 hello\\r\\n')
    client.close()
";
    const WAITS: &str = "
import socket
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    if client.recv(100):
        client.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n')
    client.close()
";
    for (script, asks) in [(GREETS, true), (WAITS, true), (WAITS, false)] {
        let (server, port) = python(world, script)?;
        let to = address(&port)?;
        let mut agent = world.watch().pid(server.pid()).start()?;
        for _ in 0..20 {
            if asks && script == WAITS {
                converse(to)?;
            } else if asks {
                let mut greeting = String::new();
                TcpStream::connect(to)?.read_to_string(&mut greeting)?;
                ensure!(greeting.starts_with("220"), "no greeting");
            } else {
                TcpStream::connect(to)?;
            }
        }
        agent.await_accepted(to.port(), 20)?;
        agent.await_refresh(to.port())?;
        let ended = agent.stop()?;
        ended.check_no_finding("closed-unserved")?;
        ended.check_no_finding("abandoned")?;
    }
    Ok(())
}

/// A server is killed with open connections, and with some in its queue. A watch of the port is not
/// told of its end.
fn killed(world: &World) -> anyhow::Result<()> {
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

/// Two processes listen on one port, each on a socket of its own; one is watched.
fn another_socket(world: &World) -> anyhow::Result<()> {
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

fn unix_listeners(world: &World) -> anyhow::Result<()> {
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
fn member_ends(world: &World) -> anyhow::Result<()> {
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

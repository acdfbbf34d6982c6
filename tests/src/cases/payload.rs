//! Nothing is left of the first bytes: not in an output or a recording, not in the agent's memory
//! or what it shares with the kernel, and there is no core dump.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::datagram::receiver;
use super::ledger::serve;
use super::{exchange, native};
use crate::harness::json::{Value, address, is, number};
use crate::harness::ledger::is_connection;
use crate::harness::{Agent, Case, World, memory, net, skip};
use crate::servers::installed;

pub(super) const CASES: &[Case] = &[
    exchange("payload::nothing_is_left_of_it", nothing_left).by_processor().on_each_kernel(),
    exchange("payload::nothing_is_left_of_datagrams", nothing_left_of_datagrams).by_processor(),
    native("payload::a_flood_of_exchanges_leaves_it_room", flood_of_exchanges),
    native("payload::a_flood_of_it_leaves_others_room", flood_of_connections).alone(),
    native("payload::no_core_dump", no_core_dump),
    native("payload::a_command_may_dump_core", command_may_dump),
];

/// What no one else has in memory: the test's own text is in another process.
const SECRET: &str = "s3cr3t-0f-4-c11ent";
/// What `--paths` asks for: it must be found, or nothing could be.
const KEPT: &str = "/a-p4th-th4t-1s-kept";

/// Beginnings of connections, each in the parts that are written one by one.
fn beginnings() -> Vec<Vec<Vec<u8>>> {
    let text = String::into_bytes;
    let http = format!(
        "GET http://{SECRET}@host{KEPT};{SECRET}?{SECRET} HTTP/1.1\r\nHost: a\r\n\
         Authorization: {SECRET}\r\n\r\n"
    );
    let posted = format!("POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\n{SECRET}");
    let redis = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{SECRET}\r\n", SECRET.len());
    let startup = [b"\0\x03\0\0user\0a\0password\0", SECRET.as_bytes(), b"\0\0"].concat();
    let length = (startup.len() as u32 + 4).to_be_bytes();
    let preface = format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{}", "\0\0\0\u{4}\0\0\0\0\0");
    let much = SECRET.repeat(10);
    let headers = [&[0, 0, 100, 1, 4, 0, 0, 0, 1][..], &much.as_bytes()[..100]];
    // A message that is longer than it will ever be: more is waited for.
    let hello = [&[22, 3, 1, 8, 0, 1, 0, 7, 252, 3, 3][..], much.as_bytes()];
    vec![
        vec![text(http)],
        vec![text(posted)],
        vec![text(redis)],
        vec![[&length[..], &startup].concat()],
        vec![text(preface), headers.concat()],
        vec![hello.concat(), text(SECRET.repeat(20)), text(SECRET.repeat(40))],
        vec![text(SECRET.repeat(3))],
        vec![text("-".repeat(10)), text(SECRET.repeat(30))],
    ]
}

/// Sends it part by part, each after the one before was read. Returns the client's port.
fn say(world: &World, to: SocketAddr, parts: &[Vec<u8>]) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    for part in parts {
        stream.write_all(part)?;
        net::await_read(stream.local_addr()?.port(), world.patience())?;
    }
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(stream.local_addr()?.port())
}

fn check_memory(agent: &Agent) -> anyhow::Result<()> {
    let left = memory::copies(agent.pid(), SECRET.as_bytes())?;
    let count: usize = left.iter().map(|(_, count)| count).sum();
    ensure!(left.is_empty(), "{count} copies of the secret are left: {left:#?}");
    Ok(())
}

fn nothing_left(world: &World) -> anyhow::Result<()> {
    const ROUNDS: usize = 8;
    let folder = tempfile::tempdir()?;
    let recording = folder.path().join("recording");
    let demo = serve(world, &[])?;
    let watch = world.watch().pid(demo.pid()).args(["--paths", "-o"]).args([&recording]);
    let mut agent = watch.start()?;
    let begin = |agent: &mut Agent, parts: &[Vec<u8>], is_stopped: bool| {
        let port = say(world, demo.ipv4(), parts)?;
        if is_stopped {
            let on_the_way = memory::copies(agent.pid(), SECRET.as_bytes())?;
            ensure!(!on_the_way.is_empty(), "what the agent has not seen yet is found");
            agent.signal(libc::SIGCONT);
        }
        agent.await_object("end of the connection", |object| is_connection(object, "server", port))
    };
    for _ in 0..ROUNDS {
        for parts in beginnings() {
            begin(&mut agent, &parts, false)?;
        }
    }
    ensure!(!memory::copies(agent.pid(), KEPT.as_bytes())?.is_empty(), "what is kept is found");
    agent.signal(libc::SIGSTOP);
    begin(&mut agent, &beginnings()[0], true)?;
    check_memory(&agent)?;
    let told = |name: &str| agent.objects().iter().any(|object| object["protocol"] == name);
    for name in ["http/1.1", "http/2", "redis", "postgresql"] {
        ensure!(told(name), "no connection of {name}: its bytes were not looked at");
    }
    let ended = agent.stop()?;
    let printed: String = ended.objects.iter().map(Value::to_string).collect();
    ensure!(printed.contains(KEPT) && !printed.contains(SECRET), "in the output");
    let recorded = world.agent_command(&["replay", "--json"]).arg(&recording).output()?;
    let recorded = [recorded.stdout, fs::read(&recording)?].concat();
    let has = |text: &str| recorded.windows(text.len()).any(|window| window == text.as_bytes());
    ensure!(has(KEPT) && !has(SECRET), "in the recording");
    Ok(())
}

fn nothing_left_of_datagrams(world: &World) -> anyhow::Result<()> {
    let (demo, target) = receiver(world, &[])?;
    let target: SocketAddr = target.parse()?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let client = UdpSocket::bind((target.ip(), 0))?;
    // A client's first datagram of QUIC, its token a secret, one that may belong to it, and others.
    let token = SECRET.repeat(3);
    let mut initial = vec![0xc0, 0, 0, 0, 1, 2, 7, 8, 0, 64];
    initial.push(token.len() as u8);
    initial.extend(token.as_bytes());
    initial.extend([0x44, 0]);
    initial.resize(1_200, 0);
    let short = [b"\x40", SECRET.repeat(4).as_bytes()].concat();
    let mut sent = 0;
    for datagram in [SECRET.repeat(5).as_bytes(), &short, &initial, &short] {
        for _ in 0..2 {
            client.send_to(datagram, target)?;
            sent += 1;
            agent.await_object("the datagram", |object| {
                is(object, "datagrams")
                    && address(object, "/local") == Some(target)
                    && number(object, "/read/datagrams") == Some(sent)
            })?;
        }
    }
    agent.await_time(net::monotonic_ns())?;
    check_memory(&agent)?;
    let ended = agent.stop()?;
    let printed: String = ended.objects.iter().map(Value::to_string).collect();
    ensure!(printed.contains("quic") && !printed.contains(SECRET), "in the output: {printed}");
    Ok(())
}

/// Returns how much was lost of this kind.
fn lost(objects: &[Value], probe: &str) -> Option<u64> {
    let of = |object: &&Value| is(object, "lost") && object["probe"] == probe;
    number(objects.iter().rev().find(of)?, "/total")
}

/// Asks for something on a connection of its own. Returns the client's port.
fn ask(to: SocketAddr) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(stream.local_addr()?.port())
}

/// With as many exchanges waiting for the agent as there may be, a connection's protocol is told.
fn flood_of_exchanges(world: &World) -> anyhow::Result<()> {
    let demo = serve(world, &["--response", "1"])?;
    let watch = world.watch().pid(demo.pid()).env("BACKSCOPE_RING_BYTES", "65536");
    let mut agent = watch.start()?;
    let mut stream = TcpStream::connect(demo.ipv4())?;
    stream.set_nodelay(true)?;
    agent.signal(libc::SIGSTOP);
    for _ in 0..3_000 {
        stream.write_all(b"a\n")?;
        stream.read_exact(&mut [0])?;
    }
    let port = ask(demo.ipv4())?;
    agent.signal(libc::SIGCONT);
    let connection = agent
        .await_object("end of the connection", |object| is_connection(object, "server", port))?;
    // By how long an exchange took it is lost under one name or the other.
    agent.await_object("flood", |object| {
        is(object, "lost")
            && ["exchanges_brief", "exchanges"].iter().any(|probe| object["probe"] == *probe)
    })?;
    agent.await_time(net::monotonic_ns())?;
    ensure!(connection["protocol"] == "http/1.1", "{connection}");
    ensure!(lost(agent.objects(), "first_bytes").is_none(), "first bytes were passed over");
    agent.stop().map(drop)
}

/// More first bytes than there are places: what has none is counted under its own name, and
/// nothing else is lost. Once the agent is back the places are free again.
fn flood_of_connections(world: &World) -> anyhow::Result<()> {
    const CONNECTIONS: u64 = 350;
    let taskset = installed("taskset")?;
    let servers = [serve(world, &[])?, serve(world, &[])?];
    // One processor inspects no more in a period than there are places: it takes two.
    for (processor, server) in servers.iter().enumerate() {
        let pinned = Command::new(&taskset)
            .args(["-a", "-c", "-p", &processor.to_string(), &server.pid_arg()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !pinned.success() {
            return skip("it takes two processors");
        }
    }
    let [one, other] = &servers;
    let mut agent = world.watch().pid(one.pid()).pid(other.pid()).start()?;
    agent.signal(libc::SIGSTOP);
    for server in &servers {
        for _ in 0..CONNECTIONS {
            ask(server.ipv4())?;
        }
    }
    agent.signal(libc::SIGCONT);
    for server in &servers {
        agent.await_accepted(server.ipv4().port(), CONNECTIONS)?;
    }
    agent.await_time(net::monotonic_ns())?;
    // Of two processors 500 each, less what has a place.
    let passed_over = lost(agent.objects(), "first_bytes");
    ensure!(passed_over > Some(300), "{passed_over:?} were passed over");
    let told = |agent: &Agent| {
        agent.objects().iter().filter(|object| object["protocol"] == "http/1.1").count()
    };
    ensure!(told(&agent) > 100, "{} were told", told(&agent));
    for _ in 0..100 {
        let port = ask(one.ipv4())?;
        // A client of the other server may have had that port.
        let connection = agent.await_object("end of the connection", |object| {
            is_connection(object, "server", port) && address(object, "/local") == Some(one.ipv4())
        })?;
        ensure!(connection["protocol"] == "http/1.1", "afterwards: {connection}");
    }
    ensure!(lost(agent.objects(), "first_bytes") == passed_over, "more were passed over");
    let ended = agent.stop()?;
    ensure!(lost(&ended.objects, "ring").is_none(), "records were lost");
    let accepted = ended.of("accept").count() as u64;
    ensure!(accepted == 2 * CONNECTIONS + 100, "{accepted} accepts");
    Ok(())
}

/// Neither the limit nor the kernel lets the agent leave a core dump, wherever it would go.
fn no_core_dump(world: &World) -> anyhow::Result<()> {
    let demo = serve(world, &[])?;
    for verb in [&[][..], &["--no-protocols"]] {
        let agent = world.watch().pid(demo.pid()).args(verb).start()?;
        let soft = memory::lift_core_limit(agent.pid()).context("lifting the limit")?;
        ensure!(soft == 0, "the limit on core dumps is {soft}");
        // With the limit raised again, as where a program takes the dump from a pipe.
        agent.signal(libc::SIGABRT);
        let status = agent.ended()?.status;
        ensure!(status.signal() == Some(libc::SIGABRT), "{status}");
        ensure!(!status.core_dumped(), "a core dump was made");
    }
    Ok(())
}

/// The limit is the agent's alone: what it starts has the limit that it was started with.
fn command_may_dump(world: &World) -> anyhow::Result<()> {
    const SHOW: &str = "grep 'Max core file size' /proc/self/limits >&2";
    let script = format!("ulimit -S -c 8; {SHOW}; exec \"$@\"");
    let agent = world.agent_command(&["watch", "--json", "--", "sh", "-c", SHOW]);
    let output = Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(agent.get_program())
        .args(agent.get_args())
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    let limits: Vec<&str> = said.lines().filter(|line| line.starts_with("Max core")).collect();
    let [outside, inside] = limits[..] else { anyhow::bail!("two limits: {said}") };
    ensure!(!outside.contains(" 0 "), "the test needs a limit: {outside}");
    ensure!(inside == outside, "the command's limit is {inside}, not {outside}");
    Ok(())
}

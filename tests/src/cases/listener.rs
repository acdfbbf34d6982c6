//! Listeners belong to their process, by whatever way it got them.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{any_tier, each_tier, native};
use crate::harness::json::{Value, address, listens_on, number, sees};
use crate::harness::net;
use crate::harness::truth::{self, Handshake, check_waits};
use crate::harness::{Case, Client, Process, World, connect};

pub(super) const CASES: &[Case] = &[
    each_tier("listener::existing_at_the_attach", existing).on_each_kernel(),
    each_tier("listener::opened_later", opened_later),
    each_tier("listener::inherited_by_fork", inherited_by_fork),
    each_tier("listener::passed_by_scm_rights", passed_by_scm_rights),
    each_tier("listener::used_as_soon_as_passed", used_as_soon_as_passed),
    each_tier("listener::kept_over_exec", kept_over_exec),
    each_tier("listener::activated_before_the_attach", activated_before),
    each_tier("listener::reuseport_group", reuseport_group).on_each_kernel(),
    each_tier("listener::strangers_at_the_same_port", strangers).on_each_kernel(),
    native("listener::a_stranger_joins_its_address", joined_by_a_stranger),
    each_tier("listener::backlog_changed", backlog_changed).by_processor(),
    each_tier("listener::backlog_clamped", backlog_clamped),
    any_tier("listener::ten_thousand", ten_thousand).alone(),
];

fn existing(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["never-accept", "--backlog", "7"])?;
    let _waiting = [connect(demo.addr)?, connect(demo.addr)?];
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let listener = agent.await_listener(demo.addr.port(), "any figures", |_| true)?;
    ensure!(number(&listener, "/limit") == Some(7), "listen(7): {listener}");
    ensure!(number(&listener, "/accept_depth") == Some(2), "two wait: {listener}");
    ensure!(listener["pid"] == demo.pid(), "its process is {}: {listener}", demo.pid());
    ensure!(listener["comm"] == "demo-servers", "{listener}");
    ensure!(listener["backlog"].is_null(), "nobody saw listen(2): {listener}");
    agent.stop().map(drop)
}

fn opened_later(world: &World) -> anyhow::Result<()> {
    let mut demo =
        world.demo_waiting(&["fork-storm", "--children", "0", "--wait", "--backlog", "9"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    demo.go()?;
    demo.await_listening()?;
    let _client = connect(demo.addr)?;
    let listener = agent.await_accepted(demo.addr.port(), 1)?;
    ensure!(number(&listener, "/limit") == Some(9), "listen(9): {listener}");
    ensure!(number(&listener, "/backlog") == Some(9), "listen(9) was in view: {listener}");
    agent.stop().map(drop)
}

/// Passes a listener on while one of the two processes is watched. Two connections come once it is
/// known.
fn handed_over(world: &World, via: &str, watch_holder: bool) -> anyhow::Result<()> {
    let mut demo = world.demo_waiting(&["inherit", "--via", via, "--wait", "--trace"])?;
    let target = if watch_holder { demo.holder()? } else { demo.pid() };
    let mut agent = world.watch_queues().pid(target).start()?;
    demo.go()?;
    demo.await_listening()?;
    let holder = demo.holder()?;
    agent.await_listener(demo.addr.port(), "any figures", |_| true)?;
    let clients = [connect(demo.addr)?, connect(demo.addr)?];
    let accepts = demo.await_accepts(2)?;
    agent.await_accepted(demo.addr.port(), 2)?;
    let ended = agent.stop()?;
    check_waits(world, &ended.objects, &accepts, &clients.each_ref().map(Handshake::from))?;
    let stranger = ended.of("accept").find(|accept| accept["pid"] != holder);
    ensure!(stranger.is_none(), "{holder} accepts here, not: {stranger:?}");
    Ok(())
}

fn inherited_by_fork(world: &World) -> anyhow::Result<()> {
    handed_over(world, "fork", false)
}

fn passed_by_scm_rights(world: &World) -> anyhow::Result<()> {
    handed_over(world, "scm-rights", true)
}

/// The agent learns of a listener that came by SCM_RIGHTS only by its use. Connections that were
/// queued earlier may be missed, or their waits estimated, but never be wrong.
fn used_as_soon_as_passed(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo_waiting(&["inherit", "--via", "scm-rights", "--wait", "--trace"])?;
    let holder = demo.holder()?;
    // Refreshes are so rare that only the listener's use can make the agent look.
    let mut agent = world.watch_queues().pid(holder).interval("60s").start()?;
    demo.go()?;
    demo.await_listening()?;
    let early = connect(demo.addr)?;
    demo.await_accepts(1)?;
    // Connects until one connection is reported: from then on the listener is known.
    let deadline = Instant::now() + world.patience();
    let mut later = Vec::new();
    loop {
        ensure!(
            Instant::now() < deadline,
            "in {:?} no use made the agent look: {later:?}",
            world.patience()
        );
        later.push(connect(demo.addr)?);
        let seen = agent.arrived()?.iter().any(|object| object["type"] == "accept");
        if seen {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let known = connect(demo.addr)?;
    let accepts = demo.await_accepts(later.len() + 2)?;
    let ended = agent.stop()?;
    let of = |client: &Client| {
        accepts.iter().find(|accept| accept.port == client.port).context("not accepted")
    };
    check_waits(world, &ended.objects, &[*of(&known)?], &[(&known).into()])?;
    for client in later.iter().chain([&early]) {
        if let Ok(object) = truth::accept_of(&ended.objects, client.port) {
            ensure!(object["pid"] == holder, "{holder} accepts here: {object}");
            truth::check_early(world, object, of(client)?, client.into())?;
        }
    }
    let shown = ended.of("accept").count() as u64;
    let listener = ended.listener(demo.addr.port())?;
    ensure!(number(listener, "/accepted") == Some(shown), "{shown} accepts are shown: {listener}");
    Ok(())
}

fn kept_over_exec(world: &World) -> anyhow::Result<()> {
    handed_over(world, "exec", true)
}

fn activated_before(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo(&["inherit", "--via", "exec", "--trace"])?;
    // Once it accepts, the exec is over.
    connect(demo.addr)?;
    demo.await_accepts(1)?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let client = connect(demo.addr)?;
    let accepts = demo.await_accepts(2)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    check_waits(world, &agent.stop()?.objects, &accepts[1..], &[(&client).into()])
}

fn reuseport_group(world: &World) -> anyhow::Result<()> {
    let mut demo =
        world.demo(&["acceptors", "--mode", "reuseport", "--workers", "3", "--trace"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let clients = (0..12).map(|_| connect(demo.addr)).collect::<Result<Vec<_>, _>>()?;
    let accepts = demo.await_accepts(clients.len())?;
    let port = demo.addr.port();
    // The workers' lines and the agent's objects come in any order.
    for accept in &accepts {
        agent.await_object(&format!("accept of {}", accept.port), |object| {
            object["type"] == "accept"
                && address(object, "/peer").is_some_and(|peer| peer.port() == accept.port)
        })?;
    }
    let ended = agent.stop()?;
    check_waits(
        world,
        &ended.objects,
        &accepts,
        &clients.iter().map(Handshake::from).collect::<Vec<_>>(),
    )?;
    let mut latest = std::collections::BTreeMap::new();
    for listener in ended.objects.iter().filter(|object| listens_on(object, port)) {
        latest.insert(listener["sock"].to_string(), number(listener, "/accepted").unwrap_or(0));
    }
    ensure!(latest.len() == 3, "three sockets listen on the port: {latest:?}");
    ensure!(latest.values().sum::<u64>() == 12, "twelve were accepted: {latest:?}");
    Ok(())
}

/// Two processes listen at one port, at different addresses, and one is watched. It is told of its
/// own connections and of no other.
fn strangers(world: &World) -> anyhow::Result<()> {
    // Addresses of the watched one and of the other, and where the clients connect to.
    let pairs = [
        ("127.0.0.1", "127.0.0.2", ["127.0.0.1"].as_slice(), Some("127.0.0.2")),
        ("127.0.0.1", "::1", &["127.0.0.1"], Some("::1")),
        ("::1", "0.0.0.0", &["::1"], Some("127.0.0.3")),
        ("0.0.0.0", "::1", &["127.0.0.1", "127.0.0.4"], Some("::1")),
        // Of both families.
        ("::", "", &["::1", "127.0.0.1", "127.0.0.4"], None),
    ];
    for (ours, theirs, to_ours, to_theirs) in pairs {
        let port = net::free_port()?;
        let at = |addr: &str| anyhow::Ok(SocketAddr::new(addr.parse()?, port));
        let watched = world.demo(&["serve", "--listen", &at(ours)?.to_string()])?;
        let _other = match to_theirs {
            Some(_) => Some(TcpListener::bind(at(theirs)?)?),
            None => None,
        };
        let mut agent = world.watch().pid(watched.pid()).start()?;
        agent.await_listener(port, "any figures", |_| true)?;
        let mut clients = Vec::new();
        for _ in 0..2 {
            for to in to_ours.iter().chain(&to_theirs) {
                clients.push(connect(at(to)?)?);
            }
        }
        let wanted = 2 * to_ours.len();
        agent.await_accepted(port, wanted as u64)?;
        drop(clients);
        let ended = agent.stop()?;
        let accepts: Vec<_> = ended.of("accept").collect();
        ensure!(accepts.len() == wanted, "{wanted} came to {ours} beside {theirs}: {accepts:?}");
        for accept in accepts {
            ensure!(accept["pid"] == watched.pid(), "of {}: {accept}", watched.pid());
            ensure!(number(accept, "/queued_us").is_some(), "its wait is known: {accept}");
        }
        let listener = ended.listener(port)?;
        let queued = number(listener, "/queued") == Some(wanted as u64);
        ensure!(queued || !sees(&ended.objects, "queued"), "{wanted} were queued: {listener}");
    }
    Ok(())
}

/// Listens where it is told to and accepts, until its input ends. A line lets others listen there.
const LISTEN: &str = "
import select, socket, sys
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
if 'share' in sys.argv:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen(64)
print('listening', flush=True)
while True:
    ready, _, _ = select.select([listener, sys.stdin], [], [])
    if sys.stdin in ready:
        line = sys.stdin.readline()
        if not line:
            break
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        print('shared', flush=True)
        continue
    connection, _ = listener.accept()
    connection.close()
";

/// Starts a process that listens there.
fn listen(world: &World, at: &str, port: u16, how: &[&str]) -> anyhow::Result<Process> {
    let mut command = Command::new("python3");
    command.args(["-c", LISTEN, at, &port.to_string()]).args(how);
    let server = Process::start(command)?;
    await_line(world, &server, "listening")?;
    Ok(server)
}

fn await_line(world: &World, server: &Process, wanted: &str) -> anyhow::Result<()> {
    let line = server.next_line(Instant::now() + world.patience())?.context("it ended")?;
    ensure!(line.trim() == wanted, "it says {line}");
    Ok(())
}

/// A listener allows others on its address only once it is watched, and one comes that is not: the
/// kernel shares connections out between them, and each is told of the process that gets it.
fn joined_by_a_stranger(world: &World) -> anyhow::Result<()> {
    const CONNECTIONS: u64 = 40;
    let port = net::free_port()?;
    let mut watched = listen(world, "127.0.0.1", port, &[])?;
    let mut agent = world.watch().pid(watched.pid()).start()?;
    agent.await_listener(port, "any figures", |_| true)?;
    watched.write_line("share")?;
    await_line(world, &watched, "shared")?;
    let _other = listen(world, "127.0.0.1", port, &["share"])?;
    let figures = |listener: &Value| {
        ["/queued", "/accepted", "/abandoned"].map(|of| number(listener, of).unwrap_or(0))
    };
    let ask = || {
        // Accepted and closed: the other end tells.
        let mut client = TcpStream::connect(("127.0.0.1", port))?;
        client.read_to_end(&mut Vec::new()).map(drop)
    };
    // Until a scan has met it, it is not seen who enters its queue.
    let deadline = Instant::now() + world.patience();
    let [queued, accepted, _] = loop {
        ask()?;
        let [queued, accepted, abandoned] = figures(&agent.await_refresh(port)?);
        ensure!(abandoned == 0 && queued <= accepted, "none is the other's");
        if queued > 0 {
            break [queued, accepted, abandoned];
        }
        ensure!(Instant::now() < deadline, "nobody enters its queue");
    };
    for _ in 0..CONNECTIONS {
        ask()?;
    }
    agent.await_refresh(port)?;
    let ended = agent.stop()?;
    let [all_queued, all_accepted, abandoned] = figures(ended.listener(port)?);
    let (entered, left) = (all_queued - queued, all_accepted - accepted);
    ensure!(entered == left && abandoned == 0, "{entered} entered, {left} were accepted");
    ensure!((1..CONNECTIONS).contains(&left), "the kernel shares them out: {left}");
    let own = ended.of("accept").all(|accept| accept["pid"] == watched.pid());
    ensure!(own, "each is told of the watched process");
    Ok(())
}

fn backlog_changed(world: &World) -> anyhow::Result<()> {
    let mut demo = world.demo(&["never-accept", "--backlog", "20", "--relisten", "5"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let port = demo.addr.port();
    agent.await_listener(port, "limit 20", |listener| number(listener, "/limit") == Some(20))?;
    demo.go()?;
    demo.await_line("relistened ")?;
    agent.await_listener(port, "limit 5", |listener| number(listener, "/limit") == Some(5))?;
    agent.stop().map(drop)
}

fn backlog_clamped(world: &World) -> anyhow::Result<()> {
    net::set("core/somaxconn", 128)?;
    let mut demo =
        world.demo_waiting(&["inherit", "--via", "scm-rights", "--backlog", "4096", "--wait"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    demo.go()?;
    demo.await_listening()?;
    let listener = agent
        .await_listener(demo.addr.port(), "backlog", |listener| !listener["backlog"].is_null())?;
    ensure!(number(&listener, "/backlog") == Some(4096), "4096 was asked for: {listener}");
    ensure!(number(&listener, "/limit") == Some(128), "somaxconn is 128: {listener}");
    let finding = agent.await_finding("backlog-clamped")?;
    ensure!(
        finding["fix"].as_str().is_some_and(|fix| fix.contains("somaxconn")),
        "the setting's name: {finding}"
    );
    agent.stop().map(drop)
}

fn ten_thousand(world: &World) -> anyhow::Result<()> {
    let server =
        ["never-accept", "--listen", "127.0.0.1:20000", "--listeners", "10000", "--backlog", "3"];
    let mut demo = world.demo_waiting(&server)?;
    demo.await_listening()?;
    demo.await_line("listeners 10000")?;
    let mut agent = world.watch_queues().pid(demo.pid()).interval("2s").start()?;
    let _client = connect(demo.addr)?;
    agent.await_listener(demo.addr.port(), "one waiting", |listener| {
        number(listener, "/accept_depth") == Some(1)
    })?;
    let ended = agent.stop()?;
    let known: std::collections::BTreeSet<_> =
        ended.of("listener").map(|l| l["sock"].to_string()).collect();
    ensure!(known.len() == 10_000, "10000 listeners, {} known", known.len());
    Ok(())
}

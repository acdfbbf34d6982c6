//! UDP: datagrams that arrive, are read and written; their waits; and a receiver that is too slow.

use std::ffi::OsString;
use std::net::UdpSocket;
use std::process::Command;

use anyhow::{Context, ensure};

use super::finding::check_useful;
use super::{each_tier, exchange, native};
use crate::harness::json::{Value, address, is, number, sees};
use crate::harness::{Agent, Case, Demo, Process, World, net};
use crate::servers::{PORT, installed};

pub(super) const CASES: &[Case] = &[
    exchange("datagram::counts_are_exact", counts).by_processor().on_each_kernel().alone(),
    exchange("datagram::counts_are_exact_ipv6", counts_ipv6).alone(),
    exchange("datagram::recvmmsg_and_peek", batches).by_processor().alone(),
    exchange("datagram::truncated_and_empty_ones_count", truncated).alone(),
    exchange("datagram::socket_opened_later", opened_later),
    exchange("datagram::address_used_again", address_used_again),
    exchange("datagram::waits_of_a_reader_that_pauses", waits).on_each_kernel().alone(),
    each_tier("datagram::drops_are_the_kernels", drops).alone(),
    each_tier("datagram::overflow_is_found", overflow),
    native("datagram::none_is_found_where_the_receiver_keeps_up", keeps_up),
    native("datagram::two_sockets_on_one_port", two_sockets),
    native("datagram::dnsmasq", dnsmasq),
];

/// Starts a receiver, and returns its address, too.
pub(super) fn receiver(world: &World, knobs: &[&str]) -> anyhow::Result<(Demo, String)> {
    let mut demo = world.demo_waiting(&[&["datagrams", "--trace"], knobs].concat())?;
    let line = demo.await_line("bound to ")?;
    Ok((demo, line["bound to ".len()..].to_owned()))
}

/// Waits until the receiver reports so many drops. It takes the count from the kernel.
pub(super) fn await_dropped(receiver: &mut Demo, least: u64) -> anyhow::Result<()> {
    let dropped = |line: &str| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
    for count in 1.. {
        let lines = receiver.await_lines("received ", count)?;
        if lines.last().and_then(|line| dropped(line)) >= Some(least) {
            break;
        }
    }
    Ok(())
}

fn overflow(world: &World) -> anyhow::Result<()> {
    let (mut demo, target) = receiver(world, &["--receive-buffer", "2048", "--pause", "50ms"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let mut sender = world.demo_waiting(&[
        "datagrams",
        "--target",
        &target,
        "--count",
        "500",
        "--pause",
        "2ms",
    ])?;
    let finding = agent.await_finding("udp-receive-overflow")?;
    check_useful(&finding)?;
    sender.await_line("sent 500 ")?;
    await_dropped(&mut demo, 1)?;
    agent.stop().map(drop)
}

fn keeps_up(world: &World) -> anyhow::Result<()> {
    const DATAGRAMS: usize = 500;
    let (mut demo, target) = receiver(world, &[])?;
    let agent = world.watch().pid(demo.pid()).start()?;
    let count = DATAGRAMS.to_string();
    let mut sender = world.demo_waiting(&[
        "datagrams",
        "--target",
        &target,
        "--count",
        &count,
        "--pause",
        "1ms",
    ])?;
    sender.await_line("sent ")?;
    demo.await_lines("received ", DATAGRAMS)?;
    agent.stop()?.check_no_finding("udp-receive-overflow")
}

/// Whether this is the object of the UDP socket at that port.
fn is_socket(object: &Value, port: u16) -> bool {
    is(object, "datagrams") && address(object, "/local").is_some_and(|local| local.port() == port)
}

fn port_of(target: &str) -> anyhow::Result<u16> {
    Ok(target.rsplit(':').next().context("an address")?.parse()?)
}

/// A watched receiver that has read a first datagram. If a thread sleeps in a read at the attach,
/// not every kernel shows its return; this first read is that one.
struct Watched {
    demo: Demo,
    target: String,
    port: u16,
    agent: Agent,
    /// The socket as it was shown after the first datagram.
    before: Value,
}

impl Watched {
    fn new(world: &World, server: &[&str]) -> anyhow::Result<Self> {
        let (mut demo, target) = receiver(world, server)?;
        let port = port_of(&target)?;
        let mut agent = world.watch().pid(demo.pid()).start()?;
        send(world, &target, 1, &[])?;
        demo.await_line("received 1 ")?;
        // After a second of silence nothing counts as being on its way.
        let now_ns = net::monotonic_ns() + 1_100_000_000;
        let before = agent.await_object("the first datagram", |object| {
            is_socket(object, port) && number(object, "/ts_ns") > Some(now_ns)
        })?;
        Ok(Self { demo, target, port, agent, before })
    }

    /// Sends so many datagrams, and waits until the receiver has read them.
    fn exchange(
        &mut self,
        world: &World,
        datagrams: u64,
        sender: &[&str],
    ) -> anyhow::Result<Value> {
        send(world, &self.target, datagrams, sender)?;
        let (port, all) =
            (self.port, number(&self.before, "/read/datagrams").map(|before| before + datagrams));
        self.agent.await_object("every datagram read", |object| {
            is_socket(object, port) && number(object, "/read/datagrams") == all
        })
    }

    /// Returns how much a count has grown since the first datagram.
    fn since(&self, socket: &Value, pointer: &str) -> Option<u64> {
        number(socket, pointer)?.checked_sub(number(&self.before, pointer)?)
    }

    /// Checks what a receiver that keeps up shows of datagrams of 100 bytes.
    fn check_counts(&self, socket: &Value, datagrams: u64, read_bytes: u64) -> anyhow::Result<()> {
        let since = |pointer: &str| self.since(socket, pointer);
        let sized = sees(self.agent.objects(), "datagram_size").then_some(datagrams * 100);
        let arrived = (since("/in/datagrams"), since("/in/bytes"));
        ensure!(
            arrived == (Some(datagrams), sized),
            "{datagrams} arrived: {socket} after {}",
            self.before
        );
        let read = (since("/read/datagrams"), since("/read/bytes"));
        ensure!(read == (Some(datagrams), Some(read_bytes)), "{read_bytes} B were read: {socket}");
        ensure!(
            number(socket, "/drops") == Some(0) && number(socket, "/waiting") == Some(0),
            "none is left: {socket}"
        );
        ensure!(
            since("/wait_us/count") == Some(datagrams),
            "each has waited: {socket} after {}",
            self.before
        );
        Ok(())
    }
}

fn send(world: &World, target: &str, datagrams: u64, sender: &[&str]) -> anyhow::Result<()> {
    let count = datagrams.to_string();
    let mut demo = world
        .demo_waiting(&[&["datagrams", "--target", target, "--count", &count], sender].concat())?;
    demo.await_line("sent ").map(drop)
}

fn counts_on(world: &World, server: &[&str], sender: &[&str]) -> anyhow::Result<()> {
    let mut watched = Watched::new(world, server)?;
    let socket = watched.exchange(world, 300, sender)?;
    watched.check_counts(&socket, 300, 30_000)?;
    let ended = watched.agent.stop()?;
    let totals = &ended.summary()?["datagrams"];
    ensure!(
        totals["read"] == socket["read"]["datagrams"] && totals["sockets"] == 1,
        "the totals: {totals}"
    );
    Ok(())
}

fn counts(world: &World) -> anyhow::Result<()> {
    counts_on(world, &[], &["--pause", "1ms"])
}

fn counts_ipv6(world: &World) -> anyhow::Result<()> {
    counts_on(world, &["--bind", "[::1]:0"], &["--pause", "1ms"])
}

/// A peek is no read, and each message of a call is one.
fn batches(world: &World) -> anyhow::Result<()> {
    counts_on(world, &["--io", "recvmmsg", "--peek", "--pause", "3ms"], &["--pause", "1ms"])
}

fn truncated(world: &World) -> anyhow::Result<()> {
    let mut watched = Watched::new(world, &["--read-size", "60", "--io", "recv"])?;
    let socket = watched.exchange(world, 100, &["--pause", "1ms"])?;
    watched.check_counts(&socket, 100, 6_000)?;
    watched.agent.stop()?;
    let mut watched = Watched::new(world, &[])?;
    let socket = watched.exchange(world, 100, &["--pause", "1ms", "--size", "0"])?;
    ensure!(watched.since(&socket, "/read/bytes") == Some(0), "nothing but headers: {socket}");
    watched.agent.stop().map(drop)
}

/// The sender's socket is opened after the attach and closed before the end.
fn opened_later(world: &World) -> anyhow::Result<()> {
    let (_demo, target) = receiver(world, &[])?;
    let mut command: Vec<OsString> = vec![world.demo_servers().into()];
    let args = ["datagrams", "--target", &target, "--count", "50", "--pause", "2ms"];
    command.extend(args.map(OsString::from));
    let ended = world.watch().command(&command).spawn()?.ended()?;
    ended.check_clean()?;
    let socket = ended.of("datagrams").last().context("no UDP socket is shown")?;
    let sent = (number(socket, "/out/datagrams"), number(socket, "/out/bytes"));
    ensure!(sent == (Some(50), Some(5_000)), "50 were sent: {socket}");
    ensure!(
        socket["peer"] == target.as_str() && socket["closed"] == true,
        "connected, and closed: {socket}"
    );
    Ok(())
}

/// The kernel reuses the address of a closed socket, often at once. The new socket's datagrams must
/// not be counted for the old one.
fn address_used_again(world: &World) -> anyhow::Result<()> {
    const SENT: u64 = 5;
    let (_demo, target) = receiver(world, &[])?;
    let mut agent = world.watch().args(["--port".to_owned(), PORT.to_string()]).start()?;
    let watched = UdpSocket::bind(("127.0.0.1", PORT))?;
    for _ in 0..SENT {
        watched.send_to(b"ours", &target)?;
    }
    drop(watched);
    for _ in 0..100 {
        UdpSocket::bind("127.0.0.1:0")?.send_to(b"somebody else's", &target)?;
    }
    let socket = agent.await_object("the socket's end", |object| {
        is_socket(object, PORT) && object["closed"] == true
    })?;
    let sent = (number(&socket, "/out/datagrams"), number(&socket, "/out/bytes"));
    ensure!(sent == (Some(SENT), Some(4 * SENT)), "{SENT} were sent: {socket}");
    agent.stop().map(drop)
}

fn waits(world: &World) -> anyhow::Result<()> {
    // All arrive at about the same time, and one is read every 50 ms, so the last waits some 20
    // times as long.
    let mut watched = Watched::new(world, &["--pause", "50ms"])?;
    let socket = watched.exchange(world, 20, &[])?;
    watched.check_counts(&socket, 20, 2_000)?;
    let [p50, longest] =
        ["/wait_us/p50", "/wait_us/max"].map(|at| number(&socket, at).unwrap_or(0));
    ensure!((850_000..4_000_000).contains(&longest), "the last waited some 950 ms: {socket}");
    ensure!((350_000..2_000_000).contains(&p50), "half of them some 500 ms: {socket}");
    ensure!(watched.since(&socket, "/wait_us/at_least") < Some(20), "arrivals were seen: {socket}");
    watched.agent.stop().map(drop)
}

/// Each datagram that was sent is dropped or read, and the drops are those that the kernel reports
/// to the receiver.
fn drops(world: &World) -> anyhow::Result<()> {
    const SENT: u64 = 200;
    let mut watched = Watched::new(world, &["--receive-buffer", "2048", "--pause", "20ms"])?;
    send(world, &watched.target, SENT, &["--pause", "1ms"])?;
    let mut told = 0;
    for lines in 1.. {
        let lines = watched.demo.await_lines("received ", lines)?;
        let words: Vec<&str> = lines.last().context("a line")?.split(' ').collect();
        let (received, dropped): (u64, u64) = (words[1].parse()?, words[4].parse()?);
        if received + dropped == SENT + 1 {
            told = dropped;
            break;
        }
    }
    ensure!(told > 0, "the buffer is too small for {SENT} datagrams");
    let (port, now_ns) = (watched.port, net::monotonic_ns());
    let socket = watched.agent.await_object("the kernel's drops", |object| {
        is_socket(object, port)
            && number(object, "/ts_ns") > Some(now_ns)
            && number(object, "/drops") == Some(told)
            && number(object, "/waiting") == Some(0)
    })?;
    if sees(watched.agent.objects(), "read") {
        let [arrived, read] =
            ["/in/datagrams", "/read/datagrams"].map(|at| watched.since(&socket, at));
        ensure!(arrived == Some(SENT - told) && read == arrived, "the rest was read: {socket}");
    }
    watched.agent.stop().map(drop)
}

/// Each socket of a SO_REUSEPORT group has figures of its own.
fn two_sockets(world: &World) -> anyhow::Result<()> {
    installed("python3")?;
    let script = format!(
        "import socket,select\n\
         def bound():\n s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n \
         s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEPORT,1)\n s.bind(('127.0.0.1',{PORT}))\n \
         return s\n\
         both=[bound(),bound()]\nprint('bound',flush=True)\n\
         while True:\n for s in select.select(both,[],[])[0]:\n  \
         s.sendto(b'answer',s.recvfrom(100)[1])\n"
    );
    let mut python = Command::new("python3");
    python.args(["-c", &script]);
    let server = Process::start(python)?;
    let deadline = std::time::Instant::now() + world.patience();
    ensure!(server.next_line(deadline)?.as_deref() == Some("bound"), "python listens");
    let mut agent = world.watch().pid(server.pid()).start()?;
    for _ in 0..40 {
        // The client's port chooses the socket of the group.
        ask(PORT, b"question")?;
    }
    agent.await_object("an idle refresh", |object| is_socket(object, PORT))?;
    let ended = agent.stop()?;
    let totals = &ended.summary()?["datagrams"];
    let all = ["/sockets", "/in", "/read", "/out"].map(|at| number(totals, at));
    ensure!(all == [2, 40, 40, 40].map(Some), "two sockets, 40 questions: {totals}");
    let one = ended.of("datagrams").last().context("no UDP socket is shown")?;
    ensure!(number(one, "/in/datagrams") < Some(40), "the kernel shared them out: {one}");
    Ok(())
}

/// Sends one datagram and returns the size of the answer.
fn ask(port: u16, question: &[u8]) -> anyhow::Result<usize> {
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    client.send_to(question, ("127.0.0.1", port))?;
    Ok(client.recv(&mut [0; 512])?)
}

/// A real DNS server.
fn dnsmasq(world: &World) -> anyhow::Result<()> {
    const QUERIES: u64 = 100;
    // An id, one question: the address of a.test.
    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01";
    installed("dnsmasq")?;
    let mut server = Command::new("dnsmasq");
    let port = format!("--port={PORT}");
    server.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        &port,
    ]);
    server.args([
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--address=/test/10.1.2.3",
        "--pid-file=",
    ]);
    let server = Process::start(server)?;
    let deadline = std::time::Instant::now() + world.patience();
    while ask(PORT, QUERY).is_err() {
        ensure!(std::time::Instant::now() < deadline, "dnsmasq does not answer");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut agent = world.watch().pid(server.pid()).start()?;
    let mut answered = 0;
    for _ in 0..QUERIES {
        answered += ask(PORT, QUERY)? as u64;
    }
    let socket = agent.await_object("every query", |object| {
        is_socket(object, PORT) && number(object, "/read/datagrams") == Some(QUERIES)
    })?;
    let out = (number(&socket, "/out/datagrams"), number(&socket, "/out/bytes"));
    ensure!(out == (Some(QUERIES), Some(answered)), "{QUERIES} answers of {answered} B: {socket}");
    ensure!(
        number(&socket, "/read/bytes") == Some(QUERIES * QUERY.len() as u64),
        "the questions: {socket}"
    );
    agent.stop()?.check_no_finding("udp-receive-overflow")
}

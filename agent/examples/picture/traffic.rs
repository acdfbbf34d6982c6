//! The traffic that the screens of connections and threads are drawn for: a response written in two
//! pieces waits for a delayed ACK under Nagle's algorithm, on one connection of several. Shared
//! with the tests of the screen.

use std::net::SocketAddr;

use backscope::model::event::{HoldReason, Role, Side, TcpState};
use backscope::model::snapshot::{
    ConnectionView, ExchangeVerdict, ExchangeView, Finding, HoldView, Io, Owner, OwnerTimes,
    PatternName, PatternThread, PatternView, Severity, Slice, SliceKind, Snapshot, Stood,
    ThreadView, Trailing, Units, WaitView,
};

use super::scene;

/// The connection with Nagle's delay.
pub(crate) const NAGLE: u64 = 100;
/// The connection that the process makes itself, and the one on which its call runs.
pub(crate) const CALL: u64 = 105;
pub(crate) const CALLER: u64 = 101;
/// The process of everything here.
pub(crate) const PID: u32 = 4242;

/// The traffic. Nothing is refused.
pub(crate) fn traffic() -> Snapshot {
    let mut snapshot = scene::incident();
    snapshot.listeners.remove(0);
    let listener = &mut snapshot.listeners[0];
    (listener.sock, listener.local, listener.pid) = (1, address("0.0.0.0:8080"), PID);
    (listener.comm, listener.holders) = ("api-server".into(), vec![PID]);
    (listener.acceptors[0].tid, listener.acceptors[0].comm) = (PID, "api-server".into());
    snapshot.event_log.clear();
    let now = snapshot.now_ns;
    snapshot.connections =
        vec![nagle(now), caller(now), slow(now), peer(now), call(now), leak(now)];
    snapshot.connections.extend((0..6).map(|at| quick(now, at)));
    snapshot.connections_open = snapshot.connections.len() as u64;
    snapshot.times = OwnerTimes {
        exchanges: 412,
        app_us: 1_460_000,
        kernel_us: 180_000,
        network_us: 96_000,
        peer_us: 260_000,
        unknown_us: 4_000,
    };
    snapshot.recent_times = OwnerTimes {
        exchanges: 38,
        app_us: 114_000,
        kernel_us: 61_000,
        network_us: 9_000,
        peer_us: 15_000,
        unknown_us: 0,
    };
    (snapshot.held, snapshot.recent_held) = (snapshot.times.into(), snapshot.recent_times.into());
    snapshot.threads = threads();
    snapshot.patterns = vec![pattern()];
    snapshot.findings = vec![finding(now)];
    snapshot
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address of this file")
}

/// An exchange of some slices, given as kind, µs and µs on a CPU.
pub(crate) fn exchange(
    seq: u32,
    start_ns: u64,
    parts: &[(SliceKind, u64, Option<u64>)],
) -> ExchangeView {
    let mut at = start_ns;
    let mut slices = Vec::new();
    for &(kind, us, cpu_us) in parts {
        slices.push(Slice { kind, start_ns: at, us, cpu_us, proved: false, upstream_us: None });
        at += us * 1_000;
    }
    ExchangeView {
        upstream: Vec::new(),
        downstream: None,
        multiplexed: false,
        several: false,
        handshake: false,
        unanswered: false,
        seq,
        start_ns,
        total_us: parts.iter().map(|part| part.1).sum(),
        done: true,
        stands_for: 1,
        slices,
        verdict: verdict(parts),
        request_bytes: 214,
        response_bytes: 1_420,
        reads: 1,
        writes: 1,
        last_sizes: [0, 1_420],
        held_sizes: [0, 0],
        pieces: None,
        pushed_after_us: None,
        put_aside: false,
        read_tid: Some(4244),
        write_tid: Some(4244),
        inside: Vec::new(),
        connects: Vec::new(),
        within: Vec::new(),
    }
}

/// Returns the longest of some slices, the first of equals. As in the model a delayed ACK at the
/// end is not counted.
fn verdict(parts: &[(SliceKind, u64, Option<u64>)]) -> Option<ExchangeVerdict> {
    let counted = match parts {
        [before @ .., (SliceKind::DelayedAck, ..)] => before,
        _ => parts,
    };
    let total: u64 = counted.iter().map(|part| part.1).sum();
    let mut longest: Option<ExchangeVerdict> = None;
    for &(kind, us, _) in counted {
        if longest.is_none_or(|longest| us > longest.us) {
            longest = Some(ExchangeVerdict { kind, us, share: us as f64 / total as f64 });
        }
    }
    longest
}

/// A server's connection with the exchanges that it has had.
pub(crate) fn connection(
    sock: u64,
    peer: &str,
    now_ns: u64,
    recent: Vec<ExchangeView>,
) -> ConnectionView {
    let mut times = OwnerTimes { exchanges: recent.len() as u64, ..OwnerTimes::default() };
    for slice in recent.iter().flat_map(|exchange| &exchange.slices) {
        *match slice.kind.owner() {
            Owner::Kernel => &mut times.kernel_us,
            Owner::App => &mut times.app_us,
            Owner::Network => &mut times.network_us,
            Owner::Peer => &mut times.peer_us,
            Owner::Unknown => &mut times.unknown_us,
        } += slice.us;
    }
    ConnectionView {
        pipelined: 0,
        first_request: None,
        streams: None,
        multiplexed: false,
        protocol: None,
        tls: None,
        fast_open: false,
        multipath: false,
        sock,
        role: Role::Server,
        listener: Some(1),
        local: address("10.0.0.1:8080"),
        peer: address(peer),
        pid: PID,
        comm: "api-server".into(),
        state: TcpState::Established,
        preexisting: false,
        since_ns: now_ns - 9_400_000_000,
        closed_ns: None,
        ended: None,
        end: Default::default(),
        handshake_us: Some(210),
        queued_us: Some(80),
        connect_us: None,
        syns_again: 0,
        acceptor: Some((PID, "api-server".into())),
        exchanges: recent.len() as u64,
        times,
        held: times.into(),
        current: None,
        worst: recent.iter().max_by_key(|exchange| exchange.total_us).cloned(),
        recent,
        bytes_in: 2_568,
        bytes_out: 2_448,
        unread_bytes: 0,
        unsent_bytes: 0,
        retransmits: 0,
        holds: Vec::new(),
        trailing: Trailing::default(),
    }
}

/// Header and body in two writes: most exchanges wait for the peer's delayed ACK.
fn nagle(now: u64) -> ConnectionView {
    let one = |seq: u32| {
        let held = if seq % 4 == 1 { 0 } else { 39_000 + u64::from(seq * 7919 % 97) * 50 };
        let parts = [
            (SliceKind::ReceiveQueue, 90, None),
            (SliceKind::App, 310, Some(280)),
            (SliceKind::Nagle, if seq == 7 { 43_510 } else { held }, None),
            (SliceKind::AckWait, 190, None),
        ];
        let mut parts = parts.to_vec();
        parts.retain(|part| part.1 > 0);
        let mut exchange =
            exchange(seq, now - 9_000_000_000 + u64::from(seq) * 700_000_000, &parts);
        (exchange.response_bytes, exchange.writes) = (204, 2);
        (exchange.last_sizes, exchange.held_sizes) = ([4, 200], [4, 200]);
        exchange
    };
    let mut connection = connection(NAGLE, "10.0.0.9:40122", now, (1..=12).map(one).collect());
    connection.holds = vec![HoldView { reason: HoldReason::Nagle, count: 9, us: 371_200 }];
    connection.trailing = Trailing { count: 2, us: 81_000 };
    connection
}

/// Slow because of a call to a database.
fn caller(now: u64) -> ConnectionView {
    let one = |seq: u32| {
        let parts = [
            (SliceKind::ReceiveQueue, 120, None),
            (SliceKind::RunQueue, 200, None),
            (SliceKind::App, 24_000 + u64::from(seq) * 900, Some(2_100)),
            (SliceKind::AckWait, 240, None),
        ];
        let mut exchange =
            exchange(seq, now - 8_000_000_000 + u64::from(seq) * 400_000_000, &parts);
        exchange.inside = vec![(CALL, seq)];
        exchange
    };
    connection(CALLER, "10.0.0.4:51010", now, (1..=18).map(one).collect())
}

/// The application is at work on an exchange that is not over.
fn slow(now: u64) -> ConnectionView {
    let parts =
        [(SliceKind::ReceiveQueue, 9_000, Some(8_800)), (SliceKind::App, 28_000, Some(27_400))];
    let mut current = exchange(3, now - 37_000_000, &parts);
    (current.done, current.response_bytes, current.writes, current.write_tid) = (false, 0, 0, None);
    let quick = [(SliceKind::App, 1_900, Some(1_800)), (SliceKind::AckWait, 200, None)];
    let recent = (1..=2).map(|seq| exchange(seq, now - 900_000_000, &quick)).collect();
    ConnectionView { current: Some(current), ..connection(102, "10.0.0.6:33910", now, recent) }
}

/// A peer far away that takes its time, over a network that loses segments.
fn peer(now: u64) -> ConnectionView {
    let parts = [
        (SliceKind::Request, 6_000, None),
        (SliceKind::App, 700, Some(690)),
        (SliceKind::Congestion, 2_100, None),
        (SliceKind::Retransmit, 11_000, None),
        (SliceKind::AckWait, 1_200, None),
    ];
    let mut connection = connection(
        103,
        "[2001:db8::17]:61000",
        now,
        (1..=5).map(|seq| exchange(seq, now - 1_000_000_000, &parts)).collect(),
    );
    connection.retransmits = 3;
    connection
}

/// The call of the process to its database.
fn call(now: u64) -> ConnectionView {
    let parts = [(SliceKind::Response, 19_800, None), (SliceKind::ReceiveQueue, 60, None)];
    let recent = (1..=18).map(|seq| exchange(seq, now - 7_000_000_000, &parts)).collect();
    let mut connection = connection(CALL, "10.0.0.5:5432", now, recent);
    (connection.role, connection.listener, connection.acceptor) = (Role::Client, None, None);
    (connection.local, connection.queued_us) = (address("10.0.0.1:51022"), None);
    connection
}

/// Closed by the peer, never by the process.
fn leak(now: u64) -> ConnectionView {
    let mut connection = connection(104, "10.0.0.8:40500", now, Vec::new());
    connection.state = TcpState::CloseWait;
    connection.ended = None;
    connection
}

fn quick(now: u64, at: u64) -> ConnectionView {
    let parts = [(SliceKind::App, 300 + 10 * at, Some(300)), (SliceKind::AckWait, 120, None)];
    let recent = (1..=9).map(|seq| exchange(seq, now - 3_000_000_000, &parts)).collect();
    let mut connection =
        connection(110 + at, &format!("10.0.0.7:{}", 42_000 + 17 * at), now, recent);
    if at == 5 {
        (connection.state, connection.closed_ns) = (TcpState::Closed, Some(now - 400_000_000));
        connection.ended = Some((Side::Peer, backscope::model::event::Ending::Fin));
    }
    connection
}

fn threads() -> Vec<ThreadView> {
    let thread = |tid, comm: &str, accepts, reads, writes, busy, waits, connections| ThreadView {
        pid: PID,
        tid,
        comm: comm.into(),
        accepts,
        reads,
        writes,
        busy: Some(busy),
        waits: Some(waits),
        asleep: Some(1.0 - busy - waits),
        connections,
    };
    vec![
        thread(4244, "reader-1", 0.0, 2_010.0, 2_010.0, 0.71, 0.03, 103),
        thread(4245, "reader-2", 0.0, 190.0, 190.0, 0.07, 0.002, 9),
        thread(4246, "reader-3", 0.0, 180.0, 181.0, 0.06, 0.002, 8),
        thread(PID, "api-server", 12.0, 0.0, 0.0, 0.04, 0.001, 0),
    ]
}

fn finding(now: u64) -> Finding {
    Finding {
        inferred: false,
        claims: Vec::new(),
        kind: "nagle-delayed-ack",
        severity: Severity::Warning,
        owner: Owner::Kernel,
        sock: NAGLE,
        subject: "10.0.0.9:40122 → :8080".into(),
        pid: None,
        since_ns: now - 8_000_000_000,
        stood: Stood::once(now - 8_000_000_000, now),
        headline: "Nagle and the peer's delayed ACK held 9 responses for 41 ms each.".into(),
        text: "The response is written in two pieces: 4 B, then 200 B. \
               The second waits in the kernel until the first is acknowledged, \
               and the peer delays that ACK by 40 ms."
            .into(),
        evidence: vec![
            ("holds", 9.0),
            ("held_us", 371_200.0),
            ("first_bytes", 4.0),
            ("second_bytes", 200.0),
        ],
        fix: "write both in one writev(), or set TCP_NODELAY: \
              removes 41 ms from each such response."
            .into(),
        explained_by: None,
        explains: Vec::new(),
    }
}

/// One thread accepts, four read, and one of these most.
fn pattern() -> PatternView {
    let thread = |tid: u32, accepts, reads, connections| PatternThread {
        pid: PID,
        tid,
        comm: "".into(),
        accepts,
        reads,
        writes: reads,
        connections,
    };
    PatternView {
        pid: PID,
        comm: "api-server".into(),
        name: PatternName::AcceptorPlusReaders,
        units: Some(Units::Threads),
        io: Some(Io::EventLoop),
        confidence: 0.97,
        headline: "1 thread accepts, 4 read and write, hand-off 38 µs".into(),
        evidence: vec![
            "1 thread accepts on 0.0.0.0:8080: 118 connections examined".to_owned(),
            "118 of 118 connections: served by a thread that does not accept".to_owned(),
        ],
        handoff: WaitView {
            count: 118,
            p50: 38,
            p90: 60,
            p99: 410,
            max: 1_204,
            buckets: [117, 1, 0, 0, 0],
        },
        threads: vec![
            thread(PID, 118, 0, 0),
            thread(4_244, 0, 18_090, 103),
            thread(4_245, 0, 1_710, 9),
        ],
        uneven: vec![4_244],
    }
}

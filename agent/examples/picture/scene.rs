//! The incident that the screens are drawn for: one thread accepts 41 connections a second, 59
//! arrive, and the accept queue has run full. Shared with the tests of the screen.

use std::net::SocketAddr;

use backscope::model::event::Stage;
use backscope::model::snapshot::{
    Acceptor, Finding, ListenerView, LogEntry, Owner, Rates, Severity, Snapshot, Stood, StreamKind,
    Totals, WaitView,
};

const ATTACH_NS: u64 = 1_000_000_000_000;
const ELAPSED_US: u64 = 12_500_000;
/// Refreshes in the histories, and the length of one.
const PERIODS: u32 = 50;
const PERIOD_NS: u64 = 250_000_000;

/// The incident.
pub(crate) fn incident() -> Snapshot {
    Snapshot {
        proxies: Vec::new(),
        now_ns: ATTACH_NS + ELAPSED_US * 1_000,
        elapsed_us: ELAPSED_US,
        target: "api-server 4242 (+3 children)".into(),
        tier: "full".into(),
        cost_share: Some(0.004),
        lost: 0,
        not_kept: 0,
        listeners: vec![overflowing(), calm()],
        connections: Vec::new(),
        connections_open: 0,
        connections_listed: 0,
        found: None,
        pause_since_ns: None,
        paused_us: None,
        times: Default::default(),
        recent_times: Default::default(),
        held: Default::default(),
        recent_held: Default::default(),
        threads: Vec::new(),
        patterns: Vec::new(),
        datagrams: Vec::new(),
        datagrams_open: 0,
        unix: Vec::new(),
        event_log: event_log(),
        events_logged: 8,
        findings: vec![finding()],
        past_findings: Vec::new(),
        notices: Vec::new(),
        workloads: Default::default(),
        ended: Default::default(),
        recording: None,
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address of this file")
}

/// Histories of a listener, a figure a period.
struct Load {
    depth: Vec<u32>,
    accepts: Vec<u32>,
    arrivals: Vec<u32>,
    overflows: Vec<u32>,
}

/// Returns a load that stepped up before the watch began. The queue fills at the difference to the
/// accepts, and then refuses the rest.
fn rising_load() -> Load {
    let mut load = Load {
        depth: Vec::new(),
        accepts: Vec::new(),
        arrivals: Vec::new(),
        overflows: Vec::new(),
    };
    let mut depth = 103;
    for at in 40..40 + PERIODS {
        let growth = 3 + at % 2 + at / 3;
        let refused = if depth + growth > 512 { 4 + at % 3 } else { 0 };
        let arrived: u32 = 14 + at * 7 % 3;
        depth = (depth + growth).min(512);
        load.depth.push(depth);
        load.accepts.push(9 + at * 5 % 3);
        load.arrivals.push(arrived.saturating_sub(refused));
        load.overflows.push(refused);
    }
    load
}

/// The beginnings of the periods.
fn periods() -> Vec<u64> {
    let now_ns = ATTACH_NS + ELAPSED_US * 1_000;
    (0..PERIODS).map(|at| now_ns - u64::from(PERIODS - at) * PERIOD_NS).collect()
}

/// The listener whose queue is full.
fn overflowing() -> ListenerView {
    let load = rising_load();
    ListenerView {
        sock: 1,
        local: address("0.0.0.0:8080"),
        pid: 4242,
        comm: "api-server".into(),
        holders: vec![4242, 4250, 4251, 4252],
        unnamed_holders: 0,
        calls_missed: false,
        closed: false,
        backlog: Some(511),
        limit: 511,
        defer_accept_s: Some(0),
        somaxconn: Some(4096),
        depth: 512,
        peak: 512,
        syn_depth: 7,
        syn_peak: 31,
        totals: Totals {
            syns: Some(1_128),
            queued: 988,
            accepted: 476,
            overflow_syn: 121,
            overflow_ack: Some(11),
            syn_dropped: Some(0),
            cookies_sent: Some(0),
            synack_retransmits: 23,
            synack_acked: Some(0),
            eagain: 12,
            abandoned: 0,
            accept_fails: Some(0),
            left: None,
        },
        rates: Rates { accepts: 41.0, arrivals: 41.0, overflows: 18.0 },
        wait: WaitView {
            count: 476,
            p50: 412_000,
            p90: 988_000,
            p99: 1_204_000,
            max: 1_261_000,
            buckets: [0, 3, 41, 380, 52],
        },
        history_from_ns: periods(),
        depth_history: load.depth,
        accept_history: load.accepts,
        arrival_history: load.arrivals,
        overflow_history: load.overflows,
        acceptors: vec![Acceptor {
            pid: 4242,
            tid: 4243,
            comm: "worker-1".into(),
            accepts: 476,
            rate: 41.0,
            in_accept_share: Some(0.02),
            in_accept: false,
        }],
        accept_errors: Vec::new(),
        others: Vec::new(),
    }
}

/// A listener with nothing wrong.
pub(crate) fn calm() -> ListenerView {
    let history: Vec<u32> =
        (0..PERIODS).map(|at| u32::from(at % 7 == 3) + u32::from(at % 19 == 2)).collect();
    ListenerView {
        sock: 2,
        local: address("127.0.0.1:9090"),
        pid: 4250,
        comm: "metrics".into(),
        holders: vec![4250],
        unnamed_holders: 0,
        calls_missed: false,
        closed: false,
        backlog: Some(128),
        limit: 128,
        defer_accept_s: Some(0),
        somaxconn: Some(4096),
        depth: 0,
        peak: 3,
        syn_depth: 0,
        syn_peak: 1,
        totals: Totals {
            syns: Some(26),
            queued: 26,
            accepted: 26,
            overflow_ack: Some(0),
            syn_dropped: Some(0),
            cookies_sent: Some(0),
            ..Totals::default()
        },
        rates: Rates { accepts: 2.0, arrivals: 2.0, overflows: 0.0 },
        wait: WaitView { count: 26, p50: 38, p90: 61, p99: 80, max: 80, buckets: [26, 0, 0, 0, 0] },
        history_from_ns: periods(),
        depth_history: history.clone(),
        accept_history: history.clone(),
        arrival_history: history,
        overflow_history: vec![0; PERIODS as usize],
        acceptors: vec![Acceptor {
            pid: 4250,
            tid: 4250,
            comm: "metrics".into(),
            accepts: 26,
            rate: 2.0,
            in_accept_share: Some(0.997),
            in_accept: true,
        }],
        accept_errors: Vec::new(),
        others: Vec::new(),
    }
}

fn finding() -> Finding {
    Finding {
        inferred: false,
        claims: Vec::new(),
        kind: "accept-queue-overflow",
        severity: Severity::Critical,
        owner: Owner::App,
        sock: 1,
        subject: "0.0.0.0:8080".into(),
        pid: None,
        since_ns: ATTACH_NS + 5_100_000_000,
        stood: Stood::once(ATTACH_NS + 5_100_000_000, ATTACH_NS + ELAPSED_US * 1_000),
        headline: "Clients are being refused: 132 so far, 18 a second.".into(),
        text: "The kernel completed their handshakes; \
               the one accepting thread, worker-1, was not there to take them. \
               It spent 98 % of its time outside accept()."
            .into(),
        evidence: vec![
            ("overflows", 132.0),
            ("overflows_per_second", 18.0),
            ("depth", 512.0),
            ("limit", 511.0),
            ("queued_per_second", 41.0),
            ("accepts_per_second", 41.0),
            ("in_accept_share", 0.02),
            ("wait_p99_us", 1_204_000.0),
        ],
        fix: "give accept() a thread of its own, or accept until EAGAIN on each wakeup. \
              A longer backlog (somaxconn allows 4096) buys time, not speed."
            .into(),
        explained_by: None,
        explains: Vec::new(),
    }
}

fn event_log() -> Vec<LogEntry> {
    let mut out = Vec::new();
    for at in 0..60_u64 {
        let ts_ns = ATTACH_NS + 11_300_000_000 + at * 20_000_000 + at * at % 17 * 1_000_000;
        let host = 4 + at * 5 % 9;
        let peer = address(&format!("10.0.0.{host}:{}", 40_000 + at * 217 % 20_000));
        let (listener, what) = if at % 23 == 11 {
            (2, accept(address("127.0.0.1:51870"), 38, "metrics", 4250))
        } else if at % 10 % 3 == 2 {
            let stage = Some(if at % 20 == 5 { Stage::Ack } else { Stage::Syn });
            (1, StreamKind::Overflow { peer: Some(peer), stage, count: 1, depth: 512, limit: 511 })
        } else {
            (1, accept(peer, 1_180_000 + at * 400, "worker-1", 4243))
        };
        out.push(LogEntry { ts_ns, listener, what });
    }
    out
}

fn accept(peer: SocketAddr, queued_us: u64, comm: &str, tid: u32) -> StreamKind {
    StreamKind::Accept { peer, queued_us: Some(queued_us), tid, comm: comm.into(), fd: Some(9) }
}

//! A sample, with every figure.

use super::connection::exchange;
use crate::model::event::{
    AcceptFails, ConnectionSample, Cost, DatagramFlow, DatagramSample, InAccept, LeftQueue,
    ListenerSample, NetSettings, OtherListener, Sample, TcpState, ThreadSample, UnixListener, Used,
    WaitKind, Waiting,
};
use crate::model::tests::world::{LISTENER, SECOND, START, address, listener, udp_socket};

pub(super) fn sample() -> Sample {
    let connection = |state| ConnectionSample {
        sock: 77,
        state,
        exchange: Some(exchange()),
        active_ns: START,
        peer_window_zero: true,
        window_zero: false,
        fin_ns: Some(START),
        next: Some((START, START + 1)),
    };
    Sample {
        ts_ns: START + SECOND,
        listeners: vec![failing_listener()],
        in_accept: vec![InAccept { pid: 1, tid: 2, listener: LISTENER, since_ns: START }],
        connections: vec![connection(TcpState::Established), connection(TcpState::CloseWait)],
        connections_open: 2,
        threads: vec![ThreadSample {
            pid: 1,
            tid: 2,
            comm: "t".into(),
            parent: 7,
            cpu_ns: 3,
            run_delay_ns: 4,
            runs: 8,
            started_ns: 9,
            sleep: Some(WaitKind::Events),
            reads: 5,
            writes: 6,
        }],
        waiting: vec![Waiting {
            pid: 1,
            tid: 2,
            listener: LISTENER,
            epoll: 4,
            exclusive: true,
            switches: 5,
        }],
        datagrams: vec![DatagramSample {
            peer: Some(address("127.0.0.1:9999")),
            read: Some(DatagramFlow { datagrams: 1, bytes: Some(2) }),
            waits: vec![(3, 4)],
            oldest_ns: Some(START),
            reader: Some((1, 2)),
            ..udp_socket()
        }],
        lost: vec![("ring_full".into(), 4)],
        seen: 17,
        somaxconn: vec![(1, 4_096)],
        cost: Cost { probe_runs: Some(9), probe_ns: None, agent_cpu_us: 1, agent_rss_bytes: 2 },
        unix: vec![UnixListener {
            sock: 5,
            path: "/run/php.sock".into(),
            pid: 1,
            comm: "php-fpm".into(),
            holders: vec![1, 2],
            netns: 3,
            depth: 4,
            limit: 5,
            refused: Some(6),
            unnamed_holders: 7,
        }],
        settings: vec![NetSettings {
            netns: 1,
            here: Some(true),
            syncookies: 1,
            syn_retries: 6,
            syn_linear_timeouts: 4,
            abort_on_overflow: true,
        }],
    }
}

pub(super) fn failing_listener() -> ListenerSample {
    let used = Some(Used { open: 30, limit: 31 });
    ListenerSample {
        fails: Some(vec![AcceptFails {
            errno: 24,
            count: 7,
            first_ns: START,
            pid: 1,
            tid: 2,
            used,
        }]),
        left: Some(LeftQueue { closed: 1, reset: 2, late: 3, late_us: 4, cut: 5 }),
        others: vec![OtherListener {
            pid: 9,
            comm: "old".into(),
            local: address("0.0.0.0:8080"),
            depth: 1,
            limit: 2,
        }],
        ..listener(LISTENER, 511)
    }
}

//! What happens to a connection.

use crate::model::event::{
    Accept, Closing, ClosingSocket, Connect, DelayedAcks, End, Ending, Event, Exchange, Hold,
    HoldReason, Holding, Inbound, Outbound, Outcome, Pauses, Progress, Role, Side, SocketCall,
    SocketEvent, SocketEventKind, TcpState, ThreadUse,
};
use crate::model::tests::world::{LISTENER, SECOND, START, address};

pub(super) fn accept() -> Accept {
    Accept {
        ts_ns: START,
        sock: 77,
        listener: LISTENER,
        local: address("[2001:db8::1]:8080"),
        peer: address("10.0.0.9:40122"),
        pid: 4242,
        tid: 4243,
        comm: "wörker\u{1b}[31m".into(),
        fd: Some(-1),
        handshake_us: None,
        queued_ns: Some(u64::MAX),
        queued_estimated: true,
        late: false,
        entered_ns: Some(0),
        depth: u32::MAX,
        stands_for: 1,
    }
}

pub(super) fn exchange() -> Exchange {
    let thread = ThreadUse { pid: 1, tid: 2, since_ns: Some(3), run_delay_ns: 4, cpu_ns: 5 };
    let hold = |reason| Hold { reason, count: 2, held_ns: 40_000_000 };
    Exchange {
        ts_ns: START,
        sock: 77,
        seq: 1,
        role: Role::Client,
        preexisting: true,
        progress: Progress::Followed,
        inbound: Some(Inbound {
            first_ns: START,
            reader: Some(thread),
            bytes: 1 << 40,
            left: true,
            ..Inbound::default()
        }),
        outbound: Some(Outbound {
            first_ns: START,
            sent_ns: Some(START + 1),
            last_sizes: [12, 1],
            gaps: 3,
            longest_gap_ns: 7 << 20,
            holds: [
                HoldReason::Nagle,
                HoldReason::Cork,
                HoldReason::Congestion,
                HoldReason::ReceiveWindow,
                HoldReason::Pacing,
            ]
            .map(hold)
            .into(),
            writer: Some(thread),
            pauses: Some(Pauses { run_delay_ns: 6, cpu_ns: 7, complete: true }),
            held_last: Some(HoldReason::Nagle),
            holding: Some(Holding { reason: HoldReason::Cork, since_ns: START }),
            window_restarted: true,
            spurious: 3,
            ..Outbound::default()
        }),
        min_rtt_us: Some(9),
        delayed_acks: Some(DelayedAcks {
            sent: 2,
            waited_us: 80_000,
            newest_ns: Some(START + 40_000_000),
        }),
        end: Some(End { ts_ns: START, by: Side::Peer, how: Ending::Fin, gone: true }),
        untold: None,
    }
}

pub(super) fn connect() -> Event {
    Event::Connect(Connect {
        ts_ns: START,
        sock: 79,
        peer: address("10.0.0.7:80"),
        pid: 4242,
        comm: "wörker".into(),
        tid: Some(4243),
        asked_ns: START - SECOND,
        outcome: Outcome::Failed,
        error: Some(111),
        inferred: true,
        syns: 2,
        ports: Some((32_768, 60_999)),
        time_wait: Some(12),
    })
}

pub(super) fn closing() -> Event {
    let socket = |sock, state, retransmits| ClosingSocket { sock, state, retransmits };
    let sockets = vec![
        socket(3, TcpState::FinWait1, Some(7)),
        socket(4, TcpState::FinWait2, None),
        socket(u64::MAX, TcpState::LastAck, Some(u32::MAX)),
    ];
    Event::Closing(Closing { ts_ns: START, sockets })
}

/// A single event of every name.
pub(super) fn socket_events() -> impl Iterator<Item = Event> {
    let call = |result| SocketCall { tid: 7, result, left_bytes: 8, blocked_us: Some(9) };
    let everything = [
        SocketEventKind::Data {
            unread_bytes: 1,
            buffer_used_bytes: 2,
            buffer_bytes: 3,
            quick: 4,
            pingpong: 5,
        },
        SocketEventKind::Read(call(Ok(0))),
        SocketEventKind::Peek(SocketCall { blocked_us: None, ..call(Err(11)) }),
        SocketEventKind::Write { call: call(Ok(u32::MAX)), why: Some(HoldReason::Cork) },
        SocketEventKind::Segment { bytes: 1, seq: 2, ack_seq: 3, flags: 0xff, again: true },
        SocketEventKind::Ack { bytes: 1, window_bytes: 2, unacked_bytes: 3 },
        SocketEventKind::Hold { why: HoldReason::Nagle, bytes: 1 },
        SocketEventKind::Release { why: HoldReason::Pacing, held_us: 1 },
        SocketEventKind::DelayedAck { waited_us: 40_000, inferred: true },
        SocketEventKind::Retransmit { bytes: 1, seq: 2, flags: 3, ca_state: 4, rto_us: 5 },
        SocketEventKind::Window { side: Side::Local, zero: true, bytes: 0 },
        SocketEventKind::State { from: 5, to: 6, shutdown: 3, substate: 255, inferred: false },
        SocketEventKind::Reset { by: Side::Peer },
        SocketEventKind::Destroyed,
    ];
    everything
        .into_iter()
        .map(|kind| Event::SocketEvent(SocketEvent { ts_ns: START, sock: 77, kind }))
}

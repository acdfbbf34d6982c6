//! One event of every type.

use super::super::{RecordEntry, VERSION};
use super::{header, read, recording};
use crate::model::event::{
    Accept, AcceptFails, Census, ClientHello, Closed, Closing, ClosingSocket, Connect,
    ConnectionPart, ConnectionSample, Cost, CpuLimit, CpuRefresh, CpuState, DatagramFlow,
    DatagramSample, DelayedAcks, End, EndedProcess, Ending, Event, Exchange, Hold, HoldReason,
    Holding, Http2Streams, InAccept, Inbound, Late, LeftQueue, ListenerSample, NetSettings, Opened,
    OtherListener, Outbound, Outcome, Overflow, Pause, Pauses, Process, ProcessChange,
    ProcessWorkload, Progress, QuicDatagram, QuicPackets, Recognised, RequestLine, Role, Sample,
    ServerHello, Side, Sign, SocketCall, SocketEvent, SocketEventKind, Stage, Syn,
    SynAckRetransmit, TargetEnd, TcpState, ThreadSample, ThreadUse, TlsRecord, UnixListener, Used,
    WaitKind, WaitStatus, Waiting, Why,
};
use crate::model::tests::world::{LISTENER, SECOND, START, address, listener, setup, udp_socket};
use crate::model::workload::{Container, Pod, Workload};

fn accept() -> Accept {
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
    }
}

fn exchange() -> Exchange {
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
    }
}

fn sample() -> Sample {
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

fn failing_listener() -> ListenerSample {
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

/// One event of every type.
pub(crate) fn every() -> Vec<Event> {
    let peer = address("10.0.0.7:53122");
    vec![
        Event::Accept(accept()),
        Event::Overflow(Overflow {
            ts_ns: START,
            listener: LISTENER,
            peer,
            stage: Stage::SynQueue,
            depth: 1,
            limit: 2,
            syn_depth: 3,
            bytes: Some(5),
        }),
        Event::Syn(Syn {
            ts_ns: START,
            listener: LISTENER,
            peer,
            depth: 1,
            syn_depth: 2,
            tfo_bytes: Some(0),
        }),
        Event::SynAckRetransmit(SynAckRetransmit {
            ts_ns: START,
            listener: LISTENER,
            peer,
            count: 3,
            first_ns: Some(START - 7_000_000_000),
            ignored: true,
        }),
        Event::Opened(Opened {
            ts_ns: START,
            sock: 78,
            role: Role::Server,
            listener: Some(LISTENER),
            local: peer,
            peer,
            pid: 1,
            comm: "".into(),
            handshake_us: Some(1),
            preexisting: true,
            asked_ns: Some(2),
            syns_again: 3,
        }),
        Event::Exchange(exchange()),
        Event::Closed(Closed {
            ts_ns: START,
            sock: 77,
            by: Some(Side::Peer),
            how: Some(Ending::Timeout),
            since_ns: None,
            bytes_in: 1,
            bytes_out: 2,
            exchanges: 0,
            retransmits: 3,
            delayed_acks: None,
            delayed_ack_us: 4,
            why: Some(Why::Aborted),
            idle_ns: Some(5),
            unread_bytes: 6,
            unacked_bytes: 7,
            unanswered: true,
            asked_ns: Some(8),
            min_rtt_us: Some(9),
            unseen: false,
            multipath: true,
            untold: true,
        }),
        Event::Process(Process {
            ts_ns: START,
            pid: 5,
            comm: "sh".into(),
            change: ProcessChange::Forked { parent: 1 },
        }),
        Event::Connections(ConnectionPart {
            ts_ns: START + SECOND,
            connections: sample().connections,
        }),
        Event::Sample(sample()),
    ]
    .into_iter()
    .chain(socket_events())
    .chain(signs())
    .chain([
        quic(),
        connect(),
        Event::Late(Late { ts_ns: START, local: peer, peer, bytes: 9, lingers: Some((3, 4)) }),
        cpu(),
        Event::Census(Census {
            ts_ns: START + SECOND,
            since_ns: START,
            socks: vec![3, u64::MAX],
            complete: true,
        }),
        Event::Pause(Pause { ts_ns: START + SECOND, begins: true }),
        workload(),
        target_end(),
        closing(),
    ])
    .collect()
}

/// A single event of every name.
fn socket_events() -> impl Iterator<Item = Event> {
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

/// Everything that can be recognised.
fn signs() -> impl Iterator<Item = Event> {
    let everything = [
        Sign::HttpRequest { minor: 1 },
        Sign::HttpResponse { minor: 0, status: 101, websocket: true, event_stream: false },
        Sign::Http2 { grpc: true },
        Sign::ClientHello(ClientHello {
            version: 0x0304,
            server_name: Some("wörld\u{1b}".into()),
            alpn: vec!["h2".into(), "".into()],
            early_data: true,
            session: u32::MAX,
        }),
        Sign::ServerHello(ServerHello {
            version: 0x0303,
            alpn: None,
            took_session: true,
            session: 0,
        }),
        Sign::Redis,
        Sign::Postgresql,
        Sign::Quic { version: 2, early_data: true },
        Sign::Dtls,
        Sign::Stun,
        Sign::TlsRecord(TlsRecord { from_client: true, kind: 23, length: 53, at: 523 }),
        Sign::FastOpen,
        Sign::Http2Streams(Http2Streams { opened: 31, most: 10, partly: true }),
        Sign::HttpRequests {
            minor: 1,
            count: 3,
            first: Some(RequestLine { method: "GET".into(), path: "/wörld\u{1b}".into() }),
        },
    ];
    everything
        .into_iter()
        .map(|sign| Event::Recognised(Recognised { ts_ns: START, sock: 77, sign }))
}

fn quic() -> Event {
    let packets = QuicPackets {
        version: Some(1),
        initial: true,
        source: vec![7; 20],
        ..QuicPackets::default()
    };
    Event::Quic(QuicDatagram {
        ts_ns: START,
        sock: 77,
        peer: Some(address("[2001:db8::9]:443")),
        outbound: true,
        packets,
    })
}

fn connect() -> Event {
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

fn cpu() -> Event {
    let limit = CpuLimit {
        path: "/pods/wörld".into(),
        quota_us: 13_000,
        period_us: 100_000,
        periods: 42,
        throttled: 20,
        throttled_ns: u64::MAX,
        pids: vec![4242],
    };
    let refresh = CpuRefresh { cpus: Some(2), runnable: None, stopped: vec![7] };
    Event::Cpu(CpuState { ts_ns: START, limits: vec![limit], refresh: Some(refresh) })
}

fn workload() -> Event {
    let container =
        Container { id: "b11d".into(), name: Some("wörb".into()), runtime: Some("podman".into()) };
    let pod = Pod { namespace: Some("shop".into()), name: None, uid: Some("db85".into()) };
    let workload = Workload {
        cgroup: Some("/kubepods/poddb85/b11d".into()),
        container: Some(container),
        pod: Some(pod),
        unit: None,
    };
    Event::Workload(ProcessWorkload { ts_ns: START, pid: 4242, workload })
}

fn target_end() -> Event {
    let ended = |status| EndedProcess { ts_ns: START, pid: 4242, comm: "server".into(), status };
    let processes = vec![ended(Some(WaitStatus(9))), ended(None)];
    Event::TargetEnd(TargetEnd { ts_ns: START + 1, processes, over: true })
}

fn closing() -> Event {
    let socket = |sock, state, retransmits| ClosingSocket { sock, state, retransmits };
    let sockets = vec![
        socket(3, TcpState::FinWait1, Some(7)),
        socket(4, TcpState::FinWait2, None),
        socket(u64::MAX, TcpState::LastAck, Some(u32::MAX)),
    ];
    Event::Closing(Closing { ts_ns: START, sockets })
}

/// A type that is added must be added to [`every`].
fn place(event: &Event) -> usize {
    match event {
        Event::Accept(_) => 0,
        Event::Overflow(_) => 1,
        Event::Syn(_) => 2,
        Event::SynAckRetransmit(_) => 3,
        Event::Opened(_) => 4,
        Event::Exchange(_) => 5,
        Event::Closed(_) => 6,
        Event::Process(_) => 7,
        Event::Connections(_) => 8,
        Event::Sample(_) => 9,
        Event::SocketEvent(_) => 10,
        Event::Recognised(_) => 11,
        Event::Quic(_) => 12,
        Event::Connect(_) => 13,
        Event::Late(_) => 14,
        Event::Cpu(_) => 15,
        Event::Census(_) => 16,
        Event::Pause(_) => 17,
        Event::Workload(_) => 18,
        Event::TargetEnd(_) => 19,
        Event::Closing(_) => 20,
    }
}

#[test]
fn every_event_comes_back_as_it_was() {
    let events = every();
    let mut places: Vec<_> = events.iter().map(place).collect();
    places.dedup();
    assert_eq!(places, (0..=20).collect::<Vec<_>>());
    let mut entries: Vec<RecordEntry> = events.into_iter().map(RecordEntry::Event).collect();
    entries.insert(0, RecordEntry::Batch(START));
    entries.insert(1, RecordEntry::Target("server 4242 (+1 child)".into()));
    entries.insert(
        2,
        RecordEntry::Notices(vec!["the command's output goes to a file".into(), "".into()]),
    );
    entries.push(RecordEntry::Finish(START + SECOND));
    let bytes = recording(&entries);
    let (read, reader) = read(&bytes);
    assert_eq!(read, entries);
    assert_eq!(reader.damages(), []);
    assert_eq!(reader.totals().map(|totals| totals.entries), Some(entries.len() as u64));
    assert_eq!(reader.totals().and_then(|totals| totals.cost), Some(sample().cost));
}

/// Postcard names no fields: a recording of other types would be read as nonsense. An event that is
/// added behind the others changes nothing of them: the recordings that are there stay readable.
#[test]
fn the_version_changes_with_what_is_serialised() {
    let mut events = every();
    let print = |events: &Vec<Event>| {
        let bytes = postcard::to_stdvec(&(header(setup("full")), events)).unwrap();
        (VERSION, bytes.len(), crc32fast::hash(&bytes))
    };
    assert_eq!(
        print(&events),
        (4, 2_239, 582_591_416),
        "serialised in another way: raise record::VERSION, note the new print"
    );
    assert!(matches!(events.pop(), Some(Event::Closing(_))));
    assert_eq!(print(&events), (4, 2_207, 1_476_208_639), "those that were there before it");
    assert!(matches!(events.pop(), Some(Event::TargetEnd(_))));
    assert_eq!(print(&events), (4, 2_165, 381_100_193), "those that were there before it");
    assert!(matches!(events.pop(), Some(Event::Workload(_))));
    assert_eq!(print(&events), (4, 2_096, 3_698_715_909), "those that were there before it");
}

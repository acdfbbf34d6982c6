//! A server with very many connections: the events that a kernel would give.

use std::net::SocketAddr;

use backscope::model::event::{
    Accept, Event, Exchange, Inbound, ListenerSample, Outbound, Progress, Role, Sample, ThreadUse,
};
use backscope::model::{Model, Setup};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const START: u64 = 1_000 * SECOND;
const PID: u32 = 4_242;
const LISTENER: u64 = 7;
/// Threads that serve.
const WORKERS: u32 = 8;

/// The server, and its time.
pub(crate) struct Crowd {
    pub(crate) model: Model,
    now_ns: u64,
    connections: u64,
    exchanges: Vec<u32>,
}

impl Crowd {
    /// Accepts so many connections, each with one exchange: the later, the longer it takes.
    pub(crate) fn new(connections: u64) -> Self {
        let mut crowd = Self {
            model: Model::new(Setup {
                attached_ns: START,
                target: "crowded 4242".into(),
                tier: "full".into(),
                detail_events: false,
                exchanges: true,
            }),
            now_ns: START,
            connections,
            exchanges: vec![0; connections as usize],
        };
        crowd.sample();
        for at in 0..connections {
            crowd.now_ns += MS / 10;
            let accept = Event::Accept(crowd.accept(at));
            crowd.apply(&accept);
            crowd.exchange(at, 100 + at);
        }
        crowd.sample();
        crowd
    }

    /// Lets one of the connections have an exchange that takes so long, µs.
    pub(crate) fn exchange(&mut self, at: u64, us: u64) {
        self.now_ns += us * 1_000;
        self.exchanges[at as usize] += 1;
        let (now_ns, seq) = (self.now_ns, self.exchanges[at as usize]);
        let thread = ThreadUse { pid: PID, tid: tid(at), ..ThreadUse::default() };
        let begun_ns = now_ns - us * 1_000;
        self.apply(&Event::Exchange(Exchange {
            ts_ns: now_ns,
            sock: sock(at),
            seq,
            role: Role::Server,
            preexisting: false,
            progress: Progress::Followed,
            inbound: Some(Inbound {
                first_ns: begun_ns,
                last_ns: begun_ns,
                read_first_ns: Some(begun_ns + 10_000),
                read_last_ns: Some(begun_ns + 10_000),
                bytes: 100,
                reads: 1,
                reader: Some(thread),
                ..Inbound::default()
            }),
            outbound: Some(Outbound {
                first_ns: now_ns - 5_000,
                last_ns: now_ns - 5_000,
                sent_ns: Some(now_ns - 5_000),
                acked_ns: Some(now_ns),
                bytes: 1_000,
                writes: 1,
                writer: Some(thread),
                ..Outbound::default()
            }),
            min_rtt_us: Some(50),
            delayed_acks: None,
            end: None,
            untold: None,
        }));
    }

    /// A refresh.
    pub(crate) fn sample(&mut self) {
        self.now_ns += MS;
        let sample = Event::Sample(Sample {
            ts_ns: self.now_ns,
            connections_open: self.connections,
            listeners: vec![self.listener()],
            ..Sample::default()
        });
        self.apply(&sample);
    }

    fn apply(&mut self, event: &Event) {
        self.model.apply(event, &mut Vec::new());
    }

    fn accept(&self, at: u64) -> Accept {
        Accept {
            ts_ns: self.now_ns,
            sock: sock(at),
            listener: LISTENER,
            local: SocketAddr::from(([10, 0, 0, 1], 8_080)),
            peer: peer(at),
            pid: PID,
            tid: tid(at),
            comm: "crowded".into(),
            fd: Some(at as i32 + 10),
            handshake_us: Some(80),
            queued_ns: Some(self.now_ns - 20_000),
            queued_estimated: false,
            late: false,
            entered_ns: Some(self.now_ns - 10_000),
            depth: 0,
            stands_for: 1,
        }
    }

    fn listener(&self) -> ListenerSample {
        ListenerSample {
            sock: LISTENER,
            local: SocketAddr::from(([0, 0, 0, 0], 8_080)),
            pid: PID,
            comm: "crowded".into(),
            holders: vec![PID],
            netns: 1,
            since_ns: START,
            closed_ns: None,
            backlog: Some(4_096),
            limit: 4_096,
            depth: 0,
            peak: 3,
            syn_depth: 0,
            syn_peak: 0,
            syns: Some(self.connections),
            queued: self.connections,
            accepted: self.connections,
            drops: 0,
            overflow_syn: 0,
            overflow_ack: Some(0),
            syn_dropped: Some(0),
            cookies_sent: Some(0),
            synack_retransmits: 0,
            eagain: 0,
            abandoned: 0,
            fails: Some(Vec::new()),
            left: None,
            others: Vec::new(),
            synack_acked: Some(0),
            defer_accept: Some(0),
            unwatched: false,
            unnamed_holders: 0,
            calls_missed: false,
            netns_cookie: None,
            untold: 0,
        }
    }
}

fn sock(at: u64) -> u64 {
    10_000 + at
}

fn tid(at: u64) -> u32 {
    PID + (at % u64::from(WORKERS)) as u32
}

/// Clients in two networks: every fifth in 10.2.0.0/16, the others in 10.1.0.0/16.
fn peer(at: u64) -> SocketAddr {
    let network = if at.is_multiple_of(5) { 2 } else { 1 };
    SocketAddr::from(([10, network, (at / 250) as u8, (at % 250) as u8], 40_000))
}

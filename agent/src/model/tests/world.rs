//! A server in miniature: makes the events that a kernel would.

use std::net::SocketAddr;

use crate::model::event::{
    Accept, ConnectionSample, DatagramFlow, DatagramSample, Event, InAccept, LeftQueue,
    ListenerSample, NetSettings, Overflow, Sample, SockId, Stage, ThreadSample, UnixListener,
    Waiting,
};
use crate::model::output::{FindingState, Output, OverflowOutput, Summary};
use crate::model::snapshot::{Finding, ListenerView};
use crate::model::{Model, Setup};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
/// When the watch begins.
pub(crate) const START: u64 = 1_000 * SECOND;
pub(crate) const LISTENER: SockId = 7;

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) fn setup(tier: &str) -> Setup {
    Setup {
        attached_ns: START,
        target: "server 4242".into(),
        tier: tier.into(),
        detail_events: false,
        exchanges: true,
    }
}

/// A listener at its beginning, on a kernel that sees everything.
pub(crate) fn listener(sock: SockId, limit: u32) -> ListenerSample {
    ListenerSample {
        sock,
        local: address("0.0.0.0:8080"),
        pid: 4242,
        comm: "server".into(),
        holders: vec![4242],
        netns: 1,
        since_ns: START,
        closed_ns: None,
        backlog: Some(limit),
        limit,
        depth: 0,
        peak: 0,
        syn_depth: 0,
        syn_peak: 0,
        syns: Some(0),
        queued: 0,
        accepted: 0,
        drops: 0,
        overflow_syn: 0,
        overflow_ack: Some(0),
        syn_dropped: Some(0),
        cookies_sent: Some(0),
        synack_retransmits: 0,
        eagain: 0,
        abandoned: 0,
        fails: Some(Vec::new()),
        left: Some(LeftQueue::default()),
        others: Vec::new(),
        synack_acked: Some(0),
        defer_accept: Some(0),
        unwatched: false,
        unnamed_holders: 0,
        calls_missed: false,
        netns_cookie: Some(70),
        untold: 0,
    }
}

/// A UDP socket on which nothing has happened.
pub(crate) fn udp_socket() -> DatagramSample {
    DatagramSample {
        sock: 99,
        since_ns: START,
        local: address("0.0.0.0:53"),
        peer: None,
        pid: 4242,
        comm: "dns".into(),
        closed: false,
        arrived: Some(DatagramFlow::default()),
        read: Some(DatagramFlow::default()),
        written: Some(DatagramFlow::default()),
        waiting: 0,
        queued_bytes: 0,
        peak_bytes: 0,
        buffer_bytes: 212_992,
        drops: 0,
        drops_before: 0,
        waits: Vec::new(),
        at_least: 0,
        longest_us: 0,
        longest_recent_us: 0,
        oldest_ns: None,
        reader: None,
        read_ns: None,
    }
}

/// A model with its time, its listeners and what it reported.
pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) now: u64,
    pub(crate) listeners: Vec<ListenerSample>,
    pub(crate) in_accept: Vec<InAccept>,
    pub(crate) settings: Vec<NetSettings>,
    pub(crate) connections: Vec<ConnectionSample>,
    pub(crate) threads: Vec<ThreadSample>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) datagrams: Vec<DatagramSample>,
    pub(crate) unix: Vec<UnixListener>,
    pub(crate) out: Vec<Output>,
    /// What the model was given.
    pub(crate) given: Vec<Event>,
    /// What will happen at these times.
    pub(crate) later: Vec<(u64, Event)>,
    next_sock: SockId,
    /// For how many connections the next one stands.
    stands_for: u64,
}

impl World {
    pub(crate) fn new(tier: &str, listeners: Vec<ListenerSample>) -> Self {
        let model = Model::new(setup(tier));
        Self {
            model,
            now: START,
            listeners,
            in_accept: Vec::new(),
            settings: Vec::new(),
            connections: Vec::new(),
            threads: Vec::new(),
            waiting: Vec::new(),
            datagrams: Vec::new(),
            unix: Vec::new(),
            out: Vec::new(),
            given: Vec::new(),
            later: Vec::new(),
            next_sock: 1_000_000,
            stands_for: 1,
        }
    }

    /// One listener with this limit, on the full tier.
    pub(crate) fn with_limit(limit: u32) -> Self {
        Self::new("full", vec![listener(LISTENER, limit)])
    }

    pub(crate) fn apply(&mut self, event: Event) {
        self.model.apply(&event, &mut self.out);
        self.given.push(event);
    }

    /// Applies what has happened by now of what is yet to come.
    pub(crate) fn catch_up(&mut self) {
        let mut later = std::mem::take(&mut self.later);
        later.sort_by_key(|&(ts_ns, _)| ts_ns);
        let due = later.partition_point(|&(ts_ns, _)| ts_ns <= self.now);
        let rest = later.split_off(due);
        later.into_iter().for_each(|(_, event)| self.apply(event));
        self.later = rest;
    }

    /// A connection to listener `at` is queued and accepted by `tid` now; it waited, and the call
    /// lasted.
    pub(crate) fn accept(&mut self, at: usize, tid: u32, waited_ns: u64, call_ns: u64) {
        self.accept_of("10.0.0.9:40122", at, tid, waited_ns, call_ns);
    }

    /// The connection that was accepted last.
    pub(crate) fn accepted(&self) -> SockId {
        self.next_sock
    }

    /// A connection of this client to the first listener is accepted at once.
    pub(crate) fn accept_from(&mut self, peer: &str) {
        self.accept_of(peer, 0, 1, 0, 0);
    }

    /// A connection to the first listener is accepted that stands for so many: others like it were
    /// accepted before, and left untold.
    pub(crate) fn accept_for(&mut self, tid: u32, waited_ns: u64, stands_for: u64) {
        self.stands_for = stands_for;
        self.accept_of("10.0.0.9:40000", 0, tid, waited_ns, 0);
        self.stands_for = 1;
    }

    fn accept_of(&mut self, peer: &str, at: usize, tid: u32, waited_ns: u64, call_ns: u64) {
        self.next_sock += 1;
        let listener = &mut self.listeners[at];
        listener.queued += 1;
        listener.accepted += 1;
        let accept = Accept {
            ts_ns: self.now,
            sock: self.next_sock,
            listener: listener.sock,
            local: address("10.0.0.1:8080"),
            peer: address(peer),
            pid: 4242,
            tid,
            comm: format!("worker-{tid}").into(),
            fd: Some(9),
            handshake_us: Some(120),
            queued_ns: Some(self.now - waited_ns),
            queued_estimated: false,
            late: false,
            entered_ns: Some(self.now - call_ns),
            depth: listener.depth,
            stands_for: self.stands_for,
        };
        self.apply(Event::Accept(accept));
    }

    /// A refusal whose victim the kernel names; `counted` says whether the totals have it yet.
    pub(crate) fn refuse(&mut self, at: usize, stage: Stage) {
        let listener = &mut self.listeners[at];
        match stage {
            Stage::Syn => listener.overflow_syn += 1,
            Stage::Ack => listener.overflow_ack = listener.overflow_ack.map(|total| total + 1),
            Stage::SynQueue => listener.syn_dropped = listener.syn_dropped.map(|total| total + 1),
            Stage::Cookie => listener.cookies_sent = listener.cookies_sent.map(|total| total + 1),
        }
        let (listener, depth, limit) = (listener.sock, listener.depth, listener.limit);
        let peer = address("10.0.0.7:53122");
        let overflow = Overflow {
            ts_ns: self.now,
            listener,
            peer,
            stage,
            depth,
            limit,
            syn_depth: 0,
            bytes: None,
        };
        self.apply(Event::Overflow(overflow));
    }

    /// Lets time pass and takes a sample at the end of it.
    pub(crate) fn sample_after(&mut self, elapsed_ns: u64) {
        self.now += elapsed_ns;
        let sample = Sample {
            ts_ns: self.now,
            listeners: self.listeners.clone(),
            in_accept: self.in_accept.clone(),
            settings: self.settings.clone(),
            connections: self.connections.clone(),
            connections_open: self.connections.len() as u64,
            threads: self.threads.clone(),
            waiting: self.waiting.clone(),
            datagrams: self.datagrams.clone(),
            unix: self.unix.clone(),
            somaxconn: vec![(1, 4_096)],
            ..Sample::default()
        };
        self.apply(Event::Sample(sample));
        for listener in &mut self.listeners {
            (listener.peak, listener.syn_peak) = (listener.depth, listener.syn_depth);
        }
    }

    pub(crate) fn view(&self) -> ListenerView {
        self.model.snapshot().listeners.first().cloned().expect("a listener")
    }

    pub(crate) fn finding(&self, kind: &str) -> Option<Finding> {
        self.model.snapshot().findings.into_iter().find(|finding| finding.kind == kind)
    }

    pub(crate) fn overflows(&self) -> Vec<OverflowOutput> {
        let overflow = |output: &Output| match output {
            Output::Overflow(overflow) => Some(overflow.clone()),
            _ => None,
        };
        self.out.iter().filter_map(overflow).collect()
    }

    pub(crate) fn reported_findings(&self) -> Vec<Finding> {
        let finding = |output: &Output| match output {
            Output::Finding(finding) if finding.state != FindingState::Ended => {
                Some(finding.finding.clone())
            }
            _ => None,
        };
        self.out.iter().filter_map(finding).collect()
    }

    /// What became of the finding of a kind, in order.
    pub(crate) fn states_of(&self, kind: &str) -> Vec<FindingState> {
        let state = |output: &Output| match output {
            Output::Finding(told) if told.finding.kind == kind => Some(told.state),
            _ => None,
        };
        self.out.iter().filter_map(state).collect()
    }

    pub(crate) fn finish(&mut self) -> Summary {
        self.model.finish(self.now, &mut self.out);
        match self.out.last() {
            Some(Output::Summary(summary)) => (**summary).clone(),
            other => panic!("the last output is {other:?}"),
        }
    }
}

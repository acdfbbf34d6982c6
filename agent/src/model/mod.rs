//! The pure core: events in, snapshots and report objects out. No clock, no sockets, no BPF.
//!
//! The same events give the same output, live and from a recording. Memory is bounded whatever the
//! traffic. Of connections detail goes first, then what is in progress, and a connection itself
//! only beyond [`MAX_CONNECTIONS`]:
//!
//! | what | bound | when full |
//! |---|---|---|
//! | listeners | [`MAX_LISTENERS`] | further ones are not shown; counted as lost under `model_listeners` |
//! | closed listeners | [`MAX_CLOSED`] | the one closed first is forgotten; its totals stay in the summary |
//! | history of a listener | [`MAX_HISTORY`] refreshes, less with more than 128 listeners | the oldest goes |
//! | wait histograms | 96 KiB (three digits) for the first 128 listeners that have waits, 2 KiB (one digit) for more | |
//! | accepting threads of a listener | 256 | the one that accepted least recently is forgotten |
//! | connections, open and closed | [`MAX_CONNECTIONS`], some 110 bytes each | a closed one gives way; without one a new connection is not shown: counted as lost under `model_connections`. Its exchanges are reported and counted all the same |
//! | closed connections | [`MAX_CLOSED_CONNECTIONS`] | the one closed first is forgotten |
//! | exchanges in full: the last [`MAX_RECENT`] and the worst of a connection | [`MAX_DETAILED`] connections | the one whose worst exchange was shortest gives way |
//! | facts of exchanges in progress | [`MAX_CURRENT`] | an answered one is reported without a second's silence; further ones are shown once they are over |
//! | ends of connections that were made, told by their addresses | [`MAX_LOOPBACK_PAIRS`] | delayed ACKs of further ones prove nothing: the other end's are called inferred |
//! | peers that were ignored | 16,384 | the one met first is forgotten: the time until its connection is queued is told as part of the handshake, or not |
//! | hellos of TLS connections | [`MAX_HELLOS`], some 250 bytes each | of further ones it is known only that they are TLS |
//! | threads | [`MAX_THREADS`] | further ones are not shown; counted as lost under `model_threads` |
//! | connections and threads in a snapshot | [`MAX_CONNECTION_VIEWS`], [`MAX_THREAD_VIEWS`] | the worst and the busiest are there |
//! | listeners and processes judged by their connections | 512, over 5 s | further ones are not judged so |
//! | slow exchanges of processes that call others, until both sides are known | 1,024; of a sample 8,192 open ones of each side | the oldest is judged by what is known; further open ones are not set against one another |
//! | listeners whose connections tell a pattern | 256, each by its last 256 connections and 256 threads, some 150 bytes each | a closed listener gives way; without one the newest listener is not judged |
//! | what threads did from call to call | 1,024 threads, each the last 96 calls, or more that are quick | of further ones it is told only where one call tells it |
//! | threads whose beginning is known, forks | those of the last two samples, 4,096 | the oldest fork goes |
//! | processes that call others | [`MAX_CALLERS`]; of all [`MAX_JOINED`] exchanges of each side wait for the other, [`MAX_HELD`] reports with them; each 64 upstream addresses, 96 KiB at most, and 4,096 connections of each side | further ones are not joined; reports come without the other side |
//! | quotas of cgroups | those of one refresh, 256 at most; each 1,024 readings of 20 s | what was before is not told apart from other waits for a CPU |
//! | long waits of requests for a thread | 1,024 threads, the last 64 of each; and 256 exchanges of each listener or process that are looked into | of further ones it is not told who waited for whom |
//! | requests put aside by event loops | 8,192, and 512 answers of each listener or process | further ones are taken for slow |
//! | UDP sockets, open | 4,096, as in the probes, some 4 KB each; [`MAX_DATAGRAM_VIEWS`] in a snapshot | |
//! | live stream | [`MAX_STREAM`] entries | the oldest goes |
//! | standing findings | 256 | the mildest and newest gives way to a worse one |

mod acceptor;
mod attached;
mod attendance;
mod connections;
mod connects;
mod crossings;
mod datagrams;
pub mod event;
mod event_log;
mod exchange;
mod finding;
mod histogram;
mod ignored;
mod listener;
mod listeners;
mod long_poll;
pub mod output;
mod pattern;
mod processors;
mod proxy;
mod quic;
mod recent;
mod refresh;
mod refusals;
mod sharing;
pub mod snapshot;
mod spans;
mod stats;
mod summary;
#[cfg(test)]
pub(crate) mod tests;
mod threads;
mod tier;
pub mod timeline;
mod times;
mod unheard;
mod waits;
mod wall_clock;
mod window;

pub use crate::text;
pub use attached::Attached;
pub use wall_clock::WallClock;

use std::collections::BTreeMap;

use connections::{Connection, Connections, Told};
pub use connections::{
    MAX_CLOSED_CONNECTIONS, MAX_CONNECTION_VIEWS, MAX_CONNECTIONS, MAX_CURRENT, MAX_DETAILED,
    MAX_HELLOS, MAX_LEFT, MAX_LOOPBACK_PAIRS, MAX_RECENT,
};
pub use datagrams::MAX_DATAGRAM_VIEWS;
use event::{
    Accept, Connect, ConnectionSample, Cost, Event, Exchange, Overflow, Process, ProcessChange,
};
use event_log::EventLog;
pub use event_log::MAX_STREAM;
use finding::Findings;
use listeners::Listeners;
pub use listeners::{MAX_CLOSED, MAX_HISTORY, MAX_LISTENERS};
use output::{ExchangeOutput, Interest, MomentOutput, Output, OverflowOutput};
use pattern::Patterns;
use proxy::Proxies;
pub use proxy::{MAX_CALLERS, MAX_HELD, MAX_JOINED};
use serde::{Deserialize, Serialize};
use snapshot::{ExchangeView, SliceKind, Snapshot};
use stats::StatsByScope;
use threads::Threads;
pub use threads::{MAX_THREAD_VIEWS, MAX_THREADS};
pub use tier::Tier;

/// Outputs of one batch that are looked through for a delayed ACK that turns out to be proved.
const MAX_LOOKED_BACK: usize = 4_096;

/// What is known when the watch begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// When backscope attached, ns of `CLOCK_MONOTONIC`.
    pub attached_ns: u64,
    /// What is watched: "api-server 4242".
    pub target: String,
    /// "full" or "tracepoint".
    pub tier: String,
    /// Report every single event too: SYNs, process changes, what happens on connections (`--detail
    /// events`).
    pub detail_events: bool,
    /// Exchanges are watched, not queues alone: without them no connection would ever be seen to
    /// end.
    pub exchanges: bool,
}

impl Setup {
    /// By port alone what processes serve is watched, and not what they call.
    fn sees_calls(&self) -> bool {
        let is_port =
            |word: &str| word.strip_prefix("port ").is_some_and(|port| port.parse::<u16>().is_ok());
        !self.target.split(", ").all(is_port)
    }
}

/// Judges the events of one run.
#[derive(Debug)]
pub struct Model {
    setup: Setup,
    interest: Interest,
    now_ns: u64,
    listeners: Listeners,
    connections: Connections,
    threads: Threads,
    stats: StatsByScope,
    patterns: Patterns,
    proxies: Proxies,
    datagrams: datagrams::Sockets,
    unix: Vec<event::UnixListener>,
    event_log: EventLog,
    findings: Findings,
    notices: Vec<String>,
    /// The newest sample's time and cost.
    cost: Option<(u64, Cost)>,
    cost_share: Option<f64>,
    /// Totals by probe.
    lost: BTreeMap<String, u64>,
    seen: u64,
}

impl Model {
    /// Starts with nothing known.
    pub fn new(setup: Setup) -> Self {
        Self {
            now_ns: setup.attached_ns,
            listeners: Listeners::new(setup.attached_ns),
            connections: Connections::new(),
            threads: Threads::default(),
            stats: StatsByScope::new(setup.sees_calls()),
            patterns: Patterns::default(),
            proxies: Proxies::default(),
            datagrams: datagrams::Sockets::default(),
            unix: Vec::new(),
            setup,
            interest: Interest::ALL,
            event_log: EventLog::default(),
            findings: Findings::default(),
            notices: Vec::new(),
            cost: None,
            cost_share: None,
            lost: BTreeMap::new(),
            seen: 0,
        }
    }

    /// Reports only what somebody wants to hear of; from the beginning, everything.
    pub fn set_interest(&mut self, interest: Interest) {
        self.interest = interest;
    }

    /// Replaces the plain sentences on the watch itself.
    pub fn set_notices(&mut self, notices: Vec<String>) {
        self.notices = notices;
    }

    /// Replaces the description of what is watched.
    pub fn set_target(&mut self, target: String) {
        self.setup.target = target;
        self.stats.see_calls(self.setup.sees_calls());
    }

    /// Takes one event and pushes what is to be reported. What `out` holds still may be completed:
    /// a delayed ACK becomes proved.
    pub fn apply(&mut self, event: &Event, out: &mut Vec<Output>) {
        match event {
            Event::Accept(accept) => self.accept(accept, out),
            Event::Overflow(overflow) => self.overflow(overflow, out),
            Event::Syn(syn) => {
                self.advance(syn.ts_ns);
                out.extend(self.setup.detail_events.then(|| Output::Syn(syn.clone())));
            }
            Event::SynAckRetransmit(retransmit) => {
                self.advance(retransmit.ts_ns);
                let port = self.listeners.local(retransmit.listener).map(|local| local.port());
                self.connections.unheard.asked_again(retransmit, port);
                out.extend(
                    self.setup.detail_events.then(|| Output::SynAckRetransmit(retransmit.clone())),
                );
            }
            Event::Opened(opened) => {
                self.advance(opened.ts_ns);
                self.connections.opened(opened);
                self.patterns.opened(opened);
                self.proxies.opened(opened);
            }
            Event::Exchange(exchange) => {
                self.advance(exchange.ts_ns);
                self.patterns.exchanged(exchange);
                self.confirm(exchange, out);
                let mut told =
                    tell(self.now_ns, self.interest, &mut self.stats, &mut self.proxies, out);
                self.connections.exchanged(self.now_ns, exchange, &mut told);
            }
            Event::Closed(closed) => {
                self.advance(closed.ts_ns);
                self.patterns.closed(closed);
                if let Some((connection, end)) = self.connections.closed(closed, self.interest, out)
                {
                    self.stats.closed(self.now_ns, closed, connection, &end);
                }
            }
            Event::Connect(connect) => self.connect(connect, out),
            Event::Late(late) => {
                self.advance(late.ts_ns);
                if let Some(arrival) = self.connections.came_late(late, out) {
                    self.stats.came_late(self.now_ns, &arrival);
                }
            }
            Event::Recognised(recognised) => {
                self.advance(recognised.ts_ns);
                self.connections.recognised(recognised);
                self.datagrams.recognised(recognised);
            }
            Event::Quic(datagram) => {
                self.advance(datagram.ts_ns);
                self.datagrams.quic(datagram);
            }
            Event::Process(process) => self.process(process, out),
            Event::Connections(part) => {
                self.advance(part.ts_ns);
                self.scan(part.ts_ns, &part.connections, out);
            }
            Event::Moment(moment) => {
                self.advance(moment.ts_ns);
                let peer = self.connections.get(moment.sock).map(|connection| connection.peer());
                let told = MomentOutput { moment: *moment, peer };
                out.extend(self.setup.detail_events.then_some(Output::Moment(told)));
            }
            Event::Sample(sample) => self.sample(sample, out),
            Event::Cpu(state) => {
                self.advance(state.ts_ns);
                self.connections.processors.note(state);
            }
        }
    }

    /// What a screen shows now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            listeners: self.listeners.full_views(),
            connections: self.connections.views(self.now_ns),
            threads: self.threads.views(&self.connections.by_thread()),
            patterns: self.patterns.views(),
            proxies: self.proxies.views(),
            event_log: self.event_log.entries(),
            ..self.brief()
        }
    }

    /// The same without connections, threads, the stream and histories: they make it dear, and
    /// between samples text has no use for them.
    pub fn brief(&self) -> Snapshot {
        Snapshot {
            now_ns: self.now_ns,
            elapsed_us: self.now_ns.saturating_sub(self.setup.attached_ns) / 1_000,
            target: self.setup.target.clone(),
            tier: self.setup.tier.clone(),
            cost_share: self.cost_share,
            lost: self.lost.values().sum(),
            listeners: self.listeners.views(),
            connections: Vec::new(),
            connections_open: self.connections.open(),
            times: self.connections.times.all(),
            recent_times: self.connections.times.recent(self.now_ns),
            threads: Vec::new(),
            patterns: Vec::new(),
            proxies: Vec::new(),
            datagrams: self.datagrams.views(),
            datagrams_open: self.datagrams.open(),
            unix: self.unix.clone(),
            event_log: Vec::new(),
            findings: self.findings.view(),
            notices: self.notices.clone(),
        }
    }

    fn advance(&mut self, ts_ns: u64) {
        self.now_ns = self.now_ns.max(ts_ns);
    }

    fn accept(&mut self, accept: &Accept, out: &mut Vec<Output>) {
        self.advance(accept.ts_ns);
        let (ignored, handshake_us) = match self.connections.unheard.accepted(accept) {
            Some((ignored, handshake_us)) => (Some(ignored), handshake_us),
            None => (self.listeners.seems_ignored(accept), accept.handshake_us),
        };
        let deferred = self.listeners.defers(accept.listener);
        let corrected;
        let accept = if handshake_us == accept.handshake_us {
            accept
        } else {
            corrected = Accept { handshake_us, ..accept.clone() };
            &corrected
        };
        self.listeners.accepted(accept);
        self.event_log.accepted(accept);
        if self.setup.exchanges {
            self.connections.accepted(accept, ignored, deferred);
            // Without exchanges nobody is seen to serve.
            self.patterns.accepted(accept);
        }
        self.threads.accepted(accept);
        // It lasted until the first data came.
        let handshake_us = accept.handshake_us.filter(|_| !deferred);
        out.push(Output::Accept(Accept { handshake_us, ..accept.clone() }));
    }

    fn overflow(&mut self, overflow: &Overflow, out: &mut Vec<Output>) {
        self.advance(overflow.ts_ns);
        self.listeners.overflowed(overflow);
        let port = self.listeners.local(overflow.listener).map(|local| local.port());
        self.connections.unheard.overflowed(overflow, port);
        let overflow = OverflowOutput {
            ts_ns: overflow.ts_ns,
            listener: overflow.listener,
            peer: Some(overflow.peer),
            stage: overflow.stage,
            depth: overflow.depth,
            limit: overflow.limit,
            count: 1,
            stage_certain: true,
        };
        self.event_log.overflowed(&overflow);
        out.push(Output::Overflow(overflow));
    }

    fn process(&mut self, process: &Process, out: &mut Vec<Output>) {
        self.advance(process.ts_ns);
        self.patterns.process(process);
        if process.change == ProcessChange::Exited {
            self.listeners.exited(process.pid);
            self.stats.exited(process.pid);
        }
        out.extend(self.setup.detail_events.then(|| Output::Process(process.clone())));
    }

    fn connect(&mut self, connect: &Connect, out: &mut Vec<Output>) {
        self.advance(connect.ts_ns);
        if self.connections.connects.connected(connect) {
            self.proxies.failed(connect);
            out.push(Output::Connect(connect.clone()));
        }
    }

    fn scan(&mut self, ts_ns: u64, scanned: &[ConnectionSample], out: &mut Vec<Output>) {
        for exchange in scanned.iter().filter_map(|one| one.exchange.as_ref()) {
            self.confirm(exchange, out);
            self.patterns.exchanged(exchange);
            if let Some(connection) = self.connections.get(exchange.sock) {
                self.proxies.goes_on(exchange, connection);
            }
        }
        let mut told = tell(ts_ns, self.interest, &mut self.stats, &mut self.proxies, out);
        self.connections.scanned(ts_ns, scanned, &mut told);
        drop(told);
        self.stats.scanned(ts_ns, scanned, &self.connections, |pid| self.proxies.calls(pid));
    }

    fn report_unnamed(&mut self, unnamed: Vec<OverflowOutput>, out: &mut Vec<Output>) {
        for overflow in unnamed {
            self.event_log.overflowed(&overflow);
            out.push(Output::Overflow(overflow));
        }
    }

    /// What one end records of its delayed ACKs proves what the other end inferred. That record
    /// often comes just behind the exchange that it proves, which has been reported, but not yet
    /// shown.
    fn confirm(&mut self, exchange: &Exchange, out: &mut [Output]) {
        if !self.connections.acknowledged(exchange) {
            return;
        }
        let told = out.iter_mut().rev().take(MAX_LOOKED_BACK).filter_map(|output| match output {
            Output::Exchange(reported) => Some(reported),
            _ => None,
        });
        for reported in told.chain(self.proxies.held_mut().take(MAX_LOOKED_BACK)) {
            self.connections.confirm(reported.sock, &mut reported.view);
        }
    }
}

/// Sums an exchange that is over, and reports it if anybody wants to know. One whose delayed ACK
/// may turn out to be proved is kept in any case: see [`Model::prove`].
fn tell(
    now_ns: u64,
    interest: Interest,
    stats: &mut StatsByScope,
    proxies: &mut Proxies,
    out: &mut Vec<Output>,
) -> impl Told {
    move |facts: &Exchange, connection: Option<&Connection>, view: &mut ExchangeView| {
        stats.reported(now_ns, facts, connection, view, |connection| {
            proxies.calls(connection.origin.pid)
        });
        let pid = connection.and_then(|connection| proxies.over(now_ns, facts, connection, view));
        let inferred = view
            .slices
            .last()
            .is_some_and(|last| last.kind == SliceKind::DelayedAck && !last.proved);
        if inferred || interest.wants(view) {
            view.verdict = exchange::verdict(&view.slices);
            let protocol = connection.and_then(Connection::protocol);
            let output = ExchangeOutput::new(facts, protocol, view);
            let output = match pid {
                Some(pid) => proxies.hold(pid, output),
                None => Some(output),
            };
            out.extend(output.map(Output::Exchange));
        }
    }
}

/// A figure a second; 0 over a period too short to tell.
fn rate(count: u64, elapsed_ns: u64) -> f64 {
    if elapsed_ns < 10_000_000 { 0.0 } else { count as f64 * 1e9 / elapsed_ns as f64 }
}

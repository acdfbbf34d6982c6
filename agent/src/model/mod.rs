//! The pure core: events in, snapshots and report objects out. No clock, no sockets, no BPF.
//!
//! Equal events give equal output, live and from a recording. Memory is bounded whatever the
//! traffic. Of connections detail goes first, then what is in progress, and a connection itself
//! only beyond [`MAX_CONNECTIONS`].
//!
//! # Bounds
//!
//! Listeners:
//!
//! - **Listeners:** [`MAX_LISTENERS`]. Further ones are not shown; they count as lost under
//!   `model_listeners`.
//! - **Closed listeners:** [`MAX_CLOSED`]. The one closed first is forgotten; its totals stay in
//!   the summary.
//! - **History of a listener:** [`MAX_HISTORY`] refreshes, less with more than 128 listeners. The
//!   oldest goes.
//! - **Wait histograms:** 96 KiB (three digits) for the first 128 listeners that have waits, 2 KiB
//!   (one digit) for more.
//! - **Accepting threads of a listener:** 256. The one that accepted least recently is forgotten.
//! - **Patterns:** 256 listeners, each by its last 256 connections and 256 threads, some 170 bytes
//!   each. A closed listener gives way; without one the newest listener is not judged.
//! - **Ignored peers:** 16,384. The one met first is forgotten: the time until its connection is
//!   queued is reported as part of the handshake, or not.
//! - **UDP sockets, open:** 4,096, as in the probes, some 7 KB each; [`MAX_DATAGRAM_VIEWS`] in a
//!   snapshot. Protocols and QUIC of twice as many, some before a sample shows them, and 4,096
//!   beginnings of QUIC connections: the oldest give way (`model_datagrams`).
//!
//! Connections and exchanges:
//!
//! - **Connections, open and closed:** [`MAX_CONNECTIONS`], some 110 bytes each. A closed one gives
//!   way; without one the oldest does, and counts as lost under `model_connections`: its end is not
//!   reported, its exchanges are reported and counted all the same.
//! - **Closed connections:** [`MAX_CLOSED_CONNECTIONS`]. The one closed first is forgotten. One whose
//!   end no record told is closed when complete scans miss it ([`UNTOLD_NS`]).
//! - **Exchanges in full:** the last [`MAX_RECENT`] and the worst of each of [`MAX_DETAILED`]
//!   connections. The connection whose worst exchange was shortest gives way.
//! - **Facts of exchanges in progress:** [`MAX_CURRENT`]. An answered one is reported without a
//!   second's silence; further ones are shown once they are over.
//! - **Ends of connections within this host, known by their addresses:** [`MAX_LOOPBACK_PAIRS`]. The
//!   oldest gives way (`model_loopback_pairs`): its delayed ACKs prove nothing, the other end's are
//!   called inferred.
//! - **Hellos of TLS connections:** [`MAX_HELLOS`], some 250 bytes each. The oldest gives way
//!   (`model_hellos`): its connection is known only to be TLS. As many connections have first
//!   requests (`model_requests`).
//! - **Connections that this host closed and still reads from:** [`MAX_LEFT`] to which a request
//!   came. The oldest gives way (`model_lingering`): its end does not say so.
//! - **Connections on which the server spoke first, until the client does:** [`MAX_GREETED`]. The
//!   oldest gives way (`model_greetings`): it is not known how late that was.
//! - **Processes that call others:** [`MAX_CALLERS`]. Of all of them, [`MAX_JOINED`] exchanges of
//!   each side wait for the other, and [`MAX_HELD`] reports with them. Each has 64 upstream
//!   addresses, 96 KiB at most, and 4,096 connections of each side. Further ones are not joined;
//!   reports come without the other side.
//!
//! Threads and processors:
//!
//! - **Threads:** [`MAX_THREADS`], each with up to 22 totals of the last seconds, 48 bytes each. Further ones are not shown; they count as lost under
//!   `model_threads`.
//! - **Calls of threads:** 1,024 threads, each the last 96 calls, or more that are quick. The time
//!   of further threads is known only where one call has it.
//! - **Start times of threads, and forks:** those of the last two samples, 4,096. The oldest fork
//!   goes.
//! - **Cgroups, containers, pods and units of processes:** [`MAX_WORKLOADS`](workload::MAX_WORKLOADS)
//!   processes. The one that was told first gives way: its objects have `null` from then on.
//! - **Quotas of cgroups:** those of one refresh, 256 at most; each 1,024 readings of 20 s. Earlier
//!   waits for a quota count as other waits for a CPU.
//!
//! Findings and views:
//!
//! - **Listeners and processes judged by their connections:** 512, over 5 s. Further ones are not
//!   judged so.
//! - **Slow exchanges of processes that call others, until both sides are known:** 1,024. The
//!   oldest is judged by what is known.
//! - **Open exchanges of one sample:** 8,192 of each side. Further ones are not set against one
//!   another.
//! - **Long waits of requests for a thread:** 1,024 threads, the last 64 of each; and 256 exchanges
//!   of each listener or process that are looked into. Of further ones it is not known who waited
//!   for whom.
//! - **Requests put aside by event loops:** 8,192, and 512 answers of each listener or process.
//!   Further ones are taken for slow.
//! - **Standing findings:** 256. The mildest and newest gives way to a worse one.
//! - **Past findings:** 256, by subject and kind. The mildest gives way, among equals the one that
//!   ended first. Of the times at which one stood, 32.
//! - **Event log:** [`MAX_STREAM`] entries. The oldest goes.
//! - **Connections and threads in a snapshot:** [`MAX_CONNECTION_VIEWS`], [`MAX_THREAD_VIEWS`]. The
//!   worst and the busiest are there.

mod acceptor;
mod attached;
mod attendance;
mod connections;
mod connects;
mod crossings;
mod datagrams;
mod ended;
pub mod event;
mod event_log;
mod exchange;
mod figures;
mod finding;
mod histogram;
mod ignored;
mod lately;
mod listener;
mod listeners;
mod long_poll;
pub mod output;
mod pattern;
mod pause;
mod processors;
mod proxy;
mod quic;
mod recent;
mod recording;
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
pub mod workload;

pub use attached::{Attached, Sandbox};
pub use ended::Ended;
pub use figures::{ConnectionCount, Figures};
pub use recording::{Recording, RecordingStop};
pub use wall_clock::WallClock;

use std::collections::BTreeMap;

use crate::text::Untrusted;
use connections::{Connection, Connections, Told};
pub use connections::{
    MAX_CLOSED_CONNECTIONS, MAX_CONNECTION_VIEWS, MAX_CONNECTIONS, MAX_CURRENT, MAX_DETAILED,
    MAX_HELLOS, MAX_LEFT, MAX_LOOPBACK_PAIRS, MAX_RECENT, UNTOLD_NS,
};
pub use datagrams::MAX_DATAGRAM_VIEWS;
use event::{
    Accept, Census, Closed, Connect, ConnectionSample, Cost, Event, Exchange, Overflow, Process,
    SocketEvent, SynAckRetransmit,
};
use event_log::EventLog;
pub use event_log::MAX_STREAM;
use finding::Findings;
use listeners::Listeners;
pub use listeners::{MAX_CLOSED, MAX_HISTORY, MAX_LISTENERS};
use output::{ExchangeOutput, Interest, Output, OverflowOutput, SocketEventOutput};
use pattern::Patterns;
use pause::Pauses;
use proxy::Proxies;
pub use proxy::{MAX_CALLERS, MAX_HELD, MAX_JOINED};
use serde::{Deserialize, Serialize};
use snapshot::{ConnectionQuery, ExchangeView, FoundConnections, SliceKind, Snapshot, ThreadView};
pub use stats::MAX_GREETED;
use stats::StatsByScope;
pub use summary::Ending;

impl Model {
    /// Returns where processes are among cgroups, containers, pods and units.
    pub fn workloads(&self) -> Workloads {
        self.workloads.clone()
    }
}

/// Returns the name of every kind of finding.
pub fn finding_kinds() -> Vec<&'static str> {
    finding::kinds()
}

use threads::Threads;
pub use threads::{MAX_THREAD_VIEWS, MAX_THREADS};
pub use tier::Tier;
use workload::Workloads;

/// Newest outputs that are looked through for a delayed ACK that a record proves.
const MAX_LOOKED_BACK: usize = 4_096;

/// Connections that are closed for one part of a census: all reports at once would take much memory.
const CLOSED_AT_ONCE: usize = 1_024;

/// Facts that are known when the watch begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Time of the attach, ns of `CLOCK_MONOTONIC`.
    pub attached_ns: u64,
    /// The watched processes and ports: "api-server 4242".
    pub target: Untrusted,
    /// "full" or "tracepoint".
    pub tier: Untrusted,
    /// Every single event is reported too: SYNs, changes of processes, events on connections
    /// (`--detail events`).
    pub detail_events: bool,
    /// Exchanges are watched, not queues alone. Without them no connection is seen to end.
    pub exchanges: bool,
}

impl Setup {
    /// Whether the watch sees what processes call. With ports alone it sees only what they serve.
    fn sees_calls(&self) -> bool {
        !self.target.as_came().split(", ").all(is_port)
    }
}

/// Whether one part of the target is a port: "port 8080".
fn is_port(part: &str) -> bool {
    let Some(port) = part.strip_prefix("port ") else { return false };
    port.parse::<u16>().is_ok()
}

/// Judges the events of one run.
///
/// Methods in the order in which a run calls them:
///
/// 1. [`new`](Self::new) with the [`Setup`]. [`set_interest`](Self::set_interest),
///    [`set_notices`](Self::set_notices) and [`set_target`](Self::set_target) follow, and may come
///    again at any time.
/// 2. [`apply`](Self::apply) with each event. `accept`, `overflow`, `exchange`, `socket_event`,
///    `process`, `connect` and `scan` each handle one kind. A sample is a refresh: `sample`, in
///    `refresh.rs`, brings every part up to date, judges (`judge_…`) and reports (`report_…`).
/// 3. [`view`](Self::view), [`snapshot`](Self::snapshot) or [`brief`](Self::brief), when a
///    front-end draws; [`find`](Self::find) for another part of the list of connections.
/// 4. [`finish`](Self::finish), in `summary.rs`, at the end; in parts where somebody shows them.
///
/// Exchanges that are over come back from the connections through `reporter`, which sums and
/// reports them. The fields are parts that do not know one another: these methods hand facts from
/// one to the next.
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
    notices: Vec<Untrusted>,
    /// The newest sample's time and cost.
    cost: Option<(u64, Cost)>,
    cost_share: Option<f64>,
    /// Totals by probe.
    lost: BTreeMap<Untrusted, u64>,
    seen: u64,
    pauses: Pauses,
    workloads: Workloads,
    ended: Ended,
    recording: Option<Recording>,
    recording_stopped: Option<RecordingStop>,
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
            pauses: Pauses::default(),
            workloads: Workloads::default(),
            ended: Ended::default(),
            recording: None,
            recording_stopped: None,
        }
    }

    /// Sets what is to be reported one by one; at the beginning it is everything.
    pub fn set_interest(&mut self, interest: Interest) {
        self.interest = interest;
    }

    /// Replaces the notices on the watch itself.
    pub fn set_notices(&mut self, notices: Vec<Untrusted>) {
        self.notices = notices;
    }

    /// Says what becomes of the recording of this run; `None` where it is not recorded. The first
    /// one that ends early is remembered to the end.
    pub fn set_recording(&mut self, recording: Option<Recording>) {
        if let Some(Recording { stopped: Some(stopped), .. }) = &recording {
            self.recording_stopped.get_or_insert_with(|| stopped.clone());
        }
        self.recording = recording;
    }

    /// Returns a connection as it is reported at the end of a run; `None` if it is not known, or not
    /// any more.
    pub fn connection(&self, sock: event::SockId) -> Option<Output> {
        let mut out = Vec::new();
        self.connections.report(self.now_ns, sock, &mut out);
        out.pop()
    }

    /// Hands over every connection that is open, as it is reported at the end of a run.
    pub fn each_open(&self, mut take: impl FnMut(&Output)) {
        for sock in self.connections.open_socks() {
            if let Some(output) = self.connection(sock) {
                take(&output);
            }
        }
    }

    /// Sums up the run so far, as at its end.
    pub fn sum_up(&mut self) -> output::Summary {
        self.summary()
    }

    /// How the first recording that ended early did; `None` if none has.
    pub fn recording_stopped(&self) -> Option<&RecordingStop> {
        self.recording_stopped.as_ref()
    }

    /// Time of the newest event, ns of `CLOCK_MONOTONIC`.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Replaces the description of the watched processes and ports.
    pub fn set_target(&mut self, target: Untrusted) {
        self.setup.target = target;
        self.stats.see_calls(self.setup.sees_calls());
    }

    /// Takes one event and pushes what is to be reported. Outputs that `out` still holds may be
    /// completed: a delayed ACK becomes proved.
    pub fn apply(&mut self, event: &Event, out: &mut Vec<Output>) {
        match event {
            Event::Accept(accept) => self.accept(accept, out),
            Event::Overflow(overflow) => self.overflow(overflow, out),
            Event::Syn(syn) => {
                self.advance(syn.ts_ns);
                if self.setup.detail_events {
                    out.push(Output::Syn(syn.clone()));
                }
            }
            Event::SynAckRetransmit(retransmit) => self.syn_ack_retransmit(retransmit, out),
            Event::Opened(opened) => {
                self.advance(opened.ts_ns);
                self.connections.opened(opened);
                self.patterns.opened(opened);
                self.proxies.opened(opened);
            }
            Event::Exchange(exchange) => self.exchange(exchange, out),
            Event::Closed(closed) => self.closed(closed, out),
            Event::Connect(connect) => self.connect(connect, out),
            Event::Late(late) => {
                self.advance(late.ts_ns);
                if !self.pauses.hides(late.ts_ns)
                    && let Some(arrival) = self.connections.came_late(late, out)
                {
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
                if !self.pauses.hides(part.ts_ns) {
                    self.scan(part.ts_ns, &part.connections, out);
                }
            }
            Event::SocketEvent(socket_event) => self.socket_event(socket_event, out),
            Event::Sample(sample) => self.sample(sample, out),
            Event::Cpu(state) => {
                self.advance(state.ts_ns);
                self.connections.processors.note(state);
            }
            Event::Census(census) => self.census(census, out),
            Event::Pause(pause) => self.pause(pause, out),
            Event::TargetEnd(end) => {
                self.advance(end.ts_ns);
                self.ended.take(end);
            }
            Event::Closing(closing) => {
                self.advance(closing.ts_ns);
                self.connections.closing(closing);
            }
            Event::Workload(process) => {
                self.advance(process.ts_ns);
                self.workloads.note(process.pid, &process.workload);
            }
        }
    }

    fn closed(&mut self, closed: &Closed, out: &mut Vec<Output>) {
        self.advance(closed.ts_ns);
        self.patterns.closed(closed);
        if let Some((connection, end)) = self.connections.closed(closed, self.interest, out) {
            self.stats.closed(self.now_ns, closed, connection, &end);
        }
    }

    /// Takes a part of a census, and closes connections whose end no record told.
    fn census(&mut self, census: &Census, out: &mut Vec<Output>) {
        self.advance(census.ts_ns);
        self.connections.counted(census);
        self.close_untold(CLOSED_AT_ONCE, out);
    }

    /// Closes connections whose end no record told, so many at most.
    fn close_untold(&mut self, most: usize, out: &mut Vec<Output>) {
        for _ in 0..most {
            let Some(sock) = self.connections.next_untold() else { return };
            let mut report =
                reporter(self.now_ns, self.interest, &mut self.stats, &mut self.proxies, out);
            self.connections.settle_untold(self.now_ns, sock, &mut report);
            drop(report);
            self.closed(&Closed::untold(self.now_ns, sock), out);
        }
    }

    /// Returns the state as a screen shows it now, whose list of connections is as the query
    /// asks. It costs most of what there is: [`find`](Self::find) gives the list alone.
    pub fn view(&self, query: &ConnectionQuery) -> Snapshot {
        Snapshot { found: self.find(query), ..self.snapshot() }
    }

    /// Returns a window of the list of connections; `None` if the snapshot holds all of them.
    pub fn find(&self, query: &ConnectionQuery) -> Option<FoundConnections> {
        if self.connections.listed() <= MAX_CONNECTION_VIEWS {
            return None;
        }
        let mut found = self.connections.find(self.now_ns, query, self.findings.socks());
        self.proxies.complete_views(&mut found.rows);
        if let Some(open) = &mut found.open {
            self.proxies.complete_views(std::slice::from_mut(open));
        }
        Some(found)
    }

    /// Returns the state as it is now, with the worst connections alone where there are many.
    pub fn snapshot(&self) -> Snapshot {
        let mut connections = self.connections.views(self.now_ns, self.findings.socks());
        self.proxies.complete_views(&mut connections);
        Snapshot {
            listeners: self.listeners.full_views(),
            connections,
            threads: self.threads(),
            patterns: self.patterns.views(),
            proxies: self.proxies.views(),
            event_log: self.event_log.entries(),
            past_findings: self.findings.past(),
            ..self.brief()
        }
    }

    /// Whether a connection is known, and has not ended.
    pub fn knows(&self, sock: event::SockId) -> bool {
        self.connections.get(sock).is_some_and(|connection| connection.closed_ns().is_none())
    }

    /// Returns the threads of the snapshot alone.
    pub fn threads(&self) -> Vec<ThreadView> {
        self.threads.views(&self.connections.by_thread())
    }

    /// Returns the snapshot without connections, threads, the event log, past findings and histories.
    /// These cost most, and text has no use for them between samples.
    pub fn brief(&self) -> Snapshot {
        let (held, recent_held) = self.proxies.times(self.pauses.since_ns().unwrap_or(self.now_ns));
        let (lost, not_kept) = self.losses();
        Snapshot {
            now_ns: self.now_ns,
            elapsed_us: self.now_ns.saturating_sub(self.setup.attached_ns) / 1_000,
            target: self.setup.target.clone(),
            tier: self.setup.tier.clone(),
            cost_share: self.cost_share,
            lost,
            not_kept,
            listeners: self.listeners.views(),
            connections: Vec::new(),
            connections_listed: self.connections.listed(),
            found: None,
            connections_open: self.connections.open(),
            pause_since_ns: self.pauses.since_ns(),
            paused_us: self.pauses.total_ns(self.now_ns).map(|ns| ns / 1_000),
            times: self.connections.times.all(),
            recent_times: self
                .connections
                .times
                .recent(self.pauses.since_ns().unwrap_or(self.now_ns)),
            held,
            recent_held,
            threads: Vec::new(),
            patterns: Vec::new(),
            proxies: Vec::new(),
            datagrams: self.datagrams.views(),
            datagrams_open: self.datagrams.open(),
            unix: self.unix.clone(),
            event_log: Vec::new(),
            events_logged: self.event_log.logged(),
            findings: self.findings.view(),
            past_findings: Vec::new(),
            notices: self.notices.clone(),
            workloads: self.workloads.clone(),
            ended: self.ended.clone(),
            recording: self.recording.clone(),
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
        if self.setup.exchanges && self.pauses.follows(accept) {
            self.connections.accepted(accept, ignored, deferred);
            // Without exchanges nobody is seen to serve.
            self.patterns.accepted(accept);
        }
        self.threads.accepted(accept);
        // Deferred, the handshake seems to last until the first data come.
        let handshake_us = if deferred { None } else { accept.handshake_us };
        out.push(Output::Accept(Accept { handshake_us, ..accept.clone() }));
    }

    fn overflow(&mut self, overflow: &Overflow, out: &mut Vec<Output>) {
        self.advance(overflow.ts_ns);
        self.listeners.overflowed(overflow);
        let port = self.listeners.port(overflow.listener);
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

    fn syn_ack_retransmit(&mut self, retransmit: &SynAckRetransmit, out: &mut Vec<Output>) {
        self.advance(retransmit.ts_ns);
        let port = self.listeners.port(retransmit.listener);
        self.connections.unheard.asked_again(retransmit, port);
        if self.setup.detail_events {
            out.push(Output::SynAckRetransmit(retransmit.clone()));
        }
    }

    fn exchange(&mut self, exchange: &Exchange, out: &mut Vec<Output>) {
        self.advance(exchange.ts_ns);
        if self.pauses.hides(exchange.ts_ns) {
            return;
        }
        self.patterns.exchanged(exchange);
        self.confirm(exchange, out);
        let mut report =
            reporter(self.now_ns, self.interest, &mut self.stats, &mut self.proxies, out);
        self.connections.exchanged(self.now_ns, exchange, &mut report);
    }

    fn socket_event(&mut self, socket_event: &SocketEvent, out: &mut Vec<Output>) {
        self.advance(socket_event.ts_ns);
        if self.setup.detail_events {
            let peer = self.connections.get(socket_event.sock).map(|connection| connection.peer());
            out.push(Output::SocketEvent(SocketEventOutput { event: *socket_event, peer }));
        }
    }

    fn process(&mut self, process: &Process, out: &mut Vec<Output>) {
        self.advance(process.ts_ns);
        self.patterns.process(process);
        if process.change.is_end() {
            self.listeners.exited(process.pid);
            self.stats.exited(process.pid);
        }
        if self.setup.detail_events {
            out.push(Output::Process(process.clone()));
        }
    }

    fn connect(&mut self, connect: &Connect, out: &mut Vec<Output>) {
        self.advance(connect.ts_ns);
        self.proxies.connect(connect);
        if self.connections.connects.connected(connect) {
            self.proxies.failed(connect);
            out.push(Output::Connect(connect.clone()));
        }
    }

    fn scan(&mut self, ts_ns: u64, scanned: &[ConnectionSample], out: &mut Vec<Output>) {
        for connection in scanned {
            let Some(exchange) = &connection.exchange else { continue };
            self.confirm(exchange, out);
            self.patterns.exchanged(exchange);
            if let Some(connection) = self.connections.get(exchange.sock) {
                self.proxies.goes_on(exchange, connection);
            }
        }
        let mut report = reporter(ts_ns, self.interest, &mut self.stats, &mut self.proxies, out);
        self.connections.scanned(ts_ns, scanned, &mut report);
        drop(report);
        self.stats.scanned(ts_ns, scanned, &self.connections, |pid| self.proxies.calls(pid));
    }

    fn report_unnamed(&mut self, unnamed: Vec<OverflowOutput>, out: &mut Vec<Output>) {
        for overflow in unnamed {
            self.event_log.overflowed(&overflow);
            out.push(Output::Overflow(overflow));
        }
    }

    /// Confirms, by the delayed ACKs that one end records, those that were inferred at the other.
    /// Such a record often comes just behind the exchange that it proves. That exchange has been
    /// reported, but is not shown yet.
    fn confirm(&mut self, exchange: &Exchange, out: &mut [Output]) {
        if !self.connections.acknowledged(exchange) {
            return;
        }
        for output in out.iter_mut().rev().take(MAX_LOOKED_BACK) {
            if let Output::Exchange(reported) = output {
                self.connections.confirm(reported.sock, &mut reported.view);
            }
        }
        for held in self.proxies.held_mut().take(MAX_LOOKED_BACK) {
            self.connections.confirm(held.sock, &mut held.view);
        }
    }
}

/// Returns the function that sums each exchange that is over, and reports it if anybody wants to
/// know. An exchange whose delayed ACK is only inferred is reported in any case:
/// [`Model::confirm`] may prove it.
fn reporter(
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
        let caller = proxies.over(now_ns, facts, connection, view);
        let is_inferred = matches!(
            view.slices.last(),
            Some(last) if last.kind == SliceKind::DelayedAck && !last.proved
        );
        if !is_inferred && !interest.wants(view) {
            return;
        }
        view.verdict = exchange::verdict(&view.slices);
        let protocol = connection.and_then(Connection::protocol);
        let mut output = ExchangeOutput::new(facts, protocol, view);
        output.ends = connection.map(Connection::ends);
        let due = match caller {
            Some(pid) => proxies.hold(pid, output),
            None => Some(output),
        };
        if let Some(output) = due {
            out.push(Output::Exchange(output));
        }
    }
}

/// Events a second; 0 over a period too short for a rate.
fn rate(count: u64, elapsed_ns: u64) -> f64 {
    if elapsed_ns < 10_000_000 { 0.0 } else { count as f64 * 1e9 / elapsed_ns as f64 }
}

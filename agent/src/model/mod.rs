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
mod handlers;
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
mod setup;
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
mod views;
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
use connections::Connections;
pub use connections::{
    MAX_CLOSED_CONNECTIONS, MAX_CONNECTION_VIEWS, MAX_CONNECTIONS, MAX_CURRENT, MAX_DETAILED,
    MAX_HELLOS, MAX_LEFT, MAX_LOOPBACK_PAIRS, MAX_RECENT, UNTOLD_NS,
};
pub use datagrams::MAX_DATAGRAM_VIEWS;
use event::{Cost, Event};
use event_log::EventLog;
pub use event_log::MAX_STREAM;
use finding::Findings;
use handlers::reporter;
use listeners::Listeners;
pub use listeners::{MAX_CLOSED, MAX_HISTORY, MAX_LISTENERS};
use output::{Interest, Output};
use pattern::Patterns;
use pause::Pauses;
use proxy::Proxies;
pub use proxy::{MAX_CALLERS, MAX_HELD, MAX_JOINED};
pub use setup::Setup;
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

/// Judges the events of one run.
///
/// Methods in the order in which a run calls them:
///
/// 1. [`new`](Self::new) with the [`Setup`]. [`set_interest`](Self::set_interest),
///    [`set_notices`](Self::set_notices) and [`set_target`](Self::set_target) follow, and may come
///    again at any time.
/// 2. [`apply`](Self::apply) with each event; `handlers.rs` has a method for each kind. A sample is a refresh: `sample`, in
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

    /// Tells whether nobody asks for each exchange, and no watched process calls others: the calls
    /// within a request show what it waited for.
    pub fn may_be_thinned(&self) -> bool {
        !self.setup.detail_events && !self.interest.wants_each() && !self.connections.has_calls()
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
}

/// Events a second; 0 over a period too short for a rate.
fn rate(count: u64, elapsed_ns: u64) -> f64 {
    if elapsed_ns < 10_000_000 { 0.0 } else { count as f64 * 1e9 / elapsed_ns as f64 }
}

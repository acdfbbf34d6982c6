//! The state that every front-end renders. A front-end computes nothing beyond layout.

pub mod chain;
mod connect;
mod connection;
mod datagram;
mod end;
mod exchange;
mod holder;
mod pattern;
mod protocol;
mod proxy;
mod query;
mod stood;
mod thread;

use std::net::SocketAddr;

pub use chain::FindingRef;
pub use connect::{ConnectFailure, ConnectTotals, error_name};
pub use connection::{ConnectionView, HoldView, Trailing};
pub use datagram::{
    DatagramHistory, DatagramRates, DatagramTotals, DatagramView, QuicAnswer, QuicTrip, QuicView,
};
pub use end::{Cause, EndView, ResetTotals};
pub use exchange::{ExchangeVerdict, ExchangeView, OwnerTimes, Pieces, Slice, SliceKind};
pub use holder::{CallFault, HeldMost, Holder, HolderTimes, Part, UpstreamWait};
pub use pattern::{Io, PatternName, PatternThread, PatternView, Units};
pub use protocol::{DatagramProtocol, FirstAnswer, Protocol, TlsView};
pub use proxy::{FailedCall, Join, ProxySide, ProxyView, Reuse, Spreading, UpstreamView};
pub use query::{
    ConnectionFilter, ConnectionKey, ConnectionOrder, ConnectionQuery, FoundConnections,
    ListedConnection, Selection, TID,
};
pub use stood::{MAX_STRETCHES, Stood, Stretch};
pub use thread::ThreadView;

use super::event::{LeftQueue, OtherListener, SockId, Stage, UnixListener};
use super::workload::Workloads;
use super::{Ended, Recording};
use crate::text::Untrusted;

/// Holder of a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum Owner {
    /// The kernel.
    Kernel,
    /// The application.
    App,
    /// The network between this host and the peer.
    Network,
    /// The peer.
    Peer,
    /// Nobody can vouch for it.
    Unknown,
}

impl Owner {
    /// Every owner, from the nearest to the furthest.
    pub const ALL: [Self; 5] = [Self::App, Self::Kernel, Self::Network, Self::Peer, Self::Unknown];

    /// Name in the contract, and the word that screens and lines use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::App => "app",
            Self::Network => "network",
            Self::Peer => "peer",
            Self::Unknown => "unknown",
        }
    }

    /// Letter that stands for the owner where there is no room for its name.
    pub fn letter(self) -> char {
        match self {
            Self::Kernel => 'K',
            Self::App => 'A',
            Self::Network => 'N',
            Self::Peer => 'P',
            Self::Unknown => '?',
        }
    }
}

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Costs time or will.
    Warning,
    /// Connections are being lost.
    Critical,
}

/// Window of all rates and shares on a screen, s.
pub const RATE_SECONDS: u64 = 5;

/// Everything a screen shows, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The moment, ns of `CLOCK_MONOTONIC`.
    pub now_ns: u64,
    /// Since the attach, µs.
    pub elapsed_us: u64,
    /// The watched processes: "api-server 4242 (+3 children)".
    pub target: Untrusted,
    /// "full" or "tracepoint".
    pub tier: Untrusted,
    /// CPU time of backscope (agent and probes) as a share of one CPU over the last period; `None`
    /// before the first.
    pub cost_share: Option<f64>,
    /// Records lost since the attach.
    pub lost: u64,
    /// Entries for which a table had no room, since the attach.
    pub not_kept: u64,
    /// Every listener, in the order they became known.
    pub listeners: Vec<ListenerView>,
    /// Connections, worst first; bounded. Beyond the bound those that findings are about.
    pub connections: Vec<ConnectionView>,
    /// Number of connections that a list without a filter has: open ones, those that closed last,
    /// and those that are asked for.
    pub connections_listed: usize,
    /// Window of the list of connections, where there are more of them than in `connections` and
    /// somebody asked ([`Model::view`](super::Model::view)).
    pub found: Option<FoundConnections>,
    /// Number of open connections.
    pub connections_open: u64,
    /// Exchanges are not watched, to keep to a budget, since then; `None` if they are.
    pub pause_since_ns: Option<u64>,
    /// Time in which they were not, µs; `None` if there was none.
    pub paused_us: Option<u64>,
    /// Where the time of all exchanges since the attach went.
    pub times: OwnerTimes,
    /// Where it went over the last few seconds.
    pub recent_times: OwnerTimes,
    /// The time of all exchanges by holder, as soon as their calls are known: a second later.
    pub held: HolderTimes,
    /// The same over the last few seconds.
    pub recent_held: HolderTimes,
    /// Threads of the watched processes, busiest first; bounded.
    pub threads: Vec<ThreadView>,
    /// UDP sockets, those with most going on first; bounded.
    pub datagrams: Vec<DatagramView>,
    /// Their number.
    pub datagrams_open: u64,
    /// Unix-domain sockets that listen, by path.
    pub unix: Vec<UnixListener>,
    /// Pattern of each family of processes, by process id.
    pub patterns: Vec<PatternView>,
    /// Processes that serve and call others, by process id.
    pub proxies: Vec<ProxyView>,
    /// The newest accepts, overflows and the like, oldest first; bounded.
    pub event_log: Vec<LogEntry>,
    /// Number of those that there ever were.
    pub events_logged: u64,
    /// Standing findings, worst first; what follows from one is right behind it.
    pub findings: Vec<Finding>,
    /// Findings that have ended and do not stand now, as they last were, worst first, then the one
    /// that ended last; bounded.
    pub past_findings: Vec<Finding>,
    /// Plain sentences on the watch itself: "4242 (python3) has no listening socket yet; still
    /// watching".
    pub notices: Vec<Untrusted>,
    /// Cgroup, container, pod and unit of the processes, by their ids.
    pub workloads: Workloads,
    /// Targets that have ended.
    pub ended: Ended,
    /// What becomes of the recording of this run; `None` where it is not recorded.
    pub recording: Option<Recording>,
}

impl Snapshot {
    /// Returns a connection, if its view is here.
    pub fn connection(&self, sock: SockId) -> Option<&ConnectionView> {
        let mut all = self.connections.iter();
        if let Some(connection) = all.find(|connection| connection.sock == sock) {
            return Some(connection);
        }
        let found = self.found.as_ref()?;
        let mut further = found.rows.iter().chain(found.open.as_deref());
        further.find(|connection| connection.sock == sock)
    }
}

/// One listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerView {
    /// The listener.
    pub sock: SockId,
    /// Local address.
    pub local: SocketAddr,
    /// Process.
    pub pid: u32,
    /// Its command name, as it came from outside: escape before printing.
    pub comm: Untrusted,
    /// The watched processes that hold it, or the first of many.
    pub holders: Vec<u32>,
    /// Number of further ones.
    pub unnamed_holders: u32,
    /// As [`ListenerSample::calls_missed`](super::event::ListenerSample::calls_missed).
    pub calls_missed: bool,
    /// It has stopped listening.
    pub closed: bool,
    /// Backlog asked for; `None` when `listen(2)` ran before the attach.
    pub backlog: Option<u32>,
    /// Effective limit of the accept queue.
    pub limit: u32,
    /// TCP_DEFER_ACCEPT, s; 0 without, `None` where it was not read.
    pub defer_accept_s: Option<u64>,
    /// `net.core.somaxconn` of its network namespace, where known.
    pub somaxconn: Option<u32>,
    /// Accept-queue depth now.
    pub depth: u32,
    /// Highest since the last refresh.
    pub peak: u32,
    /// SYN-queue depth now.
    pub syn_depth: u32,
    /// Highest since the last refresh.
    pub syn_peak: u32,
    /// Totals since watched.
    pub totals: Totals,
    /// Figures a second.
    pub rates: Rates,
    /// Wait in the accept queue of all connections accepted since watched.
    pub wait: WaitView,
    /// Begin of the period of each refresh in the histories below, ns, oldest first. Each ends
    /// where the next begins, the last one at the snapshot.
    pub history_from_ns: Vec<u64>,
    /// Depth peak of each refresh, oldest first; bounded.
    pub depth_history: Vec<u32>,
    /// Accepts in each refresh, oldest first; bounded.
    pub accept_history: Vec<u32>,
    /// Connections queued in each refresh, oldest first; bounded.
    pub arrival_history: Vec<u32>,
    /// Overflows in each refresh, oldest first; bounded.
    pub overflow_history: Vec<u32>,
    /// Threads that accept on it, most accepts first.
    pub acceptors: Vec<Acceptor>,
    /// Failures of `accept`: each error with its count, most first.
    pub accept_errors: Vec<(String, u64)>,
    /// Sockets that listen there too, and that nobody watched holds.
    pub others: Vec<OtherListener>,
}

/// Totals of a listener since it was first watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// SYNs that arrived, where seen.
    pub syns: Option<u64>,
    /// Connections queued.
    pub queued: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// SYNs dropped since the accept queue was full.
    pub overflow_syn: u64,
    /// Final ACKs ignored since the accept queue was full.
    pub overflow_ack: Option<u64>,
    /// SYNs dropped with room in the accept queue.
    pub syn_dropped: Option<u64>,
    /// Syncookies sent.
    pub cookies_sent: Option<u64>,
    /// SYN-ACKs sent again.
    pub synack_retransmits: u64,
    /// Those of them whose final ACK had come.
    pub synack_acked: Option<u64>,
    /// `accept` calls that found nothing.
    pub eagain: u64,
    /// Connections that left the queue unaccepted.
    pub abandoned: u64,
    /// Calls of `accept` that failed, where seen.
    pub accept_fails: Option<u64>,
    /// Connections that did not wait in the queue until they were accepted, where seen.
    pub left: Option<LeftQueue>,
}

impl Totals {
    /// Overflows of the accept queue, both stages.
    pub fn overflows(&self) -> u64 {
        self.overflow_syn.saturating_add(self.overflow_ack.unwrap_or(0))
    }
}

/// Figures a second over the last [`RATE_SECONDS`], the window of findings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Connections accepted.
    pub accepts: f64,
    /// Connections queued.
    pub arrivals: f64,
    /// Overflows, both stages.
    pub overflows: f64,
}

/// Wait in the accept queue, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitView {
    /// Number of accepts with a known wait.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Longest.
    pub max: u64,
    /// Counts below 1 ms, 10 ms, 100 ms, 1 s, and above.
    pub buckets: [u64; 5],
}

/// A thread that accepts.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptor {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Command name: escape before printing.
    pub comm: Untrusted,
    /// Connections it accepted from this listener.
    pub accepts: u64,
    /// A second, over the last [`RATE_SECONDS`].
    pub rate: f64,
    /// Share of the last period that it spent inside `accept`; `None` when not known.
    pub in_accept_share: Option<f64>,
    /// It is inside `accept` now.
    pub in_accept: bool,
}

/// One line of the live stream.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Its time.
    pub ts_ns: u64,
    /// On which listener.
    pub listener: SockId,
    /// The event.
    pub what: StreamKind,
}

/// Event in a line of the live stream.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamKind {
    /// A connection was handed over.
    Accept {
        /// To whom.
        peer: SocketAddr,
        /// Wait in the accept queue, µs.
        queued_us: Option<u64>,
        /// The thread.
        tid: u32,
        /// Its name: escape before printing.
        comm: Untrusted,
        /// The descriptor.
        fd: Option<i32>,
    },
    /// Connections were refused.
    Overflow {
        /// The peer; `None` where this kernel does not name it.
        peer: Option<SocketAddr>,
        /// Where; `None` where this kernel does not tell.
        stage: Option<Stage>,
        /// Number of refusals that this line stands for.
        count: u64,
        /// Depth of the accept queue.
        depth: u32,
        /// Its limit.
        limit: u32,
    },
    /// A listener appeared.
    Listening {
        /// Where.
        local: SocketAddr,
    },
    /// A listener stopped listening.
    Closed {
        /// Where.
        local: SocketAddr,
    },
}

/// A judgement with its evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// `accept-queue-overflow` and so on.
    pub kind: &'static str,
    /// Its severity.
    pub severity: Severity,
    /// Whose doing.
    pub owner: Owner,
    /// The socket it is about: a listener or a connection; the process id where it is about a
    /// process.
    pub sock: SockId,
    /// Its address, or the process's name and id, as text.
    pub subject: Untrusted,
    /// The process that it is about, or that stands for the socket; `None` if that is not known.
    pub pid: Option<u32>,
    /// Time at which it began; if it has come back, the last time.
    pub since_ns: u64,
    /// The times at which it stood, the present or last one included.
    pub stood: Stood,
    /// One line: "Clients are being refused: 132 so far, 18 a second."
    pub headline: Untrusted,
    /// Explanation, a few sentences.
    pub text: Untrusted,
    /// Something in it was inferred, not observed.
    pub inferred: bool,
    /// Names of the facts that its sentences rest on.
    pub claims: Vec<&'static str>,
    /// Numbers that prove it, by name.
    pub evidence: Vec<(&'static str, f64)>,
    /// Advice on the change to make, naming the setting.
    pub fix: Untrusted,
    /// The finding that explains this one; `None` for the root of a chain.
    pub explained_by: Option<FindingRef>,
    /// Findings that this one explains.
    pub explains: Vec<FindingRef>,
}

//! Reports of the model as it goes: one value for each object of the event stream.

use std::net::SocketAddr;

use backscope_abi::ORDINARY_ACKED_SHIFT;

use super::event::{
    Accept, Connect, Exchange, Pause, Process, Role, SockId, SocketEvent, Stage, Syn,
    SynAckRetransmit, UnixListener,
};
use super::exchange;
use super::snapshot::{
    ConnectTotals, ConnectionView, DatagramTotals, DatagramView, ExchangeView, Finding,
    HolderTimes, ListenerView, OwnerTimes, PatternView, Protocol, ProxyView, QuicView, ResetTotals,
    SliceKind, Totals, WaitView,
};
use super::{Ended, RecordingStop};
use crate::text::Untrusted;

/// Things that a front-end wants to hear of one by one. The sums have everything all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Exchanges that spent at least so much on one thing, µs; with 0 all.
    pub exchanges_from_us: u64,
    /// Where ordinary exchanges come by thousands, each of them; else one of several, which says how
    /// many it stands for.
    pub each: bool,
    /// Ends of connections.
    pub connections: bool,
}

impl Interest {
    /// In everything.
    pub const ALL: Self = Self { exchanges_from_us: 0, each: true, connections: true };

    /// Any exchange that may be left untold is shorter than this, µs.
    const ORDINARY_US: u64 = (1 << ORDINARY_ACKED_SHIFT) / 1_000 + 1;

    /// Tells whether some that are wanted one by one might be left untold.
    pub(crate) fn wants_each(self) -> bool {
        self.each && self.exchanges_from_us < Self::ORDINARY_US
    }

    pub(super) fn wants(self, view: &ExchangeView) -> bool {
        if self.exchanges_from_us == 0 {
            return true;
        }
        // A verdict costs more than this.
        if view.total_us < self.exchanges_from_us {
            return false;
        }
        let Some(verdict) = exchange::verdict(&view.slices) else { return false };
        verdict.us >= self.exchanges_from_us
    }
}

/// One thing to report. Front-ends write these in the order they come.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A listener's figures, at each sample and at the end.
    Listener(ListenerOutput),
    /// The figures of a Unix-domain socket that listens, at each sample.
    Unix(UnixOutput),
    /// A SYN arrived (`--detail events` only).
    Syn(Syn),
    /// Connections were refused.
    Overflow(OverflowOutput),
    /// A connection was handed to the application.
    Accept(Accept),
    /// An exchange is over.
    Exchange(ExchangeOutput),
    /// A connection ended, or the run did.
    Connection(Box<ConnectionOutput>),
    /// A connect of a watched process failed.
    Connect(Connect),
    /// A UDP socket's figures, at each sample and at the end.
    Datagrams(DatagramOutput),
    /// A QUIC connection got its first answer, or the run ended before.
    Quic(Box<QuicOutput>),
    /// A SYN-ACK was sent again (`--detail events` only).
    SynAckRetransmit(SynAckRetransmit),
    /// A watched process began, took a new image or ended (`--detail events` only).
    Process(Process),
    /// The pattern of a family of processes is known, has changed, or is as it was at the end of
    /// the run.
    Pattern(Box<PatternOutput>),
    /// A process that serves and calls others: its figures, where they changed, and at the end of
    /// the run.
    Proxy(Box<ProxyOutput>),
    /// Something happened on a connection (`--detail events` only).
    SocketEvent(SocketEventOutput),
    /// A finding began, says something else than it did, or ended.
    Finding(FindingOutput),
    /// Exchanges are not watched from now on, or are again.
    Pause(Pause),
    /// Records or map entries were lost.
    Lost(Lost),
    /// The totals of the run; the last one.
    Summary(Box<Summary>),
}

impl Output {
    /// Time of the output, ns of `CLOCK_MONOTONIC`.
    pub fn ts_ns(&self) -> u64 {
        match self {
            Self::Listener(listener) => listener.ts_ns,
            Self::Unix(unix) => unix.ts_ns,
            Self::Syn(syn) => syn.ts_ns,
            Self::Overflow(overflow) => overflow.ts_ns,
            Self::Accept(accept) => accept.ts_ns,
            Self::Exchange(exchange) => exchange.ts_ns,
            Self::Connection(connection) => connection.ts_ns,
            Self::Connect(connect) => connect.ts_ns,
            Self::Datagrams(datagrams) => datagrams.ts_ns,
            Self::Quic(quic) => quic.ts_ns,
            Self::SynAckRetransmit(retransmit) => retransmit.ts_ns,
            Self::Process(process) => process.ts_ns,
            Self::Pattern(pattern) => pattern.ts_ns,
            Self::Proxy(proxy) => proxy.ts_ns,
            Self::SocketEvent(output) => output.event.ts_ns,
            Self::Finding(finding) => finding.ts_ns,
            Self::Pause(pause) => pause.ts_ns,
            Self::Lost(lost) => lost.ts_ns,
            Self::Summary(summary) => summary.ts_ns,
        }
    }
}

/// A listener's figures at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerOutput {
    /// Time of the figures.
    pub ts_ns: u64,
    /// The figures. The histories are left empty: they belong to the snapshot.
    pub view: ListenerView,
}

/// The figures of a Unix-domain socket that listens, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct UnixOutput {
    /// Time of the figures.
    pub ts_ns: u64,
    /// The figures.
    pub view: UnixListener,
}

/// An exchange that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeOutput {
    /// Time at which it was over.
    pub ts_ns: u64,
    /// The connection.
    pub sock: SockId,
    /// The side on which the process is.
    pub role: Role,
    /// It had begun when the connection became known.
    pub preexisting: bool,
    /// Protocol, where known.
    pub protocol: Option<Protocol>,
    /// The ends of its connection; `None` of one that is not known any more.
    pub ends: Option<Ends>,
    /// The exchange.
    pub view: ExchangeView,
}

/// The ends of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The listener it came from.
    pub listener: Option<SockId>,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub peer: SocketAddr,
    /// Process.
    pub pid: u32,
    /// Its command name: escape before printing.
    pub comm: Untrusted,
}

impl ExchangeOutput {
    pub(super) fn new(
        exchange: &Exchange,
        protocol: Option<Protocol>,
        view: &ExchangeView,
    ) -> Self {
        Self {
            ts_ns: view.start_ns.saturating_add(view.total_us.saturating_mul(1_000)),
            sock: exchange.sock,
            role: exchange.role,
            preexisting: exchange.preexisting,
            protocol,
            ends: None,
            view: view.clone(),
        }
    }
}

/// A connection that has ended, or that is open at the end of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionOutput {
    /// Time at which it ended, or the run did.
    pub ts_ns: u64,
    /// Its figures.
    pub view: ConnectionView,
    /// Time by kind over all of its exchanges, µs.
    pub phases_us: Vec<(SliceKind, u64)>,
    /// Delayed ACKs that this host sent by timer, and how long they waited, µs; `None` where not
    /// observed.
    pub delayed_acks_sent: Option<(u64, u64)>,
    /// Threads that read and that wrote last.
    pub tids: (Option<u32>, Option<u32>),
    /// Connections that it stands for in sums, itself one of them.
    pub stands_for: u64,
}

/// A QUIC connection.
#[derive(Clone, Debug, PartialEq)]
pub struct QuicOutput {
    /// Time of the report.
    pub ts_ns: u64,
    /// Local address of its socket, once a sample has shown that.
    pub local: Option<SocketAddr>,
    /// Process that holds it, likewise, and its name: escape before printing.
    pub process: Option<(u32, Untrusted)>,
    /// The connection.
    pub view: QuicView,
}

/// A UDP socket's figures at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct DatagramOutput {
    /// Time of the figures.
    pub ts_ns: u64,
    /// The figures.
    pub view: DatagramView,
}

/// Something happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketEventOutput {
    /// The event.
    pub event: SocketEvent,
    /// The connection's peer, once that is known.
    pub peer: Option<SocketAddr>,
}

/// Connections that were refused.
#[derive(Clone, Debug, PartialEq)]
pub struct OverflowOutput {
    /// Time of the refusal; where the kernel only counts them, the time at which the count was
    /// read.
    pub ts_ns: u64,
    /// The listener.
    pub listener: SockId,
    /// The peer that was refused; `None` where the kernel only counts them.
    pub peer: Option<SocketAddr>,
    /// Stage of the handshake.
    pub stage: Stage,
    /// Depth of the accept queue.
    pub depth: u32,
    /// Its limit.
    pub limit: u32,
    /// Number of refusals that this stands for: 1 when the peer is named.
    pub count: u64,
    /// False where this kernel does not distinguish dropped SYNs from ignored final ACKs: `stage`
    /// may be either.
    pub stage_certain: bool,
}

/// The pattern of a family of processes.
#[derive(Clone, Debug, PartialEq)]
pub struct PatternOutput {
    /// Time of the judgement.
    pub ts_ns: u64,
    /// The pattern.
    pub view: PatternView,
}

/// A process that serves and calls others.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyOutput {
    /// Time of the figures.
    pub ts_ns: u64,
    /// The figures.
    pub view: ProxyView,
}

/// State of a finding: whether it began, changed or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum FindingState {
    /// Its condition holds, and did not before.
    Begun,
    /// It became worse, or its owner, what it says or its fix changed.
    Changed,
    /// Its condition has not held for a while.
    Ended,
}

impl FindingState {
    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Changed => "changed",
            Self::Ended => "ended",
        }
    }
}

/// A finding that began, changed or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingOutput {
    /// Time at which it began, changed or ended.
    pub ts_ns: u64,
    /// Whether it began, changed or ended.
    pub state: FindingState,
    /// The finding.
    pub finding: Finding,
}

/// Records or map entries that were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Time at which the count was read.
    pub ts_ns: u64,
    /// The probe, buffer or map.
    pub probe: Untrusted,
    /// Since the last report.
    pub count: u64,
    /// Since the attach.
    pub total: u64,
}

/// Totals of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// End of the run.
    pub ts_ns: u64,
    /// Since the attach, µs.
    pub duration_us: u64,
    /// Listeners that were watched at any time.
    pub listeners: u64,
    /// Totals over all of them. A figure that no listener could observe is `None`.
    pub totals: Totals,
    /// Wait in the accept queue over all of them, µs.
    pub wait: WaitView,
    /// Connections that were known at any time.
    pub connections: u64,
    /// Connects of watched processes; `None` where they were not watched (`--detail queues`).
    pub connects: Option<ConnectTotals>,
    /// Ends that are no plain FIN; likewise.
    pub resets: Option<ResetTotals>,
    /// Where the time of all exchanges went.
    pub times: OwnerTimes,
    /// The same by holder: waits for upstreams are told apart, and calls that are part of them count
    /// once.
    pub held: HolderTimes,
    /// Time of all exchanges by kind, µs: kinds that took any, with delayed ACKs that held nobody.
    pub phases_us: Vec<(SliceKind, u64)>,
    /// Duration of exchanges, without a delayed ACK that held nobody, µs.
    pub exchange: WaitView,
    /// Exchanges, of those in these sums, that were left untold. Others stood for them, but for the
    /// last few of some connections, of whose time nothing is known.
    pub untold: u64,
    /// Totals over all UDP sockets; `None` where they were not watched (`--detail queues`).
    pub datagrams: Option<DatagramTotals>,
    /// Findings made, each time that one began.
    pub findings: u64,
    /// Findings that stood at the end, worst first.
    pub standing_findings: Vec<Finding>,
    /// Findings that had ended, as they last were, worst first, then the one that ended last; bounded.
    pub past_findings: Vec<Finding>,
    /// Findings that are in neither list since there were too many.
    pub findings_left_out: u64,
    /// Records that probes wanted to deliver; `delivered + lost`.
    pub seen: u64,
    /// Records that reached the agent.
    pub delivered: u64,
    /// Records lost because the ring buffer was full.
    pub lost: u64,
    /// Everything else that was lost: entries for which a table of the kernel or of the agent had no
    /// room, by the names of `lost`.
    pub not_kept: u64,
    /// Cost of backscope itself; `None` when no sample was taken.
    pub cost: Option<super::event::Cost>,
    /// Time in which exchanges were not watched, to keep to a budget, µs; `None` if there was none.
    pub paused_us: Option<u64>,
    /// Targets that have ended.
    pub ended: Box<Ended>,
    /// The recording of the run, if it ended early.
    pub recording_stopped: Option<Box<RecordingStop>>,
}

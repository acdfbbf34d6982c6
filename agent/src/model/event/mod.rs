//! Events: the model's only input, live and from a recording alike.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`. `sock` and `listener` are ids that are unique for a
//! run: the kernel's socket cookie where it can be had. What could not be observed is `None`, never
//! 0.

mod connect;
mod connection;
mod cpu;
mod datagram;
mod end;
mod exchange;
mod listener;
mod protocol;
mod quic;
mod socket_event;
mod target_end;
mod thread;
mod workload;

use std::net::SocketAddr;

use crate::text::Untrusted;
use serde::{Deserialize, Serialize};

pub use connect::{Connect, Outcome};
pub use connection::{
    Census, Closing, ClosingSocket, ConnectionPart, ConnectionSample, Opened, Role, TcpState,
};
pub use cpu::{CpuLimit, CpuRefresh, CpuState};
pub use datagram::{DatagramFlow, DatagramSample};
pub use end::{Closed, End, Ending, Late, Side, Why};
pub use exchange::{
    DelayedAcks, Exchange, Hold, HoldReason, Holding, Inbound, Outbound, Pauses, Progress,
    ThreadUse,
};
pub use listener::{
    AcceptFails, LeftQueue, ListenerSample, OtherListener, Place, UnixListener, Used, count_holders,
};
pub use protocol::{
    ClientHello, Http2Streams, Recognised, RequestLine, ServerHello, Sign, TlsRecord,
};
pub use quic::{QuicDatagram, QuicPackets};
pub use socket_event::{SocketCall, SocketEvent, SocketEventKind};
pub use target_end::{EndedProcess, TargetEnd, WaitStatus};
pub use thread::{ThreadSample, WaitKind, Waiting};
pub use workload::ProcessWorkload;

/// A socket's id, unique for a run.
pub type SockId = u64;

/// One fact from the kernel, or the tick of the refresh clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A connection was handed to the application.
    Accept(Accept),
    /// A connection was refused.
    Overflow(Overflow),
    /// A SYN arrived (`--detail events` only).
    Syn(Syn),
    /// A SYN-ACK was sent again.
    SynAckRetransmit(SynAckRetransmit),
    /// A connection became known otherwise than by accept.
    Opened(Opened),
    /// An exchange ended.
    Exchange(Exchange),
    /// A connection ended.
    Closed(Closed),
    /// A watched process began, took a new image or ended.
    Process(Process),
    /// Connections of the sample that comes next.
    Connections(ConnectionPart),
    /// The state and totals of every known listener, read from the kernel at each refresh.
    Sample(Sample),
    /// Something happened on a connection (`--detail events` only).
    SocketEvent(SocketEvent),
    /// The first bytes of a connection were recognised.
    Recognised(Recognised),
    /// Packets of QUIC were read or written.
    Quic(QuicDatagram),
    /// A connect failed, or hangs.
    Connect(Connect),
    /// Data came too late to a connection.
    Late(Late),
    /// Quotas and stops that keep processes off the processors, if there are any.
    Cpu(CpuState),
    /// Connections that are there, where ends were lost.
    Census(Census),
    /// Exchanges are not watched from now on, or are again.
    Pause(Pause),
    /// The cgroup, container, pod and unit of a process.
    Workload(ProcessWorkload),
    /// Processes that were named as a target have ended.
    TargetEnd(TargetEnd),
    /// Connections that this host has closed.
    Closing(Closing),
}

impl Event {
    /// True if the event happened after this time, so that its record was written after it, too.
    /// False of what comes from no record.
    pub fn is_younger(&self, than_ns: u64) -> bool {
        let ts_ns = match self {
            Self::Accept(accept) => accept.ts_ns,
            Self::Overflow(overflow) => overflow.ts_ns,
            Self::Syn(syn) => syn.ts_ns,
            Self::SynAckRetransmit(again) => again.ts_ns,
            Self::Opened(opened) => opened.ts_ns,
            Self::Exchange(exchange) => exchange.ts_ns,
            Self::Closed(closed) => closed.ts_ns,
            Self::Process(process) => process.ts_ns,
            Self::SocketEvent(socket_event) => socket_event.ts_ns,
            Self::Recognised(recognised) => recognised.ts_ns,
            Self::Quic(datagram) => datagram.ts_ns,
            Self::Connect(connect) => connect.ts_ns,
            Self::Late(late) => late.ts_ns,
            Self::Connections(_)
            | Self::Sample(_)
            | Self::Cpu(_)
            | Self::Census(_)
            | Self::Pause(_)
            | Self::Workload(_)
            | Self::TargetEnd(_)
            | Self::Closing(_) => return false,
        };
        ts_ns > than_ns
    }
}

/// Exchanges are not watched from now on, to keep to a budget, or are again. Listeners are all the
/// time; of connections only the end is seen in a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Its time.
    pub ts_ns: u64,
    /// It begins; it ends otherwise.
    pub begins: bool,
}

/// `accept` returned a socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accept {
    /// Time of its return.
    pub ts_ns: u64,
    /// The new socket.
    pub sock: SockId,
    /// The listener it came from.
    pub listener: SockId,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub peer: SocketAddr,
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Command name of the thread.
    pub comm: Untrusted,
    /// Descriptor; `None` for an io_uring direct descriptor.
    pub fd: Option<i32>,
    /// SYN-ACK sent → final ACK; `None` when the kernel took no sample (syncookie, retransmitted
    /// SYN-ACK).
    pub handshake_us: Option<u64>,
    /// Put in the accept queue; `None` when not observed.
    pub queued_ns: Option<u64>,
    /// True when `queued_ns` was taken from the socket's own jiffies stamp (the connection waited
    /// since before the attach), so that it is right to one tick only.
    pub queued_estimated: bool,
    /// True when the kernel skipped the probe at the return: `ts_ns` is the time of the first read
    /// or write, and no wait is known.
    pub late: bool,
    /// The call began; `None` when that was before the attach.
    pub entered_ns: Option<u64>,
    /// Depth of the accept queue behind it.
    pub depth: u32,
    /// Connections of its listener that it stands for in sums, itself one of them: like ones were
    /// left untold. In a recording each stands for itself.
    #[serde(skip, default = "itself")]
    pub stands_for: u64,
}

/// Each stands for itself.
const fn itself() -> u64 {
    1
}

impl Accept {
    /// Queued → accept returned, µs.
    pub fn queued_us(&self) -> Option<u64> {
        Some(self.ts_ns.saturating_sub(self.queued_ns?) / 1_000)
    }

    /// Time that the thread waited inside accept for this connection, µs: 0 if it was there already
    /// at the beginning of the call.
    pub fn blocked_us(&self) -> Option<u64> {
        let (entered, queued) = (self.entered_ns?, self.queued_ns?);
        Some(if queued > entered { self.ts_ns.saturating_sub(entered) / 1_000 } else { 0 })
    }
}

/// Where a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// SYN dropped: the accept queue was full.
    Syn,
    /// Final ACK ignored: the accept queue was full.
    Ack,
    /// SYN dropped though the accept queue had room: the SYN queue was full and syncookies were
    /// off.
    SynQueue,
    /// SYN answered by a syncookie: the SYN queue was full (not a loss).
    Cookie,
}

/// A connection was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overflow {
    /// Its time.
    pub ts_ns: u64,
    /// By which listener.
    pub listener: SockId,
    /// The peer that was refused.
    pub peer: SocketAddr,
    /// Where.
    pub stage: Stage,
    /// Depth of the accept queue.
    pub depth: u32,
    /// Its limit.
    pub limit: u32,
    /// Depth of the SYN queue.
    pub syn_depth: u32,
    /// Data that the packet carried; `None` where that is not seen.
    pub bytes: Option<u32>,
}

/// A SYN arrived at a watched listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Syn {
    /// Its time.
    pub ts_ns: u64,
    /// At which listener.
    pub listener: SockId,
    /// From whom.
    pub peer: SocketAddr,
    /// Depth of the accept queue.
    pub depth: u32,
    /// Depth of the SYN queue.
    pub syn_depth: u32,
    /// Data in the SYN (TCP Fast Open); `None` where the SYN itself is not seen, only its SYN-ACK.
    pub tfo_bytes: Option<u32>,
}

/// A SYN-ACK was sent again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SynAckRetransmit {
    /// Its time.
    pub ts_ns: u64,
    /// By which listener.
    pub listener: SockId,
    /// To whom.
    pub peer: SocketAddr,
    /// Number of this retransmission, from 1.
    pub count: u32,
    /// Time at which it was sent first; `None` where that is not known.
    pub first_ns: Option<u64>,
    /// The peer has answered it, and the accept queue is full: the answer was ignored.
    pub ignored: bool,
}

/// Change of a watched process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessChange {
    /// A target made this child, which is a target now.
    Forked {
        /// Its parent.
        parent: u32,
    },
    /// It took a new image.
    Executed,
    /// It ended; how is not known.
    Exited,
    /// It ended with this status.
    ExitedWith {
        /// Its status.
        status: WaitStatus,
    },
}

impl ProcessChange {
    /// True if the process ended.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Exited | Self::ExitedWith { .. })
    }

    /// Returns the status of a process that ended; `None` where it is not known.
    pub fn status(self) -> Option<WaitStatus> {
        match self {
            Self::ExitedWith { status } => Some(status),
            Self::Forked { .. } | Self::Executed | Self::Exited => None,
        }
    }
}

/// A watched process began, took a new image or ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its time.
    pub ts_ns: u64,
    /// The process.
    pub pid: u32,
    /// Command name.
    pub comm: Untrusted,
    /// The change.
    pub change: ProcessChange,
}

/// The kernel's own figures at one refresh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Its time.
    pub ts_ns: u64,
    /// Every listener known in this run that is open, or was closed since the last sample.
    pub listeners: Vec<ListenerSample>,
    /// Threads that are inside `accept` now: (tid, listener, since when).
    pub in_accept: Vec<InAccept>,
    /// Open connections of watched processes, as far as they were visited and were in no part
    /// before.
    pub connections: Vec<ConnectionSample>,
    /// Number of all open connections.
    pub connections_open: u64,
    /// Threads of watched processes.
    pub threads: Vec<ThreadSample>,
    /// Threads that wait for a listener in `epoll_wait`.
    pub waiting: Vec<Waiting>,
    /// UDP sockets of watched processes.
    pub datagrams: Vec<DatagramSample>,
    /// Loss, as totals since the attach, by probe or map; only those that are not 0.
    pub lost: Vec<(Untrusted, u64)>,
    /// Records that probes wanted to deliver, since the attach.
    pub seen: u64,
    /// `net.core.somaxconn` by network namespace, where it could be read.
    pub somaxconn: Vec<(u32, u32)>,
    /// Cost of backscope itself, as totals since the attach.
    pub cost: Cost,
    /// Unix-domain sockets on which watched processes listen.
    pub unix: Vec<UnixListener>,
    /// Settings of the listeners' network namespaces.
    pub settings: Vec<NetSettings>,
}

/// Settings of a network namespace that decide what becomes of a connection that is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetSettings {
    /// Its inode.
    pub netns: u32,
    /// It is the one that backscope runs in; `None` if that is not known.
    pub here: Option<bool>,
    /// `net.ipv4.tcp_syncookies`.
    pub syncookies: u8,
    /// `net.ipv4.tcp_syn_retries`.
    pub syn_retries: u8,
    /// `net.ipv4.tcp_syn_linear_timeouts`; 0 where there is none (before 6.5).
    pub syn_linear_timeouts: u8,
    /// `net.ipv4.tcp_abort_on_overflow` is on.
    pub abort_on_overflow: bool,
}

/// A thread inside `accept`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InAccept {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// On which listener.
    pub listener: SockId,
    /// Since when.
    pub since_ns: u64,
}

/// Cost of backscope itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Runs of all probes; `None` where the kernel keeps no statistics.
    pub probe_runs: Option<u64>,
    /// Time inside probes, ns.
    pub probe_ns: Option<u64>,
    /// CPU time of the agent, µs.
    pub agent_cpu_us: u64,
    /// Resident memory of the agent, bytes.
    pub agent_rss_bytes: u64,
}

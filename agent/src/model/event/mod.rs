//! What happened: the model's only input, live and from a recording alike.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`. `sock` and `listener` are ids that are unique for a
//! run: the kernel's socket cookie where it can be had. What could not be observed is `None`, never
//! 0.

mod connection;
mod cpu;
mod datagram;
mod moment;
mod protocol;
mod quic;

use std::net::SocketAddr;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

pub use connection::{
    Closed, Connect, ConnectionPart, ConnectionSample, DelayedAcks, End, Ending, Exchange, Hold,
    HoldReason, Holding, Inbound, Late, Opened, Outbound, Outcome, Pauses, Progress, Role, Side,
    TcpState, ThreadSample, ThreadUse, WaitKind, Waiting, Why,
};
pub use cpu::{CpuLimit, CpuRefresh, CpuState};
pub use datagram::{DatagramFlow, DatagramSample};
pub use moment::{Call, Moment, What};
pub use protocol::{
    ClientHello, Http2Streams, Recognised, RequestLine, ServerHello, Sign, TlsRecord,
};
pub use quic::{QuicDatagram, QuicPackets};

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
    Moment(Moment),
    /// The first bytes of a connection were recognised.
    Recognised(Recognised),
    /// Packets of QUIC were read or written.
    Quic(QuicDatagram),
    /// A connect failed, or hangs.
    Connect(Connect),
    /// Data came too late to a connection.
    Late(Late),
    /// What keeps processes off the processors, if anything does.
    Cpu(CpuState),
}

/// `accept` returned a socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accept {
    /// When it returned.
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
    pub comm: CompactString,
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
}

impl Accept {
    /// Queued → accept returned, µs.
    pub fn queued_us(&self) -> Option<u64> {
        self.queued_ns.map(|queued| self.ts_ns.saturating_sub(queued) / 1_000)
    }

    /// How long the thread waited inside accept for this connection, µs: 0 if it was there already
    /// when the call began.
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
    /// When.
    pub ts_ns: u64,
    /// By which listener.
    pub listener: SockId,
    /// Who was refused.
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
    /// When.
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
    /// When.
    pub ts_ns: u64,
    /// By which listener.
    pub listener: SockId,
    /// To whom.
    pub peer: SocketAddr,
    /// The how-manieth time, from 1.
    pub count: u32,
    /// When it was sent first; `None` where that is not known.
    pub first_ns: Option<u64>,
    /// The peer has answered it, and the accept queue is full: the answer was ignored.
    pub ignored: bool,
}

/// What became of a watched process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessChange {
    /// A target made this child, which is a target now.
    Forked {
        /// Its parent.
        parent: u32,
    },
    /// It took a new image.
    Executed,
    /// It ended.
    Exited,
}

/// A watched process began, took a new image or ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// When.
    pub ts_ns: u64,
    /// The process.
    pub pid: u32,
    /// Command name.
    pub comm: String,
    /// What happened.
    pub change: ProcessChange,
}

/// The kernel's own figures at one refresh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub ts_ns: u64,
    /// Every listener known in this run that is open, or was closed since the last sample.
    pub listeners: Vec<ListenerSample>,
    /// Threads that are inside `accept` now: (tid, listener, since when).
    pub in_accept: Vec<InAccept>,
    /// Open connections of watched processes, as far as they were looked at and were in no part
    /// before.
    pub connections: Vec<ConnectionSample>,
    /// How many there are in all.
    pub connections_open: u64,
    /// Threads of watched processes.
    pub threads: Vec<ThreadSample>,
    /// Threads that wait for a listener in `epoll_wait`.
    pub waiting: Vec<Waiting>,
    /// UDP sockets of watched processes.
    pub datagrams: Vec<DatagramSample>,
    /// Loss, as totals since the attach, by probe or map; only those that are not 0.
    pub lost: Vec<(String, u64)>,
    /// Records that probes wanted to deliver, since the attach.
    pub seen: u64,
    /// `net.core.somaxconn` by network namespace, where it could be read.
    pub somaxconn: Vec<(u32, u32)>,
    /// What backscope itself costs, as totals since the attach.
    pub cost: Cost,
    /// Unix-domain sockets on which watched processes listen.
    pub unix: Vec<UnixListener>,
    /// Settings of the listeners' network namespaces.
    pub settings: Vec<NetSettings>,
}

/// What a network namespace is set to, as far as it decides what becomes of a connection that is
/// refused.
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

/// What backscope itself costs.
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

impl ListenerSample {
    /// TCP_DEFER_ACCEPT in seconds: the timeouts of a SYN-ACK, each twice the one before up to two
    /// minutes, as `getsockopt` sums them up (`retrans_to_secs`, 5.10 to 7.3). 0 without, `None`
    /// where it was not read.
    pub fn defer_accept_s(&self) -> Option<u64> {
        let timeouts = self.defer_accept?;
        Some((0..timeouts).map(|timeout| (1_u64 << timeout.min(7)).min(120)).sum())
    }
}

/// A listener's figures at one refresh; totals run since it was first watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerSample {
    /// The listener.
    pub sock: SockId,
    /// Local address.
    pub local: SocketAddr,
    /// Process that called `listen(2)`, or the first found to hold it.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// Every watched process that holds it.
    pub holders: Vec<u32>,
    /// Inode of its network namespace.
    pub netns: u32,
    /// When it became known.
    pub since_ns: u64,
    /// When it stopped listening.
    pub closed_ns: Option<u64>,
    /// Backlog asked for; `None` when `listen(2)` ran before the attach.
    pub backlog: Option<u32>,
    /// Effective limit of the accept queue.
    pub limit: u32,
    /// Accept-queue depth.
    pub depth: u32,
    /// Highest depth since the last sample.
    pub peak: u32,
    /// SYN-queue depth.
    pub syn_depth: u32,
    /// Highest SYN-queue depth since the last sample.
    pub syn_peak: u32,
    /// SYNs that arrived; `None` where this kernel shows none.
    pub syns: Option<u64>,
    /// Connections queued.
    pub queued: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// SYNs dropped since the accept queue was full.
    pub overflow_syn: u64,
    /// Final ACKs ignored since the accept queue was full; `None` where this kernel does not tell
    /// them apart.
    pub overflow_ack: Option<u64>,
    /// SYNs dropped though the accept queue had room; `None` where this kernel does not tell them
    /// apart.
    pub syn_dropped: Option<u64>,
    /// Syncookies sent; `None` where this kernel shows none.
    pub cookies_sent: Option<u64>,
    /// The kernel's drop counter of the socket, since it was made.
    pub drops: u64,
    /// SYN-ACKs sent again.
    pub synack_retransmits: u64,
    /// `accept` calls that found nothing.
    pub eagain: u64,
    /// Connections that left the queue unaccepted.
    pub abandoned: u64,
    /// Calls of `accept` that failed, by error; `None` where no hook sees them.
    pub fails: Option<Vec<AcceptFails>>,
    /// Connections that did not wait in the queue until they were accepted; `None` where it is not
    /// seen who enters it.
    pub left: Option<LeftQueue>,
    /// Other sockets that listen at the same place, which nobody watched holds.
    pub others: Vec<OtherListener>,
    /// SYN-ACKs sent again though the final ACK had come; `None` where this kernel does not tell.
    pub synack_acked: Option<u64>,
    /// TCP_DEFER_ACCEPT, in timeouts of a SYN-ACK; 0 without, `None` where it was not read.
    pub defer_accept: Option<u8>,
    /// Connections wait, as by no chance, the listener does not block, and no epoll instance of its
    /// holders has it, though they have some.
    pub unwatched: bool,
}

/// How often `accept` failed with one error on a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptFails {
    /// `EMFILE` and so on, by its number.
    pub errno: u32,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first_ns: u64,
    /// Process of the last call.
    pub pid: u32,
    /// Its thread.
    pub tid: u32,
    /// What there is of the thing that ran out, where that has a limit and could be read.
    pub used: Option<Used>,
}

/// How much of a limit is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Descriptors of the process (`EMFILE`), open files of the machine (`ENFILE`).
    pub open: u64,
    /// The limit on them.
    pub limit: u64,
}

/// Connections that left the accept queue, or their peers it, before anybody accepted them. Totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftQueue {
    /// The peer sent a FIN.
    pub closed: u64,
    /// The peer reset it.
    pub reset: u64,
    /// Those of both that had waited for 50 ms or longer, as no health check does.
    pub late: u64,
    /// How long these had waited in all, µs.
    pub late_us: u64,
    /// The listener closed, and the kernel reset a connection whose peer was there still.
    pub cut: u64,
}

/// A socket that listens where a watched one does, and that no watched process holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherListener {
    /// Process that holds it, or the first found of several.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// Where it listens.
    pub local: SocketAddr,
    /// Connections in its accept queue.
    pub depth: u32,
    /// Limit of that.
    pub limit: u32,
}

/// A Unix-domain socket on which a watched process listens, at one refresh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnixListener {
    /// The socket.
    pub sock: SockId,
    /// Where it listens: a path, or a name behind `@`.
    pub path: String,
    /// Process that holds it, or the first of several.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// Every watched process that holds it.
    pub holders: Vec<u32>,
    /// Inode of its network namespace.
    pub netns: u32,
    /// Connections in its accept queue.
    pub depth: u32,
    /// Limit of that. The queue is full when the depth is above it.
    pub limit: u32,
    /// Calls of `connect` that did not wait and found it full (`EAGAIN`), since it is watched;
    /// `None` where that is not counted.
    pub refused: Option<u64>,
}

impl UnixListener {
    /// There is no room for a further connection (`unix_recvq_full`, 5.10 to 7.3).
    pub fn is_full(&self) -> bool {
        self.depth > self.limit
    }
}

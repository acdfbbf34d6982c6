//! The facts of connections: what the probes gathered about each exchange, and how a connection
//! began and ended.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::SockId;

/// Which side of a connection the watched process is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// It accepted the connection.
    Server,
    /// It made the connection.
    Client,
}

/// A connection became known otherwise than by accept: the watched process made it, or had it at
/// the attach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// When.
    pub ts_ns: u64,
    /// The socket.
    pub sock: SockId,
    /// On which side the process is.
    pub role: Role,
    /// The listener it came from, where known.
    pub listener: Option<SockId>,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub peer: SocketAddr,
    /// Process.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// SYN sent → SYN-ACK received; `None` when not observed.
    pub handshake_us: Option<u64>,
    /// It was open at the attach.
    pub midway: bool,
    /// Of one that the process made: when it asked for it; `None` when not observed.
    pub asked_ns: Option<u64>,
    /// As above: SYNs that were sent again.
    pub syns_again: u32,
}

/// What became of a connect that brought no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing yet: SYNs are out, and nobody has answered.
    Pending,
    /// A RST answered the SYN, or a message that nobody listens on the port.
    Refused,
    /// The kernel gave up: no SYN was answered.
    TimedOut,
    /// The network said that the peer cannot be reached.
    Unreachable,
    /// There was no free port on this host.
    NoPort,
    /// It failed before it looked for a port: there was no route, or a filter said no.
    NoRoute,
    /// The application closed the socket before anybody answered.
    GivenUp,
    /// Anything else.
    Failed,
    /// It brought a connection, which the peer reset before it had answered anything.
    Reset,
}

/// A watched process asked for a connection, and has not got it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    /// When it failed; of a pending one, when it was looked at.
    pub ts_ns: u64,
    /// Its socket.
    pub sock: SockId,
    /// Whom it asked.
    pub peer: SocketAddr,
    /// Process.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// Thread; `None` when not observed.
    pub tid: Option<u32>,
    /// When it asked.
    pub asked_ns: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// The error number that connect gave or will give; `None` if there is none, or where it was
    /// not observed.
    pub error: Option<u32>,
    /// The error number is not what the kernel said, but what the network's configuration leads to.
    pub inferred: bool,
    /// SYNs that were sent.
    pub syns: u32,
    /// `ip_local_port_range`, where there was no free port.
    pub ports: Option<(u16, u16)>,
    /// Sockets in TIME_WAIT in the network namespace, likewise.
    pub time_wait: Option<u64>,
}

/// What an exchange came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// It goes on, or nothing has come after it yet.
    Open,
    /// The next exchange began.
    Followed,
    /// The connection ended.
    Closed,
}

/// The facts of one exchange: a burst in each direction. Times follow one another as bytes do;
/// where two hooks raced on two CPUs they may be a little out of order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// When the facts were taken.
    pub ts_ns: u64,
    /// The connection.
    pub sock: SockId,
    /// Number of the exchange on its connection, from 1.
    pub seq: u32,
    /// On which side the process is: a server's exchange begins inbound, a client's outbound.
    pub role: Role,
    /// It had begun when the connection became known, so that its beginning was not observed.
    pub midway: bool,
    /// What it came to.
    pub progress: Progress,
    /// Bytes from the peer; `None` if none came (a server that speaks first).
    pub inbound: Option<Inbound>,
    /// Bytes to the peer; `None` if none were written.
    pub outbound: Option<Outbound>,
    /// Lowest round-trip time that the kernel has seen on this connection, µs.
    pub min_rtt_us: Option<u32>,
    /// The ACKs that this host delayed on the connection so far; `None` where this kernel does not
    /// show them.
    pub delayed_acks: Option<DelayedAcks>,
    /// How its connection was ended, as far as that has begun; `None` as well of an exchange told
    /// in brief, which has its answer.
    pub end: Option<End>,
}

/// The first FIN or RST of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When it came or went.
    pub ts_ns: u64,
    /// Who sent it.
    pub by: Side,
    /// What it was.
    pub how: Ending,
    /// The peer sent a FIN, and answered what was written after that by RST: it had closed both
    /// ways.
    pub gone: bool,
}

/// Delayed ACKs that this host sent by timer on a connection, as totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelayedAcks {
    /// How many.
    pub sent: u32,
    /// How long they waited in all, µs.
    pub waited_us: u64,
    /// When the newest was sent.
    pub newest_ns: Option<u64>,
}

/// How a thread spent its time since its call before, up to this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadUse {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// When its call before ended: since then the two times below run; `None` if none was seen.
    pub since_ns: Option<u64>,
    /// Runnable, but without a CPU, ns.
    pub run_delay_ns: u64,
    /// On a CPU, ns; right to a tick.
    pub cpu_ns: u64,
}

/// The inbound burst of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inbound {
    /// The first byte was there to be read.
    pub first_ns: u64,
    /// The newest byte was there to be read.
    pub last_ns: u64,
    /// The first read that took any of it returned; `None` while nobody has.
    pub read_first_ns: Option<u64>,
    /// The last such read returned.
    pub read_last_ns: Option<u64>,
    /// Between the first byte and the last read: time with the receive queue empty, the peer yet to
    /// send more, ns.
    pub starved_ns: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes that are there and not read.
    pub unread_bytes: u64,
    /// Reads that took bytes.
    pub reads: u32,
    /// Reads that found nothing (`EAGAIN`).
    pub eagains: u32,
    /// The thread of the first read, and how it spent the time before it.
    pub reader: Option<ThreadUse>,
    /// All that is unread was there when the last read returned.
    pub left: bool,
}

/// Why written bytes were not sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HoldReason {
    /// Nagle: less than a full segment, with small unacknowledged data out and TCP_NODELAY off.
    Nagle,
    /// TCP_CORK or MSG_MORE.
    Cork,
    /// The network: the congestion window, or the pace that congestion control keeps.
    Congestion,
    /// The peer's receive window.
    ReceiveWindow,
    /// A pace that was set (`SO_MAX_PACING_RATE`), TCP small queues, segmentation: the kernel's own
    /// scheduling of what to send.
    Pacing,
}

impl HoldReason {
    /// Every reason, each at the place of its number.
    pub const ALL: [Self; 5] =
        [Self::Nagle, Self::Cork, Self::Congestion, Self::ReceiveWindow, Self::Pacing];
}

/// Time that written bytes were held for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why.
    pub reason: HoldReason,
    /// How often.
    pub count: u32,
    /// How long in all, ns.
    pub held_ns: u64,
}

/// A hold that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Why.
    pub reason: HoldReason,
    /// Since when it is for this reason.
    pub since_ns: u64,
}

/// How the writing thread spent the time between writes that came apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses {
    /// Runnable, but without a CPU, ns.
    pub run_delay_ns: u64,
    /// On a CPU, ns; right to a tick.
    pub cpu_ns: u64,
    /// All of it is known; if not, the figures are what is known.
    pub complete: bool,
}

/// The outbound burst of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outbound {
    /// The first write began, or returned where only that was seen and it cannot have blocked.
    pub first_ns: u64,
    /// The last write returned.
    pub last_ns: u64,
    /// The last byte was sent (first transmission); `None` while some are held, or when not
    /// observed.
    pub sent_ns: Option<u64>,
    /// The last byte was acknowledged; `None` while it is not, or when not observed.
    pub acked_ns: Option<u64>,
    /// Bytes written.
    pub bytes: u64,
    /// Bytes written and not sent.
    pub unsent_bytes: u64,
    /// Bytes sent and not acknowledged.
    pub unacked_bytes: u64,
    /// Writes that took bytes.
    pub writes: u32,
    /// Of them, those of less than 256 bytes.
    pub small_writes: u32,
    /// Sizes of the last two writes, older first; 0 where there was none.
    pub last_sizes: [u32; 2],
    /// Sizes of the two writes of the longest hold: the one in flight, the one held. 0 where there
    /// was none.
    pub held_sizes: [u32; 2],
    /// Holds that ended, one entry a reason, together with one that lasts still.
    pub holds: Vec<Hold>,
    /// Time between the first and the last write with the writer waiting for room in the send
    /// buffer, ns.
    pub blocked_ns: u64,
    /// Time that the peer's receive window limited sending, ns, right to a tick (`chrono_stat`).
    pub window_limited_ns: u64,
    /// Segments sent again.
    pub retransmits: u32,
    /// When the first of them was.
    pub retransmit_ns: Option<u64>,
    /// The thread of the first write, and how it spent the time before it.
    pub writer: Option<ThreadUse>,
    /// Between writes that came apart; `None` if none did.
    pub pauses: Option<Pauses>,
    /// Why bytes were held last.
    pub held_last: Option<HoldReason>,
    /// The hold that lasts, which `holds` have too.
    pub holding: Option<Holding>,
    /// The kernel began the congestion window anew, since nothing had been sent for a while, and
    /// that held bytes.
    pub window_restarted: bool,
    /// Segments sent again that the peer told to have had already (duplicate SACK).
    pub spurious: u32,
    /// Times that nothing was written for a millisecond or longer, between two writes.
    pub gaps: u32,
    /// The longest of them, ns, right to a millisecond.
    pub longest_gap_ns: u64,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// This host.
    Local,
    /// The peer.
    Peer,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// FIN.
    Fin,
    /// RST.
    Reset,
    /// The kernel gave it up: retransmissions or keepalives unanswered.
    Timeout,
}

/// What brought an end about, beyond who closed first and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Why {
    /// This host closed with data unread: the kernel sent a RST.
    UnreadData,
    /// This host closed with SO_LINGER and a time of 0: likewise.
    Linger,
    /// A RST ended it.
    Reset,
    /// What this host had sent was not acknowledged.
    Unacknowledged,
    /// Keepalive probes were not answered.
    Keepalive,
    /// The network said that the peer cannot be reached.
    Unreachable,
    /// Somebody else had the kernel end it (`ss -K`).
    Aborted,
}

/// Data came to a connection that this host had closed. The kernel answered them by a RST, or the
/// application reads on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Late {
    /// When.
    pub ts_ns: u64,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub peer: SocketAddr,
    /// How many bytes.
    pub bytes: u64,
    /// The connection whose application reads on (a lingering close), and the time from the newest
    /// data before to the close, ns; `None` where a RST went back.
    pub lingers: Option<(SockId, u64)>,
}

/// A connection ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// When its socket was destroyed, or went to TIME_WAIT.
    pub ts_ns: u64,
    /// The connection.
    pub sock: SockId,
    /// Who ended it first; `None` when that was before it became known.
    pub by: Option<Side>,
    /// How; `None` likewise.
    pub how: Option<Ending>,
    /// When the first FIN or RST was seen or sent.
    pub since_ns: Option<u64>,
    /// Bytes that were read since it became known: right also when exchanges were left away under
    /// pressure.
    pub bytes_in: u64,
    /// Bytes that were written, likewise.
    pub bytes_out: u64,
    /// Exchanges, likewise.
    pub exchanges: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// Delayed ACKs that this host sent by timer; `None` where this kernel does not show them.
    pub delayed_acks: Option<u32>,
    /// How long they waited in all, µs.
    pub delayed_ack_us: u64,
    /// What brought it about, where that was observed.
    pub why: Option<Why>,
    /// From the newest data in either direction to the first FIN or RST, right to a tick; `None`
    /// when not observed.
    pub idle_ns: Option<u64>,
    /// When this host reset it: bytes unread.
    pub unread_bytes: u64,
    /// As above: bytes written and not acknowledged.
    pub unacked_bytes: u64,
    /// The last exchange has its request and no part of its response.
    pub unanswered: bool,
    /// When the first byte of that request was written, or had come.
    pub asked_ns: Option<u64>,
    /// Lowest round-trip time that the kernel has seen, µs.
    pub min_rtt_us: Option<u32>,
    /// Data had come after the last exchange, and nobody had read any.
    pub unseen: bool,
    /// Multipath TCP was spoken on both sides, so that reads and writes were not seen.
    pub multipath: bool,
}

/// State of a TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TcpState {
    /// Data can flow both ways.
    Established,
    /// SYN sent, no answer yet.
    SynSent,
    /// This side has closed (FIN_WAIT1, FIN_WAIT2, CLOSING, LAST_ACK).
    Closing,
    /// The peer has closed, this side has not.
    CloseWait,
    /// Closed.
    Closed,
}

/// Some of the connections at one refresh: where there are many, they come in parts, before the
/// sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionPart {
    /// When the refresh was.
    pub ts_ns: u64,
    /// The connections.
    pub connections: Vec<ConnectionSample>,
}

/// A connection at one refresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionSample {
    /// The connection.
    pub sock: SockId,
    /// Its state.
    pub state: TcpState,
    /// The exchange that it is in, or that was its last; `None` before the first.
    pub exchange: Option<Exchange>,
    /// The last byte came or went, or the state changed.
    pub active_ns: u64,
    /// The peer's receive window is shut.
    pub peer_window_zero: bool,
    /// Our receive window is shut.
    pub window_zero: bool,
    /// The first FIN or RST came or went; `None` when there was none, or it was not observed.
    pub fin_ns: Option<u64>,
    /// A request that came after the exchange was answered, and that nobody has read: its first
    /// byte, and its newest.
    pub next: Option<(u64, u64)>,
}

/// What a thread waits for in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WaitKind {
    /// A connection, in `accept`.
    Accept,
    /// One descriptor: a read, a write, a `poll` of a single one.
    Descriptor,
    /// Events of a set that the kernel keeps: `epoll_wait`, `io_uring_enter`.
    Events,
    /// Any of several descriptors, named in the call: `poll`, `select`.
    Several,
    /// A lock or a condition (`futex`).
    Lock,
    /// Anything else.
    Other,
}

/// A thread of a watched process at one refresh. Figures are totals since the thread began, except
/// the counts, which run since the attach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadSample {
    /// Process.
    pub pid: u32,
    /// The process that made its process.
    pub parent: u32,
    /// Thread.
    pub tid: u32,
    /// Command name.
    pub comm: String,
    /// On a CPU, ns (`/proc/PID/task/TID/schedstat`).
    pub cpu_ns: u64,
    /// Runnable without a CPU, ns.
    pub run_delay_ns: u64,
    /// Times that it was put on a CPU.
    pub runs: u64,
    /// When it began, right to a tick of 10 ms.
    pub started_ns: u64,
    /// What it waits for; `None` while it runs, or when it was not looked at.
    pub sleep: Option<WaitKind>,
    /// Reads that took bytes.
    pub reads: u64,
    /// Writes that took bytes.
    pub writes: u64,
}

/// A thread that waits in `epoll_wait` for a listener, perhaps among other things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// The listener.
    pub listener: SockId,
    /// The epoll instance's descriptor.
    pub epoll: u32,
    /// It was registered with `EPOLLEXCLUSIVE`: a connection wakes one such waiter, not all.
    pub exclusive: bool,
    /// Times that the thread went to sleep of its own accord, since it began
    /// (`voluntary_ctxt_switches`).
    pub switches: u64,
}

//! Connections: what the probes gather about each, and the records it leaves as.

use crate::Endpoint;

/// Kind of [`Opened`].
pub const OPENED: u32 = 9;
/// Kind of [`Exchange`].
pub const EXCHANGE: u32 = 10;
/// Kind of [`Ended`].
pub const ENDED: u32 = 11;
/// Kind of [`Failed`].
pub const FAILED: u32 = 15;
/// Kind of [`Late`].
pub const LATE: u32 = 16;

/// Values of [`Exchange::role`].
pub mod role {
    /// The process accepted the connection.
    pub const SERVER: u8 = 0;
    /// The process made the connection.
    pub const CLIENT: u8 = 1;
}

/// Values of [`Exchange::progress`].
pub mod progress {
    /// It goes on, or nothing came after it.
    pub const OPEN: u8 = 0;
    /// The next one began.
    pub const FOLLOWED: u8 = 1;
    /// The connection ended.
    pub const CLOSED: u8 = 2;
}

/// Indices of [`Exchange::held_us`]: why written bytes were not sent at once, in the kernel's own
/// order of tests.
pub mod hold {
    /// Nagle's algorithm.
    pub const NAGLE: u8 = 0;
    /// TCP_CORK or MSG_MORE.
    pub const CORK: u8 = 1;
    /// The network: the congestion window, or the pace that congestion control keeps.
    pub const CONGESTION: u8 = 2;
    /// The peer's receive window.
    pub const WINDOW: u8 = 3;
    /// A pace that was set (`SO_MAX_PACING_RATE`), TCP small queues, segmentation.
    pub const PACING: u8 = 4;
    /// Number of them.
    pub const COUNT: usize = 5;
    /// [`Exchange::holding`](super::Exchange::holding) when nothing is held.
    pub const NONE: u8 = 255;
}

/// [`Connection::listener`] of one whose listener is not known until it is accepted: it may be that
/// of somebody else, at the same port.
pub const UNCLAIMED: u64 = u64::MAX;

/// Values of [`Exchange::fin_how`].
pub mod ending {
    /// FIN.
    pub const FIN: u8 = 1;
    /// RST.
    pub const RESET: u8 = 2;
    /// The kernel gave it up.
    pub const TIMEOUT: u8 = 3;
    /// It never was one: connect failed.
    pub const NEVER: u8 = 4;
    /// A connect was asked for, and no state has changed yet.
    pub const ASKED: u8 = 5;
    /// Its SYN is out, as far as was seen.
    pub const SENT: u8 = 6;
}

/// Values of [`Connection::why`]: what brought about the end, beyond who closed first and how.
pub mod why {
    /// Nothing more is known.
    pub const NONE: u8 = 0;
    /// Closed with data unread: the kernel sent a RST.
    pub const UNREAD: u8 = 1;
    /// SO_LINGER with a time of 0, or `connect` to no address: likewise.
    pub const LINGER: u8 = 2;
    /// A RST came, or after this host closed, data did: then a [`Late`](super::Late) record
    /// follows.
    pub const RESET: u8 = 3;
    /// The peer did not acknowledge what was sent.
    pub const UNACKNOWLEDGED: u8 = 4;
    /// Keepalive probes were not answered.
    pub const KEEPALIVE: u8 = 5;
    /// The network says that the peer cannot be reached.
    pub const UNREACHABLE: u8 = 6;
    /// Somebody else had the kernel end it (`tcp_abort`).
    pub const ABORTED: u8 = 7;
}

/// Values of [`Failed::stage`].
pub mod attempt {
    /// It ended inside connect, before the socket looked for a port.
    pub const UNROUTED: u8 = 0;
    /// It ended inside connect, before a SYN was sent.
    pub const PORTLESS: u8 = 1;
    /// SYNs were sent.
    pub const SENT: u8 = 2;
}

/// Bits of [`Exchange::flags`].
pub mod flag {
    /// The kernel began the congestion window anew, since nothing had been sent for a while.
    pub const RESTARTED: u8 = 1;
    /// Of some pauses between writes it is not known how the writing thread spent them.
    pub const PAUSE_UNKNOWN: u8 = 2;
    /// All that is unread was there when the last read returned.
    pub const LEFT: u8 = 4;
}

/// Unit of [`Exchange::sent_before`], ns.
pub const SENT_UNIT_NS: u64 = 1 << 20;
/// Writes of less than this are small, bytes.
pub const SMALL_WRITE: u32 = 256;
/// A write that comes so long after the one before begins an exchange of its own (a server that
/// pushes), ns.
pub const BURST_GAP_NS: u64 = 1_000_000_000;

/// Less than one in so many of a request's bytes, and at the end of it, is a remainder.
pub const REMAINDER: u64 = 8;

/// A shorter time between two writes is no pause: 2 to the power of this, ns, some millisecond.
pub const PAUSE_SHIFT: u32 = 20;

/// Scheduling of a thread since its call before.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SchedDelta {
    /// Process; 0 when there was no call yet.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// Time of its call before; 0 when none was seen.
    pub since_ns: u64,
    /// Runnable without a CPU since then, ns.
    pub run_delay_ns: u64,
    /// On a CPU since then, ns.
    pub cpu_ns: u64,
}

/// The totals of a thread at its newest call, in one of the two places that threads of its set
/// share: the `THREADS` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Thread {
    /// The thread's id, combined with all the others by exclusive or: two threads that take the
    /// same place in the same moment leave nobody's.
    pub tag: u64,
    /// Time of the event.
    pub ts_ns: u64,
    /// `sched_info.run_delay`.
    pub run_delay_ns: u64,
    /// `se.sum_exec_runtime`.
    pub cpu_ns: u64,
}

/// The facts of one exchange: gathered in place, and sent as they stand when it is over, unless a
/// [`crate::CompactExchange`] says the same. A time of 0 means "not yet".
///
/// First come the fields that an arrival reads: see [`Connection`]. A [`crate::CompactExchange`]
/// has only fields before `ts_ns`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// [`EXCHANGE`].
    pub kind: u32,
    /// Its number on the connection, from 1.
    pub seq: u32,
    /// One of [`role`].
    pub role: u8,
    /// One of [`progress`].
    pub progress: u8,
    /// Side that ended the connection: 0 neither, 1 this host, 2 the peer.
    pub fin_by: u8,
    /// One of [`hold`]: why bytes are held now.
    pub holding: u8,
    /// Writes that took bytes.
    pub writes: u32,
    /// The first byte of the inbound burst was there.
    pub in_first_ns: u64,
    /// The last byte was sent.
    pub sent_ns: u64,
    /// The last byte was acknowledged.
    pub acked_ns: u64,
    /// The connection's id.
    pub sock: u64,
    /// The newest byte of the inbound burst was there.
    pub in_last_ns: u64,
    /// The first read that took any of it returned.
    pub read_first_ns: u64,
    /// The last such read returned.
    pub read_last_ns: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Reads that took bytes.
    pub reads: u32,
    /// Reads that found nothing, at most `u16::MAX`.
    pub eagains: u16,
    /// The longest time without a write between two, in 2 to the power of [`PAUSE_SHIFT`] ns; none
    /// shorter than that.
    pub longest_pause: u16,
    /// Thread that read first.
    pub reader: SchedDelta,
    /// The first write returned; where it is known to have blocked, when it began to.
    pub out_first_ns: u64,
    /// The last write returned.
    pub out_last_ns: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Writes of less than [`SMALL_WRITE`] bytes, at most `u16::MAX`.
    pub small_writes: u16,
    /// Times that nothing was written for a millisecond ([`PAUSE_SHIFT`]) or longer, between two
    /// writes; at most `u16::MAX`.
    pub pauses: u16,
    /// Lowest round-trip time that the kernel knows, µs; 0 or `u32::MAX` before the first.
    pub min_rtt_us: u32,
    /// Sizes of the last two writes, older first.
    pub last_sizes: [u32; 2],
    /// Thread that wrote first.
    pub writer: SchedDelta,
    /// Time at which it was sent.
    pub ts_ns: u64,
    /// Time between the first read and the last with nothing to read, ns.
    pub starved_ns: u64,
    /// Since when bytes are held now, for the present reason.
    pub holding_since_ns: u64,
    /// Time that writers waited for room in the send buffer, ns.
    pub blocked_ns: u64,
    /// The first retransmission.
    pub retransmit_ns: u64,
    /// Time that written bytes were held, by [`hold`], µs, rounded up.
    pub held_us: [u32; hold::COUNT],
    /// Between writes that came apart: the writing thread runnable without a CPU, µs.
    pub pause_delay_us: u32,
    /// Between such writes: the writing thread on a CPU, µs.
    pub pause_cpu_us: u32,
    /// Time at which the last byte of the exchange before was sent, in units of
    /// [`SENT_UNIT_NS`]; 0 if there was none.
    pub sent_before: u32,
    /// Sizes of the two writes of the longest hold: in flight, and held.
    pub held_sizes: [u32; 2],
    /// Number of times that bytes were held, by [`hold`].
    pub held: [u16; hold::COUNT],
    /// Segments sent again.
    pub retransmits: u16,
    /// Jiffies that the peer's window limited sending.
    pub window_jiffies: u32,
    /// Bytes there and not read.
    pub unread: u32,
    /// Bytes written and not sent.
    pub unsent: u32,
    /// Bytes sent and not acknowledged.
    pub unacked: u32,
    /// Delayed ACKs that were sent by timer on the connection so far.
    pub delayed_acks: u32,
    /// The newest of them.
    pub delayed_ack_ns: u64,
    /// Time that they waited in all, µs.
    pub delayed_ack_us: u32,
    /// Not 0: it had begun when the connection became known.
    pub preexisting: u8,
    /// Kind of its end, once `fin_by` says so, or outcome of a connect: one of [`ending`].
    pub fin_how: u8,
    /// Not 0: the peer ended it by FIN, and answered by RST to what was written since. It had
    /// closed both ways.
    pub gone: u8,
    /// Not 0: something was out when the exchange began.
    pub was_busy: u8,
    /// One of [`hold`], plus 1: why bytes were held last; 0 if none were.
    pub held_last: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// Low bits of the segments that the peer had told to have had already, at the first
    /// retransmission.
    pub dsack_base: u8,
    /// Segments sent again that the peer told to have had already.
    pub spurious: u8,
    /// Jiffies that the peer's window had limited sending when the present hold got its reason.
    pub hold_window: u32,
    /// The first FIN or RST of the connection.
    pub fin_ns: u64,
}

/// All that is kept of one connection: the value of its socket's storage, or of the `CONNECTIONS`
/// map by address.
///
/// An arrival is often noted on another processor than a read, and each line of the cache that both
/// write costs as much as everything else. An arrival reads the first 56 bytes only: the
/// kernel puts them into one line, with the pointer that it reads itself to find them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The oldest unread byte was there; 0 when all is read.
    pub unread_since_ns: u64,
    /// The newest byte was there.
    pub arrival_ns: u64,
    /// The exchange that it is in, or that was its last.
    pub exchange: Exchange,
    /// Bytes that were read in exchanges that are over.
    pub bytes_in: u64,
    /// Bytes that were written in them.
    pub bytes_out: u64,
    /// All was read; 0 while there is something to read.
    pub empty_since_ns: u64,
    /// A write found no room; 0 when the last one found some.
    pub blocked_since_ns: u64,
    /// Duration of this longest hold of the exchange so far, ns.
    pub longest_hold_ns: u64,
    /// Sequence number behind the last held byte.
    pub hold_seq: u32,
    /// Jiffies that the peer's window had limited sending when the exchange began.
    pub window_base: u32,
    /// Jiffies that anything had been out when the exchange began; from its first write that came
    /// late on, at the newest of these.
    pub busy_base: u32,
    /// Sizes of the two writes of the present hold.
    pub hold_sizes: [u32; 2],
    /// The exchange's number that the last scan showed as complete.
    pub shown_seq: u32,
    /// Process that made or was found to hold it; 0 until accepted.
    pub tgid: u32,
    /// Not 0: it was open when it became known.
    pub preexisting: u8,
    /// Windows that were told to be shut: bit 0 this host's, bit 1 the peer's. Only where each
    /// event is asked for.
    pub shut: u8,
    /// Calls whose first bytes were read, inbound and outbound; 255 once that is over.
    pub inspected: [u8; 2],
    /// A read waits for data inside its call; 0 if none does. Only where each event is asked for.
    /// Once this host has reset the connection: bytes unread then, and above them bytes
    /// unacknowledged.
    pub reading_since_ns: u64,
    /// The listener in whose queue it is or was, if it came in a rush: nothing else is kept of it
    /// there. [`UNCLAIMED`], or 0.
    pub listener: u64,
    /// Sequence number behind the last byte that had come when the answer began.
    pub answered_seq: u32,
    /// One of [`why`].
    pub why: u8,
    /// Not 0: it was told that data came after this host had closed.
    pub late: u8,
    /// The era (`ERA`) that the exchange in hand is of, its low bits.
    pub era: u16,
}

const _: () = assert!(
    core::mem::offset_of!(Connection, exchange) + core::mem::offset_of!(Exchange, sock) == 56
);

/// The value that a connection starts from.
impl Connection {
    /// Nothing known.
    pub const BLANK: Self = Self {
        exchange: Exchange::BLANK,
        bytes_in: 0,
        bytes_out: 0,
        unread_since_ns: 0,
        arrival_ns: 0,
        empty_since_ns: 0,
        blocked_since_ns: 0,
        longest_hold_ns: 0,
        hold_seq: 0,
        window_base: 0,
        busy_base: 0,
        hold_sizes: [0; 2],
        shown_seq: 0,
        tgid: 0,
        preexisting: 0,
        shut: 0,
        inspected: [0; 2],
        reading_since_ns: 0,
        listener: 0,
        answered_seq: 0,
        why: why::NONE,
        late: 0,
        era: 0,
    };
}

impl Exchange {
    /// Nothing has happened.
    pub const BLANK: Self = Self {
        kind: EXCHANGE,
        seq: 1,
        ts_ns: 0,
        sock: 0,
        role: role::SERVER,
        progress: progress::OPEN,
        preexisting: 0,
        holding: hold::NONE,
        min_rtt_us: 0,
        in_first_ns: 0,
        in_last_ns: 0,
        read_first_ns: 0,
        read_last_ns: 0,
        starved_ns: 0,
        bytes_in: 0,
        out_first_ns: 0,
        out_last_ns: 0,
        sent_ns: 0,
        acked_ns: 0,
        bytes_out: 0,
        held_us: [0; hold::COUNT],
        pause_delay_us: 0,
        pause_cpu_us: 0,
        sent_before: 0,
        holding_since_ns: 0,
        blocked_ns: 0,
        retransmit_ns: 0,
        reader: SchedDelta { tgid: 0, tid: 0, since_ns: 0, run_delay_ns: 0, cpu_ns: 0 },
        writer: SchedDelta { tgid: 0, tid: 0, since_ns: 0, run_delay_ns: 0, cpu_ns: 0 },
        reads: 0,
        eagains: 0,
        longest_pause: 0,
        writes: 0,
        small_writes: 0,
        pauses: 0,
        last_sizes: [0; 2],
        held_sizes: [0; 2],
        held: [0; hold::COUNT],
        retransmits: 0,
        window_jiffies: 0,
        unread: 0,
        unsent: 0,
        unacked: 0,
        delayed_acks: 0,
        delayed_ack_ns: 0,
        delayed_ack_us: 0,
        fin_by: 0,
        fin_how: 0,
        gone: 0,
        was_busy: 0,
        held_last: 0,
        flags: 0,
        dsack_base: 0,
        spurious: 0,
        hold_window: 0,
        fin_ns: 0,
    };
}

/// A watched process made a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// [`OPENED`].
    pub kind: u32,
    /// Process.
    pub tgid: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// The connection's id.
    pub sock: u64,
    /// Local address.
    pub local: Endpoint,
    /// Remote address.
    pub peer: Endpoint,
    /// SYN to SYN-ACK in 1/8 µs; 0 when not known.
    pub srtt_us: u32,
    /// SYNs that were sent again.
    pub again: u32,
    /// Time at which it was asked for.
    pub asked_ns: u64,
}

/// A connect of a watched process came to nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// [`FAILED`].
    pub kind: u32,
    /// Process.
    pub tgid: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// Its socket's id.
    pub sock: u64,
    /// Time at which it was asked for.
    pub asked_ns: u64,
    /// Local address: its port is 0 where it had none, or has given it back.
    pub local: Endpoint,
    /// Remote address.
    pub peer: Endpoint,
    /// Thread; 0 when not known.
    pub tid: u32,
    /// Error number; 0 if there is none, or if it is not known.
    pub error: u32,
    /// Error number that the network told of meanwhile; 0 if none.
    pub soft_error: u32,
    /// SYNs that were sent again.
    pub again: u32,
    /// `ip_local_port_range` of its network namespace, where it had no port: the higher one above
    /// 16 bits.
    pub ports: u32,
    /// One of [`attempt`].
    pub stage: u8,
    /// Not 0: the application closed the socket.
    pub closed: u8,
    /// Padding.
    pub _pad: [u8; 2],
}

/// Data came to a connection that this host had closed: a RST answered them, or its application
/// reads on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Late {
    /// [`LATE`].
    pub kind: u32,
    /// Number of bytes.
    pub bytes: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// Local address.
    pub local: Endpoint,
    /// Remote address.
    pub peer: Endpoint,
    /// The connection's id where its socket is read from still; else 0.
    pub sock: u64,
    /// Then: from the newest data before to the close, ns.
    pub idle_ns: u64,
}

/// A connection ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// [`ENDED`].
    pub kind: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// The connection's id.
    pub sock: u64,
    /// The first FIN or RST; 0 when not seen.
    pub fin_ns: u64,
    /// Bytes that were read.
    pub bytes_in: u64,
    /// Bytes that were written.
    pub bytes_out: u64,
    /// Exchanges.
    pub exchanges: u32,
    /// From the newest data in either direction to the first FIN or RST, jiffies.
    pub idle_jiffies: u32,
    /// Of an exchange without a response: when the first byte of its request was written, or was
    /// there; else 0.
    pub asked_ns: u64,
    /// Delayed ACKs sent by timer.
    pub delayed_acks: u32,
    /// Time that they waited, µs.
    pub delayed_ack_us: u32,
    /// If this host reset it: bytes unread.
    pub unread: u32,
    /// If this host reset it: bytes written and not acknowledged.
    pub unacked: u32,
    /// As in [`Exchange`].
    pub fin_by: u8,
    /// As in [`Exchange`].
    pub fin_how: u8,
    /// As in [`Connection`].
    pub why: u8,
    /// Not 0: the last exchange has its request and no part of its response.
    pub unanswered: u8,
    /// Not 0: data that were read by nobody had come after the last exchange.
    pub unseen: u8,
    /// Not 0: it was a subflow of Multipath TCP, whose reads and writes are not seen.
    pub multipath: u8,
    /// Not 0: exchanges were not watched then.
    pub in_pause: u8,
    /// Padding.
    pub _pad: u8,
    /// Lowest round-trip time that the kernel knows, µs; 0 or `u32::MAX` before the first.
    pub min_rtt_us: u32,
    /// Padding.
    pub _pad2: u32,
}

/// Entry of the iterator for a connection that a process has among its files, in a census: whatever
/// it does, and whoever the process is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ScanHeld {
    /// [`crate::SCAN_HELD`].
    pub tag: u32,
    /// Padding.
    pub _pad: u32,
    /// The connection, or [`CANNOT_COUNT`].
    pub sock: u64,
}

/// In place of a connection: there are some that the iterator cannot reach.
pub const CANNOT_COUNT: u64 = u64::MAX;

/// Entry of the iterator for a connection; its [`Exchange`] follows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ScanConnection {
    /// [`crate::SCAN_CONNECTION`].
    pub tag: u32,
    /// Process that holds it.
    pub tgid: u32,
    /// Its TCP state.
    pub state: u8,
    /// Not 0: the peer's receive window is shut.
    pub peer_window_zero: u8,
    /// Not 0: our receive window is shut.
    pub window_zero: u8,
    /// Not 0: the connection was open when it became known.
    pub preexisting: u8,
    /// Of one that is not made yet: SYNs that were sent again, 255 at most.
    pub again: u8,
    /// Padding.
    pub _pad: [u8; 3],
    /// The newest byte came or went, or the state changed.
    pub active_ns: u64,
    /// Its state began: it was asked for, or the peer closed; 0 if that was not seen.
    pub since_ns: u64,
    /// The first byte of a request that came after the last answer, and that nobody has read; 0 if
    /// there is none.
    pub next_since_ns: u64,
    /// Its newest byte.
    pub next_newest_ns: u64,
    /// Local address.
    pub local: Endpoint,
    /// Remote address.
    pub peer: Endpoint,
}

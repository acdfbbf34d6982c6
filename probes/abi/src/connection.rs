//! Connections: what the probes gather about each, and the records it leaves as.

use crate::Endpoint;

/// Kind of [`Opened`].
pub const OPENED: u32 = 9;
/// Kind of [`Exchange`].
pub const EXCHANGE: u32 = 10;
/// Kind of [`Ended`].
pub const ENDED: u32 = 11;

/// Values of [`Exchange::role`].
pub mod role {
    /// The process accepted the connection.
    pub const SERVER: u8 = 0;
    /// The process made the connection.
    pub const CLIENT: u8 = 1;
    /// No connection: a listener, whose children inherit its id in [`Exchange::sock`](super::Exchange::sock).
    pub const LISTENER: u8 = 2;
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

/// Indices of [`Exchange::held_ns`]: why written bytes were not sent at once, in the kernel's own order of tests.
pub mod hold {
    /// Nagle's algorithm.
    pub const NAGLE: u8 = 0;
    /// TCP_CORK or MSG_MORE.
    pub const CORK: u8 = 1;
    /// The congestion window.
    pub const CONGESTION: u8 = 2;
    /// The peer's receive window.
    pub const WINDOW: u8 = 3;
    /// Pacing, TCP small queues, segmentation.
    pub const PACING: u8 = 4;
    /// How many there are.
    pub const COUNT: usize = 5;
    /// [`Exchange::holding`](super::Exchange::holding) when nothing is held.
    pub const NONE: u8 = 255;
}

/// Writes of less than this are small, bytes.
pub const SMALL_WRITE: u32 = 256;
/// A write that comes so long after the one before begins an exchange of its own (a server that pushes), ns.
pub const BURST_GAP_NS: u64 = 1_000_000_000;

/// How a thread spent its time since its call before.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadUse {
    /// Process; 0 when there was no call yet.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// When its call before was; 0 when none was seen.
    pub since_ns: u64,
    /// Runnable without a CPU since then, ns.
    pub run_delay_ns: u64,
    /// On a CPU since then, ns.
    pub cpu_ns: u64,
}

/// The totals of a thread at its newest call, in one of the two places that threads of its set share: the `THREADS` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Thread {
    /// The thread's id, combined with all the others by exclusive or: two threads that take the same place in the same
    /// moment leave nobody's.
    pub tag: u64,
    /// When.
    pub ts_ns: u64,
    /// `sched_info.run_delay`.
    pub run_delay_ns: u64,
    /// `se.sum_exec_runtime`.
    pub cpu_ns: u64,
}

/// The facts of one exchange: gathered in place, and sent as they stand when it is over, unless a [`crate::Brief`] says the same.
/// A time of 0 means "not yet".
///
/// First comes what an arrival looks at: see [`Connection`]. What a [`crate::Brief`] tells of is all before `ts_ns`.
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
    /// Not 0: it had begun when the connection became known.
    pub midway: u8,
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
    /// Reads that found nothing.
    pub eagains: u32,
    /// Who read first.
    pub reader: ThreadUse,
    /// The first write returned; where it is known to have blocked, when it began to.
    pub out_first_ns: u64,
    /// The last write returned.
    pub out_last_ns: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Writes of less than [`SMALL_WRITE`] bytes.
    pub small_writes: u32,
    /// Lowest round-trip time that the kernel knows, µs; 0 or `u32::MAX` before the first.
    pub min_rtt_us: u32,
    /// Sizes of the last two writes, older first.
    pub last_sizes: [u32; 2],
    /// Who wrote first.
    pub writer: ThreadUse,
    /// When it was sent.
    pub ts_ns: u64,
    /// Time between the first read and the last with nothing to read, ns.
    pub starved_ns: u64,
    /// Time that written bytes were held, by [`hold`].
    pub held_ns: [u64; hold::COUNT],
    /// Since when bytes are held now.
    pub holding_since_ns: u64,
    /// Time that writers waited for room in the send buffer, ns.
    pub blocked_ns: u64,
    /// The first retransmission.
    pub retransmit_ns: u64,
    /// Sizes of the two writes of the longest hold: in flight, and held.
    pub held_sizes: [u32; 2],
    /// How often bytes were held, by [`hold`].
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
    /// How long they waited in all, µs.
    pub delayed_ack_us: u32,
    /// Padding.
    pub _pad: u32,
}

/// All that is kept of one connection: the value of its socket's storage, or of the `CONNECTIONS` map by address.
///
/// An arrival is often noted on another processor than a read, and each line of the cache that both write costs as much as
/// everything else. What an arrival looks at is in the first 56 bytes: the kernel puts them into one line, with the pointer
/// that it looks at itself to find them.
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
    /// The first FIN or RST.
    pub fin_ns: u64,
    /// Duration of this longest hold of the exchange so far, ns.
    pub longest_hold_ns: u64,
    /// Sequence number behind the last held byte.
    pub hold_seq: u32,
    /// Jiffies that the peer's window or the send buffer had limited sending when the exchange began.
    pub window_base: u32,
    /// Jiffies that anything had been out when the exchange began; `u32::MAX` if something was out just then.
    pub busy_base: u32,
    /// Sizes of the two writes of the present hold.
    pub hold_sizes: [u32; 2],
    /// The exchange's number that the last scan showed as complete.
    pub shown_seq: u32,
    /// Process that made or was found to hold it; 0 until accepted.
    pub tgid: u32,
    /// Who ended it: 0 nobody, 1 this host, 2 the peer.
    pub fin_by: u8,
    /// How: 1 FIN, 2 RST, 3 timeout.
    pub fin_how: u8,
    /// Not 0: it was open when it became known.
    pub midway: u8,
    /// Windows that were told to be shut: bit 0 this host's, bit 1 the peer's. Only where each event is asked for.
    pub shut: u8,
    /// A read waits for data inside its call; 0 if none does. Only where each event is asked for.
    pub reading_since_ns: u64,
    /// Calls whose first bytes were read, inbound and outbound; 255 once that is over.
    pub looks: [u8; 2],
    /// Padding.
    pub _pad: [u8; 6],
}

const _: () = assert!(core::mem::offset_of!(Connection, exchange) + core::mem::offset_of!(Exchange, sock) == 56);

/// What a connection starts from.
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
        fin_ns: 0,
        longest_hold_ns: 0,
        hold_seq: 0,
        window_base: 0,
        busy_base: 0,
        hold_sizes: [0; 2],
        shown_seq: 0,
        tgid: 0,
        fin_by: 0,
        fin_how: 0,
        midway: 0,
        shut: 0,
        reading_since_ns: 0,
        looks: [0; 2],
        _pad: [0; 6],
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
        midway: 0,
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
        held_ns: [0; hold::COUNT],
        holding_since_ns: 0,
        blocked_ns: 0,
        retransmit_ns: 0,
        reader: ThreadUse { tgid: 0, tid: 0, since_ns: 0, run_delay_ns: 0, cpu_ns: 0 },
        writer: ThreadUse { tgid: 0, tid: 0, since_ns: 0, run_delay_ns: 0, cpu_ns: 0 },
        reads: 0,
        eagains: 0,
        writes: 0,
        small_writes: 0,
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
        _pad: 0,
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
    /// When.
    pub ts_ns: u64,
    /// The connection's id.
    pub sock: u64,
    /// Local address.
    pub local: Endpoint,
    /// Remote address.
    pub peer: Endpoint,
    /// SYN to SYN-ACK in 1/8 µs; 0 when not known.
    pub srtt_us: u32,
    /// Padding.
    pub _pad: u32,
}

/// A connection ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// [`ENDED`].
    pub kind: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// When.
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
    /// Padding.
    pub _pad2: u32,
    /// Delayed ACKs sent by timer.
    pub delayed_acks: u32,
    /// How long they waited, µs.
    pub delayed_ack_us: u32,
    /// As in [`Connection`].
    pub fin_by: u8,
    /// As in [`Connection`].
    pub fin_how: u8,
    /// Padding.
    pub _pad: [u8; 6],
}

/// What the iterator says of a connection; its [`Exchange`] follows.
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
    pub midway: u8,
    /// Padding.
    pub _pad: [u8; 4],
    /// The newest byte came or went, or the state changed.
    pub active_ns: u64,
    /// Local address.
    pub local: Endpoint,
    /// Remote address.
    pub peer: Endpoint,
}

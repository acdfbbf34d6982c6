//! Exchanges: what the probes gather of a request and its response, and hand over.

/// Kind of [`Exchange`].
pub const EXCHANGE: u32 = 10;

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
/// First come the fields that an arrival reads: see [`crate::Connection`]. A
/// [`crate::CompactExchange`] has only fields before `ts_ns`.
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
    /// Kind of its end, once `fin_by` says so, or outcome of a connect: one of [`crate::ending`].
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

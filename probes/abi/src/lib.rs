//! Data that the kernel probes and the agent share: plain `repr(C)` types and names, no logic.
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`). Addresses are IPv6, an IPv4
//! address in its IPv4-mapped form; ports are in host order.
#![no_std]

mod compact;
mod connect;
mod connection;
mod datagram;
mod event;
mod exchange;
mod idle;
mod layout;
mod linux;
mod payload;
mod record;
mod scan;

pub use compact::{COMPACT_EXCHANGE, CompactExchange, CompactSched};
pub use connect::{FAILED, Failed, OPENED, Opened, attempt};
pub use connection::{Connection, ENDED, Ended, LATE, Late, ending, why};
pub use datagram::{
    Datagram, LATENCY_BUCKETS, MARK_LATE, MARK_NUMBER_BITS, MARK_TIME_SHIFT, MARK_UNIT_SHIFT,
    MARKS, bucket_middle_us, latency_bucket,
};
pub use event::{EVENT, Event, event_kind, side};
pub use exchange::{
    BURST_GAP_NS, EXCHANGE, Exchange, PAUSE_SHIFT, REMAINDER, SENT_UNIT_NS, SMALL_WRITE,
    SchedDelta, Thread, flag, hold, progress, role,
};
pub use idle::Idle;
pub use layout::{ABSENT, Config, Layout};
pub use linux::{errno, tcp_state};
pub use payload::{
    DATAGRAM_PREFIX, DatagramPrefix, FEW_BYTES, Flow, INSPECTED_PER_PERIOD, MANY_BYTES,
    MAX_DATAGRAMS_INSPECTED, MAX_FLOW_INSPECTED, MAX_FLOWS, MAX_HTTP2_BYTES, MAX_HTTP2_INSPECTED,
    MAX_INSPECTED, MAX_TLS_BYTES, MAX_TLS_INSPECTED, PAYLOAD_PREFIX, PLACE_BYTES, PLACES,
    PayloadPrefix,
};
pub use record::{
    ACCEPT, ADOPT, Accept, Adopt, CLOSED, Call, Closed, Endpoint, Fail, FailKey, LISTENER,
    Listener, OVERFLOW, Overflow, PROCESS, Process, Queued, RETRANSMIT, Retransmit, SYN, Syn,
    process, stage,
};
pub use scan::{
    CANNOT_COUNT, SCAN_CONNECTION, SCAN_DATAGRAM, SCAN_HELD, SCAN_LISTENER, SCAN_OTHER, SCAN_UNIX,
    ScanConnection, ScanDatagram, ScanEntry, ScanHeld, ScanOther, ScanUnix, UNIX_PATH,
};

/// Listeners that are watched at once. A listener beyond that is not watched;
/// [`counter::LISTENERS_FULL`] counts it.
pub const MAX_LISTENERS: u32 = 10_240;
/// Listeners beyond that which are remembered as counted. Further ones count at each scan.
pub const MAX_LEFT_OUT: u32 = 65_536;
/// Connections that wait in accept queues at once. Beyond that a connection that leaves its queue
/// unaccepted is not seen; [`counter::QUEUED_FULL`] counts it.
pub const MAX_QUEUED: u32 = 16_384;
/// Threads that are inside `accept` at once. Beyond that `blocked_us` is unknown;
/// [`counter::CALLS_FULL`] counts it.
pub const MAX_CALLS: u32 = 4_096;
/// Errors of `accept` that are counted, each of a listener; the one met least recently gives way.
pub const MAX_FAILS: u32 = 1_024;
/// A peer that leaves a connection after so long in the accept queue gave up waiting, ns: a health
/// check or a scan closes at once.
pub const LATE_NS: u64 = 50_000_000;
/// Processes that are watched at once. Beyond that a process is not followed;
/// [`counter::TARGETS_FULL`] counts it.
pub const MAX_TARGETS: u32 = 8_192;
/// Connections that are watched at once, beside [`MAX_ACCEPTED`], where tracing programs have no
/// socket storage (5.10) or cannot reach it. Beyond that a connection has no exchanges; [`counter::CONNECTIONS_FULL`] counts it.
pub const MAX_CONNECTIONS: u32 = 65_536;
/// Accepted connections for which there is memory from the beginning, 4 MB. Beyond that a connection
/// is given some, at a higher cost.
pub const MAX_ACCEPTED: u32 = 8_192;
/// UDP sockets that are watched at once, some 3 KB each. One beyond that is not watched;
/// [`counter::DATAGRAMS_FULL`] counts each time that it is used.
pub const MAX_DATAGRAMS: u32 = 4_096;
/// Threads whose use of time is remembered between calls. Beyond that it is unknown.
pub const MAX_THREADS: u32 = 2 * THREAD_SETS;
/// Sets of two of them: threads share one whose ids differ by a multiple of this.
pub const THREAD_SETS: u32 = 8_192;
/// Ports that can be named as targets.
pub const MAX_PORTS: u32 = 1_024;
/// Bytes of the ring buffer: some 20 ms of 700 000 exchanges a second. When it is full a record is
/// dropped and counted under [`counter::RING_FULL`].
pub const RING_BYTES: u32 = 1 << 21;
/// Bytes of the ring buffer when every single event is asked for.
pub const RING_BYTES_EVENTS: u32 = 1 << 24;
/// An exchange shorter than this is the first to be left away under pressure, ns.
pub const SHORT_NS: u64 = 1_000_000;

/// Of the ordinary exchanges that come by thousands, one in so many is told: a power of two.
pub const THINNED: u32 = 8;
/// An exchange that takes longer is no ordinary one, 2 to the power of this, ns: some 4 ms, as a
/// request may wait for its turn at a busy server.
pub const ORDINARY_SHIFT: u32 = 22;
/// Neither is one whose threads had done nothing for this long, 2 to the power of this, ns: some
/// millisecond.
pub const ORDINARY_REST_SHIFT: u32 = 20;
/// Nor one that is acknowledged later than this after it began, 2 to the power of this, ns: some
/// 8 ms.
pub const ORDINARY_ACKED_SHIFT: u32 = 23;

/// Values of the `SUSPENSION` map: whether the hooks of accept are attached. Any other is a time, ns:
/// that from which they have been again, or with [`suspension::RUSH`] that from which they have not.
pub mod suspension {
    /// They have been all the time.
    pub const NEVER: u64 = 0;
    /// They are not.
    pub const SUSPENDED: u64 = 1;
    /// They are not, and something came that they are wanted for.
    pub const WANTED: u64 = 2;
    /// They are about to be taken off for a rush, or are on again and do not serve yet: accepts that
    /// are on their way were seen by some of them alone.
    pub const CHANGING: u64 = 3;
    /// The bit that says that they are not, since so many connections come that the hooks would slow
    /// the server down. Nothing is kept of a connection that is queued then.
    pub const RUSH: u64 = 1 << 63;
    /// With that bit: neither is the hook of state changes.
    pub const STATELESS: u64 = 1 << 62;
}

/// Indices of the per-CPU array `COUNTERS`.
pub mod counter {
    /// Records that a probe wanted to deliver.
    pub const SEEN: u32 = 0;
    /// Records dropped since the ring buffer was full.
    pub const RING_FULL: u32 = 1;
    /// Listeners not watched since the map was full.
    pub const LISTENERS_FULL: u32 = 2;
    /// Queued connections without a stamp since the map was full.
    pub const QUEUED_FULL: u32 = 3;
    /// `accept` calls without a stamp since the map was full.
    pub const CALLS_FULL: u32 = 4;
    /// Processes not followed since the map was full.
    pub const TARGETS_FULL: u32 = 5;
    /// Connections not watched for want of memory.
    pub const CONNECTIONS_FULL: u32 = 6;
    /// Exchanges of less than [`SHORT_NS`](super::SHORT_NS) left away since the ring buffer was
    /// half full.
    pub const SHED_SHORT: u32 = 7;
    /// Other exchanges left away since it was three quarters full, so that accepts and refusals
    /// still fit.
    pub const SHED: u32 = 8;
    /// Uses of UDP sockets that are not watched since the map was full.
    pub const DATAGRAMS_FULL: u32 = 9;
    /// Single events left away since it was a quarter full, before any exchange is.
    pub const SHED_EVENTS: u32 = 10;
    /// Connections that were accepted, or left the accept queue, by a call that nothing showed: the
    /// hooks of accept rested, or a program of 32 bits made it.
    pub const LEFT_UNSEEN: u32 = 11;
    /// First bytes that were passed over since no place was free for them, or since the ring buffer
    /// was full.
    pub const FIRST_BYTES: u32 = 12;
    /// Number of counters that tell of loss, with [`SEEN`].
    pub const COUNT: u32 = 13;
    /// Those of them that are records which [`SEEN`] counts.
    pub const RECORDS: [u32; 5] = [RING_FULL, SHED_SHORT, SHED, SHED_EVENTS, FIRST_BYTES];
    /// Connections that became known.
    pub const OPENED: u32 = 13;
    /// Connections of them that ended.
    pub const ENDED: u32 = 14;
    /// First bytes that were passed over since there were too many new connections.
    pub const UNINSPECTED: u32 = 15;
    /// Connections that the return of accept showed.
    pub const RETURNED: u32 = 16;
    /// Connections whose peer's name accept asked for.
    pub const NAMED: u32 = 17;
    /// Connections whose [`Connection`](super::Connection) gave way to an [`Idle`](super::Idle).
    pub const COMPACTED: u32 = 18;
    /// Those that have grown again since.
    pub const EXPANDED: u32 = 19;
    /// Connects that watched processes asked for.
    pub const CONNECTS: u32 = 20;
    /// Exchanges that were left untold ([`THINNED`](super::THINNED)).
    pub const UNTOLD: u32 = 21;
    /// Connections that were left untold as a whole.
    pub const UNTOLD_CONNECTIONS: u32 = 22;
    /// Size of the array.
    pub const ALL: u32 = 23;
    /// The names of the counters, in order, as `lost.probe` shows them.
    pub const NAMES: [&str; COUNT as usize] = [
        "seen",
        "ring",
        "listeners",
        "queued",
        "accept_calls",
        "targets",
        "connections",
        "exchanges_brief",
        "exchanges",
        "datagrams",
        "events",
        "left_unseen",
        "first_bytes",
    ];
}

//! The compact record of an exchange.

/// Kind of [`CompactExchange`].
pub const COMPACT_EXCHANGE: u32 = 12;

/// A [`SchedDelta`](crate::SchedDelta) as a part of a compact record.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CompactSched {
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// Time since its call before, ns.
    pub since_ago_ns: u32,
    /// Runnable without a CPU since then, ns.
    pub run_delay_ns: u32,
    /// On a CPU since then, ns.
    pub cpu_ns: u32,
}

/// An [`Exchange`](crate::Exchange) that is over, if it had both directions, nothing out of the
/// ordinary happened and every figure fits: most do. It is less than half as long, and the ring
/// buffer's memory is what sending costs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CompactExchange {
    /// [`COMPACT_EXCHANGE`].
    pub kind: u32,
    /// As in [`Exchange`](crate::Exchange).
    pub seq: u32,
    /// As in [`Exchange`](crate::Exchange).
    pub ts_ns: u64,
    /// As in [`Exchange`](crate::Exchange).
    pub sock: u64,
    /// The earliest of its times: the others count from here.
    pub base_ns: u64,
    /// As in [`Exchange`](crate::Exchange).
    pub role: u8,
    /// As in [`Exchange`](crate::Exchange).
    pub progress: u8,
    /// As in [`Exchange`](crate::Exchange).
    pub preexisting: u8,
    /// Exchanges of the connection that were left untold by then, the low bits of their number.
    pub untold: u8,
    /// As in [`Exchange`](crate::Exchange).
    pub min_rtt_us: u32,
    /// `in_first`, `in_last`, `read_first`, `read_last`, `out_first`, `out_last`, `sent`, `acked`:
    /// ns since the base.
    pub times: [u32; 8],
    /// As in [`Exchange`](crate::Exchange).
    pub bytes_in: u32,
    /// As in [`Exchange`](crate::Exchange).
    pub bytes_out: u32,
    /// As in [`Exchange`](crate::Exchange); counted from `read_first`.
    pub reader: CompactSched,
    /// As in [`Exchange`](crate::Exchange); counted from `out_last`.
    pub writer: CompactSched,
    /// As in [`Exchange`](crate::Exchange).
    pub reads: u16,
    /// As in [`Exchange`](crate::Exchange).
    pub eagains: u16,
    /// As in [`Exchange`](crate::Exchange).
    pub writes: u16,
    /// As in [`Exchange`](crate::Exchange).
    pub small_writes: u16,
    /// As in [`Exchange`](crate::Exchange).
    pub last_sizes: [u32; 2],
}

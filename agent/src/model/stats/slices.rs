//! Sums over the slices of one exchange.

use crate::model::exchange;
use crate::model::snapshot::{ExchangeView, Slice, SliceKind};

/// Time of a kind, µs.
pub(super) fn time_of(view: &ExchangeView, kind: SliceKind) -> u64 {
    let mut us = 0_u64;
    for slice in &view.slices {
        if slice.kind == kind {
            us = us.saturating_add(slice.us);
        }
    }
    us
}

/// Time of a kind without a trailing delayed ACK, for which nobody waits, µs.
pub(super) fn counted_time_of(view: &ExchangeView, kind: SliceKind) -> u64 {
    let mut sum_us = 0_u64;
    for (other, us) in exchange::counted(&view.slices) {
        if other == kind {
            sum_us = sum_us.saturating_add(us);
        }
    }
    sum_us
}

/// The part of a slice that was before `ts_ns`, µs.
pub(super) fn us_before(slice: &Slice, ts_ns: u64) -> u64 {
    (ts_ns.saturating_sub(slice.start_ns) / 1_000).min(slice.us)
}

/// Time on a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub(super) cpu_us: u64,
    /// Time of the slices of which that is known.
    pub(super) known_us: u64,
}

impl CpuTime {
    /// Sums the slices of a kind.
    pub(super) fn of(view: &ExchangeView, kind: SliceKind) -> Self {
        let mut sum = Self::default();
        for slice in &view.slices {
            if slice.kind == kind
                && let Some(cpu_us) = slice.cpu_us
            {
                sum.cpu_us = sum.cpu_us.saturating_add(cpu_us);
                sum.known_us = sum.known_us.saturating_add(slice.us);
            }
        }
        sum
    }
}

/// Returns the slices in which the connection waited to be accepted: they follow the handshake.
pub(super) fn before_accept(view: &ExchangeView) -> &[Slice] {
    use SliceKind::{AcceptQueue, Handshake, Ignored, RunQueue, Throttled};
    let is_handshake = |slice: &Slice| matches!(slice.kind, Handshake | Ignored);
    let is_wait = |slice: &Slice| matches!(slice.kind, AcceptQueue | RunQueue | Throttled);
    let slices = &view.slices;
    let from = slices.iter().position(|slice| !is_handshake(slice)).unwrap_or(slices.len());
    let rest = &slices[from..];
    let count = rest.iter().position(|slice| !is_wait(slice)).unwrap_or(rest.len());
    &rest[..count]
}

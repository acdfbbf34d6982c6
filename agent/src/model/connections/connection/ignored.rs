//! The ignoring of a peer as one of a connection's sums.

use crate::model::exchange::Ignoring;

/// Packs the ignoring of a peer into one number, which is not 0: the time up to the queue, and two
/// bits on its data.
pub(super) fn packed(ignored: Ignoring, queued_ns: u64) -> u64 {
    let data = match ignored.data {
        None => 1,
        Some(false) => 2,
        Some(true) => 3,
    };
    let span_ns = match ignored.since_ns {
        Some(since_ns) => queued_ns.saturating_sub(since_ns).saturating_add(1),
        None => 0,
    };
    span_ns << 2 | data
}

/// The reverse of [`packed`].
pub(super) fn unpacked(number: u64, queued_ns: u64) -> Option<Ignoring> {
    let data = match number & 3 {
        0 => return None,
        1 => None,
        2 => Some(false),
        _ => Some(true),
    };
    let since_ns = (number >> 2).checked_sub(1).map(|span_ns| queued_ns.saturating_sub(span_ns));
    Some(Ignoring { since_ns, data })
}

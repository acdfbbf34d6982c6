//! The way in: arriving, waiting in the receive queue, being read.

use super::{DOUBTED_NS, SLACK_NS, Tile};
use crate::model::event::{Exchange, Inbound, Progress, Role, ThreadUse};
use crate::model::snapshot::SliceKind;
use crate::model::spans;

/// Unread bytes are a small rest if they are fewer than this part of those read: one in so many.
const REMAINDER: u64 = 8;

/// Arrival of the first byte, as far as observed.
pub(super) fn arrived_ns(exchange: &Exchange) -> Option<u64> {
    let inbound = exchange.inbound.as_ref()?;
    if inbound.first_ns > 0 {
        return Some(inbound.first_ns.min(exchange.ts_ns));
    }
    let read_ns = inbound.read_first_ns.or(inbound.read_last_ns)?;
    Some(read_ns.min(exchange.ts_ns))
}

/// The first write of a server's response.
fn answered_ns(exchange: &Exchange) -> Option<u64> {
    match &exchange.outbound {
        Some(sent) if exchange.role == Role::Server => Some(sent.first_ns),
        _ => None,
    }
}

/// Lays slices from the first byte that arrived to the last read; while nobody has read, to the
/// first write or to now. `starved` is the kind of a wait for more from the peer.
pub(super) fn receive(tile: &mut Tile, exchange: &Exchange, inbound: &Inbound, starved: SliceKind) {
    let now_ns = exchange.ts_ns;
    let Some(read_first_ns) = inbound.read_first_ns.or(inbound.read_last_ns) else {
        return unread(tile, exchange, inbound);
    };
    let read_first_ns = read_first_ns.min(now_ns);
    let mut read_last_ns = inbound.read_last_ns.unwrap_or(read_first_ns).min(now_ns);
    // A server reads more behind its first write because it was at work until then.
    if let Some(answered_ns) = answered_ns(exchange) {
        read_last_ns = read_last_ns.min(answered_ns.max(read_first_ns));
    }
    let wait_ns = tile.span_to(read_first_ns);
    let (mut delay_ns, mut cpu_ns) = (0, None);
    if let Some(reader) = &inbound.reader
        && let Some(since_ns) = reader.since_ns
        && since_ns <= read_first_ns
    {
        delay_ns = reader.run_delay_ns.min(wait_ns);
        cpu_ns = cpu_of_wait(reader, since_ns, read_first_ns, wait_ns);
    }
    tile.until_with_cpu(read_first_ns - delay_ns, SliceKind::ReceiveQueue, cpu_ns);
    tile.until(read_first_ns, SliceKind::RunQueue);
    tile.split(read_last_ns, [(starved, inbound.starved_ns)], SliceKind::ReceiveQueue);
    let waits = inbound.unread_bytes > 0 && !(exchange.role == Role::Server && is_taken(inbound));
    if exchange.progress == Progress::Open
        && waits
        && (exchange.role == Role::Client || exchange.outbound.is_none())
    {
        // These bytes came after the last read. Their first arrival is known only if there is no
        // other.
        tile.until(inbound.last_ns.min(now_ns), SliceKind::Unknown);
        tile.until(now_ns, SliceKind::ReceiveQueue);
    }
}

/// The reader has all that came; or all but a small rest at its end, which was there too when it
/// read: it is at work, and may take that when it is done. What came since waits for it.
pub(super) fn is_taken(inbound: &Inbound) -> bool {
    inbound.unread_bytes == 0
        || inbound.left && inbound.unread_bytes.saturating_mul(REMAINDER) < inbound.bytes
}

/// Time that the reader was on a CPU while bytes waited for it. Its figures run from its call
/// before, at `since_ns`. If the bytes were there by then, its other calls tell the rest. If the
/// call was long before, the time may have been spent before they came.
fn cpu_of_wait(reader: &ThreadUse, since_ns: u64, read_ns: u64, wait_ns: u64) -> Option<u64> {
    let arrived_ns = read_ns.saturating_sub(wait_ns);
    if since_ns > arrived_ns.saturating_add(wait_ns / 10).saturating_add(SLACK_NS) {
        return None;
    }
    let (least_ns, most_ns) =
        spans::bounds(reader.cpu_ns, wait_ns, arrived_ns.saturating_sub(since_ns));
    let is_known = wait_ns < DOUBTED_NS || most_ns - least_ns <= wait_ns / 4;
    if is_known { Some(most_ns) } else { None }
}

/// Lays the slice of bytes of which no read was seen.
fn unread(tile: &mut Tile, exchange: &Exchange, inbound: &Inbound) {
    let end_ns = answered_ns(exchange).unwrap_or(exchange.ts_ns).min(exchange.ts_ns);
    let kind = if inbound.unread_bytes > 0 { SliceKind::ReceiveQueue } else { SliceKind::Unknown };
    tile.until(end_ns, kind);
}

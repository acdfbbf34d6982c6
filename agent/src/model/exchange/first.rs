//! The beginning of a connection's first exchange: the handshake, and the wait for accept.

use super::{DOUBTED_NS, Tile, send};
use crate::model::event::{Exchange, Side};
use crate::model::snapshot::SliceKind;

/// A connection on which nothing comes for this long after accept is a spare one, ns: that time
/// belongs to no request.
const SPARE_NS: u64 = 1_000_000_000;
/// A SYN-ACK is sent again after this, ns (`TCP_TIMEOUT_INIT`), and then nobody knows what the
/// handshake took. If it is known and longer, the kernel had ignored the ACK, and waited for the
/// client's first data (TCP_DEFER_ACCEPT).
const DEFERRED_NS: u64 = 1_000_000_000;
/// A shorter wait for a CPU before an accept is left to the queue, ns.
const DELAY_NS: u64 = 1_000_000;

/// Times at which the connection of a first exchange was accepted, or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct First {
    /// SYN-ACK → final ACK, where known.
    pub(in crate::model) handshake_us: Option<u64>,
    /// That may have lasted until the first data came (TCP_DEFER_ACCEPT).
    pub(in crate::model) deferred: bool,
    /// Put in the accept queue; of one that was made: asked for.
    pub(in crate::model) queued_ns: u64,
    /// Accept returned; of one that was made: established.
    pub(in crate::model) accepted_ns: u64,
    /// The kernel ignored the peer before it was queued.
    pub(in crate::model) ignored: Option<Ignoring>,
    /// Thread that accepted; 0 where that is not known.
    pub(in crate::model) acceptor: u32,
}

/// Packets of a peer that the kernel ignored, since the accept queue was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct Ignoring {
    /// The first sign of it; `None` where it is inferred from a handshake that took much longer
    /// than a round trip.
    pub(in crate::model) since_ns: Option<u64>,
    /// Whether data were ignored, not only the final ACK; `None` where packets are not seen.
    pub(in crate::model) data: Option<bool>,
}

/// FIN or RST of a client that had sent nothing, if the server wrote after that.
pub(super) fn left_ns(exchange: &Exchange, first: &First) -> Option<u64> {
    let (end, sent) = (exchange.end?, exchange.outbound.as_ref()?);
    let client_left = end.by == Side::Peer && end.ts_ns > first.accepted_ns;
    if client_left && sent.first_ns >= end.ts_ns { Some(end.ts_ns) } else { None }
}

/// Lays slices from the handshake until there is something to read, or accept has returned.
pub(super) fn accepted(
    tile: &mut Tile,
    exchange: &Exchange,
    first: &First,
    arrived_ns: Option<u64>,
) {
    let accepted_ns = first.accepted_ns.min(exchange.ts_ns);
    let queued_ns = first.queued_ns.min(accepted_ns);
    if let Some(arrived_ns) = arrived_ns
        && first.ignored.is_none()
        && arrived_ns.saturating_sub(accepted_ns) >= SPARE_NS
    {
        return tile.begin(arrived_ns);
    }
    let round_trip_ns = exchange.min_rtt_ns().unwrap_or(0);
    let mut handshake_ns = first.handshake_us.unwrap_or(0).saturating_mul(1_000);
    match first.ignored {
        // The handshake was over when the first packet was ignored.
        Some(Ignoring { since_ns: Some(since_ns), .. }) => {
            let since_ns = since_ns.min(queued_ns);
            tile.begin(since_ns.saturating_sub(handshake_ns));
            tile.until(since_ns, SliceKind::Handshake);
            tile.until(queued_ns, SliceKind::Ignored);
        }
        // The handshake took one round trip. For the rest the kernel ignored its ACK.
        Some(Ignoring { since_ns: None, .. }) => {
            tile.begin(queued_ns.saturating_sub(handshake_ns));
            tile.split(queued_ns, [(SliceKind::Handshake, round_trip_ns)], SliceKind::Ignored);
        }
        None if first.deferred => deferred(tile, exchange, queued_ns, handshake_ns),
        None => {
            if handshake_ns >= DEFERRED_NS {
                handshake_ns = handshake_ns.min(round_trip_ns);
            }
            tile.begin(queued_ns.saturating_sub(handshake_ns));
            tile.until(queued_ns, SliceKind::Handshake);
        }
    }
    let delay_ns = delay_before_accept(exchange, first, arrived_ns).min(accepted_ns - queued_ns);
    tile.until(accepted_ns - delay_ns, SliceKind::AcceptQueue);
    tile.until(accepted_ns, SliceKind::RunQueue);
    if let Some(arrived_ns) = arrived_ns {
        tile.until(arrived_ns, late_data(first.ignored));
    }
}

/// Lays slices from the SYN-ACK to the first data, which queued the connection: a round trip, and
/// the client's silence. A long silence belongs to no request.
fn deferred(tile: &mut Tile, exchange: &Exchange, queued_ns: u64, waited_ns: u64) {
    // Before an ACK of the response the kernel has measured no other round trip than this one.
    let acked = matches!(&exchange.outbound, Some(sent) if sent.acked_ns.is_some());
    let known = acked && exchange.min_rtt_us.is_some();
    let round_trip_ns = send::round_trip_ns(exchange, waited_ns);
    let silent_ns = waited_ns - round_trip_ns;
    if silent_ns >= SPARE_NS {
        tile.begin(queued_ns.saturating_sub(round_trip_ns));
        return tile.until(queued_ns, SliceKind::Handshake);
    }
    tile.begin(queued_ns.saturating_sub(waited_ns));
    let handshake =
        if known || waited_ns < DOUBTED_NS { SliceKind::Handshake } else { SliceKind::Unknown };
    tile.split(queued_ns, [(handshake, round_trip_ns)], SliceKind::Request);
}

/// Time that the accepting thread was runnable without a CPU before the accept, ns. It is known of
/// a thread that also read: its figures run from its call before. The part of its delay that
/// exceeds the wait for the read lay before the accept.
fn delay_before_accept(exchange: &Exchange, first: &First, arrived_ns: Option<u64>) -> u64 {
    let Some(inbound) = &exchange.inbound else { return 0 };
    let (Some(reader), Some(read_ns)) = (inbound.reader, inbound.read_first_ns) else { return 0 };
    let Some(since_ns) = reader.since_ns else { return 0 };
    if reader.tid != first.acceptor || since_ns >= first.accepted_ns {
        return 0;
    }
    let readable_ns = first.accepted_ns.max(arrived_ns.unwrap_or(0));
    let delay_ns = reader.run_delay_ns.saturating_sub(read_ns.saturating_sub(readable_ns));
    if delay_ns < DELAY_NS { 0 } else { delay_ns }
}

/// Why the first data of a connection came after it was accepted. Ignored data are sent again after
/// a timeout, which doubles each time.
fn late_data(ignored: Option<Ignoring>) -> SliceKind {
    let Some(ignored) = ignored else { return SliceKind::Request };
    match ignored.data {
        Some(false) => SliceKind::Request,
        Some(true) => SliceKind::Ignored,
        None => SliceKind::Unknown,
    }
}

//! How the first exchange of a connection begins: with the handshake, and the wait for accept.

use super::{DOUBTED_NS, Tile, send};
use crate::model::event::{Exchange, Side};
use crate::model::snapshot::SliceKind;

/// A connection on which nothing comes for so long after accept was made to be at hand, ns: that
/// time is of no request.
const SPARE_NS: u64 = 1_000_000_000;
/// A SYN-ACK is sent again after this, ns (`TCP_TIMEOUT_INIT`), and then nobody knows what the
/// handshake took. If it is known and longer, the kernel had ignored the ACK, and waited for the
/// client's first data (TCP_DEFER_ACCEPT).
const DEFERRED_NS: u64 = 1_000_000_000;
/// A shorter wait for a CPU before an accept is left to the queue, ns.
const DELAY_NS: u64 = 1_000_000;

/// How the connection of a first exchange was accepted, or made.
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

/// How the kernel ignored a peer, since the accept queue was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct Ignoring {
    /// The first sign of it; `None` where it is inferred from a handshake that took much longer
    /// than a round trip.
    pub(in crate::model) since_ns: Option<u64>,
    /// Whether data were ignored, not only the final ACK; `None` where packets are not seen.
    pub(in crate::model) data: Option<bool>,
}

/// When a client that had said nothing closed its side, if the server spoke after that.
pub(super) fn left_ns(exchange: &Exchange, first: &First) -> Option<u64> {
    let end = exchange.end.filter(|end| end.by == Side::Peer && end.ts_ns > first.accepted_ns)?;
    exchange.outbound.as_ref().filter(|sent| sent.first_ns >= end.ts_ns).map(|_| end.ts_ns)
}

/// From the handshake to the moment at which there is something to read, or accept has returned.
pub(super) fn accepted(
    tile: &mut Tile,
    exchange: &Exchange,
    first: &First,
    arrived_ns: Option<u64>,
) {
    let accepted_ns = first.accepted_ns.min(exchange.ts_ns);
    let queued_ns = first.queued_ns.min(accepted_ns);
    let is_spare = |ns: u64| first.ignored.is_none() && ns.saturating_sub(accepted_ns) >= SPARE_NS;
    if let Some(arrived_ns) = arrived_ns.filter(|&ns| is_spare(ns)) {
        return tile.begin(arrived_ns);
    }
    let round_trip_ns = exchange.min_rtt_us.map_or(0, |us| u64::from(us).saturating_mul(1_000));
    let mut handshake_ns = first.handshake_us.unwrap_or(0).saturating_mul(1_000);
    match first.ignored.map(|ignored| ignored.since_ns) {
        // The handshake was over when the first packet was ignored.
        Some(Some(since_ns)) => {
            let since_ns = since_ns.min(queued_ns);
            tile.begin(since_ns.saturating_sub(handshake_ns));
            tile.until(since_ns, SliceKind::Handshake);
            tile.until(queued_ns, SliceKind::Ignored);
        }
        // It took one round trip, the rest of it nobody was let in.
        Some(None) => {
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

/// From the SYN-ACK to the first data, which queued the connection: a round trip, and what the
/// client was silent for. That is of no request where it is long.
fn deferred(tile: &mut Tile, exchange: &Exchange, queued_ns: u64, waited_ns: u64) {
    // Until an ACK of the response has come, the kernel knows of no other round trip.
    let known = exchange.outbound.as_ref().is_some_and(|sent| sent.acked_ns.is_some())
        && exchange.min_rtt_us.is_some();
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

/// How long the thread that accepted was ready before that, without a CPU, ns. It is known of one
/// that also read: its figures run from its call before, and what is left of its delay beyond the
/// wait for the read lay before the accept.
fn delay_before_accept(exchange: &Exchange, first: &First, arrived_ns: Option<u64>) -> u64 {
    let inbound = exchange.inbound.as_ref();
    let reader =
        inbound.and_then(|inbound| inbound.reader).filter(|reader| reader.tid == first.acceptor);
    let reader = reader
        .filter(|reader| reader.since_ns.is_some_and(|since_ns| since_ns < first.accepted_ns));
    let (Some(reader), Some(read_ns)) = (reader, inbound.and_then(|inbound| inbound.read_first_ns))
    else {
        return 0;
    };
    let readable_ns = first.accepted_ns.max(arrived_ns.unwrap_or(0));
    let delay_ns = reader.run_delay_ns.saturating_sub(read_ns.saturating_sub(readable_ns));
    if delay_ns < DELAY_NS { 0 } else { delay_ns }
}

/// Why the first data of a connection came after it was accepted. What was ignored is sent again in
/// its own time, which has doubled with each time that it was ignored.
fn late_data(ignored: Option<Ignoring>) -> SliceKind {
    match ignored.map(|ignored| ignored.data) {
        None | Some(Some(false)) => SliceKind::Request,
        Some(Some(true)) => SliceKind::Ignored,
        Some(None) => SliceKind::Unknown,
    }
}

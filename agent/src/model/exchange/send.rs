//! The way out: writing, being held, being acknowledged.

use super::Tile;
use crate::model::event::{Exchange, HoldReason, Outbound, Progress, Role};
use crate::model::snapshot::SliceKind;

const MS_NS: u64 = 1_000_000;
/// No ACK is delayed for longer (`TCP_DELACK_MAX`), by a timer that may be late, ns.
const DELAYED_ACK_NS: u64 = 250 * MS_NS;
/// A response with at least so many pauses is a stream, if [`STREAM_NS`] holds, too.
const STREAM_GAPS: u32 = 3;
/// Least time from one pause of a stream to the next, on average, ns. A large response that is
/// still being made has shorter ones.
const STREAM_NS: u64 = 10_000_000;
/// Bytes of which the peer acknowledges all but the last at once.
const MANY: u64 = 16_384;

/// Time that bytes were held, by the kind of slice that it becomes.
#[derive(Clone, Copy, Debug)]
struct Held([(SliceKind, u64); 5]);

impl Held {
    /// `chrono_stat` and the holds measure the window twice: the longer one is taken.
    fn new(outbound: &Outbound) -> Self {
        let mut held = Self([
            (SliceKind::ReceiveWindow, outbound.window_limited_ns),
            (SliceKind::Nagle, 0),
            (SliceKind::Cork, 0),
            (SliceKind::Congestion, 0),
            (SliceKind::Pacing, 0),
        ]);
        for hold in &outbound.holds {
            let place = held.place(kind_of(hold.reason));
            *place = match hold.reason {
                HoldReason::ReceiveWindow => hold.held_ns.max(*place),
                _ => place.saturating_add(hold.held_ns),
            };
        }
        held
    }

    fn place(&mut self, kind: SliceKind) -> &mut u64 {
        let at = self.0.iter().position(|(other, _)| *other == kind).unwrap_or(0);
        &mut self.0[at].1
    }

    /// `None` if nothing was held for any time.
    fn of(outbound: &Outbound) -> Option<Self> {
        // Most exchanges have none.
        if outbound.window_limited_ns == 0 && outbound.holds.is_empty() {
            return None;
        }
        let held = Self::new(outbound);
        if held.longest_ns() > 0 { Some(held) } else { None }
    }

    fn longest_ns(&self) -> u64 {
        let mut longest_ns = 0;
        for (_, ns) in self.0 {
            longest_ns = longest_ns.max(ns);
        }
        longest_ns
    }

    /// Takes up to `ns` away, from the longest on. Returns what was taken, longest first.
    fn take(&mut self, mut ns: u64) -> [(SliceKind, u64); 5] {
        self.0.sort_by_key(|&(_, held)| std::cmp::Reverse(held));
        self.0.each_mut().map(|(kind, held)| {
            let taken = ns.min(*held);
            *held -= taken;
            ns -= taken;
            (*kind, taken)
        })
    }

    /// Takes up to `ns` away, first of what held last, then from the longest on.
    fn take_from(&mut self, last: Option<HoldReason>, ns: u64) -> [(SliceKind, u64); 6] {
        let (kind, taken) = match last {
            Some(reason) => (kind_of(reason), self.take_of(kind_of(reason), ns)),
            None => (SliceKind::ReceiveWindow, 0),
        };
        let [a, b, c, d, e] = self.take(ns - taken);
        [a, b, c, d, e, (kind, taken)]
    }

    /// Takes up to `ns` of one kind. Returns how much it took.
    fn take_of(&mut self, kind: SliceKind, ns: u64) -> u64 {
        let held = self.place(kind);
        let taken = ns.min(*held);
        *held -= taken;
        taken
    }
}

fn kind_of(reason: HoldReason) -> SliceKind {
    match reason {
        HoldReason::Nagle => SliceKind::Nagle,
        HoldReason::Cork => SliceKind::Cork,
        HoldReason::Congestion => SliceKind::Congestion,
        HoldReason::ReceiveWindow => SliceKind::ReceiveWindow,
        HoldReason::Pacing => SliceKind::Pacing,
    }
}

/// Lays slices from the first write to the transmission of the last byte, or to now while it is
/// held.
pub(super) fn send(tile: &mut Tile, exchange: &Exchange, outbound: &Outbound, now_ns: u64) {
    let held = Held::of(outbound);
    let written_ns = tile.end_ns().max(outbound.last_ns.min(now_ns));
    let left_ns = match (outbound.sent_ns, outbound.acked_ns) {
        (Some(sent_ns), _) => sent_ns.min(now_ns),
        _ if outbound.unsent_bytes > 0 && exchange.progress != Progress::Followed => now_ns,
        // It must have left before it was acknowledged; when exactly, only the holds tell.
        (None, Some(acked_ns)) => {
            let longest_ns = match &held {
                Some(held) => held.longest_ns(),
                None => 0,
            };
            written_ns.saturating_add(longest_ns).min(acked_ns).min(now_ns)
        }
        (None, None) => written_ns,
    };
    if outbound.blocked_ns == 0 && outbound.pauses.is_none() && held.is_none() {
        let between =
            if is_stream(exchange, outbound) { SliceKind::Streaming } else { SliceKind::App };
        tile.until(written_ns, between);
        return tile.until(left_ns, SliceKind::Unknown);
    }
    let mut held = held.unwrap_or_else(|| Held::new(outbound));
    // What was held at the end came last, so it is taken from the sums first.
    let at_the_end = held.take_from(outbound.held_last, left_ns.saturating_sub(written_ns));
    write(tile, exchange, outbound, &mut held, written_ns);
    tile.split(left_ns, at_the_end, SliceKind::Unknown);
}

/// Lays slices from the first write to the last one, which returned at `written_ns`.
fn write(
    tile: &mut Tile,
    exchange: &Exchange,
    outbound: &Outbound,
    held: &mut Held,
    written_ns: u64,
) {
    let blocked_ns = outbound.blocked_ns.min(tile.span_to(written_ns));
    let by_window_ns = held.take_of(SliceKind::ReceiveWindow, blocked_ns);
    let rest_ns = blocked_ns - by_window_ns;
    // A thread that waits for room in the send buffer has bytes held in it: that is the same time,
    // and must not count twice.
    held.take(rest_ns);
    // Bytes held meanwhile by Nagle's algorithm or a cork delayed nobody: the application was still
    // at work on the rest.
    held.take_of(SliceKind::Nagle, u64::MAX);
    held.take_of(SliceKind::Cork, u64::MAX);
    let blocked =
        [(SliceKind::ReceiveWindow, by_window_ns), (blocked_by(by_window_ns, rest_ns), rest_ns)];
    let pauses = outbound.pauses.unwrap_or_default();
    let delay = (SliceKind::RunQueue, pauses.run_delay_ns);
    for (kind, ns) in blocked.into_iter().chain(held.0).chain([delay]) {
        tile.until(tile.end_ns().saturating_add(ns).min(written_ns), kind);
    }
    if is_stream(exchange, outbound) {
        return tile.until(written_ns, SliceKind::Streaming);
    }
    // By default `complete` is false: without pauses nothing is known.
    let cpu_ns = if pauses.complete { Some(pauses.cpu_ns) } else { None };
    tile.until_with_cpu(written_ns, SliceKind::App, cpu_ns);
}

/// Why the send buffer emptied too slowly while the peer's window was not known to be shut. The
/// window opens and shuts while a peer reads slowly. If it was open for most of the time, the
/// network was the limit.
fn blocked_by(by_window_ns: u64, rest_ns: u64) -> SliceKind {
    if by_window_ns >= rest_ns { SliceKind::SendBuffer } else { SliceKind::Congestion }
}

/// Whether a response was written as a stream: in many pieces with pauses in between, none of which
/// was most of the time. One long pause means that the rest came late. A thread that computes
/// between the pieces does not wait.
fn is_stream(exchange: &Exchange, outbound: &Outbound) -> bool {
    let took_ns = outbound.last_ns.saturating_sub(outbound.first_ns);
    let computes = matches!(outbound.pauses, Some(pauses) if pauses.cpu_ns >= took_ns / 2);
    exchange.role == Role::Server
        && outbound.gaps >= STREAM_GAPS
        && took_ns / u64::from(outbound.gaps) >= STREAM_NS
        && outbound.longest_gap_ns <= took_ns / 2
        && !computes
}

/// Lays slices from the transmission of the last byte to its acknowledgement.
pub(super) fn acknowledge(tile: &mut Tile, exchange: &Exchange, outbound: &Outbound, now_ns: u64) {
    let end_ns = match (outbound.acked_ns, exchange.progress) {
        (Some(acked_ns), _) => acked_ns.min(now_ns),
        _ if outbound.unsent_bytes > 0 || outbound.unacked_bytes == 0 => return,
        (None, Progress::Open) => now_ns,
        (None, Progress::Closed) if outbound.retransmits > 0 => now_ns,
        (None, _) => return,
    };
    if outbound.sent_ns.is_none() && Held::of(outbound).is_none() {
        return tile.until(end_ns, SliceKind::Unknown);
    }
    // The window limited sending from the first write to the transmission of the last byte. Time
    // beyond that belongs to this wait.
    let since_first_ns = tile.end_ns().saturating_sub(outbound.first_ns);
    let window_ns =
        outbound.window_limited_ns.saturating_sub(since_first_ns).min(tile.span_to(end_ns));
    tile.until(tile.end_ns().saturating_add(window_ns), SliceKind::ReceiveWindow);
    let round_trip_ns = round_trip_ns(exchange, tile.span_to(end_ns));
    let beyond_ns = tile.span_to(end_ns) - round_trip_ns;
    let beyond = match outbound.acked_ns {
        _ if outbound.retransmits > 0 && !is_spurious(exchange, outbound) => SliceKind::Retransmit,
        // The last bytes waited in the network's own queues, as those before them did.
        Some(_) if is_queued(outbound, beyond_ns) => SliceKind::AckWait,
        // The peer had it all. What it sent since was lost: its ACK, or a next request with the
        // ACK.
        Some(_) if outbound.retransmits > 0 || beyond_ns > DELAYED_ACK_NS => {
            return tile.until(tile.end_ns().saturating_add(round_trip_ns), SliceKind::AckWait);
        }
        Some(_) => SliceKind::DelayedAck,
        // Only its end shows that an ACK was delayed.
        None => SliceKind::Unknown,
    };
    tile.split(end_ns, [(SliceKind::AckWait, round_trip_ns)], beyond);
}

/// The network delivered the last bytes late: it had held those before them, or they are many and
/// took longer than an ACK that a peer delays by its usual 40 ms.
fn is_queued(outbound: &Outbound, beyond_ns: u64) -> bool {
    let many = outbound.bytes >= MANY && beyond_ns > 60 * MS_NS;
    many || outbound.held_last == Some(HoldReason::Congestion)
}

/// The segments sent again had not been lost: the peer reported them as duplicates, or its ACK came
/// sooner than the retransmission could have caused it.
pub(super) fn is_spurious(exchange: &Exchange, outbound: &Outbound) -> bool {
    if outbound.spurious >= outbound.retransmits {
        return true;
    }
    let (Some(acked_ns), Some(resent_ns), Some(rtt_ns)) =
        (outbound.acked_ns, outbound.retransmit_ns, exchange.min_rtt_ns())
    else {
        return false;
    };
    acked_ns < resent_ns.saturating_add(rtt_ns)
}

/// Part of a wait that is a normal round trip. Without a round-trip time to compare with, all of
/// it.
pub(super) fn round_trip_ns(exchange: &Exchange, wait_ns: u64) -> u64 {
    match exchange.min_rtt_ns() {
        Some(rtt_ns) if wait_ns > (2 * rtt_ns).max(rtt_ns + MS_NS) => rtt_ns,
        _ => wait_ns,
    }
}

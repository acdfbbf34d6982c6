//! The way out: writing, being held, being acknowledged.

use super::Tile;
use crate::model::event::{Exchange, HoldReason, Outbound, Progress, Role};
use crate::model::snapshot::SliceKind;

const MS_NS: u64 = 1_000_000;
/// No ACK is delayed for longer (`TCP_DELACK_MAX`), by a timer that may be late, ns.
const DELAYED_ACK_NS: u64 = 250 * MS_NS;
/// A response with so many pauses is a stream, ...
const STREAM_GAPS: u32 = 3;
/// ... if they are at least so far apart on average, ns: less is how long a large one takes to
/// make.
const STREAM_NS: u64 = 10_000_000;
/// Bytes of which the peer acknowledges all but the last at once.
const MANY: u64 = 16_384;

/// Time that bytes were held, by the kind it becomes.
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
        Some(Self::new(outbound)).filter(|held| held.longest_ns() > 0)
    }

    fn longest_ns(&self) -> u64 {
        self.0.iter().map(|&(_, ns)| ns).max().unwrap_or(0)
    }

    /// Takes up to `ns` away, from the longest on; what was taken, longest first.
    fn take(&mut self, mut ns: u64) -> [(SliceKind, u64); 5] {
        self.0.sort_by_key(|&(_, held)| std::cmp::Reverse(held));
        self.0.each_mut().map(|(kind, held)| {
            let taken = ns.min(*held);
            *held -= taken;
            ns -= taken;
            (*kind, taken)
        })
    }

    /// The same, but first of what held last.
    fn take_from(&mut self, last: Option<HoldReason>, ns: u64) -> [(SliceKind, u64); 6] {
        let kind = last.map_or(SliceKind::ReceiveWindow, kind_of);
        let taken = if last.is_some() { self.take_of(kind, ns) } else { 0 };
        let [a, b, c, d, e] = self.take(ns - taken);
        [a, b, c, d, e, (kind, taken)]
    }

    /// Takes up to `ns` of one kind.
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

/// From the first write to the moment at which the last byte left, or to now while it is held.
pub(super) fn send(tile: &mut Tile, exchange: &Exchange, outbound: &Outbound, now_ns: u64) {
    let held = Held::of(outbound);
    let written_ns = tile.end_ns().max(outbound.last_ns.min(now_ns));
    let left_ns = match outbound.sent_ns {
        Some(sent_ns) => sent_ns.min(now_ns),
        None if outbound.unsent_bytes > 0 && exchange.progress != Progress::Followed => now_ns,
        // It must have left before it was acknowledged; when exactly, only the holds tell.
        None => outbound.acked_ns.map_or(written_ns, |acked_ns| {
            let longest_ns = held.as_ref().map_or(0, Held::longest_ns);
            written_ns.saturating_add(longest_ns).min(acked_ns).min(now_ns)
        }),
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

/// From the first write to the last one, which returned at `written_ns`.
fn write(
    tile: &mut Tile,
    exchange: &Exchange,
    outbound: &Outbound,
    held: &mut Held,
    written_ns: u64,
) {
    let blocked_ns = outbound.blocked_ns.min(tile.room(written_ns));
    let by_window_ns = held.take_of(SliceKind::ReceiveWindow, blocked_ns);
    let rest_ns = blocked_ns - by_window_ns;
    // Whoever waits for room in the send buffer has bytes held in it: the same time, not more.
    held.take(rest_ns);
    // What Nagle's algorithm or a cork held meanwhile held nobody up: the application was still at
    // work on the rest.
    held.take_of(SliceKind::Nagle, u64::MAX);
    held.take_of(SliceKind::Cork, u64::MAX);
    let blocked =
        [(SliceKind::ReceiveWindow, by_window_ns), (blocked_by(by_window_ns, rest_ns), rest_ns)];
    let pauses = outbound.pauses.unwrap_or_default();
    let delay = (SliceKind::RunQueue, pauses.run_delay_ns);
    let cpu_ns = outbound.pauses.filter(|pauses| pauses.complete).map(|pauses| pauses.cpu_ns);
    for (kind, ns) in blocked.into_iter().chain(held.0).chain([delay]) {
        tile.until(tile.end_ns().saturating_add(ns).min(written_ns), kind);
    }
    if is_stream(exchange, outbound) {
        return tile.until(written_ns, SliceKind::Streaming);
    }
    tile.until_with_cpu(written_ns, SliceKind::App, cpu_ns);
}

/// Who emptied the send buffer too slowly, when the peer's window is not known to have been shut.
/// It opens and shuts while a peer reads slowly; if it was open for most of the time, the network
/// took no more.
fn blocked_by(by_window_ns: u64, rest_ns: u64) -> SliceKind {
    if by_window_ns >= rest_ns { SliceKind::SendBuffer } else { SliceKind::Congestion }
}

/// Whether a response was written as a stream: in many pieces with pauses in between, of which none
/// was most of the time. What was written at once but for one pause is a late rest, and who
/// computes between the pieces does not wait.
fn is_stream(exchange: &Exchange, outbound: &Outbound) -> bool {
    let took_ns = outbound.last_ns.saturating_sub(outbound.first_ns);
    let computes = outbound.pauses.is_some_and(|pauses| pauses.cpu_ns >= took_ns / 2);
    exchange.role == Role::Server
        && outbound.gaps >= STREAM_GAPS
        && took_ns / u64::from(outbound.gaps) >= STREAM_NS
        && outbound.longest_gap_ns <= took_ns / 2
        && !computes
}

/// From the moment at which the last byte left to its acknowledgement.
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
    // The window can't have been shut for longer than there was anything to send: the rest of it
    // was in this wait.
    let since_first_ns = tile.end_ns().saturating_sub(outbound.first_ns);
    let window_ns =
        outbound.window_limited_ns.saturating_sub(since_first_ns).min(tile.room(end_ns));
    tile.until(tile.end_ns().saturating_add(window_ns), SliceKind::ReceiveWindow);
    let round_trip_ns = round_trip_ns(exchange, tile.room(end_ns));
    let beyond_ns = tile.room(end_ns) - round_trip_ns;
    let beyond = match outbound.acked_ns {
        _ if outbound.retransmits > 0 && !came_anyway(exchange, outbound) => SliceKind::Retransmit,
        // The last bytes waited in the network's own queues, as those before them did.
        Some(_) if is_queued(outbound, beyond_ns) => SliceKind::AckWait,
        // The peer had it all, and what it sent since was lost: its ACK, or a next request that had
        // the ACK with it.
        Some(_) if outbound.retransmits > 0 || beyond_ns > DELAYED_ACK_NS => {
            return tile.until(tile.end_ns().saturating_add(round_trip_ns), SliceKind::AckWait);
        }
        Some(_) => SliceKind::DelayedAck,
        // A delayed ACK is known by its end.
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

/// What was sent again had not been lost: the peer told to have had it, or acknowledged it before
/// that could have come.
pub(super) fn came_anyway(exchange: &Exchange, outbound: &Outbound) -> bool {
    let told = outbound.spurious >= outbound.retransmits;
    let rtt_ns = exchange.min_rtt_us.map(|us| u64::from(us) * 1_000);
    let too_early =
        |(acked_ns, sent_ns, rtt_ns): (u64, u64, u64)| acked_ns < sent_ns.saturating_add(rtt_ns);
    let times = outbound.acked_ns.zip(outbound.retransmit_ns).zip(rtt_ns);
    told || times
        .is_some_and(|((acked_ns, sent_ns), rtt_ns)| too_early((acked_ns, sent_ns, rtt_ns)))
}

/// How much of a wait is a normal round trip. Without a round-trip time to compare with, all of it.
pub(super) fn round_trip_ns(exchange: &Exchange, wait_ns: u64) -> u64 {
    match exchange.min_rtt_us.map(|us| u64::from(us) * 1_000) {
        Some(rtt_ns) if wait_ns > (2 * rtt_ns).max(rtt_ns + MS_NS) => rtt_ns,
        _ => wait_ns,
    }
}

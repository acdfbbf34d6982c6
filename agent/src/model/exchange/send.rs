//! The way out: writing, being held, being acknowledged.

use super::Tile;
use crate::model::event::{Exchange, HoldReason, Outbound, Progress};
use crate::model::snapshot::SliceKind;

const MS_NS: u64 = 1_000_000;

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
    if outbound.blocked_ns == 0 && held.is_none() {
        tile.until(written_ns, SliceKind::App);
        return tile.until(left_ns, SliceKind::Unknown);
    }
    let mut held = held.unwrap_or_else(|| Held::new(outbound));
    // What was held at the end came last, so it is taken from the sums first.
    let at_the_end = held.take(left_ns.saturating_sub(written_ns));
    let blocked_ns = outbound.blocked_ns.min(tile.room(written_ns));
    let by_window_ns = held.take_of(SliceKind::ReceiveWindow, blocked_ns);
    // Whoever waits for room in the send buffer has bytes held in it: the same time, not more.
    held.take(blocked_ns - by_window_ns);
    let blocked = [(SliceKind::ReceiveWindow, by_window_ns), (SliceKind::SendBuffer, blocked_ns - by_window_ns)];
    tile.split(written_ns, blocked.into_iter().chain(held.0), SliceKind::App);
    tile.split(left_ns, at_the_end, SliceKind::Unknown);
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
    // The window can't have been shut for longer than there was anything to send: the rest of it was in this wait.
    let since_first_ns = tile.end_ns().saturating_sub(outbound.first_ns);
    let window_ns = outbound.window_limited_ns.saturating_sub(since_first_ns).min(tile.room(end_ns));
    tile.until(tile.end_ns().saturating_add(window_ns), SliceKind::ReceiveWindow);
    let beyond = match outbound.acked_ns {
        _ if outbound.retransmits > 0 => SliceKind::Retransmit,
        Some(_) => SliceKind::DelayedAck,
        // A delayed ACK is known by its end.
        None => SliceKind::Unknown,
    };
    tile.split(end_ns, [(SliceKind::AckWait, round_trip_ns(exchange, tile.room(end_ns)))], beyond);
}

/// How much of a wait is a normal round trip. Without a round-trip time to compare with, all of it.
pub(super) fn round_trip_ns(exchange: &Exchange, wait_ns: u64) -> u64 {
    match exchange.min_rtt_us.map(|us| u64::from(us) * 1_000) {
        Some(rtt_ns) if wait_ns > (2 * rtt_ns).max(rtt_ns + MS_NS) => rtt_ns,
        _ => wait_ns,
    }
}

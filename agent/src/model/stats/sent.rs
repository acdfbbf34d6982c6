//! What became of responses on their way out.

use super::{SLOW_US, Tally, time_of};
use crate::model::event::{Exchange, Outbound, Role};
use crate::model::exchange::counted;
use crate::model::snapshot::{ExchangeView, SliceKind};

/// Longer than any delayed ACK (`TCP_DELACK_MAX` is 200 ms), µs.
pub(in crate::model) const BEYOND_DELAYED_ACK_US: u64 = 250_000;
/// What came this long after an ACK, beyond a round trip, had waited for it, µs.
const AT_ONCE_US: u64 = 5_000;

/// Sums over exchanges.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Sent {
    /// Writers waited for room at least [`SLOW_US`], beyond what the peer's window held.
    pub(in crate::model) blocked: Tally,
    /// How much of that is the peer's, who kept its window shut for most of the response, µs.
    pub(in crate::model) blocked_by_peer_us: u64,
    /// The network held them for that long, with a congestion window that the kernel had begun anew
    /// after idle time.
    pub(in crate::model) restarted: Tally,
    /// The rest of a request came once a delayed ACK of this host had gone.
    pub(in crate::model) own_delayed: Tally,
    /// Of exchanges that Nagle's algorithm held: those that had segments sent again, and the sum of
    /// their round trips.
    pub(in crate::model) nagle_resent: u64,
    pub(in crate::model) nagle_round_trip_us: u64,
}

impl Sent {
    /// Adds an exchange that is slow in something.
    pub(super) fn add(&mut self, exchange: &Exchange, view: &ExchangeView) {
        if let Some(us) = waited_for_own_ack(exchange).filter(|us| *us >= SLOW_US) {
            self.own_delayed.add(us);
        }
        let Some(outbound) = &exchange.outbound else { return };
        self.add_blocked(outbound, view);
        let of = |kind| {
            counted(&view.slices).filter(|(other, _)| *other == kind).map(|(_, us)| us).sum::<u64>()
        };
        if outbound.window_restarted && of(SliceKind::Congestion) >= SLOW_US {
            self.restarted.add(of(SliceKind::Congestion));
        }
        if of(SliceKind::Nagle) >= SLOW_US {
            self.nagle_resent += u64::from(outbound.retransmits > 0);
            self.nagle_round_trip_us += u64::from(exchange.min_rtt_us.unwrap_or(0));
        }
    }

    fn add_blocked(&mut self, outbound: &Outbound, view: &ExchangeView) {
        let by_window_us = time_of(view, SliceKind::ReceiveWindow);
        let blocked_us =
            (outbound.blocked_ns / 1_000).min(view.total_us).saturating_sub(by_window_us);
        if blocked_us >= SLOW_US {
            self.blocked.add(blocked_us);
            self.blocked_by_peer_us += time_of(view, SliceKind::SendBuffer).min(blocked_us);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.blocked.merge(&other.blocked);
        self.blocked_by_peer_us += other.blocked_by_peer_us;
        self.restarted.merge(&other.restarted);
        self.own_delayed.merge(&other.own_delayed);
        self.nagle_resent += other.nagle_resent;
        self.nagle_round_trip_us += other.nagle_round_trip_us;
    }
}

/// How long the peer held the rest of its request until an ACK came that this host delayed, µs;
/// `None` if it did not, as far as is known. The peer had nothing to wait for but the ACK if its
/// next bytes followed that at once.
fn waited_for_own_ack(exchange: &Exchange) -> Option<u64> {
    let inbound = exchange.inbound.as_ref().filter(|_| exchange.role == Role::Server)?;
    let acked_ns = exchange.delayed_acks?.newest_ns?;
    let rtt_us = u64::from(exchange.min_rtt_us.unwrap_or(0));
    let follows = acked_ns > inbound.first_ns && acked_ns <= inbound.last_ns;
    let at_once = inbound.last_ns.saturating_sub(acked_ns) / 1_000 <= rtt_us + AT_ONCE_US;
    (follows && at_once).then_some(inbound.starved_ns / 1_000)
}

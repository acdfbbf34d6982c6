//! Sums over responses and calls on their way out.

use super::slices::{counted_time_of, time_of};
use super::{SLOW_US, Tally};
use crate::model::event::{Exchange, Outbound, Role};
use crate::model::snapshot::{ExchangeView, SliceKind};

/// Longer than any delayed ACK (`TCP_DELACK_MAX` is 200 ms), µs.
pub(in crate::model) const BEYOND_DELAYED_ACK_US: u64 = 250_000;
/// Data that came within this time after an ACK, beyond a round trip, had waited for it, µs.
const AT_ONCE_US: u64 = 5_000;
/// Writes of an exchange further apart than this on average are a stream, not one response in
/// pieces, ns.
const STREAM_NS: u64 = 10_000_000;

/// Sums over exchanges by what their segments met on the way out.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct SentStats {
    /// Writers waited for room at least [`SLOW_US`], beyond what the peer's window held.
    pub(in crate::model) blocked: Tally,
    /// The part of that for which the peer kept its window shut, µs.
    pub(in crate::model) blocked_by_peer_us: u64,
    /// Exchanges that the congestion window held for that long, when the kernel had begun it anew
    /// after idle time.
    pub(in crate::model) restarted: Tally,
    /// Requests whose rest came once a delayed ACK of this host had gone.
    pub(in crate::model) own_delayed: Tally,
    /// Of exchanges that Nagle's algorithm held: those that had segments sent again, and the sum of
    /// their round trips.
    pub(in crate::model) nagle_resent: u64,
    pub(in crate::model) nagle_round_trip_us: u64,
    /// Exchanges written in many small pieces, these writes, and their bytes.
    pub(in crate::model) small_exchanges: u64,
    pub(in crate::model) small_writes: u64,
    pub(in crate::model) small_bytes: u64,
    /// Exchanges that had segments sent again, these segments, and the time lost by that, µs.
    pub(in crate::model) resent_exchanges: u64,
    pub(in crate::model) resent_segments: u64,
    pub(in crate::model) resent_us: u64,
    /// Of these exchanges: first calls of a connection. The server may have ignored them.
    pub(in crate::model) resent_first: u64,
}

impl SentStats {
    /// Counts how an exchange was written.
    pub(super) fn add_writes(&mut self, exchange: &Exchange, view: &ExchangeView) {
        let Some(outbound) = &exchange.outbound else { return };
        if outbound.retransmits > 0 {
            self.add_resent(exchange, outbound, view);
        }
        if outbound.small_writes >= 4 && outbound.small_writes >= outbound.writes.div_ceil(2) {
            let apart_ns = outbound.last_ns.saturating_sub(outbound.first_ns)
                / u64::from(outbound.writes.max(1));
            if apart_ns < STREAM_NS {
                let count = view.stands_for;
                self.small_exchanges += count;
                self.small_writes += u64::from(outbound.writes) * count;
                self.small_bytes =
                    self.small_bytes.saturating_add(outbound.bytes.saturating_mul(count));
            }
        }
    }

    fn add_resent(&mut self, exchange: &Exchange, outbound: &Outbound, view: &ExchangeView) {
        let is_call = exchange.role == Role::Client;
        let is_ignored = is_call && time_of(view, SliceKind::Ignored) > 0;
        if !is_ignored {
            self.resent_exchanges += 1;
            self.resent_first += u64::from(is_call && exchange.seq == 1);
            self.resent_segments += u64::from(outbound.retransmits);
        }
        self.resent_us = self.resent_us.saturating_add(time_of(view, SliceKind::Retransmit));
    }

    /// Counts an exchange that is slow in something.
    pub(super) fn add_slow(&mut self, exchange: &Exchange, view: &ExchangeView) {
        if let Some(us) = waited_for_own_ack_us(exchange)
            && us >= SLOW_US
        {
            self.own_delayed.add(us);
        }
        let Some(outbound) = &exchange.outbound else { return };
        self.add_blocked(outbound, view);
        if outbound.window_restarted {
            let us = counted_time_of(view, SliceKind::Congestion);
            if us >= SLOW_US {
                self.restarted.add(us);
            }
        }
        if counted_time_of(view, SliceKind::Nagle) >= SLOW_US {
            self.nagle_resent += u64::from(outbound.retransmits > 0);
            self.nagle_round_trip_us = self
                .nagle_round_trip_us
                .saturating_add(u64::from(exchange.min_rtt_us.unwrap_or(0)));
        }
    }

    fn add_blocked(&mut self, outbound: &Outbound, view: &ExchangeView) {
        let by_window_us = time_of(view, SliceKind::ReceiveWindow);
        let blocked_us =
            (outbound.blocked_ns / 1_000).min(view.total_us).saturating_sub(by_window_us);
        if blocked_us >= SLOW_US {
            self.blocked.add(blocked_us);
            self.blocked_by_peer_us = self
                .blocked_by_peer_us
                .saturating_add(time_of(view, SliceKind::SendBuffer).min(blocked_us));
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.blocked.merge(&other.blocked);
        self.blocked_by_peer_us = self.blocked_by_peer_us.saturating_add(other.blocked_by_peer_us);
        self.restarted.merge(&other.restarted);
        self.own_delayed.merge(&other.own_delayed);
        self.nagle_resent += other.nagle_resent;
        self.nagle_round_trip_us =
            self.nagle_round_trip_us.saturating_add(other.nagle_round_trip_us);
        self.small_exchanges += other.small_exchanges;
        self.small_writes += other.small_writes;
        self.small_bytes = self.small_bytes.saturating_add(other.small_bytes);
        self.resent_exchanges += other.resent_exchanges;
        self.resent_segments += other.resent_segments;
        self.resent_us = self.resent_us.saturating_add(other.resent_us);
        self.resent_first += other.resent_first;
    }
}

/// Time for which the peer held the rest of its request until an ACK came that this host delayed,
/// µs; `None` if it did not, as far as is known. If the next bytes followed the ACK at once, the
/// peer had waited for that alone.
fn waited_for_own_ack_us(exchange: &Exchange) -> Option<u64> {
    if exchange.role != Role::Server {
        return None;
    }
    let inbound = exchange.inbound.as_ref()?;
    let acked_ns = exchange.delayed_acks?.newest_ns?;
    let rtt_us = u64::from(exchange.min_rtt_us.unwrap_or(0));
    let follows = acked_ns > inbound.first_ns && acked_ns <= inbound.last_ns;
    let at_once = inbound.last_ns.saturating_sub(acked_ns) / 1_000 <= rtt_us + AT_ONCE_US;
    if !follows || !at_once {
        return None;
    }
    Some(inbound.starved_ns / 1_000)
}

//! The exchanges of one connection: the present one, and what is summed of those that are over.

use super::Connection;
use super::ignored::unpacked;
use crate::model::connections::compact::Tid;
use crate::model::connections::origin::Origins;
use crate::model::connections::sums::Sum;
use crate::model::event::{DelayedAcks, Exchange, Role};
use crate::model::exchange::{self, Beginning, First, Resent};
use crate::model::snapshot::{ExchangeView, Slice};

impl Connection {
    /// The exchange that it is in, while that is not reported.
    pub(in crate::model::connections) fn current(&self) -> Option<&Exchange> {
        self.rare.as_ref()?.exchange.as_deref()
    }

    /// Keeps the exchange that an open connection is in.
    pub(in crate::model::connections) fn set_current(&mut self, current: &Exchange) {
        let rare = self.rare.get_or_insert_default();
        match &mut rare.exchange {
            _ if rare.end.is_some() => {}
            Some(known) => current.clone_into(known),
            none => *none = Some(Box::new(current.clone())),
        }
    }

    /// Drops the facts of its present exchange, if its number is at most `seq`. True if it did.
    pub(in crate::model::connections) fn take_current(&mut self, seq: u32) -> bool {
        let Some(current) = self.current() else { return false };
        if current.seq > seq {
            return false;
        }
        match &mut self.rare {
            Some(rare) if rare.far_ip.is_some() => rare.exchange = None,
            _ => self.rare = None,
        }
        true
    }

    /// This exchange is reported already.
    pub(in crate::model::connections) fn knows(&self, seq: u32) -> bool {
        seq <= self.reported
    }

    /// Its accept or connect, if that is known, for its first exchange: no other begins with that.
    fn first(&self, exchange: &Exchange) -> Option<First> {
        if exchange.seq != 1 {
            return None;
        }
        let queued_ns = self.since_ns.saturating_sub(self.queued_for_ns()?);
        Some(First {
            handshake_us: self.handshake_us(),
            deferred: self.origin.deferred,
            queued_ns,
            accepted_ns: self.since_ns,
            ignored: unpacked(self.sums.get(Sum::Ignored), queued_ns),
            acceptor: self.origin.acceptor,
        })
    }

    /// The request of this exchange was sent again, and it is not known why: it is the first on a
    /// connection that was made, so that nothing was acknowledged before.
    pub(in crate::model::connections) fn was_first_resent(&self, exchange: &Exchange) -> bool {
        let Some(outbound) = &exchange.outbound else { return false };
        self.origin.role == Role::Client
            && exchange.seq == 1
            && !exchange.preexisting
            && outbound.retransmits > 0
    }

    /// Notes that the server ignored the request, as its accept queue was full.
    pub(in crate::model::connections) fn was_ignored(&mut self) {
        self.sums.raise(Sum::Ignored, 1);
    }

    fn resent(&self, exchange: &Exchange) -> Resent {
        if !self.was_first_resent(exchange) {
            Resent::Lost
        } else if self.sums.get(Sum::Ignored) > 0 {
            Resent::Ignored
        } else if self.is_local() {
            Resent::LostOrIgnored
        } else {
            Resent::Lost
        }
    }

    /// Both ends are on this host, as far as the addresses tell.
    fn is_local(&self) -> bool {
        let (local, peer) = (self.local().ip(), self.peer().ip());
        local == peer || local.is_loopback() && peer.is_loopback()
    }

    /// Lays the slices of an exchange on this connection.
    pub(in crate::model) fn view_of(&self, exchange: &Exchange) -> ExchangeView {
        let first = self.first(exchange);
        exchange::view(exchange, Beginning { first: first.as_ref(), resent: self.resent(exchange) })
    }

    /// Lays the slices of an exchange on this connection into `buf`, without a verdict.
    pub(in crate::model::connections) fn view_in(
        &self,
        exchange: &Exchange,
        buf: Vec<Slice>,
    ) -> ExchangeView {
        let first = self.first(exchange);
        let beginning = Beginning { first: first.as_ref(), resent: self.resent(exchange) };
        exchange::view_in(exchange, beginning, buf)
    }

    /// Adds bytes that came after the exchange was reported.
    pub(in crate::model::connections) fn add_late(&mut self, exchange: &Exchange) {
        if exchange.seq == self.reported {
            let (bytes_in, bytes_out) = (exchange.bytes_in(), exchange.bytes_out());
            self.bytes_in.add(late(&mut self.reported_bytes.0, bytes_in));
            self.bytes_out.add(late(&mut self.reported_bytes.1, bytes_out));
        }
    }

    /// Counts an exchange that is over, as often as it stands for one.
    pub(in crate::model::connections) fn add(
        &mut self,
        exchange: &Exchange,
        view: &ExchangeView,
        origins: &mut Origins,
    ) {
        let (bytes_in, bytes_out) = (exchange.bytes_in(), exchange.bytes_out());
        if let Some(rare) = &mut self.rare
            && let Some(end) = &mut rare.end
        {
            end.exchanges = end.exchanges.saturating_add(1);
        }
        let missed = exchange.seq - self.reported - 1;
        if missed > 0 {
            self.sums.add(Sum::Missed, missed.into());
        }
        let times = view.stands_for;
        self.reported = exchange.seq;
        self.reported_bytes = (bytes_in as u32, bytes_out as u32);
        self.bytes_in.add(bytes_in.saturating_mul(times));
        self.bytes_out.add(bytes_out.saturating_mul(times));
        self.worst_us = self.worst_us.max(saturated(counted_us(view)));
        let counted = exchange::counted(&view.slices);
        self.sums.add_all(counted.map(|(kind, us)| (Sum::Time(kind), us.saturating_mul(times))));
        if let Some(us) = exchange::trailing_us(&view.slices) {
            self.sums.add(Sum::Trailing, 1);
            self.sums.add(Sum::TrailingUs, us);
        }
        if let Some(outbound) = &exchange.outbound {
            self.sums.add(Sum::Retransmits, outbound.retransmits.into());
            for hold in &outbound.holds {
                self.sums.add(Sum::Holds(hold.reason), hold.count.into());
                self.sums.add(Sum::HeldUs(hold.reason), hold.held_ns / 1_000);
            }
        }
        self.touch(exchange, origins);
    }

    /// Notes how many exchanges have been left untold, by one that is newer than all that are known.
    /// A scan that comes behind newer records tells nothing new.
    pub(in crate::model::connections) fn note_untold(&mut self, exchange: &Exchange) {
        // Where there are any, the next one tells of those that a 0 leaves out.
        let untold @ 1.. = exchange.untold.unwrap_or(0) else { return };
        let newest = self.current().map_or(0, |current| current.seq).max(self.reported);
        if exchange.seq > newest {
            let new = untold.wrapping_sub(self.sums.get(Sum::Untold) as u8);
            self.sums.add(Sum::Untold, new.into());
            self.sums.add(Sum::Waiting, new.into());
        }
    }

    /// Returns the number of exchanges that this one stands for, itself one of them. Those that were
    /// left untold before it wait for an ordinary one.
    pub(in crate::model::connections) fn take_untold(&mut self, exchange: &Exchange) -> u64 {
        if exchange.untold.unwrap_or(0) == 0 || !exchange::is_ordinary(exchange) {
            return 1;
        }
        let waiting = self.sums.get(Sum::Waiting);
        self.sums.lower(Sum::Waiting, waiting);
        waiting + 1
    }

    /// Number of connections that it stands for, itself one of them.
    pub(in crate::model) fn stands_for(&self) -> u64 {
        self.sums.get(Sum::Others) + 1
    }

    /// Returns the number of exchanges that were left untold, and that none stands for by the end.
    pub(in crate::model::connections) fn left_waiting(&self) -> u64 {
        if self.sums.get(Sum::Untold) == 0 {
            return 0;
        }
        match self.end() {
            // The last record may not have told how many there were.
            Some(end) => end.exchanges.saturating_sub(self.exchanges_reported()).into(),
            None => self.sums.get(Sum::Waiting),
        }
    }

    /// Notes the threads that read and wrote, and the ACKs that this host delayed.
    pub(in crate::model::connections) fn touch(
        &mut self,
        exchange: &Exchange,
        origins: &mut Origins,
    ) {
        if let Some(reader) = exchange.reader() {
            self.tids.0 = Tid::new(reader.tid);
        }
        if let Some(writer) = exchange.writer() {
            self.tids.1 = Tid::new(writer.tid);
        }
        if let Some(DelayedAcks { sent, waited_us, .. }) = exchange.delayed_acks {
            self.note_delayed_acks(sent, waited_us, origins);
        }
    }

    pub(super) fn note_delayed_acks(&mut self, sent: u32, waited_us: u64, origins: &mut Origins) {
        if !self.origin.sees_delayed_acks {
            origins.sees_delayed_acks = true;
            origins.change(&mut self.origin, |origin| origin.sees_delayed_acks = true);
        }
        self.sums.raise(Sum::DelayedAcks, sent.into());
        self.sums.raise(Sum::DelayedAckUs, waited_us);
    }

    /// Duration of the present exchange up to `now_ns`, µs; 0 without one that goes on.
    pub(in crate::model::connections) fn current_us(&self, now_ns: u64) -> u64 {
        let Some(current) = self.current() else { return 0 };
        if exchange::is_quiet(current) {
            return 0;
        }
        let mut begun_ns = u64::MAX;
        if let Some(inbound) = &current.inbound
            && inbound.first_ns > 0
        {
            begun_ns = inbound.first_ns;
        }
        if let Some(outbound) = &current.outbound {
            begun_ns = begun_ns.min(outbound.first_ns);
        }
        now_ns.saturating_sub(begun_ns) / 1_000
    }
}

/// The time of an exchange that counts: without a trailing delayed ACK, µs.
pub(in crate::model) fn counted_us(view: &ExchangeView) -> u64 {
    view.total_us - exchange::trailing_us(&view.slices).unwrap_or(0)
}

/// Number of bytes beyond those counted, of which only the low 32 bits are kept: less than half of
/// their range.
fn late(counted: &mut u32, bytes: u64) -> u64 {
    let more = (bytes as u32).wrapping_sub(*counted);
    if more > u32::MAX / 2 {
        return 0;
    }
    *counted = bytes as u32;
    more.into()
}

fn saturated(us: u64) -> u32 {
    u32::try_from(us).unwrap_or(u32::MAX)
}

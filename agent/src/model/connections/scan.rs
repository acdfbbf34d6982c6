//! What a look at the connections shows of their exchanges: which are over, and which go on.

use super::{Connection, Connections, Told};
use crate::model::event::{ConnectionSample, Exchange, Sample};
use crate::model::exchange;

/// An answered exchange is reported once nothing has come after it for so long, ns: until then more
/// of the response may come, after that it would be an exchange of its own.
const QUIET_NS: u64 = 1_000_000_000;
/// Threads' exchanges are forgotten after this, ns.
const HINT_SPAN_NS: u64 = 10_000_000_000;

impl Connections {
    /// These are the connections of a sample, or a part of them.
    pub(in crate::model) fn scanned(
        &mut self,
        now_ns: u64,
        scanned: &[ConnectionSample],
        told: &mut impl Told,
    ) {
        scanned.iter().for_each(|one| self.scanned_one(now_ns, one, told));
    }

    /// A sample is complete.
    pub(in crate::model) fn sampled(&mut self, sample: &Sample, told: &mut impl Told) {
        self.open = Some(sample.connections_open);
        self.nested_calls.keep(sample.ts_ns.saturating_sub(HINT_SPAN_NS));
        self.spans.keep(sample.ts_ns.saturating_sub(HINT_SPAN_NS));
        self.spans.sampled(sample);
        self.settle_quiet(sample.ts_ns, told);
    }

    fn scanned_one(&mut self, now_ns: u64, sample: &ConnectionSample, told: &mut impl Told) {
        let Some(connection) =
            self.table.get_mut(sample.sock).filter(|connection| connection.is_open())
        else {
            return;
        };
        connection.sampled(sample, &mut self.origins);
        let Some(exchange) = &sample.exchange else { return };
        match present(sample, now_ns) {
            Some(next) => {
                self.scanned_exchange(now_ns, &exchange::without_next(exchange), told);
                self.scanned_exchange(now_ns, &next, told);
            }
            None => self.scanned_exchange(now_ns, exchange, told),
        }
    }

    fn scanned_exchange(&mut self, now_ns: u64, exchange: &Exchange, told: &mut impl Told) {
        if is_settled(exchange, now_ns) || exchange::is_over(exchange) {
            match exchange::cut(exchange) {
                Some(exchange) => self.settle(now_ns, &exchange, told),
                None => self.settle(now_ns, exchange, told),
            }
        } else {
            self.keep_current(now_ns, exchange, told);
        }
    }

    /// Reports answered exchanges that nothing has come after.
    fn settle_quiet(&mut self, now_ns: u64, told: &mut impl Told) {
        let mut waiting = std::mem::take(&mut self.answered);
        waiting.sort_unstable();
        waiting.dedup();
        for sock in waiting {
            let current = self.table.get(sock).and_then(Connection::current);
            let Some(current) = current.filter(|current| exchange::is_answered(current)) else {
                continue;
            };
            if is_settled(current, now_ns) {
                let current = current.clone();
                self.settle(now_ns, &current, told);
            } else {
                self.answered.push(sock);
            }
        }
    }
}

/// The request that lies unread behind an exchange which was answered so long ago, or whose
/// connection was cut, that it is over. `None` while more of the answer may come.
pub(in crate::model) fn present(sample: &ConnectionSample, now_ns: u64) -> Option<Exchange> {
    let (exchange, came) = sample.exchange.as_ref().zip(sample.next)?;
    let answered = exchange::without_next(exchange);
    (is_settled(&answered, now_ns) || exchange::is_over(&answered))
        .then(|| exchange::next(exchange, came))
}

/// Answered so long ago that nothing more will come.
fn is_settled(exchange: &Exchange, now_ns: u64) -> bool {
    let acked_ns = exchange.outbound.as_ref().and_then(|outbound| outbound.acked_ns);
    exchange::is_answered(exchange)
        && acked_ns.is_some_and(|acked_ns| now_ns.saturating_sub(acked_ns) >= QUIET_NS)
}

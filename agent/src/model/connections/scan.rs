//! Exchanges as a refresh shows them: which are over, and which go on.

use super::{Connections, Told};
use crate::model::event::{Closing, ConnectionSample, Exchange, Sample};
use crate::model::exchange;

/// An answered exchange is reported once nothing has come after it for this long, ns. Until then
/// more of the response may come; later data would be an exchange of their own.
const QUIET_NS: u64 = 1_000_000_000;
/// Threads' exchanges are forgotten after this, ns.
const HINT_SPAN_NS: u64 = 10_000_000_000;

impl Connections {
    /// Takes the connections of a sample, or a part of them.
    pub(in crate::model) fn scanned(
        &mut self,
        now_ns: u64,
        scanned: &[ConnectionSample],
        told: &mut impl Told,
    ) {
        for one in scanned {
            self.scanned_one(now_ns, one, told);
        }
    }

    /// Settles and forgets what is over by a complete sample.
    pub(in crate::model) fn sampled(&mut self, sample: &Sample, told: &mut impl Told) {
        self.open = Some(sample.connections_open);
        self.nested_calls.keep(sample.ts_ns.saturating_sub(HINT_SPAN_NS));
        self.spans.keep(sample.ts_ns.saturating_sub(HINT_SPAN_NS));
        self.spans.sampled(sample);
        self.settle_quiet(sample.ts_ns, told);
    }

    /// Takes the states of connections that this host has closed.
    pub(in crate::model) fn closing(&mut self, closing: &Closing) {
        for one in &closing.sockets {
            if let Some(connection) = self.table.open_mut(one.sock) {
                connection.is_closing(one, &mut self.origins);
            }
        }
    }

    fn scanned_one(&mut self, now_ns: u64, sample: &ConnectionSample, told: &mut impl Told) {
        let Some(connection) = self.table.open_mut(sample.sock) else { return };
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
            let Some(connection) = self.table.get(sock) else { continue };
            let Some(current) = connection.current() else { continue };
            if !exchange::is_answered(current) {
                continue;
            }
            if is_settled(current, now_ns) {
                let current = current.clone();
                self.settle(now_ns, &current, told);
            } else {
                self.answered.push(sock);
            }
        }
    }
}

/// The request that lies unread behind an exchange that is over: answered long ago, or its
/// connection cut. `None` while more of the answer may come.
pub(in crate::model) fn present(sample: &ConnectionSample, now_ns: u64) -> Option<Exchange> {
    let (exchange, came) = (sample.exchange.as_ref()?, sample.next?);
    let answered = exchange::without_next(exchange);
    let is_over = is_settled(&answered, now_ns) || exchange::is_over(&answered);
    if is_over { Some(exchange::next(exchange, came)) } else { None }
}

/// Answered so long ago that nothing more will come.
fn is_settled(exchange: &Exchange, now_ns: u64) -> bool {
    let Some(outbound) = &exchange.outbound else { return false };
    let Some(acked_ns) = outbound.acked_ns else { return false };
    exchange::is_answered(exchange) && now_ns.saturating_sub(acked_ns) >= QUIET_NS
}

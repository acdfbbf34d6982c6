//! Sums over the exchanges and connections of one stretch of time.

use super::app::AppStats;
use super::ends::EndStats;
use super::rests::{AppTime, Rests};
use super::sent::SentStats;
use super::slices::{before_accept, time_of};
use super::tail::Spread;
use super::unanswered::{UnansweredStats, unanswered};
use super::unread::UnreadStats;
use super::unserved::UnservedStats;
use super::{SLOW_US, Tally};
use crate::model::connections::counted_us;
use crate::model::event::{Exchange, Role, ThreadUse};
use crate::model::exchange;
use crate::model::snapshot::{ExchangeView, SliceKind};

/// Sums over the exchanges reported and the connections closed in one stretch of time, by the
/// findings that judge by them.
///
/// [`add`](Self::add) counts an exchange that is over, and [`add_accept`](Self::add_accept) and
/// [`add_greeting`](Self::add_greeting) how it began. What becomes known of it later is added to
/// the parts: `app`, `unread`, `unanswered`. Connections that close are added to `ends` and
/// `unserved`. [`merge`](Self::merge) adds the sums of another stretch.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct ExchangeStats {
    pub(in crate::model) exchanges: u64,
    /// Their time, µs.
    pub(in crate::model) time_us: u64,
    pub(in crate::model) handshake: Tally,
    /// Waits of connections to be accepted, and the part in which the accepting thread was ready
    /// without a CPU, µs. Only waits of which this is known are in it.
    pub(in crate::model) accept_us: u64,
    pub(in crate::model) accept_delay_us: u64,
    /// Exchanges that spent at least [`SLOW_US`] on a kind, by kind.
    pub(in crate::model) slow: [Tally; SliceKind::ALL.len()],
    /// The process of the newest exchange that waited long for a CPU.
    pub(in crate::model) ready_pid: u32,
    /// Sizes of the pair of writes of the longest hold by Nagle's algorithm.
    pub(in crate::model) nagle_sizes: [u32; 2],
    /// Connections on which the server spoke first and the client after it; those of them on which
    /// the application took at least [`SLOW_US`] for that.
    pub(in crate::model) greeted: u64,
    pub(in crate::model) greetings: Tally,
    /// Durations of exchanges, and the slowest.
    pub(in crate::model) spread: Spread,
    /// Exchanges that waited long for the application.
    pub(in crate::model) app: AppStats,
    /// Exchanges whose data waited long to be read.
    pub(in crate::model) unread: UnreadStats,
    /// Responses whose rest came late.
    pub(in crate::model) rests: Rests,
    /// Requests and calls without an answer.
    pub(in crate::model) unanswered: UnansweredStats,
    /// Responses and calls on their way out.
    pub(in crate::model) sent: SentStats,
    /// Connections that ended.
    pub(in crate::model) ends: EndStats,
    /// Connections that the application closed at once.
    pub(in crate::model) unserved: UnservedStats,
}

/// Parts of an exchange that are not judged with the rest of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeftOut {
    /// It waits by design.
    pub(super) waits: bool,
    /// Whether its application time was spent on calls is not known yet.
    pub(super) app: bool,
    /// Whether the client of the call took what it was sent is not known yet.
    pub(super) unread: bool,
}

impl ExchangeStats {
    pub(in crate::model) fn slow(&self, kind: SliceKind) -> &Tally {
        &self.slow[kind as usize]
    }

    pub(super) fn slow_mut(&mut self, kind: SliceKind) -> &mut Tally {
        &mut self.slow[kind as usize]
    }

    /// Counts an exchange. `left_out` does not count as slow. One that stands for others is quick, and
    /// nothing happened to it.
    pub(super) fn add(&mut self, exchange: &Exchange, view: &ExchangeView, left_out: LeftOut) {
        let total_us = counted_us(view);
        let count = view.stands_for;
        self.exchanges += count;
        self.time_us = self.time_us.saturating_add(total_us.saturating_mul(count));
        if exchange.seq == 1 {
            let handshake_us = time_of(view, SliceKind::Handshake);
            if handshake_us > 0 {
                self.handshake.add(handshake_us);
            }
        }
        // A quick exchange was slow in nothing.
        if total_us >= SLOW_US {
            if time_of(view, SliceKind::Nagle) > self.slow(SliceKind::Nagle).worst_us {
                self.nagle_sizes = view.held_sizes;
            }
            self.add_slow(exchange, view, left_out);
            self.sent.add_slow(exchange, view);
        }
        self.spread.add(exchange, view, total_us, left_out.waits);
        if let Some(unanswered) = unanswered(exchange, view) {
            if exchange.role == Role::Server && !left_out.app {
                self.unanswered.add_request(unanswered);
                self.unanswered.add_waits(view);
            }
            self.unanswered.add_connects(view);
        }
        self.sent.add_writes(exchange, view);
    }

    fn add_slow(&mut self, exchange: &Exchange, view: &ExchangeView, left_out: LeftOut) {
        let mut by_kind = [0_u64; SliceKind::ALL.len()];
        for (kind, us) in exchange::counted(&view.slices) {
            by_kind[kind as usize] = by_kind[kind as usize].saturating_add(us);
        }
        let ready_us = by_kind[SliceKind::RunQueue as usize];
        let throttled_us = by_kind[SliceKind::Throttled as usize];
        if ready_us.max(throttled_us) >= SLOW_US
            && let Some(user) = user_of(exchange)
        {
            self.ready_pid = user.pid;
        }
        let time = AppTime::of(exchange, view);
        let several = view.several && !left_out.waits && time.answer_us >= SLOW_US;
        self.app.several += u64::from(several);
        let is_judged = !left_out.waits && !left_out.app && !view.unanswered;
        let app_us = if is_judged { time.answer_us } else { 0 };
        by_kind[SliceKind::App as usize] = app_us;
        if app_us >= SLOW_US {
            self.app.add(view);
        }
        // Between the answers to several calls there is no rest of any.
        if !left_out.waits && !view.several && time.rest_us >= SLOW_US {
            self.rests.add(time.rest_us, time.rest_cpu_us);
        }
        if !left_out.unread {
            self.unread.add(view);
        }
        for (kind, us) in by_kind.into_iter().enumerate() {
            if us >= SLOW_US {
                self.slow[kind].add(us);
            }
        }
    }

    /// Counts how the connection of a first exchange waited to be accepted, if it is known how the
    /// accepting thread spent that time. It is by the slices' CPU time, or if that thread read the
    /// request and had called nothing since before the wait.
    pub(super) fn add_accept(&mut self, exchange: &Exchange, view: &ExchangeView, acceptor: u32) {
        if exchange.role == Role::Client || exchange.seq != 1 {
            return;
        }
        let wait = before_accept(view);
        let Some(begin) = wait.first() else { return };
        let mut is_known = reads_first_since(exchange, acceptor, begin.start_ns);
        let (mut wait_us, mut delay_us) = (0_u64, 0_u64);
        for slice in wait {
            is_known |= slice.cpu_us.is_some() || slice.kind == SliceKind::Throttled;
            wait_us = wait_us.saturating_add(slice.us);
            if slice.kind != SliceKind::AcceptQueue {
                delay_us = delay_us.saturating_add(slice.us);
            }
        }
        if is_known {
            self.accept_us = self.accept_us.saturating_add(wait_us);
            self.accept_delay_us = self.accept_delay_us.saturating_add(delay_us);
        }
    }

    /// Counts that a server had spoken first, and the application took so long for it.
    pub(super) fn add_greeting(&mut self, us: u64) {
        self.greeted += 1;
        if us >= SLOW_US {
            self.greetings.add(us);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.slow(SliceKind::Nagle).worst_us > self.slow(SliceKind::Nagle).worst_us {
            self.nagle_sizes = other.nagle_sizes;
        }
        self.exchanges += other.exchanges;
        self.time_us = self.time_us.saturating_add(other.time_us);
        self.handshake.merge(&other.handshake);
        self.accept_us = self.accept_us.saturating_add(other.accept_us);
        self.accept_delay_us = self.accept_delay_us.saturating_add(other.accept_delay_us);
        for (kind, tally) in other.slow.iter().enumerate() {
            self.slow[kind].merge(tally);
        }
        if other.ready_pid != 0 {
            self.ready_pid = other.ready_pid;
        }
        self.greeted += other.greeted;
        self.greetings.merge(&other.greetings);
        self.spread.merge(&other.spread);
        self.app.merge(&other.app);
        self.unread.merge(&other.unread);
        self.rests.merge(&other.rests);
        self.unanswered.merge(&other.unanswered);
        self.sent.merge(&other.sent);
        self.ends.merge(&other.ends);
        self.unserved.merge(&other.unserved);
    }
}

/// Tells whether `tid` read the request, and the CPU time of that read is counted from `from_ns` or
/// before.
fn reads_first_since(exchange: &Exchange, tid: u32, from_ns: u64) -> bool {
    let Some(inbound) = &exchange.inbound else { return false };
    let Some(reader) = inbound.reader else { return false };
    reader.tid == tid && matches!(reader.since_ns, Some(since_ns) if since_ns <= from_ns)
}

/// The thread that wrote, or else read.
fn user_of(exchange: &Exchange) -> Option<ThreadUse> {
    if let Some(outbound) = &exchange.outbound
        && outbound.writer.is_some()
    {
        return outbound.writer;
    }
    exchange.inbound.as_ref()?.reader
}

//! Requests that waited for a connect that failed: found by thread, by time and by order.

use std::collections::VecDeque;

use crate::model::event::{Connect, Exchange, Outcome, Progress, Role};
use crate::model::snapshot::ConnectFailure;

/// Failed connects that may be claimed; the oldest gives way.
const MAX_SPANS: usize = 4_096;
/// Time for which they are kept after their end, ns.
const KEPT_NS: u64 = 10_000_000_000;
/// Clocks of two hooks may differ by so much, ns.
const SLACK_NS: u64 = 100_000;
/// An event loop connects within this time after it has read, or after the last connect failed, ns.
const SOON_NS: u64 = 20_000_000;

#[derive(Clone, Debug)]
struct Span {
    pid: u32,
    tid: Option<u32>,
    failure: ConnectFailure,
}

impl Span {
    fn end_ns(&self) -> u64 {
        self.failure.start_ns.saturating_add(self.failure.us.saturating_mul(1_000))
    }
}

/// Connects that failed within the last seconds, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(VecDeque<Span>);

/// The stretch of a served exchange in which it can have waited.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from_ns: u64,
    /// The last read.
    read_ns: u64,
    to_ns: u64,
    tids: [Option<u32>; 2],
}

impl Stretch {
    /// `None` for an exchange whose request was not read, or that goes on without an answer.
    fn of(exchange: &Exchange) -> Option<Self> {
        let inbound = exchange.inbound.as_ref()?;
        let read_ns = inbound.read_last_ns.or(inbound.read_first_ns)?;
        let to_ns = match &exchange.outbound {
            Some(outbound) => outbound.first_ns,
            None if exchange.progress == Progress::Open => return None,
            None => exchange.ts_ns,
        };
        Some(Self {
            from_ns: inbound.read_first_ns.unwrap_or(read_ns).min(read_ns),
            read_ns,
            to_ns,
            tids: [exchange.reader().map(|one| one.tid), exchange.writer().map(|one| one.tid)],
        })
    }

    fn contains(&self, span: &Span) -> bool {
        // One thread does one thing after the other: of two requests that it serves in a row each
        // has its own connect.
        let is_its_own = span.tid.is_some() && self.tids.contains(&span.tid);
        let slack_ns = if is_its_own { 0 } else { SLACK_NS };
        span.failure.start_ns.saturating_add(slack_ns) >= self.from_ns
            && span.end_ns() <= self.to_ns.saturating_add(slack_ns)
    }

    fn is_on_thread(&self, span: &Span) -> bool {
        span.tid.is_none() || self.tids.contains(&span.tid)
    }
}

impl Spans {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, connect: &Connect) {
        if self.0.len() == MAX_SPANS {
            self.0.pop_front();
        }
        let took_ns = connect.ts_ns.saturating_sub(connect.asked_ns);
        let failure = ConnectFailure {
            sock: connect.sock,
            peer: connect.peer,
            outcome: connect.outcome,
            error: connect.error,
            start_ns: connect.asked_ns,
            us: took_ns / 1_000,
        };
        self.0.push_back(Span { pid: connect.pid, tid: connect.tid, failure });
    }

    pub(super) fn expire(&mut self, now_ns: u64) {
        while let Some(oldest) = self.0.front()
            && now_ns.saturating_sub(oldest.end_ns()) > KEPT_NS
        {
            self.0.pop_front();
        }
    }

    /// Takes the connects out that this exchange waited for, one after the other.
    ///
    /// The first is the one that begins soonest after the request was read; each further one
    /// soonest after the one before has failed. One that begins late counts only if it fills most
    /// of the rest: in an event loop it may belong to another request.
    pub(super) fn claim(&mut self, pid: u32, exchange: &Exchange) -> Vec<ConnectFailure> {
        if exchange.role != Role::Server {
            return Vec::new();
        }
        let Some(stretch) = Stretch::of(exchange) else { return Vec::new() };
        let mut claimed = Vec::new();
        let mut from_ns = stretch.read_ns;
        while let Some(at) = self.next(pid, &stretch, from_ns) {
            let Some(span) = self.0.remove(at) else { break };
            from_ns = span.end_ns();
            claimed.push(span.failure);
        }
        claimed.retain(|failure| failure.outcome != Outcome::Pending);
        claimed
    }

    fn next(&self, pid: u32, stretch: &Stretch, from_ns: u64) -> Option<usize> {
        let left_ns = stretch.to_ns.saturating_sub(from_ns);
        let fits = |span: &Span| {
            let (begun_ns, took_ns) =
                (span.failure.start_ns, span.failure.us.saturating_mul(1_000));
            let after_ns = begun_ns.saturating_sub(from_ns);
            span.pid == pid
                && stretch.contains(span)
                && begun_ns.saturating_add(SLACK_NS) >= from_ns
                && (after_ns <= SOON_NS || took_ns >= left_ns / 2)
        };
        let rank = |span: &Span| {
            let before_ns = span.failure.start_ns.abs_diff(from_ns);
            let after_ns = stretch.to_ns.abs_diff(span.end_ns());
            (!stretch.is_on_thread(span), before_ns.min(SOON_NS) + after_ns)
        };
        let mut best = None;
        for (at, span) in self.0.iter().enumerate() {
            // The oldest of equals wins.
            if fits(span) && best.is_none_or(|(_, least)| rank(span) < least) {
                best = Some((at, rank(span)));
            }
        }
        let (at, _) = best?;
        Some(at)
    }
}

//! One listener: totals become rates and histories, accepts become waits and threads.

mod failing;
mod totals;
mod view;

use std::collections::VecDeque;
use std::net::IpAddr;

use super::acceptor::Acceptors;
use super::attendance::Attendance;
use super::event::{Accept, InAccept, ListenerSample, Overflow};
use super::finding::{LONG_WAIT_US, Sharers, Shares};
use super::histogram::{Precision, WaitHistogram};
use super::recent::{Figures, Recent};
use super::refusals::Refusals;
use super::sharing::Sharing;
use super::snapshot::Rates;
pub(super) use failing::Failing;
use totals::slot;
use view::Point;

/// Places of a listener's clients, as far as any were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clients {
    /// In the listener's own network namespace.
    pub(super) here: bool,
    /// Elsewhere.
    pub(super) elsewhere: bool,
}

impl Clients {
    /// Notes a client with the address `peer`; the listener's end is `local`.
    fn saw(&mut self, peer: IpAddr, local: Option<IpAddr>) {
        let here = peer.is_loopback() || local == Some(peer);
        self.here |= here;
        self.elsewhere |= !here;
    }
}

/// Everything the model keeps of one listener.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    /// Its place in the order in which listeners became known.
    pub(super) order: u64,
    /// The newest sample; `None` while only events named it.
    pub(super) sample: Option<ListenerSample>,
    pub(super) closed: bool,
    /// Its end has been reported.
    pub(super) close_reported: bool,
    /// Samples in a row that did not have it.
    pub(super) missed: u32,
    pub(super) recent: Recent,
    pub(super) wait: Option<WaitHistogram>,
    pub(super) acceptors: Acceptors,
    /// Places of its clients.
    pub(super) clients: Clients,
    attendance: Attendance,
    /// Figures from the events of the present period.
    period: Figures,
    period_ns: u64,
    rates: Rates,
    history: VecDeque<Point>,
    /// By the place of their stage: see [`slot`].
    refusals: [Refusals; 4],
    stalled_since_ns: Option<u64>,
    long_since_ns: Option<u64>,
    sharing: Sharing<(u32, u32)>,
    /// Connections that were left untold, and that others stood for.
    stood_for: u64,
    found_queued: u64,
    found_queued_before: u64,
    failing: Option<Failing>,
    waiting: Waiting,
    /// Last time that it was seen not asking for connections though some waited.
    not_asked_ns: Option<u64>,
}

/// Recent waits of threads for the listener by epoll.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    /// Last time that a thread was seen with `EPOLLEXCLUSIVE`, and that one was seen without.
    exclusive_ns: Option<u64>,
    other_ns: Option<u64>,
}

/// Age at which a thread's wait by epoll says nothing any more, ns.
const SEEN_NS: u64 = 30_000_000_000;

/// Time for which the consequences of a full queue are reported, and so its causes, ns.
const RECENT_NS: u64 = 10_000_000_000;

/// Time after which connections that wait with none accepted count as stalled, ns.
const STALLED_NS: u64 = 1_000_000_000;

impl Waiting {
    /// Whether they wait with `EPOLLEXCLUSIVE`, if all were seen to wait alike.
    fn exclusive(self) -> Option<bool> {
        match (self.exclusive_ns, self.other_ns) {
            (Some(_), None) => Some(true),
            (None, Some(_)) => Some(false),
            _ => None,
        }
    }
}

impl Listener {
    pub(super) fn new(order: u64, period_ns: u64) -> Self {
        Self {
            order,
            sample: None,
            closed: false,
            close_reported: false,
            missed: 0,
            recent: Recent::default(),
            wait: None,
            acceptors: Acceptors::new(period_ns),
            clients: Clients::default(),
            attendance: Attendance::default(),
            period: Figures::default(),
            period_ns,
            rates: Rates::default(),
            history: VecDeque::new(),
            refusals: [Refusals::default(); 4],
            stalled_since_ns: None,
            long_since_ns: None,
            sharing: Sharing::new(period_ns),
            stood_for: 0,
            found_queued: 0,
            found_queued_before: 0,
            failing: None,
            waiting: Waiting::default(),
            not_asked_ns: None,
        }
    }

    /// Notes a thread that waits for it by epoll.
    pub(super) fn awaited(&mut self, now_ns: u64, exclusive: bool) {
        let seen =
            if exclusive { &mut self.waiting.exclusive_ns } else { &mut self.waiting.other_ns };
        *seen = Some(now_ns);
        for seen in [&mut self.waiting.exclusive_ns, &mut self.waiting.other_ns] {
            if let Some(seen_ns) = *seen
                && now_ns.saturating_sub(seen_ns) >= SEEN_NS
            {
                *seen = None;
            }
        }
    }

    /// Counts an accept, as often as it stands for one. `precision` is for the histogram, should this
    /// be its first wait.
    pub(super) fn accepted(&mut self, accept: &Accept, precision: Precision) {
        self.acceptors.accepted(accept);
        self.attendance.accepted(accept);
        self.clients.saw(accept.peer.ip(), Some(accept.local.ip()));
        let count = accept.stands_for;
        self.stood_for += count - 1;
        self.found_queued += u64::from(accept.blocked_us() == Some(0));
        if let Some(wait_us) = accept.queued_us() {
            let waits = self.wait.get_or_insert_with(|| WaitHistogram::new(precision));
            waits.record_many(wait_us, count);
            let period = &mut self.period;
            period.waits += count;
            period.wait_sum_us = wait_us.saturating_mul(count).saturating_add(period.wait_sum_us);
            period.wait_max_us = period.wait_max_us.max(wait_us);
            period.long_waits += if wait_us >= LONG_WAIT_US { count } else { 0 };
        }
    }

    /// Connections that were left untold, and that none stands for yet.
    pub(super) fn left_untold(&self) -> u64 {
        let untold = self.sample.as_ref().map_or(0, |sample| sample.untold);
        untold.saturating_sub(self.stood_for)
    }

    /// Counts a refusal whose victim is known.
    pub(super) fn overflowed(&mut self, overflow: &Overflow) {
        self.refusals[slot(overflow.stage)].named();
        let local = self.sample.as_ref().map(|sample| sample.local.ip());
        self.clients.saw(overflow.peer.ip(), local);
    }

    /// Takes a new sample. `delays_ns` returns the time that a thread was ready without a CPU, and
    /// `history` bounds the points kept.
    pub(super) fn sampled<'a>(
        &mut self,
        now_ns: u64,
        sample: &ListenerSample,
        inside: impl Iterator<Item = &'a InAccept> + Clone,
        delays_ns: impl Fn(u32) -> Option<u64>,
        history: usize,
    ) {
        let start_ns = if self.sample.is_some() {
            self.period_ns
        } else {
            sample.since_ns.max(self.period_ns)
        };
        let elapsed_ns = now_ns.saturating_sub(start_ns);
        let figures = self.end_period(now_ns, elapsed_ns, sample, inside, delays_ns);
        self.recent.push(start_ns, now_ns, figures);
        let lately = self.recent.figures();
        self.rates = Rates {
            accepts: self.recent.rate(lately.accepts),
            arrivals: self.recent.rate(lately.arrivals),
            overflows: self.recent.rate(lately.overflows),
        };
        self.remember(start_ns, sample.peak.max(sample.depth), &figures, history);
        let waiting = sample.depth > 0 && sample.closed_ns.is_none();
        self.stalled_since_ns = match self.stalled_since_ns {
            since @ Some(_) if waiting && figures.accepts == 0 => since,
            _ if waiting => Some(now_ns),
            _ => None,
        };
        if self.recent.figures().long_waits > 0 {
            self.long_since_ns.get_or_insert(now_ns);
        } else {
            self.long_since_ns = None;
        }
        let is_at_backlog_0 = sample.limit == 0 && self.stalled_ns(now_ns) >= STALLED_NS;
        if waiting && (sample.unwatched || is_at_backlog_0) {
            self.not_asked_ns = Some(now_ns);
        }
        if self.sharing.update(now_ns, self.acceptors.counts(self.sharing.horizon_ns())) {
            (self.found_queued_before, self.found_queued) = (self.found_queued, 0);
        }
        if let Some(wait) = &mut self.wait {
            wait.refresh();
        }
        (self.period, self.period_ns, self.missed) = (Figures::default(), now_ns, 0);
        self.note_failures(start_ns, now_ns, sample);
        self.closed = sample.closed_ns.is_some();
        self.sample = Some(sample.clone());
    }

    /// Sums the period that ends with this sample.
    fn end_period<'a>(
        &mut self,
        now_ns: u64,
        elapsed_ns: u64,
        sample: &ListenerSample,
        inside: impl Iterator<Item = &'a InAccept> + Clone,
        delays_ns: impl Fn(u32) -> Option<u64>,
    ) -> Figures {
        let mut figures = self.figures_since(&self.totals(), sample);
        figures.attended = self.attendance.end_period(now_ns, sample.depth, inside.clone());
        if let Some(delay_ns) = self.acceptors.delay_ns(delays_ns) {
            figures.delay_ns = delay_ns.min(figures.attended.all_ns);
            figures.delay_known_ns = figures.attended.all_ns;
        }
        if let Some(longest_ns) = self.acceptors.end_period(now_ns, inside, &sample.comm) {
            figures.inside_ns = longest_ns;
            figures.inside_known_ns = elapsed_ns;
        }
        if figures.overflows > 0 {
            // The limit may have changed in this period.
            let limit = self.sample.as_ref().map_or(sample.limit, |before| before.limit);
            figures.full_at = Some((limit.min(sample.limit), limit.max(sample.limit)));
        }
        figures
    }

    /// Time for which connections have waited with none accepted, ns.
    pub(super) fn stalled_ns(&self, now_ns: u64) -> u64 {
        let Some(since_ns) = self.stalled_since_ns else { return 0 };
        now_ns.saturating_sub(since_ns)
    }

    /// Time for which there have been long waits, ns.
    pub(super) fn long_ns(&self, now_ns: u64) -> u64 {
        let Some(since_ns) = self.long_since_ns else { return 0 };
        now_ns.saturating_sub(since_ns)
    }

    /// Whether no epoll instance of its holders has it.
    pub(super) fn is_unwatched(&self) -> bool {
        matches!(&self.sample, Some(sample) if sample.unwatched)
    }

    /// Whether it did not ask for connections lately though some waited, as at a limit of its own.
    pub(super) fn was_at_limit(&self, now_ns: u64) -> bool {
        let Some(seen_ns) = self.not_asked_ns else { return false };
        now_ns.saturating_sub(seen_ns) < RECENT_NS
    }

    /// Returns how its threads shared the accepts of the last stretch.
    pub(super) fn shares(&self) -> Option<Shares> {
        let stretch = self.sharing.last()?;
        Some(Shares {
            sharers: Sharers::Threads,
            parties: stretch.parties,
            accepts: stretch.accepts,
            most: stretch.most,
            found_queued: self.found_queued_before,
            exclusive: self.waiting.exclusive(),
        })
    }

    /// Closes it: it has no queue and no rates any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.rates = Rates::default();
        self.stalled_since_ns = None;
        if let Some(sample) = &mut self.sample {
            (sample.depth, sample.peak, sample.syn_depth, sample.syn_peak) = (0, 0, 0, 0);
        }
    }
}

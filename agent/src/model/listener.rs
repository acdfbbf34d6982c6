//! One listener: totals become rates and histories, accepts become waits and threads.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::acceptor::Acceptors;
use super::attendance::Attendance;
use super::event::{Accept, AcceptFails, InAccept, ListenerSample, Overflow, Stage, Used};
use super::finding::{LONG_WAIT_US, Sharers, Shares};
use super::histogram::{Precision, WaitHistogram};
use super::output::OverflowOutput;
use super::recent::{Figures, Recent};
use super::refusals::Refusals;
use super::sharing::Sharing;
use super::snapshot::{ListenerView, Rates, Totals};
use crate::text::errno_name;

/// Figures of one refresh in the histories.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// Its beginning.
    from_ns: u64,
    depth: u32,
    accepts: u32,
    arrivals: u32,
    overflows: u32,
}

/// Failures of `accept`, by the error that came most often lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failing {
    pub(super) errno: u32,
    /// Start of these failures, and the number of earlier ones.
    pub(super) since_ns: u64,
    before: u64,
    /// Number of failures since the listener is watched.
    pub(super) total: u64,
    /// The process that called last, its thread, and what it used up.
    pub(super) pid: u32,
    pub(super) tid: u32,
    pub(super) used: Option<Used>,
    last_ns: u64,
}

impl Failing {
    /// Number of failures since it began.
    pub(super) fn times(&self) -> u64 {
        self.total - self.before
    }
}

/// A failure after so long without one is a new beginning, ns.
const FAILS_ANEW_NS: u64 = 10_000_000_000;

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
            found_queued: 0,
            found_queued_before: 0,
            failing: None,
            waiting: Waiting::default(),
            not_asked_ns: None,
        }
    }

    /// Failures of `accept`; `None` while it does not fail.
    pub(super) fn failing(&self) -> Option<&Failing> {
        let failing = self.failing.as_ref()?;
        if self.recent.figures().fails > 0 { Some(failing) } else { None }
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

    /// Counts an accept. `precision` is for the histogram, should this be its first wait.
    pub(super) fn accepted(&mut self, accept: &Accept, precision: Precision) {
        self.acceptors.accepted(accept);
        self.attendance.accepted(accept);
        self.clients.saw(accept.peer.ip(), Some(accept.local.ip()));
        self.found_queued += u64::from(accept.blocked_us() == Some(0));
        if let Some(wait_us) = accept.queued_us() {
            self.wait.get_or_insert_with(|| WaitHistogram::new(precision)).record(wait_us);
            self.period.waits += 1;
            self.period.wait_sum_us = self.period.wait_sum_us.saturating_add(wait_us);
            self.period.wait_max_us = self.period.wait_max_us.max(wait_us);
            self.period.long_waits += u64::from(wait_us >= LONG_WAIT_US);
        }
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

    /// Finds the error that came most often since the sample before.
    fn note_failures(&mut self, start_ns: u64, now_ns: u64, sample: &ListenerSample) {
        let before = |errno: u32| {
            let known = self.sample.as_ref()?.fails.as_ref()?;
            Some(known.iter().find(|fails| fails.errno == errno)?.count)
        };
        let (mut most, mut most_grown) = (None, 0);
        for fails in sample.fails.iter().flatten() {
            let before = before(fails.errno).unwrap_or(0);
            let grown = fails.count.saturating_sub(before);
            if grown > 0 && grown >= most_grown {
                (most, most_grown) = (Some((fails, before)), grown);
            }
        }
        let Some((fails, before)) = most else { return };
        let (since_ns, before) = match self.failing {
            Some(failing)
                if failing.errno == fails.errno
                    && now_ns.saturating_sub(failing.last_ns) < FAILS_ANEW_NS =>
            {
                (failing.since_ns, failing.before)
            }
            _ => (fails.first_ns.max(start_ns), before),
        };
        self.failing = Some(Failing {
            errno: fails.errno,
            since_ns,
            before,
            total: fails.count,
            pid: fails.pid,
            tid: fails.tid,
            used: fails.used,
            last_ns: now_ns,
        });
    }

    /// Takes the refusals that the kernel counted up to the newest sample and never named.
    /// `patient` as in [`Refusals::unnamed`].
    pub(super) fn unnamed(
        &mut self,
        now_ns: u64,
        patient: impl Fn(Stage) -> bool,
    ) -> Vec<OverflowOutput> {
        let Some(sample) = &self.sample else { return Vec::new() };
        let totals = [
            (Stage::Syn, Some(sample.overflow_syn)),
            (Stage::Ack, sample.overflow_ack),
            (Stage::SynQueue, sample.syn_dropped),
            (Stage::Cookie, sample.cookies_sent),
        ];
        let mut unnamed = Vec::new();
        for (stage, total) in totals {
            let Some(total) = total else { continue };
            let count = self.refusals[slot(stage)].unnamed(total, patient(stage));
            if count > 0 {
                unnamed.push(OverflowOutput {
                    ts_ns: now_ns,
                    listener: sample.sock,
                    peer: None,
                    stage,
                    depth: sample.depth,
                    limit: sample.limit,
                    count,
                    stage_certain: stage != Stage::Syn || sample.overflow_ack.is_some(),
                });
            }
        }
        unnamed
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

    /// Its totals; all 0 before the first sample.
    pub(super) fn totals(&self) -> Totals {
        self.sample.as_ref().map(totals_of).unwrap_or_default()
    }

    /// Returns what a screen shows of it, without histories; `None` before the first sample.
    pub(super) fn view(&self, somaxconn: Option<u32>) -> Option<ListenerView> {
        let sample = self.sample.as_ref()?;
        Some(ListenerView {
            sock: sample.sock,
            local: sample.local,
            pid: sample.pid,
            comm: sample.comm.clone(),
            holders: sample.holders.clone(),
            unnamed_holders: sample.unnamed_holders,
            calls_missed: sample.calls_missed,
            closed: self.closed,
            backlog: sample.backlog,
            limit: sample.limit,
            defer_accept_s: sample.defer_accept_s(),
            somaxconn,
            depth: sample.depth,
            peak: sample.peak.max(sample.depth),
            syn_depth: sample.syn_depth,
            syn_peak: sample.syn_peak.max(sample.syn_depth),
            totals: totals_of(sample),
            rates: self.rates,
            wait: self.wait.as_ref().map(WaitHistogram::view).unwrap_or_default(),
            history_from_ns: Vec::new(),
            depth_history: Vec::new(),
            accept_history: Vec::new(),
            arrival_history: Vec::new(),
            overflow_history: Vec::new(),
            acceptors: self.acceptors.view(),
            accept_errors: accept_errors(sample),
            others: sample.others.clone(),
        })
    }

    /// Returns what a screen shows of it, with histories.
    pub(super) fn full_view(&self, somaxconn: Option<u32>) -> Option<ListenerView> {
        let history = |figure: fn(&Point) -> u32| self.history.iter().map(figure).collect();
        Some(ListenerView {
            history_from_ns: self.history.iter().map(|point| point.from_ns).collect(),
            depth_history: history(|point| point.depth),
            accept_history: history(|point| point.accepts),
            arrival_history: history(|point| point.arrivals),
            overflow_history: history(|point| point.overflows),
            ..self.view(somaxconn)?
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

    fn figures_since(&self, before: &Totals, now: &ListenerSample) -> Figures {
        let since = |now: Option<u64>, before: Option<u64>| {
            now.unwrap_or(0).saturating_sub(before.unwrap_or(0))
        };
        let left = now.left.unwrap_or_default();
        let left_before = before.left.unwrap_or_default();
        Figures {
            accepts: now.accepted.saturating_sub(before.accepted),
            arrivals: now.queued.saturating_sub(before.queued),
            overflows: totals_of(now).overflows().saturating_sub(before.overflows()),
            overflow_ack: since(now.overflow_ack, before.overflow_ack),
            cookies: since(now.cookies_sent, before.cookies_sent),
            syn_dropped: since(now.syn_dropped, before.syn_dropped),
            synack_retransmits: now.synack_retransmits.saturating_sub(before.synack_retransmits),
            fails: since(fails(&now.fails), before.accept_fails),
            left_late: left.late.saturating_sub(left_before.late),
            left_late_us: left.late_us.saturating_sub(left_before.late_us),
            cut: left.cut.saturating_sub(left_before.cut),
            synack_acked: since(now.synack_acked, before.synack_acked),
            depth_peak: now.peak.max(now.depth),
            syn_peak: now.syn_peak.max(now.syn_depth),
            ..self.period
        }
    }

    fn remember(&mut self, from_ns: u64, depth: u32, figures: &Figures, bound: usize) {
        let clamp = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        self.history.push_back(Point {
            from_ns,
            depth,
            accepts: clamp(figures.accepts),
            arrivals: clamp(figures.arrivals),
            overflows: clamp(figures.overflows),
        });
        while self.history.len() > bound {
            self.history.pop_front();
        }
    }
}

/// Place of a stage among the counters of refusals.
fn slot(stage: Stage) -> usize {
    match stage {
        Stage::Syn => 0,
        Stage::Ack => 1,
        Stage::SynQueue => 2,
        Stage::Cookie => 3,
    }
}

fn totals_of(sample: &ListenerSample) -> Totals {
    Totals {
        syns: sample.syns,
        queued: sample.queued,
        accepted: sample.accepted,
        overflow_syn: sample.overflow_syn,
        overflow_ack: sample.overflow_ack,
        syn_dropped: sample.syn_dropped,
        cookies_sent: sample.cookies_sent,
        synack_retransmits: sample.synack_retransmits,
        synack_acked: sample.synack_acked,
        eagain: sample.eagain,
        abandoned: sample.abandoned,
        accept_fails: fails(&sample.fails),
        left: sample.left,
    }
}

/// Counts the calls of `accept` that failed, whatever the error.
fn fails(fails: &Option<Vec<AcceptFails>>) -> Option<u64> {
    let mut sum = 0;
    for fails in fails.as_ref()? {
        sum = fails.count.saturating_add(sum);
    }
    Some(sum)
}

/// Returns the errors of `accept` by name, with their counts.
fn accept_errors(sample: &ListenerSample) -> Vec<(String, u64)> {
    let fails = sample.fails.iter().flatten();
    fails.map(|fails| (errno_name(fails.errno), fails.count)).collect()
}

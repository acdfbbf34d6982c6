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
use super::text::errno_name;

/// What one refresh leaves in the histories.
#[derive(Clone, Copy, Debug)]
struct Point {
    depth: u32,
    accepts: u32,
    arrivals: u32,
    overflows: u32,
}

/// How `accept` fails, by the error that came most often of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failing {
    pub(super) errno: u32,
    /// Since when, and how often up to then.
    pub(super) since_ns: u64,
    before: u64,
    /// How often since the listener is watched.
    pub(super) total: u64,
    /// Who called last.
    pub(super) pid: u32,
    pub(super) tid: u32,
    pub(super) used: Option<Used>,
    last_ns: u64,
}

impl Failing {
    /// How often, since it began.
    pub(super) fn times(&self) -> u64 {
        self.total - self.before
    }
}

/// Without a further failure for so long, the next one begins anew, ns.
const FAILS_ANEW_NS: u64 = 10_000_000_000;

/// Where the clients of a listener are, as far as any were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clients {
    /// In the listener's own network namespace.
    pub(super) here: bool,
    /// Elsewhere.
    pub(super) elsewhere: bool,
}

impl Clients {
    /// A client has the address `peer`, the listener's end is `local`.
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
    /// That it closed has been reported.
    pub(super) close_reported: bool,
    /// Samples in a row that did not have it.
    pub(super) missed: u32,
    pub(super) recent: Recent,
    pub(super) wait: Option<WaitHistogram>,
    pub(super) acceptors: Acceptors,
    /// Where its clients are.
    pub(super) clients: Clients,
    attendance: Attendance,
    /// What events said in the present period.
    period: Figures,
    period_ns: u64,
    rates: Rates,
    history: VecDeque<Point>,
    ledgers: [Refusals; 4],
    stalled_since_ns: Option<u64>,
    long_since_ns: Option<u64>,
    sharing: Sharing<(u32, u32)>,
    found_queued: u64,
    found_queued_before: u64,
    failing: Option<Failing>,
    waiting: Waiting,
    /// When it was last seen not asking for connections though some waited.
    not_asked_ns: Option<u64>,
}

/// How threads were seen to wait for the listener by epoll, of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    /// When one was last seen with `EPOLLEXCLUSIVE`, and when one without.
    exclusive_ns: Option<u64>,
    other_ns: Option<u64>,
}

/// What was seen so long ago says nothing, ns.
const SEEN_NS: u64 = 30_000_000_000;

/// What a full queue did is told for some seconds, and why it was full as long, ns.
const LATELY_NS: u64 = 10_000_000_000;
/// Nothing was accepted for so long though connections waited, ns.
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
            ledgers: [Refusals::default(); 4],
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

    /// How `accept` fails; `None` while it does not.
    pub(super) fn failing(&self) -> Option<&Failing> {
        self.failing.as_ref().filter(|_| self.recent.figures().fails > 0)
    }

    /// A thread was seen waiting for it by epoll.
    pub(super) fn awaited(&mut self, now_ns: u64, exclusive: bool) {
        let seen =
            if exclusive { &mut self.waiting.exclusive_ns } else { &mut self.waiting.other_ns };
        *seen = Some(now_ns);
        for seen in [&mut self.waiting.exclusive_ns, &mut self.waiting.other_ns] {
            *seen = seen.filter(|seen_ns| now_ns.saturating_sub(*seen_ns) < SEEN_NS);
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
        self.ledgers[slot(overflow.stage)].named();
        self.clients.saw(overflow.peer.ip(), self.sample.as_ref().map(|sample| sample.local.ip()));
    }

    /// Takes a new sample; `delays_ns` tells how long a thread was ready without a CPU, and
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
        let before = self.totals();
        let limit = self.sample.as_ref().map_or(sample.limit, |before| before.limit);
        let figures = self.figures_since(&before, sample);
        let attended = self.attendance.end_period(now_ns, sample.depth, inside.clone());
        let delay_ns = self.acceptors.delay_ns(delays_ns).map(|ns| ns.min(attended.all_ns));
        let longest_ns = self.acceptors.end_period(now_ns, inside, &sample.comm);
        let figures = Figures {
            inside_ns: longest_ns.unwrap_or(0),
            inside_known_ns: longest_ns.map_or(0, |_| elapsed_ns),
            delay_ns: delay_ns.unwrap_or(0),
            delay_known_ns: delay_ns.map_or(0, |_| attended.all_ns),
            attended,
            full_at: (figures.overflows > 0)
                .then(|| (limit.min(sample.limit), limit.max(sample.limit))),
            ..figures
        };
        self.recent.push(start_ns, now_ns, figures);
        self.rates = Rates {
            accepts: super::rate(figures.accepts, elapsed_ns),
            arrivals: super::rate(figures.arrivals, elapsed_ns),
            overflows: super::rate(figures.overflows, elapsed_ns),
        };
        self.remember(sample.peak.max(sample.depth), &figures, history);
        let waiting = sample.depth > 0 && sample.closed_ns.is_none();
        self.stalled_since_ns = match self.stalled_since_ns {
            since @ Some(_) if waiting && figures.accepts == 0 => since,
            _ => waiting.then_some(now_ns),
        };
        let long = self.recent.figures().long_waits > 0;
        self.long_since_ns = long.then(|| self.long_since_ns.unwrap_or(now_ns));
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

    /// Finds the error that came most often since the sample before.
    fn note_failures(&mut self, start_ns: u64, now_ns: u64, sample: &ListenerSample) {
        let known = self.sample.as_ref().and_then(|sample| sample.fails.as_ref());
        let before = |errno: u32| {
            known
                .into_iter()
                .flatten()
                .find(|fails| fails.errno == errno)
                .map_or(0, |fails| fails.count)
        };
        let grown = sample.fails.iter().flatten().map(|fails| (fails, before(fails.errno)));
        let most = grown.max_by_key(|(fails, before)| fails.count.saturating_sub(*before));
        let Some((fails, before)) = most.filter(|(fails, before)| fails.count > *before) else {
            return;
        };
        let goes_on = |failing: &Failing| {
            failing.errno == fails.errno && now_ns.saturating_sub(failing.last_ns) < FAILS_ANEW_NS
        };
        let (since_ns, before) = match self.failing.filter(goes_on) {
            Some(failing) => (failing.since_ns, failing.before),
            None => (fails.first_ns.max(start_ns), before),
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

    /// Refusals that the kernel counted up to the newest sample and never named. `patient` as in
    /// [`Refusals::unnamed`].
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
            let count = self.ledgers[slot(stage)].unnamed(total, patient(stage));
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

    /// For how long connections have waited with none accepted, ns.
    pub(super) fn stalled_ns(&self, now_ns: u64) -> u64 {
        self.stalled_since_ns.map_or(0, |since| now_ns.saturating_sub(since))
    }

    /// For how long there have been long waits, ns.
    pub(super) fn long_ns(&self, now_ns: u64) -> u64 {
        self.long_since_ns.map_or(0, |since| now_ns.saturating_sub(since))
    }

    /// No epoll instance of its holders has it.
    pub(super) fn is_unwatched(&self) -> bool {
        self.sample.as_ref().is_some_and(|sample| sample.unwatched)
    }

    /// Of late it did not ask for connections though some waited, as at a limit of its own.
    pub(super) fn was_at_limit(&self, now_ns: u64) -> bool {
        self.not_asked_ns.is_some_and(|seen_ns| now_ns.saturating_sub(seen_ns) < LATELY_NS)
    }

    /// How its threads shared the accepts of the last stretch.
    pub(super) fn shares(&self) -> Option<Shares> {
        self.sharing.last().map(|stretch| Shares {
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

    /// What a screen shows of it, without histories; `None` before the first sample.
    pub(super) fn view(&self, somaxconn: Option<u32>) -> Option<ListenerView> {
        let sample = self.sample.as_ref()?;
        Some(ListenerView {
            sock: sample.sock,
            local: sample.local,
            pid: sample.pid,
            comm: sample.comm.clone(),
            holders: sample.holders.clone(),
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
            depth_history: Vec::new(),
            accept_history: Vec::new(),
            arrival_history: Vec::new(),
            overflow_history: Vec::new(),
            acceptors: self.acceptors.view(),
            accept_errors: sample
                .fails
                .iter()
                .flatten()
                .map(|fails| (errno_name(fails.errno), fails.count))
                .collect(),
            others: sample.others.clone(),
        })
    }

    /// The same with the histories.
    pub(super) fn full_view(&self, somaxconn: Option<u32>) -> Option<ListenerView> {
        let history = |figure: fn(&Point) -> u32| self.history.iter().map(figure).collect();
        Some(ListenerView {
            depth_history: history(|point| point.depth),
            accept_history: history(|point| point.accepts),
            arrival_history: history(|point| point.arrivals),
            overflow_history: history(|point| point.overflows),
            ..self.view(somaxconn)?
        })
    }

    /// The listener is gone: it has no queue and no rates any more.
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
        Figures {
            accepts: now.accepted.saturating_sub(before.accepted),
            arrivals: now.queued.saturating_sub(before.queued),
            overflows: totals_of(now).overflows().saturating_sub(before.overflows()),
            overflow_ack: since(now.overflow_ack, before.overflow_ack),
            cookies: since(now.cookies_sent, before.cookies_sent),
            syn_dropped: since(now.syn_dropped, before.syn_dropped),
            synack_retransmits: now.synack_retransmits.saturating_sub(before.synack_retransmits),
            fails: since(fails(&now.fails), before.accept_fails),
            left_late: since(now.left.map(|left| left.late), before.left.map(|left| left.late)),
            left_late_us: since(
                now.left.map(|left| left.late_us),
                before.left.map(|left| left.late_us),
            ),
            cut: since(now.left.map(|left| left.cut), before.left.map(|left| left.cut)),
            synack_acked: since(now.synack_acked, before.synack_acked),
            depth_peak: now.peak.max(now.depth),
            syn_peak: now.syn_peak.max(now.syn_depth),
            ..self.period
        }
    }

    fn remember(&mut self, depth: u32, figures: &Figures, bound: usize) {
        let clamp = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        self.history.push_back(Point {
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

/// Calls that failed, whatever the error.
fn fails(fails: &Option<Vec<AcceptFails>>) -> Option<u64> {
    fails.as_ref().map(|fails| fails.iter().map(|fails| fails.count).sum())
}

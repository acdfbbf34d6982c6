//! One listener: totals become rates and histories, accepts become waits and threads.

use std::collections::VecDeque;

use super::acceptor::Acceptors;
use super::event::{Accept, InAccept, ListenerSample, Overflow, Stage};
use super::finding::{LONG_WAIT_US, Sharers, Shares};
use super::histogram::{Precision, WaitHistogram};
use super::ledger::Ledger;
use super::output::OverflowOutput;
use super::recent::{Figures, Recent};
use super::sharing::Sharing;
use super::snapshot::{ListenerView, Rates, Totals};

/// What one refresh leaves in the histories.
#[derive(Clone, Copy, Debug)]
struct Point {
    depth: u32,
    accepts: u32,
    arrivals: u32,
    overflows: u32,
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
    /// What events said in the present period.
    period: Figures,
    period_ns: u64,
    rates: Rates,
    history: VecDeque<Point>,
    ledgers: [Ledger; 4],
    stalled_since_ns: Option<u64>,
    sharing: Sharing<(u32, u32)>,
    found_queued: u64,
    found_queued_before: u64,
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
            period: Figures::default(),
            period_ns,
            rates: Rates::default(),
            history: VecDeque::new(),
            ledgers: [Ledger::default(); 4],
            stalled_since_ns: None,
            sharing: Sharing::new(period_ns),
            found_queued: 0,
            found_queued_before: 0,
        }
    }

    /// Counts an accept. `precision` is for the histogram, should this be its first wait.
    pub(super) fn accepted(&mut self, accept: &Accept, precision: Precision) {
        self.acceptors.accepted(accept);
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
    }

    /// Takes a new sample; `history` bounds the points kept.
    pub(super) fn sampled<'a>(
        &mut self,
        now_ns: u64,
        sample: &ListenerSample,
        inside: impl Iterator<Item = &'a InAccept>,
        history: usize,
    ) {
        let start_ns = if self.sample.is_some() { self.period_ns } else { sample.since_ns.max(self.period_ns) };
        let elapsed_ns = now_ns.saturating_sub(start_ns);
        let before = self.totals();
        let figures = self.figures_since(&before, sample);
        let longest_ns = self.acceptors.end_period(now_ns, inside, &sample.comm);
        let figures = Figures {
            inside_ns: longest_ns.unwrap_or(0),
            inside_known_ns: longest_ns.map_or(0, |_| elapsed_ns),
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
        if self.sharing.update(now_ns, self.acceptors.counts(self.sharing.horizon_ns())) {
            (self.found_queued_before, self.found_queued) = (self.found_queued, 0);
        }
        if let Some(wait) = &mut self.wait {
            wait.refresh();
        }
        (self.period, self.period_ns, self.missed) = (Figures::default(), now_ns, 0);
        self.closed = sample.closed_ns.is_some();
        self.sample = Some(sample.clone());
    }

    /// Refusals that the kernel counted up to the newest sample and never named. `patient` as in [`Ledger::unnamed`].
    pub(super) fn unnamed(&mut self, now_ns: u64, patient: impl Fn(Stage) -> bool) -> Vec<OverflowOutput> {
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

    /// How its threads shared the accepts of the last stretch.
    pub(super) fn shares(&self) -> Option<Shares> {
        self.sharing.last().map(|stretch| Shares {
            sharers: Sharers::Threads,
            parties: stretch.parties,
            accepts: stretch.accepts,
            most: stretch.most,
            found_queued: self.found_queued_before,
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
        let since = |now: Option<u64>, before: Option<u64>| now.unwrap_or(0).saturating_sub(before.unwrap_or(0));
        Figures {
            accepts: now.accepted.saturating_sub(before.accepted),
            arrivals: now.queued.saturating_sub(before.queued),
            overflows: totals_of(now).overflows().saturating_sub(before.overflows()),
            cookies: since(now.cookies_sent, before.cookies_sent),
            syn_dropped: since(now.syn_dropped, before.syn_dropped),
            synack_retransmits: now.synack_retransmits.saturating_sub(before.synack_retransmits),
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
        eagain: sample.eagain,
        abandoned: sample.abandoned,
    }
}

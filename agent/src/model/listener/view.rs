//! What a screen shows of a listener, with its histories.

use super::Listener;
use super::totals::totals_of;
use crate::model::event::ListenerSample;
use crate::model::histogram::WaitHistogram;
use crate::model::recent::Figures;
use crate::model::snapshot::ListenerView;
use crate::text::errno_name;

/// Figures of one refresh in the histories.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Its beginning.
    from_ns: u64,
    depth: u32,
    accepts: u32,
    arrivals: u32,
    overflows: u32,
}

impl Listener {
    /// Returns what a screen shows of it, without histories; `None` before the first sample.
    pub(in crate::model) fn view(&self, somaxconn: Option<u32>) -> Option<ListenerView> {
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
    pub(in crate::model) fn full_view(&self, somaxconn: Option<u32>) -> Option<ListenerView> {
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

    pub(super) fn remember(&mut self, from_ns: u64, depth: u32, figures: &Figures, bound: usize) {
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

/// Returns the errors of `accept` by name, with their counts.
fn accept_errors(sample: &ListenerSample) -> Vec<(String, u64)> {
    let fails = sample.fails.iter().flatten();
    fails.map(|fails| (errno_name(fails.errno), fails.count)).collect()
}

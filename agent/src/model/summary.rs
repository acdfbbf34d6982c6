//! The end of a run: a last report of everything that is still there, and the sums.

use crate::text::Untrusted;
use backscope_abi::counter;

use super::{
    Model,
    event::SockId,
    output::{ListenerOutput, Output, Summary},
    reporter,
};

/// Open connections that one part of the end reports: all of them at once would take more memory
/// than all that is kept of them.
const PART: usize = 256;

/// What is left of the end of a run ([`Model::begin_finish`]).
#[derive(Debug)]
pub struct Ending {
    /// Connections that are to be reported, by age; `None` once everything has been.
    open: Option<std::vec::IntoIter<SockId>>,
}

impl Model {
    /// Ends the run at `now_ns`: a last object for every listener and open connection, and the
    /// summary.
    pub fn finish(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        let mut ending = self.begin_finish(now_ns, out);
        while self.finish_on(&mut ending, out) {}
    }

    /// Begins to end the run, as [`finish`](Self::finish) does, with all but the open connections
    /// and what follows them. [`finish_on`](Self::finish_on) reports those.
    pub fn begin_finish(&mut self, now_ns: u64, out: &mut Vec<Output>) -> Ending {
        self.advance(now_ns);
        self.close_untold(usize::MAX, out);
        // Nothing is on the way any more.
        let unnamed = self.listeners.unnamed(self.now_ns, |_| false);
        self.report_unnamed(unnamed, out);
        for mut view in self.listeners.views() {
            // Peaks run since the last object.
            (view.peak, view.syn_peak) = (view.depth, view.syn_depth);
            out.push(Output::Listener(ListenerOutput { ts_ns: self.now_ns, view }));
        }
        let mut report = reporter(
            self.now_ns,
            self.interest,
            (&mut self.stats, &mut self.threads),
            &mut self.proxies,
            out,
        );
        let mut open = self.connections.finish(self.now_ns, &mut report);
        drop(report);
        self.proxies.settle(self.now_ns, true, &mut self.connections, out);
        if !self.interest.connections {
            open.clear();
        }
        Ending { open: Some(open.into_iter()) }
    }

    /// Reports the next part of the end; false once there is no more.
    pub fn finish_on(&mut self, ending: &mut Ending, out: &mut Vec<Output>) -> bool {
        let Some(open) = &mut ending.open else { return false };
        if open.len() > 0 {
            for sock in open.take(PART) {
                self.connections.report(self.now_ns, sock, out);
            }
            return true;
        }
        ending.open = None;
        self.connections.ended.settle(self.now_ns, true, out);
        self.patterns.finish(self.now_ns, out);
        self.proxies.report(self.now_ns, true, out);
        self.datagrams.finish(self.now_ns, out);
        out.push(Output::Summary(Box::new(self.summary())));
        true
    }

    /// Returns the records that were lost, and what was not kept since a table had no room for it.
    /// Every front-end tells these two.
    pub(super) fn losses(&self) -> (u64, u64) {
        let records = counter::RECORDS.map(|index| Untrusted::from(counter::NAMES[index as usize]));
        let (mut lost, mut not_kept) = (0_u64, 0_u64);
        for (name, count) in &self.lost {
            let sum = if records.contains(name) { &mut lost } else { &mut not_kept };
            *sum = sum.saturating_add(*count);
        }
        (lost, not_kept)
    }

    pub(super) fn summary(&mut self) -> Summary {
        self.connections.totals.refresh();
        let (lost, not_kept) = self.losses();
        let (listeners, totals, wait) = self.listeners.totals();
        // Each had one exchange.
        let left = self.listeners.left_untold();
        let mut times = self.connections.times.all();
        times.exchanges += left;
        let mut summary = Summary {
            ts_ns: self.now_ns,
            duration_us: self.now_ns.saturating_sub(self.setup.attached_ns) / 1_000,
            listeners,
            totals,
            wait,
            connections: self.connections.known() + left,
            connects: None,
            resets: None,
            times,
            held: self.proxies.times(self.now_ns).0,
            phases_us: self.connections.times.kinds(),
            exchange: self.connections.totals.view(),
            untold: self.connections.untold + left,
            datagrams: None,
            findings: self.findings.made(),
            standing_findings: self.findings.view(),
            past_findings: self.findings.past(),
            findings_left_out: self.findings.left_out(),
            seen: self.seen,
            delivered: self.seen.saturating_sub(lost),
            lost,
            not_kept,
            cost: self.cost.map(|(_, cost)| cost),
            paused_us: self.pauses.total_ns(self.now_ns).map(|ns| ns / 1_000),
            ended: Box::new(self.ended.clone()),
            recording_stopped: self.recording_stopped.clone().map(Box::new),
        };
        if self.setup.exchanges {
            summary.connects = Some(self.connections.connects.totals());
            summary.resets = Some(self.connections.ended.totals);
            summary.datagrams = Some(self.datagrams.totals());
        }
        summary
    }
}

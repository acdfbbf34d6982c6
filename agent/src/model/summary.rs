//! The end of a run: a last report of everything that is still there, and the sums.

use backscope_abi::counter;

use super::{
    Model,
    output::{ListenerOutput, Output, Summary},
    reporter,
};

impl Model {
    /// Ends the run at `now_ns`: a last object for every listener and open connection, and the
    /// summary.
    pub fn finish(&mut self, now_ns: u64, out: &mut Vec<Output>) {
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
        let mut report =
            reporter(self.now_ns, self.interest, &mut self.stats, &mut self.proxies, out);
        let open = self.connections.finish(self.now_ns, &mut report);
        drop(report);
        self.proxies.settle(self.now_ns, true, &mut self.connections, out);
        if self.interest.connections {
            for sock in open {
                self.connections.report(self.now_ns, sock, out);
            }
        }
        self.connections.ended.settle(self.now_ns, true, out);
        self.patterns.finish(self.now_ns, out);
        self.proxies.report(self.now_ns, true, out);
        self.datagrams.finish(self.now_ns, out);
        out.push(Output::Summary(self.summary()));
    }

    fn summary(&mut self) -> Summary {
        self.connections.totals.refresh();
        let mut lost = 0;
        for index in counter::RECORDS {
            lost += self.lost.get(counter::NAMES[index as usize]).copied().unwrap_or(0);
        }
        let (listeners, totals, wait) = self.listeners.totals();
        let mut summary = Summary {
            ts_ns: self.now_ns,
            duration_us: self.now_ns.saturating_sub(self.setup.attached_ns) / 1_000,
            listeners,
            totals,
            wait,
            connections: self.connections.known(),
            connects: None,
            resets: None,
            times: self.connections.times.all(),
            phases_us: self.connections.times.kinds(),
            exchange: self.connections.totals.view(),
            datagrams: None,
            findings: self.findings.made(),
            seen: self.seen,
            delivered: self.seen.saturating_sub(lost),
            lost,
            cost: self.cost.map(|(_, cost)| cost),
        };
        if self.setup.exchanges {
            summary.connects = Some(self.connections.connects.totals());
            summary.resets = Some(self.connections.ended.totals);
            summary.datagrams = Some(self.datagrams.totals());
        }
        summary
    }
}

//! The end of a run: the last word on everything that is still there, and the sums.

use backscope_abi::counter;

use super::{
    Model,
    output::{ListenerOutput, Output, Summary},
    tell,
};

impl Model {
    /// Ends the run at `now_ns`: a last object for every listener and open connection, and the
    /// summary.
    pub fn finish(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        self.advance(now_ns);
        // Nothing is on the way any more.
        let unnamed = self.listeners.unnamed(self.now_ns, |_| false);
        self.report_unnamed(unnamed, out);
        for mut view in self.listeners.views() {
            // Peaks run since the last object.
            (view.peak, view.syn_peak) = (view.depth, view.syn_depth);
            out.push(Output::Listener(ListenerOutput { ts_ns: self.now_ns, view }));
        }
        let mut told = tell(self.now_ns, self.interest, &mut self.stats, &mut self.proxies, out);
        let open = self.connections.finish(self.now_ns, &mut told);
        drop(told);
        self.proxies.settle(self.now_ns, true, &mut self.connections, out);
        for sock in open.into_iter().filter(|_| self.interest.connections) {
            self.connections.report(self.now_ns, sock, out);
        }
        self.connections.ended.settle(self.now_ns, true, out);
        self.patterns.finish(self.now_ns, out);
        self.proxies.report(self.now_ns, true, out);
        self.datagrams.finish(self.now_ns, out);
        out.push(Output::Summary(self.summary()));
    }

    fn summary(&mut self) -> Summary {
        self.connections.totals.refresh();
        let lost_under =
            |index: u32| self.lost.get(counter::NAMES[index as usize]).copied().unwrap_or(0);
        let lost = counter::RECORDS.into_iter().map(lost_under).sum();
        let (listeners, totals, wait) = self.listeners.totals();
        Summary {
            ts_ns: self.now_ns,
            duration_us: self.now_ns.saturating_sub(self.setup.attached_ns) / 1_000,
            listeners,
            totals,
            wait,
            connections: self.connections.known(),
            connects: self.setup.exchanges.then(|| self.connections.connects.totals()),
            resets: self.setup.exchanges.then_some(self.connections.ended.totals),
            times: self.connections.times.all(),
            phases_us: self.connections.times.kinds(),
            exchange: self.connections.totals.view(),
            datagrams: self.setup.exchanges.then(|| self.datagrams.totals()),
            findings: self.findings.made(),
            seen: self.seen,
            delivered: self.seen.saturating_sub(lost),
            lost,
            cost: self.cost.map(|(_, cost)| cost),
        }
    }
}

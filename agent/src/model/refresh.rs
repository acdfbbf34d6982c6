//! A refresh: everything is brought up to date with a sample, judged, and reported.

use super::{
    Model,
    event::{Sample, Stage},
    finding::{Dealings, Facts, Subject},
    output::{ListenerOutput, Lost, Output},
    tell,
    work::Scope,
};

impl Model {
    pub(super) fn sample(&mut self, sample: &Sample, out: &mut Vec<Output>) {
        self.advance(sample.ts_ns);
        for change in self.listeners.sampled(sample) {
            self.stream.push(change);
        }
        // On the tracepoint tier no hook sees a SYN dropped, so there is no record to wait for.
        let names_syns = self.setup.tier != "tracepoint";
        let unnamed = self.listeners.unnamed(sample.ts_ns, |stage| names_syns || stage != Stage::Syn);
        self.report_unnamed(unnamed, out);
        self.scan(sample.ts_ns, &sample.connections, out);
        let mut told = tell(sample.ts_ns, self.interest, &mut self.works, &mut self.proxies, out);
        self.connections.sampled(sample, &mut told);
        drop(told);
        self.proxies.settle(sample.ts_ns, false, &mut self.connections, out);
        self.works.sampled(sample);
        self.threads.sampled(sample);
        self.patterns.sampled(sample, out);
        self.report_listeners(sample.ts_ns, out);
        self.datagrams.sampled(sample, out);
        self.judge_connections(sample.ts_ns, out);
        self.judge_families(sample.ts_ns, out);
        self.proxies.judge(|pid, comm, lately| {
            let text = format!("{comm} {pid}");
            self.board.judge_upstreams(sample.ts_ns, &Subject { id: Scope::Process(pid), text }, lately, out)
        });
        self.proxies.report(sample.ts_ns, false, out);
        self.datagrams.forget_closed();
        self.board.expire(sample.ts_ns);
        self.report_lost(sample, out);
        self.seen = sample.seen;
        self.take_cost(sample);
    }

    fn report_listeners(&mut self, ts_ns: u64, out: &mut Vec<Output>) {
        for (listener, view, shares) in self.listeners.reportable() {
            if !view.closed {
                let facts = Facts {
                    view: &view,
                    recent: &listener.recent,
                    figures: listener.recent.figures(),
                    stalled_ns: listener.stalled_ns(ts_ns),
                    shares,
                };
                self.board.judge(ts_ns, &facts, out);
            }
            out.push(Output::Listener(ListenerOutput { ts_ns, view }));
        }
        self.listeners.reported();
    }

    fn judge_connections(&mut self, ts_ns: u64, out: &mut Vec<Output>) {
        for (id, entry) in self.works.iter() {
            let listener = match id {
                Scope::Socket(sock) => self.listeners.local(sock),
                Scope::Process(_) => None,
            };
            let text = listener.map_or_else(|| entry.name.clone(), |local| local.to_string());
            let dealings = Dealings { work: &entry.lately(ts_ns), stuck: &entry.stuck };
            self.board.judge_dealings(ts_ns, &Subject { id, text }, &dealings, out);
        }
        for socket in self.datagrams.iter() {
            self.board.judge_datagrams(ts_ns, socket, out);
        }
    }

    fn judge_families(&mut self, ts_ns: u64, out: &mut Vec<Output>) {
        for family in self.patterns.families() {
            let busy = |tid: u32| self.threads.busy(tid);
            self.board.judge_family(ts_ns, &family, &busy, out);
        }
    }

    fn report_lost(&mut self, sample: &Sample, out: &mut Vec<Output>) {
        let own = [
            ("model_listeners", self.listeners.refused()),
            ("model_connections", self.connections.refused()),
            ("model_threads", self.threads.refused()),
        ];
        let own = own.into_iter().filter(|(_, total)| *total > 0).map(|(table, total)| (table.to_owned(), total));
        for (probe, total) in sample.lost.iter().cloned().chain(own) {
            let before = self.lost.insert(probe.clone(), total).unwrap_or(0);
            let count = total.saturating_sub(before);
            if count > 0 {
                out.push(Output::Lost(Lost { ts_ns: sample.ts_ns, probe, count, total }));
            }
        }
    }

    fn take_cost(&mut self, sample: &Sample) {
        if let Some((before_ns, before)) = self.cost {
            let elapsed_ns = sample.ts_ns.saturating_sub(before_ns);
            let probes_ns = sample.cost.probe_ns.unwrap_or(0).saturating_sub(before.probe_ns.unwrap_or(0));
            let agent_ns = sample.cost.agent_cpu_us.saturating_sub(before.agent_cpu_us) * 1_000;
            if elapsed_ns > 0 {
                self.cost_share = Some((probes_ns + agent_ns) as f64 / elapsed_ns as f64);
            }
        }
        self.cost = Some((sample.ts_ns, sample.cost));
    }
}

//! A refresh: everything is brought up to date with a sample, judged, and reported.

use super::{
    Model,
    event::{Sample, Stage},
    finding::{ConnectionFacts, ListenerFacts, STALL_NS, Subject},
    listener::Listener,
    output::{ListenerOutput, Lost, Output, UnixOutput},
    pattern::{Load, Workers},
    reporter,
    snapshot::{ListenerView, StreamKind},
    stats::Scope,
};

/// Exchanges that are over are reported within so long, ns.
const REPORTED_NS: u64 = 2_500_000_000;
/// Least time for which a cost is told, ns: refreshes are at least twice as far apart.
const LEAST_PERIOD_NS: u64 = 25_000_000;

impl Model {
    /// Takes a sample: brings every part up to date, judges, and reports.
    pub(super) fn sample(&mut self, sample: &Sample, out: &mut Vec<Output>) {
        self.advance(sample.ts_ns);
        self.threads.sampled(sample);
        for change in self.listeners.sampled(sample, |tid| self.threads.delay_ns(tid)) {
            if matches!(change.what, StreamKind::Closed { .. }) {
                self.stats.shut(change.listener, change.ts_ns);
            }
            self.event_log.push(change);
        }
        // On the tracepoint tier no hook sees a SYN dropped, so there is no record to wait for.
        let names_syns = self.setup.tier != "tracepoint";
        let unnamed =
            self.listeners.unnamed(sample.ts_ns, |stage| names_syns || stage != Stage::Syn);
        self.report_unnamed(unnamed, out);
        let in_pause = self.pauses.since_ns().is_some();
        if !in_pause {
            self.take_exchanges(sample, out);
        }
        self.connections.ended.settle(sample.ts_ns, false, out);
        self.report_listeners(sample, out);
        self.unix.clone_from(&sample.unix);
        for view in &self.unix {
            out.push(Output::Unix(UnixOutput { ts_ns: sample.ts_ns, view: view.clone() }));
        }
        self.datagrams.sampled(sample, out);
        if !in_pause {
            self.judge_exchanges(sample.ts_ns, out);
        }
        self.datagrams.forget_closed();
        self.findings.expire(sample.ts_ns, in_pause, out);
        self.findings.link(sample.ts_ns, &self.listeners, out);
        self.report_lost(sample, out);
        self.seen = sample.seen;
        self.take_cost(sample);
    }

    /// Brings everything that exchanges tell of up to date.
    fn take_exchanges(&mut self, sample: &Sample, out: &mut Vec<Output>) {
        self.scan(sample.ts_ns, &sample.connections, out);
        let mut report = reporter(
            sample.ts_ns,
            self.interest,
            (&mut self.stats, &mut self.threads),
            &mut self.proxies,
            out,
        );
        self.connections.sampled(sample, &mut report);
        drop(report);
        self.proxies.settle(sample.ts_ns, false, &mut self.connections, out);
        self.stats.sampled(sample, &self.connections.spans, &self.proxies);
        self.connections.connects.sampled(sample.ts_ns);
        self.patterns.sampled(sample, out);
    }

    /// Judges by exchanges and connections.
    fn judge_exchanges(&mut self, ts_ns: u64, out: &mut Vec<Output>) {
        self.judge_connections(ts_ns, out);
        self.judge_families(ts_ns, out);
        self.judge_connects(ts_ns, out);
        self.proxies.judge(|pid, comm, upstreams| {
            let subject = Subject::process(pid, comm);
            self.findings.judge_upstreams(ts_ns, &subject, upstreams, out)
        });
        self.proxies.report(ts_ns, false, out);
    }

    fn report_listeners(&mut self, sample: &Sample, out: &mut Vec<Output>) {
        let ts_ns = sample.ts_ns;
        for (listener, view, shares) in self.listeners.reportable() {
            let stalled_ns = listener.stalled_ns(ts_ns);
            // A walk over the connections costs much, and is of use only where nothing is accepted.
            let was_at_limit = listener.was_at_limit(ts_ns);
            let looks = self.watches_exchanges() && (stalled_ns > 0 || was_at_limit);
            let denied_share = self.denied_share(ts_ns, listener, stalled_ns);
            let (workers, load) = (self.workers(ts_ns, listener), self.load(ts_ns, listener));
            let facts = ListenerFacts {
                view: &view,
                recent: &listener.recent,
                figures: listener.recent.figures(),
                stalled_ns,
                shares,
                failing: listener.failing(),
                siblings: self.listeners.siblings(listener),
                now_ns: ts_ns,
                settings: self.listeners.settings(listener),
                clients: listener.clients,
                // Those that wait in the queue may be among them.
                unaware: self.listeners.ignored(view.sock).saturating_sub(view.depth.into()),
                unwatched: listener.is_unwatched(),
                was_at_limit,
                held: if looks { self.connections.held(&view, &sample.threads) } else { None },
                open: if looks { Some(self.connections.open_at(view.local)) } else { None },
                denied_share,
                undecided: denied_share.is_none()
                    && stalled_ns < STALL_NS
                    && self.may_be_denied(ts_ns, listener),
                shape: self.patterns.shape(view.sock),
                load,
                held_percent: workers.map(|workers| workers.held_percent),
                held_up_by: self.held_up_by(ts_ns, listener, &view),
            };
            if view.closed {
                self.findings.judge_closed(ts_ns, &facts, out);
            } else {
                self.findings.judge(ts_ns, &facts, out);
            }
            out.push(Output::Listener(ListenerOutput { ts_ns, view }));
        }
        self.listeners.reported();
    }

    /// Share of the time in which a listener's connections waited that no thread had a CPU to
    /// accept them: by those that were accepted or, while none is, by the time that a quota took.
    fn denied_share(&self, ts_ns: u64, listener: &Listener, stalled_ns: u64) -> Option<f64> {
        let sample = listener.sample.as_ref()?;
        if stalled_ns >= STALL_NS {
            let from_ns = ts_ns.saturating_sub(stalled_ns);
            let denied_ns = self.connections.processors.taken_ns(sample.pid, from_ns, ts_ns)?;
            // Each processor's part is summed.
            return Some((denied_ns as f64 / stalled_ns as f64).min(1.0));
        }
        let figures = listener.recent.figures();
        if figures.long_waits == 0 {
            return None;
        }
        if self.watches_exchanges()
            && let Some(stats) = self.stats.recent_figures(Scope::Socket(sample.sock), ts_ns)
            && stats.accept_us > 0
        {
            return Some(stats.accept_delay_us as f64 / stats.accept_us as f64);
        }
        if self.exchanges_may_show_more(ts_ns, listener) {
            return None;
        }
        // Of threads that did not read since only their sums are known.
        figures.delayed_share()
    }

    /// Workers of a listener that each serve one connection at a time, if more came lately than
    /// they could serve: none of them was free, and connections waited long or were refused.
    fn load(&self, ts_ns: u64, listener: &Listener) -> Option<Load> {
        let workers = self.workers(ts_ns, listener)?;
        if !workers.are_used_up() {
            return None;
        }
        let (recent, figures) = (&listener.recent, listener.recent.figures());
        let (arrivals, refused) = (recent.rate(figures.arrivals), recent.rate(figures.overflows));
        Some(Load { workers, arrivals, refused })
    }

    /// The workers of a listener at which connections wait long or were refused lately, where each
    /// of them serves one connection at a time.
    fn workers(&self, ts_ns: u64, listener: &Listener) -> Option<Workers> {
        let is_behind = self.is_behind(ts_ns, listener);
        if !self.watches_exchanges() || !is_behind && listener.recent.figures().overflows == 0 {
            return None;
        }
        self.patterns.workers(ts_ns, listener.sample.as_ref()?.sock)
    }

    /// Whether connections wait long to be accepted, or did lately.
    fn is_behind(&self, ts_ns: u64, listener: &Listener) -> bool {
        listener.recent.figures().long_waits > 0 || listener.stalled_ns(ts_ns) >= STALL_NS
    }

    /// A thread that accepts on a listener, and that handlers held lately while others waited.
    fn held_up_by(&self, ts_ns: u64, listener: &Listener, view: &ListenerView) -> Option<u32> {
        if !self.watches_exchanges() || !self.is_behind(ts_ns, listener) {
            return None;
        }
        let stats = self.stats.recent_figures(Scope::Socket(view.sock), ts_ns)?;
        let tid = stats.app.blocking_tid;
        let accepts = view.acceptors.iter().any(|acceptor| acceptor.tid == tid);
        if accepts && stats.app.is_blocking() { Some(tid) } else { None }
    }

    /// Whether long waits at a listener began so lately that exchanges may show more of them yet.
    fn exchanges_may_show_more(&self, ts_ns: u64, listener: &Listener) -> bool {
        self.watches_exchanges() && listener.long_ns(ts_ns) < REPORTED_NS
    }

    /// Whether exchanges may show yet that no thread had a CPU to accept: the accepting threads
    /// lacked one, or CPUs are short. A thread's sum does not have the wait that still lasts:
    /// `sched_info_arrive` adds it at its end (5.10 to 7.3).
    fn may_be_denied(&self, ts_ns: u64, listener: &Listener) -> bool {
        if !self.exchanges_may_show_more(ts_ns, listener) {
            return false;
        }
        let pid = listener.sample.as_ref().map_or(0, |sample| sample.pid);
        let delayed_share = listener.recent.figures().delayed_share();
        let lacked = matches!(delayed_share, Some(share) if share >= 0.25);
        lacked || self.connections.processors.are_short(ts_ns, pid)
    }

    fn judge_connections(&mut self, ts_ns: u64, out: &mut Vec<Output>) {
        for (id, entry) in self.stats.iter() {
            let (local, pid) = match id {
                Scope::Socket(sock) => (self.listeners.local(sock), self.listeners.pid(sock)),
                Scope::Process(pid) => (None, Some(pid)),
            };
            let text = match local {
                Some(local) => local.to_string().into(),
                None => entry.name.clone(),
            };
            let stats = entry.recent_figures(ts_ns);
            let cpu = self.connections.processors.facts(ts_ns, stats.ready_pid);
            let sees_calls = self.stats.sees_calls();
            let (mut shape, mut load) = (None, None);
            if let Scope::Socket(sock) = id {
                shape = self.patterns.shape(sock);
                load = self.listeners.get(sock).and_then(|listener| self.load(ts_ns, listener));
            }
            let connection_facts = ConnectionFacts {
                stats: &stats,
                stuck: &entry.stuck,
                cpu,
                now_ns: ts_ns,
                sees_calls,
                shape,
                load,
            };
            self.findings.judge_connections(
                ts_ns,
                &Subject { id, text, pid },
                &connection_facts,
                out,
            );
        }
        for socket in self.datagrams.iter() {
            self.findings.judge_datagrams(ts_ns, socket, out);
        }
    }

    fn judge_connects(&mut self, ts_ns: u64, out: &mut Vec<Output>) {
        for (pid, (comm, figures)) in self.connections.connects.recent_figures(ts_ns) {
            let subject = Subject::process(pid, &comm);
            self.findings.judge_connects(ts_ns, &subject, &figures, out);
        }
    }

    fn judge_families(&mut self, ts_ns: u64, out: &mut Vec<Output>) {
        for family in self.patterns.families() {
            let busy = |tid: u32| self.threads.busy(tid);
            self.findings.judge_family(ts_ns, &family, &busy, out);
        }
    }

    fn report_lost(&mut self, sample: &Sample, out: &mut Vec<Output>) {
        let own = [
            ("model_listeners", self.listeners.refused()),
            ("model_threads", self.threads.refused()),
            ("model_datagrams", self.datagrams.gave_way()),
            ("model_greetings", self.stats.greetings_gave_way()),
        ];
        let mut totals = sample.lost.clone();
        for (table, total) in own.into_iter().chain(self.connections.gave_way()) {
            if total > 0 {
                totals.push((table.into(), total));
            }
        }
        for (probe, total) in totals {
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
            let probes_ns =
                sample.cost.probe_ns.unwrap_or(0).saturating_sub(before.probe_ns.unwrap_or(0));
            let agent_ns =
                sample.cost.agent_cpu_us.saturating_sub(before.agent_cpu_us).saturating_mul(1_000);
            // The last sample of a run may follow at once on the one before.
            if elapsed_ns >= LEAST_PERIOD_NS {
                self.cost_share =
                    Some(probes_ns.saturating_add(agent_ns) as f64 / elapsed_ns as f64);
            }
        }
        self.cost = Some((sample.ts_ns, sample.cost));
    }
}

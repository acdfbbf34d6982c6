//! What the state is now: a refresh, which reads what no record announces, and keeps to the budget.

use std::{mem, time::Instant};

use backscope_abi::counter;

use super::{
    Sensor,
    attach::{Loaded, Signal, sys},
    budget::{Budget, Spent},
    clock::{self, now_ns},
    procfs,
    sample::{ALL_STATES, MAX_SCANNED_ALONE},
};
use crate::{
    model::{
        Tier,
        event::{ClosingSocket, Event, Pause, Sample},
    },
    privileges,
};

/// Records, of the ring or of a scan, after which memory is given back.
const TRIM_AFTER: usize = 2_000;

/// The name under which runs of probes that the kernel skipped are counted as lost.
const SKIPPED: &str = "skipped_runs";
/// Likewise, of accepts that nothing showed while the hooks of accept were suspended in a rush.
const MISSED: &str = "rush_accepts";
/// Refreshes at which function hooks were attached, and nothing called them.
const FTRACE_OFF: &str = "ftrace_off";

impl Sensor {
    /// Reads the last sample of a run: as [`Sensor::sample`], however long ago the iterator ran.
    pub fn last_sample(&mut self) -> Sample {
        self.sampler.ends();
        self.connections.scan_is_due();
        self.sample()
    }

    /// Returns connections that are closing, of all processes of the targets' network namespaces.
    /// None in a pause.
    pub fn closing(&mut self) -> Vec<ClosingSocket> {
        if self.budget.as_ref().is_some_and(Budget::is_pause) {
            return Vec::new();
        }
        self.closing.ask()
    }

    /// Has ordinary exchanges and connections told one in several while they come by thousands, if
    /// that `is_allowed`.
    pub fn thin(&mut self, is_allowed: bool) {
        /// Of a connection with one exchange: accept, exchange, end.
        const RECORDS: u64 = 3;
        let records = self.maps.counter(counter::SEEN)
            + self.maps.counter(counter::UNTOLD)
            + self.maps.counter(counter::UNTOLD_CONNECTIONS) * RECORDS;
        let is_on = self.thinning.judge(Instant::now(), records, is_allowed);
        self.maps.set_thinning(if is_on { backscope_abi::THINNED } else { 1 });
    }

    pub(super) fn scan(&mut self) {
        self.sampler.scan(&self.loaded.scan, &self.targets, &self.maps);
    }

    /// Reads the state of every listener, and starts a new refresh period. [`Sensor::scan_on`] adds
    /// the connections.
    pub fn sample(&mut self) -> Sample {
        if self.drained >= TRIM_AFTER {
            // Memory that a burst took lies scattered between what is kept of it.
            self.drained = 0;
            sys::trim_memory();
        }
        self.first.let_go(now_ns());
        if self.targets.traceable_only {
            self.forget_untraceable();
        }
        self.join_groups();
        self.keep_to_budget();
        self.scan();
        let mut sample = self.sampler.sample(&mut self.maps);
        self.others.clear();
        for listener in &sample.listeners {
            for other in &listener.others {
                self.others.push((listener.local, other.clone()));
            }
        }
        let Loaded { syscalls, states, .. } = &mut self.loaded;
        let connects = self.maps.counter(counter::CONNECTS);
        states.complete(&mut sample.listeners, connects);
        self.accept_hooks.suspend_if_useful(&sample, &mut self.maps, syscalls, states);
        let calls_missed = self.accept_hooks.reasons().rush;
        for listener in &mut sample.listeners {
            listener.calls_missed = calls_missed;
        }
        self.sample_connections(&mut sample);
        self.sample_workloads(&sample);
        let runs = self.loaded.programs.runs();
        sample.cost = self.cost.read(&self.loaded.programs, runs);
        self.skipped = runs.skipped;
        if self.loaded.chosen.tier() == Tier::Full && procfs::is_ftrace_off() {
            self.uncalled += 1;
        }
        let own = [
            (SKIPPED, runs.skipped),
            (MISSED, self.accept_hooks.missed()),
            (FTRACE_OFF, self.uncalled),
        ];
        for (what, total) in own.into_iter().chain(self.first.lost()) {
            if total > 0 {
                sample.lost.push((what.into(), total));
            }
        }
        sample
    }

    /// Lets go of processes that the caller may no longer trace.
    fn forget_untraceable(&mut self) {
        for pid in self.maps.targets() {
            if !privileges::may_trace(pid) {
                self.maps.forget_target(pid);
            }
        }
    }

    pub(super) fn sample_connections(&mut self, sample: &mut Sample) {
        if !self.loaded.chosen.has(Signal::ConnectionEnd) {
            return;
        }
        let opened = self.maps.counter(counter::OPENED);
        let ended = self.maps.counter(counter::ENDED);
        sample.connections_open = opened.saturating_sub(ended);
        let processes = self.maps.targets();
        (sample.threads, sample.waiting) =
            self.threads.sample(&processes, self.sampler.descriptors());
        let of_threads = sample.threads.iter().map(|thread| thread.pid);
        let running = processes.iter().copied().chain(of_threads);
        for state in self.quotas.refresh(sample.ts_ns, running) {
            self.found.push(Event::Cpu(state));
        }
        if let Some(budget) = &mut self.budget {
            budget.note(&sample.threads);
            if budget.is_pause() {
                return;
            }
        }
        self.recount_after_loss();
        if !self.loaded.chosen.typed_files {
            self.closing.give_cookies(libc::IPPROTO_UDP, ALL_STATES);
        }
        let is_few = self.targets.only_processes() && processes.len() <= MAX_SCANNED_ALONE;
        self.connections.begin_scan(if is_few { &processes } else { &[] }, sample.ts_ns);
        self.maps.set_census(self.connections.is_census());
        self.first_made = self.first.made();
    }

    /// Begins or ends a pause, if the budget asks for it.
    fn keep_to_budget(&mut self) {
        let Some(budget) = &mut self.budget else { return };
        let spent = Spent {
            agent_ns: clock::own_cpu_ns(),
            probes_ns_a_second: self.cost.probes_ns_a_second(),
            is_thinned: self.thinning.is_on(),
        };
        let now = Instant::now();
        if !budget.is_due(now, spent) {
            return;
        }
        let begins = !budget.is_pause();
        // What cannot be attached now is tried again at the next refresh.
        if !begins && self.loaded.pausable.attach_again().is_err() {
            return;
        }
        budget.change(now, spent);
        self.era = self.era.wrapping_add(1);
        // What is said to be watched is: a pause is told to be no shorter than it is.
        let mut ts_ns = now_ns();
        self.maps.set_era(self.era);
        if !begins {
            ts_ns = now_ns();
        }
        if begins {
            self.loaded.pausable.detach();
        } else {
            self.connections.scan_is_due();
        }
        self.cost.change(begins, &self.loaded.programs);
        self.found.push(Event::Pause(Pause { ts_ns, begins }));
        self.has_turned = true;
    }

    /// True once after a pause has begun or ended: that has to be told before the sample is.
    pub fn has_turned(&mut self) -> bool {
        mem::take(&mut self.has_turned)
    }

    /// Has connections counted if records of their ends may have been lost.
    fn recount_after_loss(&mut self) {
        let mut losses = self.skipped;
        for index in [counter::RING_FULL, counter::CONNECTIONS_FULL] {
            losses += self.maps.counter(index);
        }
        if losses != mem::replace(&mut self.losses, losses) {
            self.connections.recount();
        }
    }

    /// Adds some more of the connections to a sample. Returns false once it has all. A caller that
    /// takes them out in between never holds many at once.
    pub fn scan_on(&mut self, sample: &mut Sample) -> bool {
        let Some(program) = &self.loaded.scan_connections else { return false };
        let Some(scanned) = self.connections.scan_on(program, sample.ts_ns) else {
            let udp_sockets = self.connections.take_udp_sockets();
            if let Some(held) = self.connections.take_held() {
                self.first.keep(self.first_made, &held);
            }
            let ended = self.sampler.ended();
            sample.datagrams = self.datagrams.sample(&mut self.maps, &udp_sockets, ended);
            for socket in &sample.datagrams {
                if socket.closed {
                    self.first.forget(socket.sock);
                }
            }
            return false;
        };
        self.drained += scanned.found.len();
        self.found.extend(scanned.found);
        sample.connections.extend(scanned.connections);
        true
    }
}

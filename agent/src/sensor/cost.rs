//! What backscope itself costs: CPU time and memory of the agent, time inside the probes.
//!
//! The kernel's own statistics cost as much as a small probe (two clock reads a run), so they are switched on for one
//! refresh in eight, and the time between is taken to have been like it.

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use aya::{Ebpf, programs::Program, sys::Stats};

use crate::model::event::Cost;

const ONE_IN: u32 = 8;
/// A shorter measurement says nothing.
const SHORTEST: Duration = Duration::from_millis(200);

/// Measures the cost at each refresh.
pub(super) struct CostMeter {
    begin: Instant,
    refreshes: u32,
    window: Option<Window>,
    measured: Duration,
    runs: u64,
    ns: u64,
}

/// Statistics are on while this lives.
struct Window {
    _stats: OwnedFd,
    begin: Instant,
    before: (u64, u64),
}

impl CostMeter {
    pub(super) fn new(ebpf: &Ebpf) -> Self {
        let window = Window::open(ebpf);
        Self { begin: Instant::now(), refreshes: 0, window, measured: Duration::ZERO, runs: 0, ns: 0 }
    }

    pub(super) fn read(&mut self, ebpf: &Ebpf) -> Cost {
        // The refresh right after the attach comes too early to tell anything.
        if self.window.as_ref().is_some_and(|window| window.begin.elapsed() >= SHORTEST)
            && let Some(window) = self.window.take()
        {
            let (runs, ns) = probe_totals(ebpf);
            self.measured += window.begin.elapsed();
            self.runs += runs - window.before.0;
            self.ns += ns - window.before.1;
        }
        self.refreshes += 1;
        if self.window.is_none() && self.refreshes.is_multiple_of(ONE_IN) {
            self.window = Window::open(ebpf);
        }
        let known = !self.measured.is_zero();
        let share = self.begin.elapsed().as_secs_f64() / self.measured.as_secs_f64().max(f64::MIN_POSITIVE);
        let scaled = |total: u64| (total as f64 * share) as u64;
        Cost {
            probe_runs: known.then(|| scaled(self.runs)),
            probe_ns: known.then(|| scaled(self.ns)),
            agent_cpu_us: cpu_us(),
            agent_rss_bytes: rss_bytes(),
        }
    }
}

impl Window {
    /// `None` where the kernel refuses statistics.
    fn open(ebpf: &Ebpf) -> Option<Self> {
        let stats = aya::sys::enable_stats(Stats::RunTime).ok()?;
        Some(Self { _stats: stats, begin: Instant::now(), before: probe_totals(ebpf) })
    }
}

fn probe_totals(ebpf: &Ebpf) -> (u64, u64) {
    ebpf.programs().filter_map(|(_, program)| program.info().ok()).fold((0, 0), |(runs, ns), info| {
        (runs + info.run_count(), ns + u64::try_from(info.run_time().as_nanos()).unwrap_or(0))
    })
}

/// Runs of the probes that the kernel skipped, as it tells from 5.12 on.
///
/// It never runs a probe twice at a time on one processor. Where it may preempt a task within a probe (full and lazy
/// preemption), every other task on that processor goes unseen by that probe until the first goes on.
pub(super) fn skipped_runs(ebpf: &Ebpf) -> u64 {
    let of = |program: &Program| {
        let descriptor = program.fd().ok()?.as_fd().as_raw_fd();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).ok()?;
        info.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse::<u64>().ok()
    };
    ebpf.programs().filter_map(|(_, program)| of(program)).sum()
}

fn cpu_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

fn rss_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

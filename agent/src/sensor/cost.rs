//! What backscope itself costs: CPU time and memory of the agent, time inside the probes.
//!
//! The kernel's own statistics cost as much as a small probe (two clock reads a run), so they are
//! switched on for one refresh in eight, and the time between is taken to have been like it.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use aya::sys::Stats;

use super::programs::{Programs, Runs};
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
    before: Runs,
}

impl CostMeter {
    pub(super) fn new(programs: &Programs) -> Self {
        let window = Window::open(programs);
        Self {
            begin: Instant::now(),
            refreshes: 0,
            window,
            measured: Duration::ZERO,
            runs: 0,
            ns: 0,
        }
    }

    /// `now` are the runs until now.
    pub(super) fn read(&mut self, programs: &Programs, now: Runs) -> Cost {
        // The refresh right after the attach comes too early to tell anything.
        if self.window.as_ref().is_some_and(|window| window.begin.elapsed() >= SHORTEST)
            && let Some(window) = self.window.take()
        {
            self.measured += window.begin.elapsed();
            self.runs += now.count - window.before.count;
            self.ns += now.ns - window.before.ns;
        }
        self.refreshes += 1;
        if self.window.is_none() && self.refreshes.is_multiple_of(ONE_IN) {
            self.window = Window::open(programs);
        }
        let known = !self.measured.is_zero();
        let share =
            self.begin.elapsed().as_secs_f64() / self.measured.as_secs_f64().max(f64::MIN_POSITIVE);
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
    fn open(programs: &Programs) -> Option<Self> {
        let stats = aya::sys::enable_stats(Stats::RunTime).ok()?;
        Some(Self { _stats: stats, begin: Instant::now(), before: programs.runs() })
    }
}

fn cpu_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000
        + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}

fn rss_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

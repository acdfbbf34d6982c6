//! The cost of backscope itself: CPU time and memory of the agent, time inside the probes.
//!
//! The kernel's own statistics cost as much as a small probe: two clock reads a run. So they are on
//! for one refresh in eight, and the whole is estimated from that.

use std::time::{Duration, Instant};

use super::statistics::Statistics;
use crate::{
    model::event::Cost,
    sensor::{
        attach::{Programs, Runs},
        clock, procfs,
    },
};

const ONE_IN: u32 = 8;
/// Shortest measurement that is used.
const SHORTEST: Duration = Duration::from_millis(200);

/// Measures the cost at each refresh.
pub(in crate::sensor) struct CostMeter {
    /// `None` where the kernel refuses them.
    statistics: Option<Statistics>,
    begin: Instant,
    refreshes: u32,
    window: Option<Window>,
    measured: Duration,
    runs: u64,
    ns: u64,
}

/// Statistics are on since then.
struct Window {
    begin: Instant,
    before: Runs,
}

impl CostMeter {
    pub(in crate::sensor) fn new(programs: &Programs) -> Self {
        let statistics = Statistics::on().ok();
        let window = statistics.as_ref().map(|_| Window::begin(programs));
        Self {
            statistics,
            begin: Instant::now(),
            refreshes: 0,
            window,
            measured: Duration::ZERO,
            runs: 0,
            ns: 0,
        }
    }

    /// Returns the cost until now. `now` has the runs of the probes until now.
    pub(in crate::sensor) fn read(&mut self, programs: &Programs, now: Runs) -> Cost {
        // The refresh right after the attach comes too early to tell anything.
        if let Some(window) = &self.window
            && window.begin.elapsed() >= SHORTEST
        {
            self.measured += window.begin.elapsed();
            self.runs = now.count.saturating_sub(window.before.count).saturating_add(self.runs);
            self.ns = now.ns.saturating_sub(window.before.ns).saturating_add(self.ns);
            self.window = None;
            if let Some(statistics) = &self.statistics {
                statistics.set(false);
            }
        }
        self.refreshes += 1;
        if let Some(statistics) = &self.statistics
            && self.window.is_none()
            && self.refreshes.is_multiple_of(ONE_IN)
        {
            statistics.set(true);
            self.window = Some(Window::begin(programs));
        }
        Cost {
            probe_runs: self.estimate(self.runs),
            probe_ns: self.estimate(self.ns),
            agent_cpu_us: clock::own_cpu_ns() / 1_000,
            agent_rss_bytes: procfs::own_memory_bytes(),
        }
    }

    /// Estimates the total of the whole run from that of the measured time.
    fn estimate(&self, measured: u64) -> Option<u64> {
        if self.measured.is_zero() {
            return None;
        }
        let share = self.begin.elapsed().as_secs_f64() / self.measured.as_secs_f64();
        Some((measured as f64 * share) as u64)
    }
}

impl Window {
    fn begin(programs: &Programs) -> Self {
        Self { begin: Instant::now(), before: programs.runs() }
    }
}

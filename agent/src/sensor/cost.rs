//! What backscope itself costs: CPU time and memory of the agent, time inside the probes.
//!
//! The kernel's own statistics cost as much as a small probe (two clock reads a run), so they are switched on for one
//! refresh in eight, and the time between is taken to have been like it.

use std::os::fd::OwnedFd;

use aya::{Ebpf, sys::Stats};

use crate::model::event::Cost;

const ONE_IN: u32 = 8;

/// Measures the cost at each refresh.
pub(super) struct CostMeter {
    window: Option<OwnedFd>,
    refreshes: u32,
    measured: (u64, u64),
    windows: u32,
}

impl CostMeter {
    pub(super) fn new() -> Self {
        Self { window: aya::sys::enable_stats(Stats::RunTime).ok(), refreshes: 0, measured: (0, 0), windows: 0 }
    }

    pub(super) fn read(&mut self, ebpf: &Ebpf) -> Cost {
        self.refreshes += 1;
        if self.window.is_some() {
            self.windows += 1;
            self.measured = probe_totals(ebpf);
        }
        self.window =
            self.refreshes.is_multiple_of(ONE_IN).then(|| aya::sys::enable_stats(Stats::RunTime).ok()).flatten();
        let known = self.windows > 0;
        let scaled = |total: u64| total * u64::from(self.refreshes) / u64::from(self.windows.max(1));
        Cost {
            probe_runs: known.then(|| scaled(self.measured.0)),
            probe_ns: known.then(|| scaled(self.measured.1)),
            agent_cpu_us: cpu_us(),
            agent_rss_bytes: rss_bytes(),
        }
    }
}

fn probe_totals(ebpf: &Ebpf) -> (u64, u64) {
    ebpf.programs().filter_map(|(_, program)| program.info().ok()).fold((0, 0), |(runs, ns), info| {
        (runs + info.run_count(), ns + u64::try_from(info.run_time().as_nanos()).unwrap_or(0))
    })
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

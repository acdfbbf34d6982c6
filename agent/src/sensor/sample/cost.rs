//! The cost of backscope itself: CPU time and memory of the agent, time inside the probes.
//!
//! The kernel's own statistics cost as much as a small probe: two clock reads a run. So they are on
//! for a fortieth of the time, and the whole is estimated from that: for the time in which exchanges
//! are watched, and for pauses, each by what was measured in it.

use std::time::{Duration, Instant};

use super::statistics::Statistics;
use crate::{
    model::event::Cost,
    sensor::{
        attach::{Programs, Runs},
        clock, procfs,
    },
};

/// Time for which they are on at a stretch, at least.
const ON: Duration = Duration::from_millis(100);
/// From one stretch to the next.
const EVERY: Duration = Duration::from_secs(4);

/// Measures the cost.
pub(in crate::sensor) struct CostMeter {
    /// `None` where the kernel refuses them.
    statistics: Option<Statistics>,
    window: Option<Window>,
    /// The newest stretch began.
    opened: Instant,
    /// While exchanges are watched, and in pauses.
    eras: [Era; 2],
    is_pause: bool,
    /// Time in the probes, ns a second, by the newest measurement of the present era.
    newest: Option<f64>,
}

/// Statistics are on since then.
struct Window {
    begin: Instant,
    before: Runs,
}

/// Figures of one kind of era.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Era {
    /// Time of those that are over.
    over: Duration,
    /// When the present one began, if it is of this kind.
    since: Option<Instant>,
    measured: Duration,
    runs: u64,
    ns: u64,
}

impl CostMeter {
    pub(in crate::sensor) fn new(programs: &Programs) -> Self {
        let mut meter = Self {
            statistics: Statistics::on().ok(),
            window: None,
            opened: Instant::now(),
            eras: [Era { since: Some(Instant::now()), ..Era::default() }, Era::default()],
            is_pause: false,
            newest: None,
        };
        meter.open(programs);
        meter
    }

    /// A pause begins, or ends. What was measured until now is of the time before.
    pub(in crate::sensor) fn change(&mut self, is_pause: bool, programs: &Programs) {
        self.close(programs.runs());
        let now = Instant::now();
        let era = &mut self.eras[usize::from(self.is_pause)];
        if let Some(since) = era.since.take() {
            era.over += now.duration_since(since);
        }
        self.is_pause = is_pause;
        self.newest = None;
        self.eras[usize::from(is_pause)].since = Some(now);
        self.open(programs);
    }

    /// Time in the probes, ns a second, as it was measured last in the present era.
    pub(in crate::sensor) fn probes_ns_a_second(&self) -> Option<f64> {
        self.newest
    }

    /// Returns the cost until now. `now` has the runs of the probes until now.
    pub(in crate::sensor) fn read(&mut self, programs: &Programs, now: Runs) -> Cost {
        self.close(now);
        if self.opened.elapsed() >= EVERY {
            self.open(programs);
        }
        Cost {
            probe_runs: self.estimate(|era| era.runs),
            probe_ns: self.estimate(|era| era.ns),
            agent_cpu_us: clock::own_cpu_ns() / 1_000,
            agent_rss_bytes: procfs::own_memory_bytes(),
        }
    }

    /// Switches statistics off once they have been on for long enough. To be called several times
    /// between two refreshes.
    pub(in crate::sensor) fn stop_in_time(&mut self, programs: &Programs) {
        if self.window.as_ref().is_some_and(|window| window.begin.elapsed() >= ON) {
            self.close(programs.runs());
        }
    }

    /// Switches statistics on, if they are not.
    fn open(&mut self, programs: &Programs) {
        let Some(statistics) = &self.statistics else { return };
        if self.window.is_none() {
            statistics.set(true);
            self.opened = Instant::now();
            self.window = Some(Window { begin: self.opened, before: programs.runs() });
        }
    }

    /// Switches them off, and counts what they have shown, if that is long enough to tell anything.
    fn close(&mut self, now: Runs) {
        let Some(window) = &self.window else { return };
        let lasted = window.begin.elapsed();
        if lasted < ON {
            return;
        }
        let era = &mut self.eras[usize::from(self.is_pause)];
        era.measured += lasted;
        era.runs = now.count.saturating_sub(window.before.count).saturating_add(era.runs);
        let ns = now.ns.saturating_sub(window.before.ns);
        era.ns = ns.saturating_add(era.ns);
        self.newest = Some(ns as f64 / lasted.as_secs_f64());
        self.window = None;
        if let Some(statistics) = &self.statistics {
            statistics.set(false);
        }
    }

    /// Estimates the total of the whole run from that of the measured time.
    fn estimate(&self, figure: impl Fn(&Era) -> u64) -> Option<u64> {
        let now = Instant::now();
        let mut sum = None;
        for era in &self.eras {
            if !era.measured.is_zero() {
                let share = era.lasted(now).as_secs_f64() / era.measured.as_secs_f64();
                let estimate = (figure(era) as f64 * share) as u64;
                sum = Some(estimate.saturating_add(sum.unwrap_or(0)));
            }
        }
        sum
    }
}

impl Era {
    fn lasted(&self, now: Instant) -> Duration {
        self.over + self.since.map_or(Duration::ZERO, |since| now.duration_since(since))
    }
}

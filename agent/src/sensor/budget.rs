//! Keeps the cost of a watch to a budget: exchanges are watched for some seconds, and then not for
//! as long as that takes (a pause). Listeners are watched all the time.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::model::event::ThreadSample;

/// Time for which exchanges are watched before a pause. What takes longer is not seen whole.
const WATCHED: Duration = Duration::from_secs(5);
/// Longest pause. Where it is too short to keep to the budget, the watch costs more.
const LONGEST: Duration = Duration::from_secs(600);
/// Time in the probes for each of the agent's own, where the kernel does not tell the former: as it
/// is for an exchange on a connection that stays open (`docs/benchmarks.md`).
const PROBES_TO_AGENT: f64 = 3.0;
/// The same while the agent is told of one ordinary exchange in several.
const PROBES_TO_AGENT_THINNED: f64 = 8.0;
/// Times watched and paused by turns, ms, whatever the cost: for tests.
const TURNS_FOR_TESTS: &str = "BACKSCOPE_PAUSES";

/// Totals of processor time, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    /// By the agent.
    pub(super) agent_ns: u64,
    /// In the probes, a second of the present era; `None` where the kernel does not tell.
    pub(super) probes_ns_a_second: Option<f64>,
    /// Exchanges are thinned.
    pub(super) is_thinned: bool,
}

/// Decides when exchanges are watched.
#[derive(Debug)]
pub(super) struct Budget {
    /// Part of the watched processes' processor time that the watch may take.
    share: f64,
    /// Fixed turns, in place of what follows from the cost.
    turns: Option<[Duration; 2]>,
    is_pause: bool,
    /// The present stretch of time began, with these totals.
    since: Instant,
    agent_ns: u64,
    used_ns: u64,
    /// The pause ends.
    until: Instant,
    /// What pauses cost, processors; 0 before the first.
    paused_cost: f64,
    used: Used,
}

/// Processor time of the watched processes.
#[derive(Debug, Default)]
struct Used {
    ns: u64,
    /// Of each thread, by the newest sample; `None` before the first.
    threads: Option<FxHashMap<u32, u64>>,
}

impl Budget {
    /// `share` is from 0 to 1.
    pub(super) fn new(share: f64, now: Instant, agent_ns: u64) -> Self {
        Self {
            share,
            turns: turns_for_tests(),
            is_pause: false,
            since: now,
            agent_ns,
            used_ns: 0,
            until: now,
            paused_cost: 0.0,
            used: Used::default(),
        }
    }

    pub(super) fn is_pause(&self) -> bool {
        self.is_pause
    }

    /// Takes the threads of a refresh.
    pub(super) fn note(&mut self, threads: &[ThreadSample]) {
        self.used.note(threads);
    }

    /// True if a pause is to begin now, or to end.
    pub(super) fn is_due(&mut self, now: Instant, spent: Spent) -> bool {
        let lasted = now.saturating_duration_since(self.since);
        if self.is_pause {
            return now >= self.until;
        }
        let watched = self.turns.map_or(WATCHED, |[watched, _]| watched);
        if lasted < watched {
            return false;
        }
        let pause = match self.turns {
            Some([_, paused]) => paused,
            None => self.pause_after(lasted, spent),
        };
        if pause.is_zero() {
            self.begin(now, spent);
            return false;
        }
        self.until = now + pause;
        true
    }

    /// A pause begins, or ends.
    pub(super) fn change(&mut self, now: Instant, spent: Spent) {
        let lasted = now.saturating_duration_since(self.since);
        if self.is_pause {
            self.paused_cost = self.cost(lasted, spent);
        }
        self.is_pause = !self.is_pause;
        self.begin(now, spent);
    }

    fn begin(&mut self, now: Instant, spent: Spent) {
        self.since = now;
        self.agent_ns = spent.agent_ns;
        self.used_ns = self.used.ns;
    }

    /// Pause that brings the cost of this long a watch down to the budget; 0 if it is within it.
    fn pause_after(&self, lasted: Duration, spent: Spent) -> Duration {
        let cost = self.cost(lasted, spent);
        // An idle server loses nothing: a part of one processor may always be used.
        let used = self.used.ns.saturating_sub(self.used_ns) as f64;
        let allowed = self.share * (used / lasted.as_nanos() as f64).max(1.0);
        if cost <= allowed {
            return Duration::ZERO;
        }
        let spare = allowed - self.paused_cost;
        if spare <= 0.0 {
            return LONGEST;
        }
        let times = (cost - allowed) / spare;
        Duration::try_from_secs_f64(lasted.as_secs_f64() * times).unwrap_or(LONGEST).min(LONGEST)
    }

    /// Processors that the watch has used in the present stretch.
    fn cost(&self, lasted: Duration, spent: Spent) -> f64 {
        let agent_ns = spent.agent_ns.saturating_sub(self.agent_ns) as f64;
        let agent = agent_ns / lasted.as_nanos().max(1) as f64;
        let probes = match spent.probes_ns_a_second {
            Some(ns) => ns / 1e9,
            None if spent.is_thinned => PROBES_TO_AGENT_THINNED * agent,
            None => PROBES_TO_AGENT * agent,
        };
        agent + probes
    }
}

impl Used {
    fn note(&mut self, threads: &[ThreadSample]) {
        let now = threads.iter().map(|thread| (thread.tid, thread.cpu_ns)).collect();
        let Some(before) = self.threads.replace(now) else { return };
        for thread in threads {
            let known = before.get(&thread.tid).copied().unwrap_or(0);
            self.ns = thread.cpu_ns.saturating_sub(known).saturating_add(self.ns);
        }
    }
}

fn turns_for_tests() -> Option<[Duration; 2]> {
    let text = std::env::var(TURNS_FOR_TESTS).ok()?;
    let (watched, paused) = text.split_once(',')?;
    let [watched, paused] = [watched, paused].map(|ms| ms.parse().ok());
    Some([Duration::from_millis(watched?), Duration::from_millis(paused?)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn spent(agent_ms: u64, probes: f64) -> Spent {
        Spent {
            agent_ns: agent_ms * 1_000_000,
            probes_ns_a_second: Some(probes * 1e9),
            is_thinned: false,
        }
    }

    fn thread_sample(tid: u32, cpu_ns: u64) -> ThreadSample {
        ThreadSample {
            pid: 4_242,
            parent: 1,
            tid,
            comm: "nginx".into(),
            cpu_ns,
            run_delay_ns: 0,
            runs: 0,
            started_ns: 0,
            sleep: None,
            reads: 0,
            writes: 0,
        }
    }

    #[test]
    fn a_watch_within_its_budget_has_no_pause() {
        let begin = Instant::now();
        let mut budget = Budget::new(0.01, begin, 0);
        assert!(!budget.is_due(begin + 4 * SECOND, spent(9_000, 9.0)), "too early to tell");
        assert!(!budget.is_due(begin + 5 * SECOND, spent(20, 0.005)), "0.9 % of a processor");
        assert!(!budget.is_due(begin + 6 * SECOND, spent(9_000, 9.0)), "the next 5 s have begun");
    }

    #[test]
    fn pauses_are_as_long_as_the_cost_takes() {
        let begin = Instant::now();
        let mut budget = Budget::new(0.01, begin, 0);
        // 4 % in the agent and 4 % in the probes: one second in eight.
        assert!(budget.is_due(begin + 5 * SECOND, spent(200, 0.04)));
        budget.change(begin + 5 * SECOND, spent(200, 0.04));
        assert!(budget.is_pause() && !budget.is_due(begin + 39 * SECOND, spent(200, 0.0)));
        assert!(budget.is_due(begin + 41 * SECOND, spent(380, 0.0)));
        budget.change(begin + 41 * SECOND, spent(380, 0.0));
        // The pause has cost 0.5 %, so that half of the budget is left.
        assert!(budget.is_due(begin + 46 * SECOND, spent(580, 0.04)));
        budget.change(begin + 46 * SECOND, spent(580, 0.04));
        assert!(!budget.is_due(begin + 115 * SECOND, spent(0, 0.0)));
        assert!(budget.is_due(begin + 117 * SECOND, spent(0, 0.0)));
    }

    #[test]
    fn a_busy_server_leaves_more_and_a_pause_has_its_bound() {
        let begin = Instant::now();
        let mut budget = Budget::new(0.01, begin, 0);
        let threads = |ms: u64| [7, 8].map(|tid| thread_sample(tid, ms * 1_000_000));
        budget.note(&threads(90_000));
        budget.note(&threads(110_000));
        // Four processors used each second, of which 4 % is what it takes.
        assert!(!budget.is_due(begin + 10 * SECOND, spent(100, 0.029)));
        let mut budget = Budget::new(0.01, begin, 0);
        budget.paused_cost = 0.02;
        assert!(budget.is_due(begin + 5 * SECOND, spent(200, 0.04)));
        assert_eq!(budget.until, begin + 5 * SECOND + LONGEST, "pauses cost too much themselves");
    }

    #[test]
    fn without_statistics_the_probes_are_reckoned_from_the_agent() {
        let begin = Instant::now();
        let mut budget = Budget::new(0.01, begin, 0);
        let agent = |ms: u64, is_thinned| Spent {
            agent_ns: ms * 1_000_000,
            probes_ns_a_second: None,
            is_thinned,
        };
        assert!(!budget.is_due(begin + 5 * SECOND, agent(12, false)));
        assert!(budget.is_due(begin + 10 * SECOND, agent(12 + 13, false)));
        let mut budget = Budget::new(0.01, begin, 0);
        assert!(!budget.is_due(begin + 5 * SECOND, agent(5, true)));
        assert!(
            budget.is_due(begin + 10 * SECOND, agent(5 + 6, true)),
            "less of it is the agent's"
        );
    }
}

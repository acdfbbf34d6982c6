//! Figures of the customers, for each second.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most failures of different kinds that are told apart.
const MOST_KINDS: usize = 8;

/// What has happened since the last tick.
#[derive(Default)]
pub(super) struct Tally(Mutex<Figures>);

#[derive(Default)]
struct Figures {
    answers_us: Vec<u64>,
    failures: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn answered(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.figures().answers_us.push(us);
    }

    pub(super) fn failed(&self, what: String) {
        let mut figures = self.figures();
        let known = figures.failures.contains_key(&what) || figures.failures.len() < MOST_KINDS;
        let kind = if known { what } else { "others".to_owned() };
        *figures.failures.entry(kind).or_default() += 1;
    }

    /// Returns a line on the time since the last one.
    pub(super) fn tick(&self) -> String {
        let Figures { mut answers_us, failures } = std::mem::take(&mut *self.figures());
        answers_us.sort_unstable();
        let failed: u64 = failures.values().sum();
        let mut line = format!("tick answered={} failed={failed}", answers_us.len());
        if let Some(last) = answers_us.len().checked_sub(1) {
            let at = |percent: usize| answers_us[last * percent / 100];
            line += &format!(" p50_us={} p99_us={}", at(50), at(99));
        }
        for (what, count) in failures {
            line += &format!("; {count} {what}");
        }
        line
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_tells_of_its_second_alone() {
        let tally = Tally::default();
        for ms in 1..=100 {
            tally.answered(Duration::from_millis(ms));
        }
        tally.failed("no answer in time".to_owned());
        let told = "tick answered=100 failed=1 p50_us=50000 p99_us=99000; 1 no answer in time";
        assert_eq!(tally.tick(), told);
        assert_eq!(tally.tick(), "tick answered=0 failed=0");
    }
}

//! The highest figure of the last minute.

/// Length of a step, ns.
const STEP_NS: u64 = 10_000_000_000;
/// Steps of a minute, and the one that is not over.
const STEPS: usize = 7;

/// The highest figure of the last minute, by steps of ten seconds: whoever scrapes once a minute
/// misses none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastMinute {
    highest: [f64; STEPS],
    /// Number of the newest step.
    newest: u64,
}

impl LastMinute {
    pub(super) fn note(&mut self, now_ns: u64, figure: f64) {
        let step = now_ns / STEP_NS;
        let passed = step.saturating_sub(self.newest).min(STEPS as u64);
        for later in 1..=passed {
            self.highest[(self.newest + later) as usize % STEPS] = 0.0;
        }
        if passed > 0 {
            // Where more have passed than there are, all were cleared.
            self.newest = step;
        }
        let highest = &mut self.highest[self.newest as usize % STEPS];
        *highest = highest.max(figure);
    }

    pub(super) fn highest(&self) -> f64 {
        self.highest.iter().copied().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_remembered_for_a_minute_and_no_longer() {
        let second = 1_000_000_000;
        let mut minute = LastMinute::default();
        for now in 0..500 {
            minute.note(now * second, if now == 65 { 9.0 } else { 1.0 });
            let is_near = (65..=125).contains(&now);
            let is_far = !(65..=140).contains(&now);
            assert!(!is_near || minute.highest() == 9.0, "{now}");
            assert!(!is_far || minute.highest() == 1.0, "{now}");
        }
        minute.note(5_000 * second, 0.5);
        assert_eq!(minute.highest(), 0.5);
    }
}

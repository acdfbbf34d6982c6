//! A sliding window: sums of the last few seconds, in steps of half a second.

use std::collections::VecDeque;

/// Length of a step, ns.
const STEP_NS: u64 = 500_000_000;

/// Sums of the steps of the last `SECONDS`. An older step is dropped when the next one begins, and
/// left out before that.
#[derive(Clone, Debug)]
pub(super) struct Window<T, const SECONDS: u64> {
    /// By number, oldest first.
    steps: VecDeque<(u64, T)>,
}

impl<T, const SECONDS: u64> Default for Window<T, SECONDS> {
    fn default() -> Self {
        Self { steps: VecDeque::new() }
    }
}

impl<T: Default, const SECONDS: u64> Window<T, SECONDS> {
    /// Length of the window, ns.
    pub(super) const SPAN_NS: u64 = SECONDS * 1_000_000_000;

    /// Returns the step that counts what happens now.
    pub(super) fn now(&mut self, now_ns: u64) -> &mut T {
        self.now_forgetting(now_ns, drop)
    }

    /// Returns the step that counts what happens now, after each step that is too old went to
    /// `forget`.
    pub(super) fn now_forgetting(&mut self, now_ns: u64, forget: impl FnMut(T)) -> &mut T {
        let step = number_at(now_ns);
        let is_new = self.steps.back().is_none_or(|(newest, _)| *newest < step);
        if is_new {
            self.steps.push_back((step, T::default()));
            self.expire_to(now_ns, forget);
        }
        let newest = self.steps.len() - 1;
        &mut self.steps[newest].1
    }

    /// Returns the step of a past time, while it is kept.
    pub(super) fn at(&mut self, ts_ns: u64) -> Option<&mut T> {
        let step = number_at(ts_ns);
        let (_, sum) = self.steps.iter_mut().find(|(other, _)| *other == step)?;
        Some(sum)
    }

    /// Drops the steps that are too old.
    pub(super) fn expire(&mut self, now_ns: u64) {
        self.expire_to(now_ns, drop);
    }

    fn expire_to(&mut self, now_ns: u64, mut forget: impl FnMut(T)) {
        let oldest = oldest_before::<SECONDS>(now_ns);
        while let Some((step, _)) = self.steps.front()
            && *step <= oldest
            && let Some((_, sum)) = self.steps.pop_front()
        {
            forget(sum);
        }
        if self.steps.is_empty() {
            self.steps.shrink_to_fit();
        }
    }

    /// Moves all steps on, over a time that does not count.
    pub(super) fn skip(&mut self, lasted_ns: u64) {
        for (step, _) in &mut self.steps {
            *step = step.saturating_add(lasted_ns / STEP_NS);
        }
    }

    /// Returns the steps of the last seconds, oldest first.
    pub(super) fn recent(&self, now_ns: u64) -> impl Iterator<Item = &T> {
        let oldest = oldest_before::<SECONDS>(now_ns);
        let begin = self.steps.partition_point(|(step, _)| *step <= oldest);
        self.steps.range(begin..).map(|(_, sum)| sum)
    }

    /// Returns every step that is kept, oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.steps.iter().map(|(_, sum)| sum)
    }

    /// Whether nothing has happened in the last seconds.
    pub(super) fn is_over(&self, now_ns: u64) -> bool {
        self.recent(now_ns).next().is_none()
    }
}

/// Number of the step of a time, from 1 on: before there can be one, 0 is too old.
fn number_at(ts_ns: u64) -> u64 {
    ts_ns / STEP_NS + 1
}

/// Number of the newest step that is too old.
fn oldest_before<const SECONDS: u64>(now_ns: u64) -> u64 {
    match now_ns.checked_sub(SECONDS * 1_000_000_000) {
        Some(since_ns) => number_at(since_ns),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn sum(window: &Window<u64, 5>, now_ns: u64) -> u64 {
        window.recent(now_ns).sum()
    }

    #[test]
    fn what_is_older_than_the_window_is_left_out_and_then_forgotten() {
        let mut window = Window::<u64, 5>::default();
        let mut forgotten = Vec::new();
        for second in 10..20 {
            *window.now_forgetting(second * SECOND, |sum| forgotten.push(sum)) += second;
        }
        assert_eq!(sum(&window, 19 * SECOND), 15 + 16 + 17 + 18 + 19);
        assert_eq!(sum(&window, 22 * SECOND), 18 + 19, "left out");
        assert_eq!(forgotten, [10, 11, 12, 13, 14]);
        assert_eq!(
            window.all().sum::<u64>() + forgotten.iter().sum::<u64>(),
            (10..20).sum::<u64>()
        );
        assert!(!window.is_over(23 * SECOND) && window.is_over(24 * SECOND));
        window.expire(24 * SECOND);
        assert_eq!(window.all().count(), 0);
    }

    #[test]
    fn a_time_that_is_skipped_ages_nothing() {
        let mut window = Window::<u64, 5>::default();
        *window.now(10 * SECOND) += 1;
        *window.now(12 * SECOND) += 2;
        window.skip(60 * SECOND);
        assert_eq!((sum(&window, 74 * SECOND), sum(&window, 76 * SECOND)), (3, 2));
        *window.now(73 * SECOND) += 4;
        assert_eq!(sum(&window, 73 * SECOND), 7);
    }

    #[test]
    fn what_is_counted_late_is_found_by_its_time_and_time_that_goes_back_by_the_newest_step() {
        let mut window = Window::<u64, 5>::default();
        *window.now(10 * SECOND) += 1;
        *window.now(11 * SECOND) += 2;
        *window.now(10 * SECOND) += 4;
        assert_eq!(window.at(10 * SECOND + 1), Some(&mut 1));
        assert_eq!(window.at(11 * SECOND), Some(&mut 6));
        assert_eq!(window.at(12 * SECOND), None);
    }
}

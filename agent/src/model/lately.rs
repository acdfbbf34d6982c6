//! Totals of the last few seconds, for rates and shares over the window that findings have.

use std::collections::VecDeque;

use super::snapshot::RATE_SECONDS;

/// Length of the window, ns.
pub(super) const SPAN_NS: u64 = RATE_SECONDS * 1_000_000_000;
/// Totals closer together than this count as one, ns. With [`SPAN_NS`] it bounds their number.
const GRAIN_NS: u64 = 250_000_000;

/// Totals at some times, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Lately<const N: usize> {
    points: VecDeque<(u64, [u64; N])>,
}

impl<const N: usize> Default for Lately<N> {
    fn default() -> Self {
        Self { points: VecDeque::new() }
    }
}

impl<const N: usize> Lately<N> {
    /// Begins at a time with totals of 0.
    pub(super) fn from(begun_ns: u64) -> Self {
        Self { points: VecDeque::from([(begun_ns, [0; N])]) }
    }

    /// Adds the totals of now, and forgets what is older than the window.
    pub(super) fn push(&mut self, now_ns: u64, totals: [u64; N]) {
        if self.points.len() > 1
            && let Some((newest_ns, newest)) = self.points.back_mut()
            && now_ns.saturating_sub(*newest_ns) < GRAIN_NS
        {
            *newest = totals;
        } else {
            self.points.push_back((now_ns, totals));
        }
        let from_ns = now_ns.saturating_sub(SPAN_NS);
        while self.points.len() > 2 && self.points[1].0 <= from_ns {
            self.points.pop_front();
        }
    }

    /// Returns the growth of the totals up to now, and the time in which they grew, ns; `None`
    /// before the second time.
    pub(super) fn growth(&self, now_ns: u64) -> Option<(u64, [u64; N])> {
        let ((begun_ns, before), (_, totals)) = (self.points.front()?, self.points.back()?);
        let elapsed_ns = now_ns.checked_sub(*begun_ns).filter(|elapsed_ns| *elapsed_ns > 0)?;
        let mut growth = [0; N];
        for (at, total) in totals.iter().enumerate() {
            growth[at] = total.saturating_sub(before[at]);
        }
        Some((elapsed_ns, growth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn rates_do_not_depend_on_the_refresh_period() {
        for period in [SECOND / 100, SECOND / 2, SECOND] {
            let mut lately = Lately::<1>::default();
            for step in 0..=(20 * SECOND / period) {
                // From the tenth second on twice as much.
                let ns = step * period;
                lately.push(ns, [ns / 1_000 + ns.saturating_sub(10 * SECOND) / 1_000]);
            }
            let (elapsed_ns, [growth]) = lately.growth(20 * SECOND).unwrap();
            let rate = growth as f64 / elapsed_ns as f64 * 1e9;
            assert!((rate - 2_000_000.0).abs() < 100_000.0, "{rate} with a period of {period} ns");
            assert!(lately.points.len() <= 22, "{} with {period}", lately.points.len());
        }
    }

    #[test]
    fn one_time_alone_has_no_rate() {
        let mut lately = Lately::<1>::default();
        assert_eq!(lately.growth(SECOND), None);
        lately.push(SECOND, [7]);
        assert_eq!(lately.growth(SECOND), None);
        lately.push(2 * SECOND, [9]);
        assert_eq!(lately.growth(2 * SECOND), Some((SECOND, [2])));
    }
}

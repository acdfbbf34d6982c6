//! Histograms of waits.

use hdrhistogram::Histogram;

use super::snapshot::WaitView;

/// Longest wait that is counted, µs; longer ones count as this long.
const LONGEST_US: u64 = 3_600_000_000;
/// Upper bounds of the first four buckets of [`WaitView`], µs.
const BUCKETS_US: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Precision of a histogram, and so its size, which grows with the longest wait up to a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    /// Three significant digits, at most 96 KiB.
    Fine,
    /// One significant digit, at most 2 KiB.
    Coarse,
}

/// Waits in µs. Quantiles are right to the precision chosen; count, maximum and buckets are exact.
#[derive(Clone, Debug)]
pub(super) struct WaitHistogram {
    /// `None` where it could not be created; quantiles are then unknown and stay 0.
    counts: Option<Histogram<u32>>,
    view: WaitView,
    /// Number of waits that the quantiles in `view` stand for.
    quantiles_of: u64,
}

impl WaitHistogram {
    pub(super) fn new(precision: Precision) -> Self {
        let digits = match precision {
            Precision::Fine => 3,
            Precision::Coarse => 1,
        };
        let counts = Histogram::new(digits).ok();
        Self { counts, view: WaitView::default(), quantiles_of: 0 }
    }

    /// Counts one wait.
    pub(super) fn record(&mut self, wait_us: u64) {
        self.record_many(wait_us, 1);
    }

    /// Counts `count` waits of one length.
    pub(super) fn record_many(&mut self, wait_us: u64, count: u64) {
        if let Some(counts) = &mut self.counts {
            // It resizes itself, so that no value is out of range.
            let _ = counts.record_n(wait_us.min(LONGEST_US), count.try_into().unwrap_or(u32::MAX));
        }
        let bucket =
            BUCKETS_US.iter().position(|&bound| wait_us < bound).unwrap_or(BUCKETS_US.len());
        self.view.buckets[bucket] = self.view.buckets[bucket].saturating_add(count);
        self.view.count = self.view.count.saturating_add(count);
        self.view.max = self.view.max.max(wait_us.min(LONGEST_US));
    }

    /// Counts everything that `other` counted.
    pub(super) fn merge(&mut self, other: &Self) {
        if let (Some(counts), Some(others)) = (&mut self.counts, &other.counts) {
            for bin in others.iter_recorded() {
                // As in `record_many`.
                let _ =
                    counts.record_n(bin.value_iterated_to().min(LONGEST_US), bin.count_at_value());
            }
        }
        for (bucket, count) in self.view.buckets.iter_mut().zip(other.view.buckets) {
            *bucket = bucket.saturating_add(count);
        }
        self.view.count = self.view.count.saturating_add(other.view.count);
        self.view.max = self.view.max.max(other.view.max);
    }

    /// Brings the quantiles up to date; costs nothing when no wait was counted since.
    pub(super) fn refresh(&mut self) {
        if self.quantiles_of == self.view.count {
            return;
        }
        let Some(counts) = &self.counts else { return };
        let quantile = |q| counts.value_at_quantile(q).min(self.view.max);
        (self.view.p50, self.view.p90, self.view.p99) =
            (quantile(0.5), quantile(0.9), quantile(0.99));
        self.quantiles_of = self.view.count;
    }

    /// Returns the figures as of the last [`refresh`](Self::refresh).
    pub(super) fn view(&self) -> WaitView {
        self.view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_three_digits() {
        let mut histogram = WaitHistogram::new(Precision::Fine);
        (1..=10_000).for_each(|wait| histogram.record(wait));
        histogram.refresh();
        let view = histogram.view();
        for (seen, exact) in [(view.p50, 5_000_u64), (view.p90, 9_000), (view.p99, 9_900)] {
            assert!(seen.abs_diff(exact) * 1_000 <= exact, "{seen} is not {exact}");
        }
        assert_eq!((view.count, view.max), (10_000, 10_000));
        assert_eq!(view.buckets, [999, 9_000, 1, 0, 0]);
    }

    #[test]
    fn one_wait_is_every_quantile() {
        let mut histogram = WaitHistogram::new(Precision::Coarse);
        histogram.record(300_123);
        histogram.refresh();
        let view = histogram.view();
        assert_eq!((view.p50, view.p99, view.max), (300_123, 300_123, 300_123));
    }

    #[test]
    fn waits_beyond_an_hour_saturate_and_memory_stays_bounded() {
        let mut histogram = WaitHistogram::new(Precision::Fine);
        histogram.record(u64::MAX);
        histogram.record(0);
        histogram.refresh();
        assert_eq!(histogram.view().max, LONGEST_US);
        assert_eq!(histogram.view().buckets, [1, 0, 0, 0, 1]);
        let bins = histogram.counts.as_ref().map_or(0, |counts| counts.distinct_values());
        assert!(bins > 0 && bins * 4 <= 96 * 1024, "{bins} bins");
    }

    #[test]
    fn merging_adds_up() {
        let (mut all, mut other) =
            (WaitHistogram::new(Precision::Fine), WaitHistogram::new(Precision::Coarse));
        all.record(100);
        other.record(2_000_000);
        other.record(2_000_000);
        all.merge(&other);
        all.refresh();
        assert_eq!((all.view().count, all.view().max, all.view().p50), (3, 2_000_000, 2_000_000));
        assert_eq!(all.view().buckets, [1, 0, 0, 0, 2]);
    }
}

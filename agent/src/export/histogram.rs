//! Exponential histograms of durations: exact counts, bounds at fixed ratios, a bounded size.

use std::time::SystemTime;

/// Buckets for each doubling: bounds lie 9 % apart. Both formats that know such histograms call this
/// their scale or schema: 2^3 buckets.
pub(crate) const SCALE: i32 = 3;
const A_DOUBLING: i32 = 1 << SCALE;
/// Number of the first bucket: it ends at 2^-20 s, just below 1 µs. What is shorter is zero.
const FIRST: i32 = -20 * A_DOUBLING + 1;
/// Number of the last bucket: it ends at 4,096 s, and takes what is longer, too.
const LAST: i32 = 12 * A_DOUBLING;
const BUCKETS: usize = (LAST - FIRST + 1) as usize;

/// Durations up to this count as zero, s.
pub(crate) const ZERO_THRESHOLD: f64 = 1.0 / 1_048_576.0;

/// Bounds of the classic buckets, as powers of two of a second: from 0.24 ms to 32 s. They are
/// bounds of the exponential buckets, too, so that their counts are exact.
const CLASSIC: std::ops::RangeInclusive<i32> = -12..=5;

/// Bytes that one histogram takes.
pub(crate) const BYTES: usize = BUCKETS * 8 + size_of::<Histogram>() + size_of::<Exemplar>() + 24;

/// Durations. Bucket `i` holds those above `2^((i-1)/8)` s, up to `2^(i/8)` s.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    zero: u64,
    count: u64,
    sum_us: u64,
    exemplar: Option<Box<Exemplar>>,
}

/// One duration that was counted, and the span that has more on it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exemplar {
    pub(crate) us: u64,
    pub(crate) at: SystemTime,
    pub(crate) trace_id: Vec<u8>,
    pub(crate) span_id: Vec<u8>,
}

/// A run of buckets, none empty at its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Filled<'a> {
    /// Number of the first one.
    pub(crate) first: i32,
    pub(crate) counts: &'a [u64],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), zero: 0, count: 0, sum_us: 0, exemplar: None }
    }
}

impl Histogram {
    /// Counts so many durations of one length.
    pub(crate) fn record(&mut self, us: u64, count: u64) {
        self.count += count;
        self.sum_us = us.saturating_mul(count).saturating_add(self.sum_us);
        match bucket(us) {
            Some(number) => self.buckets[(number - FIRST) as usize] += count,
            None => self.zero += count,
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn zero(&self) -> u64 {
        self.zero
    }

    /// Links a duration that was counted with its span.
    pub(crate) fn link(&mut self, exemplar: Exemplar) {
        self.exemplar = Some(Box::new(exemplar));
    }

    /// The duration that was linked last.
    pub(crate) fn exemplar(&self) -> Option<&Exemplar> {
        self.exemplar.as_deref()
    }

    /// Sum of all, s.
    pub(crate) fn sum(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }

    /// The buckets from the first that is not empty to the last.
    pub(crate) fn filled(&self) -> Filled<'_> {
        let is_filled = |count: &u64| *count > 0;
        let Some(first) = self.buckets.iter().position(is_filled) else {
            return Filled { first: 0, counts: &[] };
        };
        let last = self.buckets.iter().rposition(is_filled).unwrap_or(first);
        Filled { first: FIRST + first as i32, counts: &self.buckets[first..=last] }
    }

    /// The classic buckets: upper bound, s, and the number of durations up to it. The one without a
    /// bound, which holds [`count`](Self::count), is left out.
    pub(crate) fn classic(&self) -> impl Iterator<Item = (f64, u64)> {
        let (mut next, mut sum) = (0, self.zero);
        CLASSIC.map(move |power| {
            let end = (power * A_DOUBLING - FIRST + 1) as usize;
            sum += self.buckets[next..end].iter().sum::<u64>();
            next = end;
            (f64::powi(2.0, power), sum)
        })
    }
}

/// Number of the bucket of a duration; `None` if it counts as zero.
fn bucket(us: u64) -> Option<i32> {
    let seconds = us as f64 / 1e6;
    if seconds <= ZERO_THRESHOLD {
        return None;
    }
    let number = (seconds.log2() * f64::from(A_DOUBLING)).ceil() as i32;
    Some(number.clamp(FIRST, LAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upper(number: i32) -> f64 {
        f64::powf(2.0, f64::from(number) / f64::from(A_DOUBLING))
    }

    #[test]
    fn a_duration_lies_within_the_bounds_of_its_bucket() {
        let mut us = 1_u64;
        while us < 4_000_000_000 {
            let number = bucket(us).expect("it is longer than zero");
            let seconds = us as f64 / 1e6;
            assert!(seconds <= upper(number) * (1.0 + 1e-12), "{us} µs in {number}");
            assert!(seconds > upper(number - 1) * (1.0 - 1e-12), "{us} µs in {number}");
            us += 1 + us / 7;
        }
    }

    #[test]
    fn nothing_is_lost_at_either_end() {
        let mut histogram = Histogram::default();
        for us in [0, 1, 250_000, 1_000_000, 4_000_000_000, u64::MAX] {
            histogram.record(us, 1);
        }
        let filled = histogram.filled();
        assert_eq!((histogram.count(), histogram.zero()), (6, 1));
        assert_eq!(filled.counts.iter().sum::<u64>(), 5);
        assert_eq!(filled.first + filled.counts.len() as i32 - 1, LAST);
        // 0.25 s and 1 s are bounds, and belong to the bucket that they end.
        assert_eq!((bucket(250_000), bucket(1_000_000)), (Some(-16), Some(0)));
        assert_eq!(bucket(1_000_001), Some(1));
    }

    #[test]
    fn classic_buckets_are_sums_of_the_exponential_ones() {
        let mut histogram = Histogram::default();
        let all = [0, 100, 244, 245, 3_000, 62_500, 62_501, 1_000_000, 40_000_000];
        for us in all {
            histogram.record(us, 1);
        }
        let mut seen = 0;
        for (bound, count) in histogram.classic() {
            let below = all.iter().filter(|us| **us as f64 / 1e6 <= bound).count() as u64;
            assert_eq!(count, below, "up to {bound} s");
            seen += 1;
        }
        assert_eq!((seen, histogram.count()), (18, 9));
    }

    #[test]
    fn an_empty_one_has_no_bucket() {
        let histogram = Histogram::default();
        assert!(histogram.filled().counts.is_empty());
        assert!(histogram.classic().all(|(_, count)| count == 0));
    }
}

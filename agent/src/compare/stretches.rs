//! A recording cut into stretches of about equal length, in bounded memory.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::model::snapshot::{Owner, SliceKind};

/// Stretches that are kept; when there are more, neighbours are joined.
const MAX: usize = 64;
/// Significant digits of quantiles: with two a histogram has some 10 KB.
const DIGITS: u8 = 2;
/// Longest duration that is counted, µs; longer ones count as this long.
const LONGEST_US: u64 = 3_600_000_000;

/// Durations, µs.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations(Option<Histogram<u32>>);

impl Durations {
    fn record(&mut self, us: u64) {
        if self.0.is_none() {
            self.0 = Histogram::new(DIGITS).ok();
        }
        if let Some(histogram) = &mut self.0 {
            // It grows by itself, so that no value is out of range.
            let _ = histogram.record(us.min(LONGEST_US));
        }
    }

    fn join(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (Some(own), Some(other)) => _ = own.add(other),
            (None, Some(other)) => self.0 = Some(other.clone()),
            (_, None) => {}
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// Returns a quantile, µs; `None` without a duration.
    pub(super) fn quantile(&self, quantile: f64) -> Option<f64> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(histogram.value_at_quantile(quantile) as f64)
    }
}

/// Events that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counted {
    Accepts,
    Refusals,
    Abandoned,
    FailedConnects,
    Resets,
    Retransmits,
    Unanswered,
}

/// A stretch of a recording.
#[derive(Clone, Debug, Default)]
pub(super) struct Stretch {
    /// Its length, ns.
    pub(super) length_ns: u64,
    /// Time of it in which exchanges were watched, ns.
    pub(super) watched_ns: u64,
    pub(super) counts: BTreeMap<Counted, u64>,
    pub(super) exchanges: Durations,
    pub(super) accept_waits: Durations,
    /// Time of exchanges by kind, µs.
    pub(super) kinds_us: BTreeMap<SliceKind, u64>,
    /// Processor time of the watch itself, ns; `None` where it is not known.
    pub(super) cost_ns: Option<u64>,
}

impl Stretch {
    pub(super) fn add(&mut self, counted: Counted, count: u64) {
        if count > 0 {
            *self.counts.entry(counted).or_default() += count;
        }
    }

    pub(super) fn exchange(&mut self, us: u64, slices: impl Iterator<Item = (SliceKind, u64)>) {
        self.exchanges.record(us);
        for (kind, us) in slices {
            *self.kinds_us.entry(kind).or_default() += us;
        }
    }

    pub(super) fn accept_wait(&mut self, us: u64) {
        self.accept_waits.record(us);
    }

    /// Returns the number of events.
    pub(super) fn count(&self, counted: Counted) -> u64 {
        self.counts.get(&counted).copied().unwrap_or(0)
    }

    /// Returns the time of exchanges of one owner, µs.
    pub(super) fn owner_us(&self, owner: Owner) -> u64 {
        let of_owner = self.kinds_us.iter().filter(|(kind, _)| kind.owner() == owner);
        of_owner.map(|(_, us)| *us).sum()
    }

    fn join(&mut self, later: &Self) {
        self.length_ns += later.length_ns;
        self.watched_ns += later.watched_ns;
        for (counted, count) in &later.counts {
            self.add(*counted, *count);
        }
        self.exchanges.join(&later.exchanges);
        self.accept_waits.join(&later.accept_waits);
        for (kind, us) in &later.kinds_us {
            *self.kinds_us.entry(*kind).or_default() += us;
        }
        self.cost_ns = match (self.cost_ns, later.cost_ns) {
            (Some(own), Some(later)) => Some(own + later),
            (own, later) => own.or(later),
        };
    }
}

/// The stretches of a recording, in their order.
#[derive(Clone, Debug)]
pub(super) struct Stretches {
    all: Vec<Stretch>,
    /// Given stretches that make one of `all`.
    stride: usize,
    in_last: usize,
}

impl Default for Stretches {
    fn default() -> Self {
        Self { all: Vec::new(), stride: 1, in_last: 0 }
    }
}

impl Stretches {
    pub(super) fn push(&mut self, stretch: &Stretch) {
        match self.all.last_mut() {
            Some(last) if self.in_last < self.stride => {
                last.join(stretch);
                self.in_last += 1;
            }
            _ => {
                if self.all.len() == MAX {
                    self.all = joined(&self.all, 2);
                    self.stride *= 2;
                }
                self.all.push(stretch.clone());
                self.in_last = 1;
            }
        }
    }

    /// Joins one that is much shorter than the others, at the end, with the one before it.
    pub(super) fn finish(&mut self) {
        let [.., before, last] = self.all.as_mut_slice() else { return };
        if last.length_ns < before.length_ns / 2 {
            before.join(last);
            self.all.pop();
        }
    }

    pub(super) fn all(&self) -> &[Stretch] {
        &self.all
    }

    /// Returns everything as one stretch.
    pub(super) fn whole(&self) -> Stretch {
        joined(&self.all, self.all.len().max(1)).pop().unwrap_or_default()
    }

    /// Returns stretches of which each has so many samples on average, at most all that there are.
    pub(super) fn with_samples(&self, needed: u64, of: impl Fn(&Stretch) -> u64) -> Vec<Stretch> {
        let samples: u64 = self.all.iter().map(of).sum();
        let wanted = (samples / needed.max(1)).clamp(1, MAX as u64) as usize;
        joined(&self.all, self.all.len().div_ceil(wanted).max(1))
    }
}

/// Joins so many neighbours to one each time.
fn joined(all: &[Stretch], count: usize) -> Vec<Stretch> {
    let mut stretches = Vec::with_capacity(all.len() / count + 1);
    for neighbours in all.chunks(count) {
        let mut one = Stretch::default();
        for stretch in neighbours {
            one.join(stretch);
        }
        stretches.push(one);
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_long_recording_is_there() {
        let mut stretches = Stretches::default();
        for number in 0..10_000_u64 {
            let mut stretch = Stretch { length_ns: 10, watched_ns: 9, ..Stretch::default() };
            stretch.add(Counted::Accepts, 2);
            stretch.exchange(number, [(SliceKind::App, number)].into_iter());
            stretches.push(&stretch);
            assert!(stretches.all().len() <= MAX);
        }
        stretches.finish();
        let whole = stretches.whole();
        assert_eq!((whole.length_ns, whole.watched_ns), (100_000, 90_000));
        assert_eq!((whole.count(Counted::Accepts), whole.exchanges.count()), (20_000, 10_000));
        assert_eq!(whole.owner_us(Owner::App), 49_995_000);
        let median = whole.exchanges.quantile(0.5).expect("a median");
        assert!((median - 5_000.0).abs() < 100.0, "{median}");
        let lengths: Vec<u64> = stretches.all().iter().map(|one| one.length_ns).collect();
        let (_, first) = lengths.split_last().expect("stretches");
        assert!(first.windows(2).all(|pair| pair[0] == pair[1]), "{lengths:?}");
    }

    #[test]
    fn stretches_with_few_samples_are_joined() {
        let mut stretches = Stretches::default();
        for _ in 0..60 {
            let mut stretch = Stretch { length_ns: 1, ..Stretch::default() };
            (0..10).for_each(|us| stretch.accept_wait(us));
            stretches.push(&stretch);
        }
        let of = |stretch: &Stretch| stretch.accept_waits.count();
        assert_eq!(stretches.with_samples(5, of).len(), 60);
        let joined = stretches.with_samples(100, of);
        assert_eq!(joined.len(), 6);
        assert!(joined.iter().all(|one| of(one) == 100));
        assert_eq!(stretches.with_samples(1_000_000, of).len(), 1);
    }
}

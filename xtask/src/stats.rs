//! Medians and spread of paired measurements.

/// Time of one connection or request, µs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// On the clock, including waits for a processor that others use.
    pub(crate) elapsed: f64,
    /// Processor time of client and server together.
    pub(crate) cpu: f64,
}

/// Two measurements, one right after the other: without the thing measured, and with it.
pub(crate) type Pair = (f64, f64);

/// A median, and a quantile below and above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Median and quartiles of these values; `None` if there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        Self::between(0.25, values)
    }

    /// Median and outer tenths of these values; `None` if there are none.
    pub(crate) fn wide(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        Self::between(0.1, values)
    }

    fn between(share: f64, values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        if sorted.is_empty() {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let [low, median, high] = [share, 0.5, 1.0 - share].map(|share| quantile(&sorted, share));
        Some(Self { low, median, high })
    }

    /// Returns the spread of the ratio with : without, pair by pair. A drift that is slower than a
    /// pair cancels out.
    pub(crate) fn of_ratios(pairs: &[Pair]) -> Option<Self> {
        Self::of(pairs.iter().map(|(without, with)| with / without))
    }
}

/// A quantile of sorted values, interpolated between neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        assert_eq!(
            Spread::of([4.0, 1.0, 3.0, 2.0]),
            Some(Spread { low: 1.75, median: 2.5, high: 3.25 })
        );
        let tenths = Spread::wide((0..=10).map(f64::from));
        assert_eq!(tenths, Some(Spread { low: 1.0, median: 5.0, high: 9.0 }));
        assert_eq!(Spread::of([7.0]), Some(Spread { low: 7.0, median: 7.0, high: 7.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_drift_of_both_sides_leaves_the_ratio_alone() {
        let ratio =
            Spread::of_ratios(&[(10.0, 11.0), (20.0, 22.0), (40.0, 44.0)]).expect("three pairs");
        assert!((ratio.median - 1.1).abs() < 1e-9, "{ratio:?}");
    }
}

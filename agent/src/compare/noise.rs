//! Whether the means of two series differ by more than chance explains.

/// Quantile of the normal distribution that is exceeded, either way, in one of a thousand cases.
const Z: f64 = 3.290_526_731;
/// Largest likeness of neighbours that is allowed for.
const MAX_LIKENESS: f64 = 0.9;

/// A series of stretches of one recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Series {
    mean: f64,
    /// Variance of the mean.
    variance: f64,
    /// Degrees of freedom.
    freedom: f64,
}

impl Series {
    /// Sums up the stretches, in their order. `floor` is the least variance that the mean has for
    /// another reason. `None` for fewer than two.
    pub(super) fn of(values: &[f64], floor: f64) -> Option<Self> {
        if values.len() < 2 {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let pairs: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
        // Stretches that are like the one before tell less than others do, where that is more than
        // so few are alike by chance.
        let likeness = if squares > 0.0 { pairs / squares - count.sqrt().recip() } else { 0.0 };
        let likeness = likeness.clamp(0.0, MAX_LIKENESS);
        let widened = (1.0 + likeness) / (1.0 - likeness);
        let variance = squares / (count - 1.0) / count * widened;
        let freedom = ((count - 1.0) / widened).max(1.0);
        Some(Self { mean, variance: variance.max(floor), freedom })
    }

    /// Returns the smallest difference of two means that chance does not explain.
    pub(super) fn resolution(&self, other: &Self) -> f64 {
        let (one, two) = (self.variance, other.variance);
        let sum = one + two;
        if sum == 0.0 {
            return 0.0;
        }
        // Welch and Satterthwaite.
        let freedom = sum.powi(2) / (one.powi(2) / self.freedom + two.powi(2) / other.freedom);
        quantile(freedom) * sum.sqrt()
    }

    /// Returns the difference of the means.
    pub(super) fn until(&self, later: &Self) -> f64 {
        later.mean - self.mean
    }
}

/// Quantile of Student's distribution for the same share as [`Z`]: its expansion in powers of
/// 1/`freedom` (Abramowitz and Stegun, 26.7.5).
fn quantile(freedom: f64) -> f64 {
    let (n, z) = (freedom.max(3.0), Z);
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    let fourth = (79.0 * z.powi(9) + 776.0 * z.powi(7) + 1_482.0 * z.powi(5)
        - 1_920.0 * z.powi(3)
        - 945.0 * z)
        / 92_160.0;
    z + first / n + second / n.powi(2) + third / n.powi(3) + fourth / n.powi(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudo-random numbers between 0 and 1.
    fn random(seed: u64) -> impl Iterator<Item = f64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        std::iter::from_fn(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            Some((state >> 11) as f64 / (1_u64 << 53) as f64)
        })
    }

    #[test]
    fn the_quantile_is_the_tables() {
        for (freedom, exact) in [(4.0, 8.610), (5.0, 6.869), (10.0, 4.587), (30.0, 3.646)] {
            let found = quantile(freedom);
            assert!((found - exact).abs() < exact * 0.02, "{freedom}: {found}");
        }
        assert!((quantile(1e9) - Z).abs() < 1e-6);
    }

    fn differ(one: &[f64], other: &[f64]) -> bool {
        let (one, other) = (Series::of(one, 0.0).unwrap(), Series::of(other, 0.0).unwrap());
        one.until(&other).abs() > one.resolution(&other)
    }

    #[test]
    fn chance_is_rarely_taken_for_a_difference() {
        let mut alarms = 0;
        for seed in 1..2_000 {
            let mut numbers = random(seed);
            let one: Vec<f64> = numbers.by_ref().take(12).collect();
            let other: Vec<f64> = numbers.take(20).collect();
            alarms += usize::from(differ(&one, &other));
        }
        assert!(alarms <= 10, "{alarms} of 2,000");
    }

    #[test]
    fn stretches_that_are_alike_tell_less() {
        let mut alarms = 0;
        for seed in 1..1_000 {
            let mut numbers = random(seed);
            // Each value stays for four stretches.
            let mut drifting = |count: usize| {
                let mut all = Vec::new();
                for value in numbers.by_ref().take(count) {
                    all.extend([value; 4]);
                }
                all
            };
            alarms += usize::from(differ(&drifting(6), &drifting(6)));
        }
        assert!(alarms <= 20, "{alarms} of 1,000");
    }

    #[test]
    fn a_shift_beyond_the_noise_is_found() {
        for seed in 1..200 {
            let mut numbers = random(seed);
            let one: Vec<f64> = numbers.by_ref().take(20).collect();
            let other: Vec<f64> = numbers.take(20).map(|value| value + 1.0).collect();
            assert!(differ(&one, &other), "{seed}");
        }
    }
}

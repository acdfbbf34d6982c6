//! Whether the stamps of a capture and the times of a recording are of one clock.

use super::TOLERANCE_NS;

/// Fewest connections whose times may be shifted by: one alone may be another of the same addresses.
const LEAST: u64 = 2;
/// Share of the connections that must agree for a difference to be the clocks'.
const AGREEMENT: f64 = 0.8;

/// The clocks of a capture and of a recording, compared by connections whose SYN both have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Connections whose SYN both have.
    pub compared: u64,
    /// Of these, such whose stamps differ from the median by less than the tolerance.
    pub agreeing: u64,
    /// The median of the differences, ns: positive where the capture's stamps are the later ones.
    /// 0 if nothing was compared.
    pub median_ns: i64,
    /// The largest difference between two, ns.
    pub spread_ns: u64,
    /// What the times of the recording are shifted by, ns: the median if it is beyond the tolerance
    /// and nearly all of several agree, else 0.
    pub shift_ns: i64,
    /// Farthest that a stamp of the capture is behind one before it, ns.
    pub set_back_ns: u64,
}

impl Clocks {
    pub(super) fn of(mut offsets_ns: Vec<i64>, set_back_ns: u64) -> Self {
        offsets_ns.sort_unstable();
        let Some(median_ns) = offsets_ns.get(offsets_ns.len() / 2).copied() else {
            return Self { set_back_ns, ..Self::default() };
        };
        let is_near = |offset_ns: &&i64| offset_ns.abs_diff(median_ns) < TOLERANCE_NS;
        let agreeing = offsets_ns.iter().filter(is_near).count() as u64;
        let compared = offsets_ns.len() as u64;
        let agree = agreeing as f64 >= AGREEMENT * compared as f64;
        let is_apart = median_ns.unsigned_abs() > TOLERANCE_NS;
        let first_ns = offsets_ns.first().copied().unwrap_or(median_ns);
        let last_ns = offsets_ns.last().copied().unwrap_or(median_ns);
        Self {
            compared,
            agreeing,
            median_ns,
            spread_ns: last_ns.abs_diff(first_ns),
            shift_ns: if agree && is_apart && compared >= LEAST { median_ns } else { 0 },
            set_back_ns,
        }
    }

    /// True if the connections do not agree: the clock was set in between.
    pub fn disagree(&self) -> bool {
        (self.agreeing as f64) < AGREEMENT * self.compared as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_clock_that_was_set_is_found_out() {
        let one = Clocks::of(vec![12_000, -3_000, 40_000, 8_000], 0);
        assert_eq!((one.shift_ns, one.disagree(), one.median_ns), (0, false, 12_000));
        let before = Clocks::of((0..10).map(|n| 3_600 * SECOND + n).collect(), 0);
        assert_eq!((before.shift_ns, before.disagree()), (3_600 * SECOND + 5, false));
        let meanwhile =
            Clocks::of((0..10).map(|n| if n < 5 { n } else { 2 * SECOND }).collect(), 0);
        assert!(meanwhile.disagree());
        assert_eq!(meanwhile.shift_ns, 0);
        assert_eq!(Clocks::of(vec![3_600 * SECOND], 0).shift_ns, 0);
        assert_eq!(Clocks::of(Vec::new(), 7), Clocks { set_back_ns: 7, ..Clocks::default() });
    }
}

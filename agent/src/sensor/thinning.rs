//! Decides when ordinary exchanges and connections are told one in several: while they come by
//! thousands, and nobody asks for each. Says how many connections each of these stands for.

use std::time::{Duration, Instant};

use backscope_abi::MAX_LISTENERS;

use crate::{bounded::Bounded, model::event::SockId};

/// Records a second from which on it is worth it: some 2 % of a processor.
const MANY: f64 = 50_000.0;
/// Another number, for tests.
const MANY_FOR_TESTS: &str = "BACKSCOPE_THIN";
/// And it goes on while there are more than one in so many of that.
const STAYS: f64 = 2.0;
/// Shorter times do not show how many come.
const LEAST: Duration = Duration::from_millis(100);

/// Whether exchanges are thinned.
#[derive(Debug)]
pub(super) struct Thinning {
    many: f64,
    is_on: bool,
    /// When records were counted last, and how many there had been.
    counted: Option<(Instant, u64)>,
}

impl Default for Thinning {
    fn default() -> Self {
        Self { many: many_for_tests().unwrap_or(MANY), is_on: false, counted: None }
    }
}

impl Thinning {
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Takes the number of records so far, those that were left untold with them. Returns whether
    /// exchanges are to be thinned from now on.
    pub(super) fn judge(&mut self, now: Instant, records: u64, is_allowed: bool) -> bool {
        if !is_allowed {
            self.is_on = false;
        }
        let Some((then, before)) = self.counted else {
            self.counted = Some((now, records));
            return self.is_on;
        };
        let took = now.saturating_duration_since(then);
        if took >= LEAST {
            self.counted = Some((now, records));
            let rate = records.saturating_sub(before) as f64 / took.as_secs_f64();
            let least = if self.is_on { self.many / STAYS } else { self.many };
            self.is_on = is_allowed && rate >= least;
        }
        self.is_on
    }
}

/// Connections that were left untold, by listener.
#[derive(Debug)]
pub(super) struct Untold {
    /// Their number at the newest one that stands for others, its low bits.
    before: Bounded<SockId, u16>,
}

impl Default for Untold {
    fn default() -> Self {
        Self { before: Bounded::new(MAX_LISTENERS as usize) }
    }
}

impl Untold {
    /// Returns for how many connections one stands, itself one of them: for those that were left
    /// untold since the last that stood for others. `untold` is their number so far, its low bits.
    pub(super) fn stands_for(&mut self, listener: SockId, untold: u16) -> u64 {
        let before = self.before.get(listener).copied().unwrap_or(0);
        // Of two on two processors the older may come last.
        let new = untold.wrapping_sub(before);
        if new > u16::MAX / 2 {
            return 1;
        }
        self.before.insert(listener, untold);
        u64::from(new) + 1
    }
}

fn many_for_tests() -> Option<f64> {
    std::env::var(MANY_FOR_TESTS).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_where_many_come_and_ends_where_few_do() {
        let begin = Instant::now();
        let mut thinning = Thinning { many: MANY, is_on: false, counted: None };
        let mut records = 0;
        let mut after = |second: u64, more: u64, is_allowed: bool| {
            records += more;
            thinning.judge(begin + Duration::from_secs(second), records, is_allowed)
        };
        assert!(!after(0, 1_000_000, true), "nothing to compare with");
        assert!(!after(1, 49_000, true));
        assert!(after(2, 51_000, true));
        assert!(after(3, 26_000, true), "it stays for half as many");
        assert!(!after(4, 24_000, true));
        assert!(after(5, 60_000, true));
        assert!(!after(6, 60_000, false), "somebody asks for each");
        assert!(!after(7, 60_000, false));
        assert!(after(8, 60_000, true));
    }

    #[test]
    fn each_untold_connection_is_stood_for_once() {
        let mut untold = Untold::default();
        assert_eq!(untold.stands_for(1, 6), 7);
        assert_eq!(untold.stands_for(2, 3), 4, "another listener");
        assert_eq!(untold.stands_for(1, 8), 3);
        assert_eq!(untold.stands_for(1, 7), 1, "it was told before the other, and came later");
        assert_eq!(untold.stands_for(1, 8), 1);
        assert_eq!(untold.stands_for(1, 32_000), 31_993);
        assert_eq!(untold.stands_for(1, 64_000), 32_001);
        assert_eq!(untold.stands_for(1, 4), 1_541, "only the low bits are told");
    }

    #[test]
    fn a_moment_does_not_show_how_many_come() {
        let begin = Instant::now();
        let mut thinning = Thinning { many: MANY, is_on: false, counted: None };
        assert!(!thinning.judge(begin, 0, true));
        assert!(!thinning.judge(begin + Duration::from_millis(10), 5_000, true));
        assert!(!thinning.judge(begin + Duration::from_millis(200), 5_001, true));
    }
}

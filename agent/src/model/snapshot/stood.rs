//! The times at which a finding stood.

/// Stretches that are kept of a finding. Of more, the two with least time between them become one.
pub const MAX_STRETCHES: usize = 32;

/// A stretch of time in which a finding stood, ns of `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Refresh at which it was found.
    pub from_ns: u64,
    /// Time at which its condition last held.
    pub until_ns: u64,
}

/// The times at which a finding stood, over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stood {
    /// Each time, oldest first; at most [`MAX_STRETCHES`].
    pub stretches: Vec<Stretch>,
    /// Number of times that it began.
    pub times: u64,
    /// Time for which it stood in all, ns; without pauses, in which nobody could tell.
    pub total_ns: u64,
}

impl Stood {
    /// Returns one time.
    pub fn once(from_ns: u64, until_ns: u64) -> Self {
        Self::default().and(Stretch { from_ns, until_ns }, 0)
    }

    /// Adds a later time, in which nobody could tell for `unwatched_ns`.
    pub fn and(mut self, stretch: Stretch, unwatched_ns: u64) -> Self {
        let stood_ns = stretch.until_ns.saturating_sub(stretch.from_ns);
        self.total_ns = self.total_ns.saturating_add(stood_ns.saturating_sub(unwatched_ns));
        self.times += 1;
        self.stretches.push(stretch);
        if self.stretches.len() > MAX_STRETCHES {
            self.join_nearest();
        }
        self
    }

    /// Returns when it was first found, ns of `CLOCK_MONOTONIC`.
    pub fn from_ns(&self) -> u64 {
        self.stretches.first().map_or(0, |first| first.from_ns)
    }

    /// Returns when its condition last held, ns of `CLOCK_MONOTONIC`.
    pub fn until_ns(&self) -> u64 {
        self.stretches.last().map_or(0, |last| last.until_ns)
    }

    fn join_nearest(&mut self) {
        let gap_ns =
            |at: usize| self.stretches[at].from_ns.saturating_sub(self.stretches[at - 1].until_ns);
        if let Some(at) = (1..self.stretches.len()).min_by_key(|&at| gap_ns(at)) {
            let later = self.stretches.remove(at);
            self.stretches[at - 1].until_ns = later.until_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_and_pauses_do_not_count() {
        let stood = Stood::once(10, 30).and(Stretch { from_ns: 50, until_ns: 90 }, 15);
        assert_eq!((stood.from_ns(), stood.until_ns()), (10, 90));
        assert_eq!((stood.times, stood.total_ns), (2, 45));
    }

    #[test]
    fn many_stretches_become_few_and_the_figures_stay() {
        let mut stood = Stood::default();
        for nth in 0..1_000 {
            stood = stood.and(Stretch { from_ns: nth * 100, until_ns: nth * 100 + 10 }, 0);
        }
        assert_eq!(stood.stretches.len(), MAX_STRETCHES);
        assert_eq!((stood.from_ns(), stood.until_ns()), (0, 99_910));
        assert_eq!((stood.times, stood.total_ns), (1_000, 10_000));
        assert!(stood.stretches.is_sorted_by_key(|stretch| stretch.from_ns));
    }
}

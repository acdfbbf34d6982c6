//! Time of all exchanges by holder: each is added once its calls are known.

use crate::model::snapshot::HolderTimes;
use crate::model::window::Window;

/// Sums over the run, and over the last few seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct HolderTotals {
    /// Sum of the steps that the window has dropped.
    before: HolderTimes,
    recent: Window<HolderTimes, 5>,
}

impl HolderTotals {
    /// Adds the time of one exchange, or of several.
    pub(super) fn add(&mut self, now_ns: u64, times: &HolderTimes) {
        let before = &mut self.before;
        self.recent.now_forgetting(now_ns, |times| before.merge(&times)).merge(times);
    }

    /// A pause has ended that lasted so long.
    pub(super) fn skip(&mut self, lasted_ns: u64) {
        self.recent.skip(lasted_ns);
    }

    /// Sums the run.
    pub(super) fn all(&self) -> HolderTimes {
        let mut sum = self.before;
        for times in self.recent.all() {
            sum.merge(times);
        }
        sum
    }

    /// Sums the last few seconds.
    pub(super) fn recent(&self, now_ns: u64) -> HolderTimes {
        let mut sum = HolderTimes::default();
        for times in self.recent.recent(now_ns) {
            sum.merge(times);
        }
        sum
    }
}

//! Time of exchanges by owner and kind, over the run and over the last few seconds.

use super::exchange;
use super::snapshot::{ExchangeView, Owner, OwnerTimes, Slice, SliceKind};
use super::window::Window;

/// Time by kind, µs, in the order of [`SliceKind::ALL`].
pub(super) type KindTimes = [u64; SliceKind::ALL.len()];

impl OwnerTimes {
    /// Adds so many exchanges like one, without a trailing delayed ACK.
    pub(super) fn add(&mut self, slices: &[Slice], count: u64) {
        self.exchanges += count;
        for (kind, us) in exchange::counted(slices) {
            self.add_time(kind, us.saturating_mul(count));
        }
    }

    /// Adds time of one kind.
    pub(super) fn add_time(&mut self, kind: SliceKind, us: u64) {
        let sum = self.of_mut(kind.owner());
        *sum = sum.saturating_add(us);
    }

    /// Adds what another sum has.
    pub(super) fn merge(&mut self, other: &Self) {
        self.exchanges += other.exchanges;
        for owner in Owner::ALL {
            let sum = self.of_mut(owner);
            *sum = sum.saturating_add(other.of(owner));
        }
    }
}

/// Sums over every exchange reported.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    /// Sum of the steps that the window has dropped.
    before: OwnerTimes,
    /// A trailing delayed ACK is in it.
    pub(super) by_kind: KindTimes,
    recent: Window<OwnerTimes, 5>,
}

impl Times {
    /// Adds an exchange that was reported, as often as it stands for one.
    pub(super) fn add(&mut self, now_ns: u64, view: &ExchangeView) {
        let count = view.stands_for;
        for slice in &view.slices {
            let sum = &mut self.by_kind[slice.kind as usize];
            *sum = sum.saturating_add(slice.us.saturating_mul(count));
        }
        let before = &mut self.before;
        self.recent.now_forgetting(now_ns, |times| before.merge(&times)).add(&view.slices, count);
    }

    /// Adds exchanges that were left untold, and of whose time nothing is known.
    pub(super) fn add_untimed(&mut self, now_ns: u64, count: u64) {
        if count > 0 {
            let before = &mut self.before;
            let recent = self.recent.now_forgetting(now_ns, |times| before.merge(&times));
            recent.exchanges += count;
        }
    }

    /// A pause has ended that lasted so long.
    pub(super) fn skip(&mut self, lasted_ns: u64) {
        self.recent.skip(lasted_ns);
    }

    /// Sums the run.
    pub(super) fn all(&self) -> OwnerTimes {
        let mut sum = self.before;
        for times in self.recent.all() {
            sum.merge(times);
        }
        sum
    }

    /// Sums the last few seconds.
    pub(super) fn recent(&self, now_ns: u64) -> OwnerTimes {
        let mut sum = OwnerTimes::default();
        for times in self.recent.recent(now_ns) {
            sum.merge(times);
        }
        sum
    }

    /// Returns the kinds that took any time, in order.
    pub(super) fn kinds(&self) -> Vec<(SliceKind, u64)> {
        let mut kinds = Vec::new();
        for kind in SliceKind::ALL {
            let us = self.by_kind[kind as usize];
            if us > 0 {
                kinds.push((kind, us));
            }
        }
        kinds
    }
}

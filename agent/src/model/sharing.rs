//! Sharing of accepts among threads or listeners, over stretches of enough accepts to judge by.

use std::collections::BTreeMap;

/// A stretch ends after so many accepts...
const ENOUGH_ACCEPTS: u64 = 200;
/// ...and at least this long, ns.
const LEAST_NS: u64 = 1_000_000_000;
/// A stretch that gathers too few in this time says nothing and is dropped, ns.
const STALE_NS: u64 = 60_000_000_000;

/// The parts of one stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch<K> {
    pub(super) parties: u64,
    pub(super) accepts: u64,
    pub(super) busiest: K,
    pub(super) most: u64,
}

/// Watches totals by party, stretch after stretch.
#[derive(Clone, Debug)]
pub(super) struct Sharing<K> {
    start_ns: u64,
    previous_start_ns: u64,
    base: BTreeMap<K, u64>,
    last: Option<Stretch<K>>,
}

impl<K: Ord + Copy> Sharing<K> {
    pub(super) fn new(now_ns: u64) -> Self {
        Self { start_ns: now_ns, previous_start_ns: now_ns, base: BTreeMap::new(), last: None }
    }

    /// Time since which a party must have been seen to count as one.
    pub(super) fn horizon_ns(&self) -> u64 {
        self.previous_start_ns
    }

    /// The last full stretch, unless it is too long ago.
    pub(super) fn last(&self) -> Option<Stretch<K>> {
        self.last
    }

    /// Takes the present totals of all parties. True when a stretch ended, full or not.
    pub(super) fn update(&mut self, now_ns: u64, totals: impl Iterator<Item = (K, u64)>) -> bool {
        let totals: BTreeMap<K, u64> = totals.collect();
        let (mut accepts, mut most, mut busiest) = (0_u64, 0, None);
        for (&party, &total) in &totals {
            let part = total.saturating_sub(self.base.get(&party).copied().unwrap_or(0));
            accepts = accepts.saturating_add(part);
            if part >= most {
                (most, busiest) = (part, Some(party));
            }
        }
        let age_ns = now_ns.saturating_sub(self.start_ns);
        if let Some(busiest) = busiest
            && accepts >= ENOUGH_ACCEPTS
            && age_ns >= LEAST_NS
        {
            self.last = Some(Stretch { parties: totals.len() as u64, accepts, busiest, most });
        } else if age_ns >= STALE_NS {
            self.last = None;
        } else {
            return false;
        }
        (self.previous_start_ns, self.start_ns, self.base) = (self.start_ns, now_ns, totals);
        true
    }
}

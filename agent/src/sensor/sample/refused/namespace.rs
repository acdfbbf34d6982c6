//! A network namespace: what its counters allow its listeners to have refused.

use std::collections::{BTreeMap, BTreeSet};

use backscope_abi::Listener;

use super::Count;
use crate::{model::event::SockId, sensor::procfs::ListenCounters};

/// A network namespace, by inode and cookie. Inode numbers are used again, cookies are not; before
/// 5.12 there are none.
pub(super) type Key = (u32, u64);

pub(super) fn key(listener: &Listener) -> Key {
    (listener.netns, listener.netns_cookie)
}

/// Totals that a listener itself shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// Drops while the accept queue was full, less those that were seen to be something else.
    pub(super) full: u64,
    /// Drops while only the SYN queue was.
    pub(super) syn_full: u64,
    /// Final ACKs that were ignored, seen one by one.
    pub(super) acks: u64,
}

impl Shown {
    pub(super) fn of(listener: &Listener) -> Self {
        // Two processors may have counted in the wrong order: a total below 0 is none.
        let positive = |total: u64| u64::try_from(total.cast_signed()).unwrap_or(0);
        Self {
            full: positive(listener.drops_full),
            syn_full: positive(listener.drops_syn_full),
            acks: listener.overflow_ack,
        }
    }
}

/// The counters since they were first read, and the share of listeners that are gone.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    pub(super) base: ListenCounters,
    pub(super) now: ListenCounters,
    pub(super) gone: Count,
    pub(super) gone_acks: u64,
    /// What the listeners showed when the counters were read last.
    pub(super) members: BTreeMap<SockId, Shown>,
    /// Those that have closed, and whose share is among `gone`.
    pub(super) left: BTreeSet<SockId>,
    /// No scan has run since the counters were first read: its listeners may have refused some
    /// before that, and not show them yet. All that it ever counted may be theirs.
    pub(super) is_new: bool,
}

impl Namespace {
    /// Begins with these counters, less the drops that its listeners have had since they are
    /// watched.
    pub(super) fn since(counters: ListenCounters, members: &[&(SockId, Listener)]) -> Self {
        let (mut overflows, mut drops) = (0, 0);
        for (_, listener) in members {
            let shown = Shown::of(listener);
            let of_listener = shown.full.saturating_add(shown.acks);
            overflows = of_listener.saturating_add(overflows);
            drops = of_listener.saturating_add(shown.syn_full).saturating_add(drops);
        }
        let base = ListenCounters {
            overflows: counters.overflows.saturating_sub(overflows),
            drops: counters.drops.saturating_sub(drops),
        };
        Self { base, now: counters, ..Self::default() }
    }

    /// Returns whether this can be the namespace that these counters and listeners are of. Without
    /// a cookie a namespace may have taken the number of one that is gone: its counters may be
    /// lower, and its listeners are others.
    pub(super) fn goes_on(
        &self,
        key: Key,
        counters: ListenCounters,
        members: &[&(SockId, Listener)],
    ) -> bool {
        let went_back = counters.overflows < self.now.overflows || counters.drops < self.now.drops;
        let is_known = key.1 != 0 || members.iter().any(|(id, _)| self.members.contains_key(id));
        !went_back && is_known
    }

    /// Returns how many SYNs these listeners may have refused: since the accept queue was full, and
    /// for another reason. Of a namespace that can be read no more, nothing bounds what came since.
    pub(super) fn allows(&self, listeners: &[(SockId, Shown)]) -> Count {
        let (mut acks, mut since) = (0, Count::default());
        for (id, shown) in listeners {
            let before = self.members.get(id).copied().unwrap_or_default();
            let grown = |now: u64, before: u64| now.saturating_sub(before);
            acks = before.acks.saturating_add(acks);
            since.overflow = grown(shown.full, before.full).saturating_add(since.overflow);
            since.dropped = grown(shown.syn_full, before.syn_full).saturating_add(since.dropped);
        }
        let base = if self.is_new { ListenCounters::default() } else { self.base };
        let overflows = self.now.overflows.saturating_sub(base.overflows);
        let drops = self.now.drops.saturating_sub(base.drops);
        Count {
            overflow: overflows
                .saturating_sub(self.gone_acks)
                .saturating_sub(acks)
                .saturating_sub(self.gone.overflow)
                .saturating_add(since.overflow),
            dropped: drops
                .saturating_sub(overflows)
                .saturating_sub(self.gone.dropped)
                .saturating_add(since.dropped),
        }
    }
}

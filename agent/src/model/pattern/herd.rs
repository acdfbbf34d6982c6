//! Wakeups for nothing: several threads wait for one listener, a connection comes, and more of them wake than it needs.

use std::collections::{BTreeMap, HashMap};

use super::line::Doings;
use super::trail::Id;
use crate::model::event::{SockId, Waiting};

/// A stretch ends after so many accepts...
const ENOUGH_ACCEPTS: u64 = 20;
/// ...and at least this long, ns.
const LEAST_NS: u64 = 1_000_000_000;
/// One that gathers too few in this time says nothing, ns.
const STALE_NS: u64 = 60_000_000_000;

/// What a stretch came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::model) struct HerdFacts {
    /// The listener.
    pub(in crate::model) listener: SockId,
    /// Threads that each wait for it by an epoll instance of their own, without `EPOLLEXCLUSIVE`.
    pub(in crate::model) waiters: u64,
    /// Threads that accept.
    pub(in crate::model) acceptors: u64,
    /// Connections accepted.
    pub(in crate::model) accepts: u64,
    /// Accept calls that found nothing.
    pub(in crate::model) eagains: u64,
    /// Times that the waiters woke.
    pub(in crate::model) wakeups: u64,
    /// Of them, those that no accept and no read accounts for; at least so many.
    pub(in crate::model) wasted: u64,
    /// A second.
    pub(in crate::model) wasted_rate: f64,
}

/// One thread's totals at the sample before.
#[derive(Clone, Copy, Debug)]
struct Before {
    switches: u64,
    useful: u64,
}

/// Watches one group of listeners, stretch after stretch.
#[derive(Debug, Default)]
pub(super) struct Herd {
    start_ns: Option<u64>,
    /// Totals at the beginning: accepts and empty accepts.
    base: (u64, u64),
    before: HashMap<Id, Before>,
    wakeups: u64,
    useful: u64,
    /// By process and epoll instance: a thread waiting there, and its listener.
    epolls: BTreeMap<(u32, u32), SockId>,
    last: Option<HerdFacts>,
}

impl Herd {
    pub(super) fn last(&self) -> Option<&HerdFacts> {
        self.last.as_ref()
    }

    /// Takes who waits now, what threads have done, and the totals of accepts and empty accepts.
    pub(super) fn sampled(
        &mut self,
        now_ns: u64,
        waiting: &[&Waiting],
        doers: &BTreeMap<Id, Doings>,
        totals: (u64, u64),
        listener: SockId,
    ) {
        let start_ns = *self.start_ns.get_or_insert(now_ns);
        if start_ns == now_ns {
            self.base = totals;
        }
        for thread in waiting.iter().filter(|thread| !thread.exclusive) {
            let id = (thread.pid, thread.tid);
            let useful = doers.get(&id).map_or(0, |doings| doings.accepts + doings.reads);
            let now = Before { switches: thread.switches, useful };
            if let Some(before) = self.before.insert(id, now) {
                self.wakeups += now.switches.saturating_sub(before.switches);
                self.useful += now.useful.saturating_sub(before.useful);
            }
            self.epolls.insert((thread.pid, thread.epoll), thread.listener);
        }
        let accepts = totals.0.saturating_sub(self.base.0);
        let eagains = totals.1.saturating_sub(self.base.1);
        let age_ns = now_ns.saturating_sub(start_ns);
        if accepts >= ENOUGH_ACCEPTS && age_ns >= LEAST_NS {
            let acceptors = doers.values().filter(|doings| doings.accepts > 0).count() as u64;
            let mut per_listener: BTreeMap<SockId, u64> = BTreeMap::new();
            self.epolls.values().for_each(|&listener| *per_listener.entry(listener).or_default() += 1);
            let most = per_listener.into_iter().max_by_key(|&(_, waiters)| waiters);
            let (listener, waiters) = most.unwrap_or((listener, 0));
            // A loop that accepts until there is nothing more has one empty call for each wakeup.
            let wasted = self.wakeups.saturating_sub(self.useful).max(eagains.saturating_sub(accepts));
            let wasted_rate = wasted as f64 * 1e9 / age_ns as f64;
            let wakeups = self.wakeups;
            self.last =
                Some(HerdFacts { listener, waiters, acceptors, accepts, eagains, wakeups, wasted, wasted_rate });
        } else if age_ns >= STALE_NS {
            self.last = None;
        } else {
            return;
        }
        let last = self.last.take();
        // Threads that woke meanwhile go on from where they were.
        *self = Self { start_ns: Some(now_ns), base: totals, before: std::mem::take(&mut self.before), last, ..Self::default() };
        self.before.retain(|id, _| waiting.iter().any(|thread| (thread.pid, thread.tid) == *id));
    }
}

//! Wakeups for nothing: several threads wait for one listener, a connection comes, and more of them
//! wake than it needs.

use std::collections::{BTreeMap, HashMap};

use super::service_history::Id;
use crate::model::event::{SockId, Waiting};

/// A stretch ends after so many accepts...
const ENOUGH_ACCEPTS: u64 = 20;
/// ...and at least this long, ns.
const LEAST_NS: u64 = 1_000_000_000;
/// One that gathers too few in this time says nothing, ns.
const STALE_NS: u64 = 60_000_000_000;

/// Waiters whose totals are kept from one stretch to the next.
const MAX_WAITERS: usize = 1_024;

/// Figures of a stretch.
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
    /// Of them, those that no accept, read or end of a connection accounts for; at least so many.
    pub(in crate::model) wasted: u64,
    /// Wasted wakeups a second.
    pub(in crate::model) wasted_rate: f64,
}

/// Totals of a group since it is watched.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) accepts: u64,
    /// Accept calls that found nothing.
    pub(super) eagains: u64,
    /// Reads on its connections, by any thread.
    pub(super) reads: u64,
}

/// Watches one group of listeners, stretch after stretch.
#[derive(Debug, Default)]
pub(super) struct Herd {
    start_ns: Option<u64>,
    /// Totals at the beginning.
    base: Totals,
    /// Times that each thread had gone to sleep by the sample before.
    before: HashMap<Id, u64>,
    wakeups: u64,
    /// By process and epoll instance: a thread waiting there, and its listener.
    epolls: BTreeMap<(u32, u32), SockId>,
    last: Option<HerdFacts>,
}

impl Herd {
    pub(super) fn last(&self) -> Option<&HerdFacts> {
        self.last.as_ref()
    }

    /// Takes the threads that wait now, the number of those that accept, and the group's totals.
    /// `listener` is one of the group.
    pub(super) fn sampled(
        &mut self,
        now_ns: u64,
        waiting: &[&Waiting],
        acceptors: u64,
        totals: Totals,
        listener: SockId,
    ) {
        let start_ns = *self.start_ns.get_or_insert(now_ns);
        if start_ns == now_ns {
            self.base = totals;
        }
        for thread in waiting {
            if thread.exclusive {
                continue;
            }
            if let Some(before) = self.before.insert((thread.pid, thread.tid), thread.switches) {
                self.wakeups = self.wakeups.saturating_add(thread.switches.saturating_sub(before));
            }
            self.epolls.insert((thread.pid, thread.epoll), thread.listener);
        }
        let age_ns = now_ns.saturating_sub(start_ns);
        let accepts = totals.accepts.saturating_sub(self.base.accepts);
        if accepts >= ENOUGH_ACCEPTS && age_ns >= LEAST_NS {
            self.last = Some(self.stretch(age_ns, acceptors, totals, listener));
        } else if age_ns >= STALE_NS {
            self.last = None;
        } else {
            return;
        }
        let last = self.last.take();
        // A thread that was awake at this sample keeps its total.
        let before = if self.before.len() > MAX_WAITERS {
            HashMap::new()
        } else {
            std::mem::take(&mut self.before)
        };
        *self = Self { start_ns: Some(now_ns), base: totals, before, last, ..Self::default() };
    }

    /// Sums the stretch that ends now.
    fn stretch(&self, age_ns: u64, acceptors: u64, totals: Totals, listener: SockId) -> HerdFacts {
        let accepts = totals.accepts.saturating_sub(self.base.accepts);
        let eagains = totals.eagains.saturating_sub(self.base.eagains);
        let reads = totals.reads.saturating_sub(self.base.reads);
        let mut per_listener: BTreeMap<SockId, u64> = BTreeMap::new();
        for &listener in self.epolls.values() {
            *per_listener.entry(listener).or_default() += 1;
        }
        let most = per_listener.into_iter().max_by_key(|&(_, waiters)| waiters);
        let (listener, waiters) = most.unwrap_or((listener, 0));
        // A connection is worth a wakeup for itself, one for each message, whoever reads it, and
        // one for its end. A loop that accepts until there is nothing more has one empty call for
        // each wakeup.
        let useful = accepts.saturating_mul(2).saturating_add(reads);
        let wasted = self.wakeups.saturating_sub(useful).max(eagains.saturating_sub(accepts));
        HerdFacts {
            listener,
            waiters,
            acceptors,
            accepts,
            eagains,
            wakeups: self.wakeups,
            wasted,
            wasted_rate: wasted as f64 * 1e9 / age_ns as f64,
        }
    }
}

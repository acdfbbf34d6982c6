//! Counts refused SYNs where no hook sees them: by the growth of each listener's drop counter while
//! its queue was full.
//!
//! A listener's `sk_drops` grows by 1 for a dropped SYN, by 2 or more for an overflow at the final
//! ACK, and by 1 for each segment to a half-open connection that makes no connection of it: an RST,
//! a SYN sent again, the bare ACK that TCP_DEFER_ACCEPT ignores (`tcp_listendrop`, `tcp_v4_rcv`,
//! 5.10 to 7.3). So the probes count apart its growth while the accept queue was full: nothing else
//! can have been an overflow, whatever other listeners of the namespace suffer. From 6.18 on they
//! also see the packets that were not SYNs, and leave them out.
//!
//! The namespace's `ListenOverflows` counts both overflows, `ListenDrops` every dropped SYN
//! besides. They bound the sum: listeners never have more than the kernel's own total.

mod namespace;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use backscope_abi::Listener;

use super::scan::Holders;
use crate::{
    model::event::SockId,
    sensor::procfs::{ListenCounters, listen_counters, netns_of},
};
use namespace::{Key, Namespace, Shown, key};

/// SYNs that a listener refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Since the accept queue was full. Before 6.18 ignored final ACKs are among them.
    pub(super) overflow: u64,
    /// Since the SYN queue was full, without syncookies.
    pub(super) dropped: u64,
}

/// Shares `total` out in proportion to `wanted`. Nobody gets more than is wanted.
fn share(wanted: &[u64], total: u64) -> Vec<u64> {
    let sum: u128 = wanted.iter().copied().map(u128::from).sum();
    if sum <= u128::from(total) {
        return wanted.to_vec();
    }
    // Totals that no kernel has lose their last bits: their product would have no room.
    let excess = (u128::BITS - sum.leading_zeros()).saturating_sub(u64::BITS);
    let part = |of: u128| (of >> excess) * u128::from(total) / (sum >> excess);
    let mut shares = Vec::with_capacity(wanted.len());
    let mut before = 0;
    for wanted in wanted.iter().copied().map(u128::from) {
        let share = part(before + wanted).saturating_sub(part(before));
        shares.push(u64::try_from(share).unwrap_or(u64::MAX));
        before += wanted;
    }
    shares
}

/// Refused SYNs by listener.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// The counters have been read at the attach, right after a scan.
    has_begun: bool,
    namespaces: HashMap<Key, Namespace>,
    counts: HashMap<SockId, Count>,
}

impl Refused {
    /// Reads the namespaces' counters by way of any process in them, and counts. `scanned` tells that
    /// a scan has run since the update before, and brought up to date what listeners show.
    pub(super) fn update(
        &mut self,
        listeners: &[(SockId, Listener)],
        holders: &BTreeMap<SockId, Holders>,
        scanned: bool,
    ) {
        let mut members: BTreeMap<Key, Vec<&(SockId, Listener)>> = BTreeMap::new();
        for entry in listeners {
            members.entry(key(&entry.1)).or_default().push(entry);
        }
        // The number of a namespace in which nobody listens any more may be used again.
        self.namespaces.retain(|key, _| members.contains_key(key));
        for (key, members) in members {
            let counters = counters_of(key.0, &members, holders);
            self.count(key, &members, counters, scanned);
        }
        self.has_begun = true;
    }

    fn count(
        &mut self,
        key: Key,
        members: &[&(SockId, Listener)],
        counters: Option<ListenCounters>,
        scanned: bool,
    ) {
        if let Some(counters) = counters {
            let has_begun = self.has_begun;
            let space = self.namespaces.entry(key).or_insert_with(|| match has_begun {
                true => Namespace { base: counters, is_new: true, ..Namespace::default() },
                false => Namespace::since(counters, members),
            });
            if space.is_new && scanned && !space.members.is_empty() {
                *space = Namespace::since(space.base, members);
            }
            if !space.members.is_empty() && !space.goes_on(key, counters, members) {
                *space = Namespace::since(counters, members);
            }
            space.now = counters;
            space.members =
                members.iter().map(|(id, listener)| (*id, Shown::of(listener))).collect();
        }
        let mut space = self.namespaces.get_mut(&key);
        let mut counted: Vec<&(SockId, Listener)> = members.to_vec();
        if let Some(space) = &mut space {
            space.left.retain(|id| members.iter().any(|(member, _)| member == id));
            counted.retain(|(id, _)| !space.left.contains(id));
        }
        let shown: Vec<(SockId, Shown)> =
            counted.iter().map(|(id, listener)| (*id, Shown::of(listener))).collect();
        // Without the namespace's counters what the listeners show has no bound.
        let allowed = match &space {
            Some(space) => space.allows(&shown),
            None => Count { overflow: u64::MAX, dropped: 0 },
        };
        let full: Vec<u64> = shown.iter().map(|(_, shown)| shown.full).collect();
        let overflow = share(&full, allowed.overflow);
        // With both queues full and no syncookies the kernel does not call it an overflow.
        let mut rest = Vec::with_capacity(shown.len());
        for (at, (_, shown)) in shown.iter().enumerate() {
            rest.push(shown.syn_full.saturating_add(shown.full.saturating_sub(overflow[at])));
        }
        let dropped = share(&rest, allowed.dropped);
        for (at, (id, listener)) in counted.iter().enumerate() {
            let before = self.counts.get(id).copied().unwrap_or_default();
            // Totals never shrink, also when another listener's share was first counted here.
            let count = Count {
                overflow: overflow[at].max(before.overflow),
                dropped: dropped[at].max(before.dropped),
            };
            self.counts.insert(*id, count);
            if listener.closed_ns != 0
                && let Some(space) = &mut space
            {
                space.left.insert(*id);
                space.gone.overflow = space.gone.overflow.saturating_add(count.overflow);
                space.gone.dropped = space.gone.dropped.saturating_add(count.dropped);
                space.gone_acks = space.gone_acks.saturating_add(listener.overflow_ack);
            }
        }
    }

    pub(super) fn of(&self, id: SockId) -> Count {
        self.counts.get(&id).copied().unwrap_or_default()
    }

    pub(super) fn forget(&mut self, id: SockId) {
        self.counts.remove(&id);
    }
}

/// Reads the counters of a namespace by way of any process that holds one of its listeners.
fn counters_of(
    netns: u32,
    members: &[&(SockId, Listener)],
    holders: &BTreeMap<SockId, Holders>,
) -> Option<ListenCounters> {
    for (id, listener) in members {
        let holders = holders.get(id).into_iter().flat_map(|holders| &holders.named);
        for pid in holders.copied().chain([listener.tgid]) {
            if let Some(counters) = counters_by(netns, pid) {
                return Some(counters);
            }
        }
    }
    None
}

/// Reads the counters of a namespace by way of this process. A process of that number may be in
/// another namespace by now.
fn counters_by(netns: u32, pid: u32) -> Option<ListenCounters> {
    if netns_of(pid) == Some(netns) { listen_counters(pid) } else { None }
}

/// Returns the packets that all listeners of a namespace have refused since it was made
/// (`ListenDrops`), by way of a process in it.
pub(in crate::sensor) fn listen_drops(netns: u32, pid: u32) -> Option<u64> {
    Some(counters_by(netns, pid)?.drops)
}

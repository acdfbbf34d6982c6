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

use std::collections::{BTreeMap, BTreeSet, HashMap};

use backscope_abi::Listener;

use super::scan::Holders;
use crate::{
    model::event::SockId,
    sensor::procfs::{ListenCounters, listen_counters, netns_of},
};

/// SYNs that a listener refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Since the accept queue was full. Before 6.18 ignored final ACKs are among them.
    pub(super) overflow: u64,
    /// Since the SYN queue was full, without syncookies.
    pub(super) dropped: u64,
}

/// A network namespace, by inode and cookie. Inode numbers are used again, cookies are not; before
/// 5.12 there are none.
type Key = (u32, u64);

fn key(listener: &Listener) -> Key {
    (listener.netns, listener.netns_cookie)
}

/// Totals that a listener itself shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shown {
    /// Drops while the accept queue was full, less those that were seen to be something else.
    full: u64,
    /// Drops while only the SYN queue was.
    syn_full: u64,
    /// Final ACKs that were ignored, seen one by one.
    acks: u64,
}

impl Shown {
    fn of(listener: &Listener) -> Self {
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
struct Namespace {
    base: ListenCounters,
    now: ListenCounters,
    gone: Count,
    gone_acks: u64,
    /// What the listeners showed when the counters were read last.
    members: BTreeMap<SockId, Shown>,
    /// Those that have closed, and whose share is among `gone`.
    left: BTreeSet<SockId>,
    /// No scan has run since the counters were first read: its listeners may have refused some
    /// before that, and not show them yet. All that it ever counted may be theirs.
    is_new: bool,
}

impl Namespace {
    /// Begins with these counters, less the drops that its listeners have had since they are
    /// watched.
    fn since(counters: ListenCounters, members: &[&(SockId, Listener)]) -> Self {
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
    fn goes_on(&self, key: Key, counters: ListenCounters, members: &[&(SockId, Listener)]) -> bool {
        let went_back = counters.overflows < self.now.overflows || counters.drops < self.now.drops;
        let is_known = key.1 != 0 || members.iter().any(|(id, _)| self.members.contains_key(id));
        !went_back && is_known
    }

    /// Returns how many SYNs these listeners may have refused: since the accept queue was full, and
    /// for another reason. Of a namespace that can be read no more, nothing bounds what came since.
    fn allows(&self, listeners: &[(SockId, Shown)]) -> Count {
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

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = (1, 77);
    const BASE: ListenCounters = ListenCounters { overflows: 100, drops: 100 };

    fn listener(full: u64, syn_full: u64, acks: u64) -> Listener {
        Listener {
            drops_full: full,
            drops_syn_full: syn_full,
            overflow_ack: acks,
            netns: KEY.0,
            netns_cookie: KEY.1,
            ..Listener::BLANK
        }
    }

    /// Counts of refused SYNs by listener, if the namespace counted so many overflows and so many
    /// other drops.
    fn counted(overflows: u64, others: u64, listeners: &[Listener]) -> Vec<Count> {
        let mut refused = Refused::default();
        refused.namespaces.insert(KEY, Namespace { base: BASE, now: BASE, ..Namespace::default() });
        let now = ListenCounters {
            overflows: BASE.overflows + overflows,
            drops: BASE.drops + overflows + others,
        };
        count(&mut refused, listeners, now)
    }

    fn count(refused: &mut Refused, listeners: &[Listener], now: ListenCounters) -> Vec<Count> {
        let members: Vec<(SockId, Listener)> = (1..).zip(listeners.iter().copied()).collect();
        refused.count(KEY, &members.iter().collect::<Vec<_>>(), Some(now), false);
        members.iter().map(|(id, _)| refused.of(*id)).collect()
    }

    fn overflow(overflow: u64) -> Count {
        Count { overflow, dropped: 0 }
    }

    #[test]
    fn drops_of_a_queue_with_room_are_no_refusals_whatever_the_neighbours_suffer() {
        // RSTs of health checks, bare ACKs under TCP_DEFER_ACCEPT: `sk_drops` grew, the queue was
        // never full.
        let healthy = Listener { drops: 40, unexplained: 40, ..listener(0, 0, 0) };
        assert_eq!(counted(1_000, 1_000, &[healthy]), [Count::default()]);
        let beside = [healthy, listener(9, 0, 0)];
        assert_eq!(counted(1_000, 0, &beside), [Count::default(), overflow(9)]);
    }

    #[test]
    fn several_that_overflow_at_once_have_their_own() {
        assert_eq!(
            counted(60, 0, &[listener(14, 0, 0), listener(46, 0, 0)]),
            [overflow(14), overflow(46)]
        );
        // An unwatched one of the namespace makes no difference.
        assert_eq!(
            counted(900, 0, &[listener(14, 0, 0), listener(46, 0, 0)]),
            [overflow(14), overflow(46)]
        );
    }

    #[test]
    fn the_sum_never_exceeds_the_kernels_total() {
        // Before 6.18 an ignored final ACK counts twice at the socket, and nothing tells it from a
        // SYN.
        assert_eq!(counted(9, 0, &[listener(18, 0, 0)]), [overflow(9)]);
        assert_eq!(
            counted(9, 0, &[listener(12, 0, 0), listener(6, 0, 0)]),
            [overflow(6), overflow(3)]
        );
        assert_eq!(counted(10, 0, &[listener(7, 0, 7)]), [overflow(3)]);
    }

    #[test]
    fn a_full_syn_queue_without_syncookies_is_no_overflow() {
        assert_eq!(counted(0, 5, &[listener(0, 5, 0)]), [Count { overflow: 0, dropped: 5 }]);
        assert_eq!(counted(4, 5, &[listener(9, 0, 0)]), [Count { overflow: 4, dropped: 5 }]);
        assert_eq!(counted(0, 2, &[listener(0, 5, 0)]), [Count { overflow: 0, dropped: 2 }]);
    }

    #[test]
    fn a_namespace_that_cannot_be_read_leaves_what_the_listener_shows() {
        let mut refused = Refused::default();
        let member = (1, listener(14, 3, 0));
        refused.count(KEY, &[&member], None, false);
        assert_eq!(refused.of(1), overflow(14));
    }

    /// A container that overflows in its last second: its namespace is gone with it.
    #[test]
    fn what_came_after_the_last_look_at_a_namespace_is_not_lost() {
        let mut refused = Refused::default();
        let alive = (1, listener(2, 0, 0));
        refused.count(KEY, &[&alive], Some(BASE), false);
        let dead = (1, Listener { closed_ns: 9, ..listener(7, 0, 0) });
        for _ in 0..3 {
            refused.count(KEY, &[&dead], None, false);
            assert_eq!(refused.of(1), overflow(7));
        }
        // Before 6.18 acknowledgements that were ignored are among them.
        let ended = (2, listener(0, 0, 3));
        refused.count(KEY, &[&ended], None, false);
        assert_eq!(refused.of(2), Count::default());
    }

    /// Its counters are read after it refused some, before a scan sees these at its listener.
    #[test]
    fn what_came_before_the_first_look_at_a_new_namespace_is_not_lost() {
        let mut refused = Refused { has_begun: true, ..Refused::default() };
        let look = |refused: &mut Refused, full, overflows, scanned| {
            let member = (1, listener(full, 0, 0));
            let now = ListenCounters { overflows, drops: overflows };
            refused.count(KEY, &[&member], Some(now), scanned);
            refused.of(1)
        };
        assert_eq!(look(&mut refused, 0, 5, false), Count::default());
        assert_eq!(look(&mut refused, 5, 5, true), overflow(5));
        assert_eq!(look(&mut refused, 9, 8, true), overflow(8), "no more than the kernel counted");
    }

    #[test]
    fn the_share_of_a_closed_listener_counts_once() {
        let mut refused = Refused::default();
        refused.namespaces.insert(KEY, Namespace { base: BASE, now: BASE, ..Namespace::default() });
        let closed = (1, Listener { closed_ns: 9, ..listener(5, 0, 0) });
        let open = (2, listener(4, 0, 0));
        let now = ListenCounters { overflows: 109, drops: 109 };
        for _ in 0..3 {
            refused.count(KEY, &[&closed, &open], Some(now), false);
        }
        let more = (2, listener(6, 0, 0));
        let now = ListenCounters { overflows: 111, drops: 111 };
        refused.count(KEY, &[&closed, &more], Some(now), false);
        assert_eq!((refused.of(1), refused.of(2)), (overflow(5), overflow(6)));
    }

    #[test]
    fn counters_that_went_back_do_not_wrap() {
        let mut refused = Refused::default();
        let overflowing = [listener(5, 0, 0)];
        assert_eq!(
            count(&mut refused, &overflowing, ListenCounters { overflows: 105, drops: 105 }),
            [overflow(5)]
        );
        assert_eq!(count(&mut refused, &overflowing, ListenCounters::default()), [overflow(5)]);
    }

    #[test]
    fn without_a_cookie_a_namespace_of_the_same_number_is_another() {
        let old = |full| Listener { netns_cookie: 0, ..listener(full, 0, 0) };
        let begin = |refused: &mut Refused, id: SockId, full, now| {
            let member = (id, old(full));
            refused.count((KEY.0, 0), &[&member], Some(now), false);
            refused.of(id)
        };
        // The one before had counted 900, and its listener closed; the new one counted 171.
        let mut refused = Refused::default();
        let many = ListenCounters { overflows: 900, drops: 900 };
        assert_eq!(begin(&mut refused, 1, 40, many), overflow(40));
        let few = ListenCounters { overflows: 171, drops: 171 };
        assert_eq!(begin(&mut refused, 2, 171, few), overflow(171), "its counters are lower");
        // It had counted 10, and the new one 900, of which its listener had 3.
        let mut refused = Refused::default();
        let few = ListenCounters { overflows: 10, drops: 10 };
        assert_eq!(begin(&mut refused, 1, 10, few), overflow(10));
        assert_eq!(begin(&mut refused, 2, 0, many), Count::default());
        let more = ListenCounters { overflows: 903, drops: 903 };
        assert_eq!(begin(&mut refused, 2, 700, more), overflow(3), "no more than it counted");
    }

    #[test]
    fn totals_that_no_kernel_has_do_not_overflow() {
        let largest = Listener {
            overflow_ack: u64::MAX,
            closed_ns: 1,
            ..listener(i64::MAX as u64, i64::MAX as u64, 0)
        };
        let most = ListenCounters { overflows: u64::MAX, drops: u64::MAX };
        let mut refused = Refused::default();
        for _ in 0..3 {
            count(&mut refused, &[largest, largest], most);
            count(&mut refused, &[largest], ListenCounters::default());
        }
        let shares = share(&[u64::MAX; 3], u64::MAX);
        assert!(shares.iter().all(|share| *share >= u64::MAX / 4), "{shares:?}");
        assert!(shares.iter().copied().map(u128::from).sum::<u128>() <= u64::MAX.into());
    }

    #[test]
    fn listeners_that_are_gone_keep_their_share() {
        let mut refused = Refused::default();
        refused.namespaces.insert(KEY, Namespace { base: BASE, now: BASE, ..Namespace::default() });
        let now = ListenCounters { overflows: 105, drops: 105 };
        let closed = Listener { closed_ns: 9, ..listener(5, 0, 0) };
        assert_eq!(count(&mut refused, &[closed], now), [overflow(5)]);
        refused.forget(1);
        assert_eq!(
            count(&mut refused, &[listener(3, 0, 0)], now),
            [Count::default()],
            "the kernel counted no more"
        );
    }

    #[test]
    fn totals_never_shrink() {
        let mut refused = Refused::default();
        refused.namespaces.insert(KEY, Namespace { base: BASE, now: BASE, ..Namespace::default() });
        let now = ListenCounters { overflows: 106, drops: 106 };
        assert_eq!(count(&mut refused, &[listener(6, 0, 0)], now), [overflow(6)]);
        assert_eq!(
            count(&mut refused, &[listener(6, 0, 0), listener(6, 0, 0)], now)[0],
            overflow(6)
        );
    }
}

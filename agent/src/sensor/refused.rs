//! Counts refused SYNs where no hook sees them: by what each listener's drop counter grew by while
//! it was full.
//!
//! A listener's `sk_drops` grows by 1 for a dropped SYN, by 2 or more for an overflow at the final
//! ACK, and by 1 for each segment to a half-open connection that makes no connection of it: an RST,
//! a SYN sent again, the bare ACK that TCP_DEFER_ACCEPT ignores (`tcp_listendrop`, `tcp_v4_rcv`,
//! 5.10 to 7.3). So the probes keep apart what it grew by while the accept queue was full: nothing
//! else can have been an overflow, whatever neighbours in the namespace suffer. From 6.18 on they
//! also see the packets that were not SYNs, and leave them out.
//!
//! The namespace's `ListenOverflows` counts both overflows, `ListenDrops` every dropped SYN
//! besides. They bound the sum: listeners never have more than the kernel's own total.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
};

use backscope_abi::Listener;

use crate::model::event::SockId;

/// SYNs that a listener refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Since the accept queue was full. Before 6.18 ignored final ACKs are among them.
    pub(super) overflow: u64,
    /// Since the SYN queue was full, without syncookies.
    pub(super) dropped: u64,
}

/// A network namespace's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    overflows: u64,
    drops: u64,
}

/// A network namespace: inode numbers are used again, cookies are not. Before 5.12 the kernel gives
/// none.
type Key = (u32, u64);

fn key(listener: &Listener) -> Key {
    (listener.netns, listener.netns_cookie)
}

/// What a listener itself shows, as totals.
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

/// The counters since they were first read, and what is accounted for by listeners that are gone.
#[derive(Debug, Default)]
struct Namespace {
    base: Counters,
    now: Counters,
    gone: Count,
    gone_acks: u64,
}

impl Namespace {
    /// What its listeners dropped since they are watched came before this first look: it counts.
    fn since(counters: Counters, members: &[&(SockId, Listener)]) -> Self {
        let shown = members.iter().map(|(_, listener)| Shown::of(listener));
        let (overflows, drops) = shown.fold((0, 0), |(overflows, drops), shown| {
            (overflows + shown.full + shown.acks, drops + shown.full + shown.acks + shown.syn_full)
        });
        let base = Counters {
            overflows: counters.overflows.saturating_sub(overflows),
            drops: counters.drops.saturating_sub(drops),
        };
        Self { base, now: counters, ..Self::default() }
    }

    /// How many SYNs may have been refused in all, since the accept queue was full, and for another
    /// reason.
    fn allows(&self, acks: u64) -> Count {
        let overflows = self.now.overflows.saturating_sub(self.base.overflows);
        let drops = self.now.drops.saturating_sub(self.base.drops);
        Count {
            overflow: overflows.saturating_sub(self.gone_acks + acks + self.gone.overflow),
            dropped: drops.saturating_sub(overflows).saturating_sub(self.gone.dropped),
        }
    }
}

/// Shares `total` out in proportion to `wanted`, of which nobody gets more.
fn share(wanted: &[u64], total: u64) -> Vec<u64> {
    let sum: u64 = wanted.iter().sum();
    if sum <= total {
        return wanted.to_vec();
    }
    let part = |of: u64| (u128::from(of) * u128::from(total) / u128::from(sum)) as u64;
    let mut before = 0;
    let shares = wanted.iter().map(|&wanted| {
        let from = part(before);
        before += wanted;
        part(before) - from
    });
    shares.collect()
}

/// Refused SYNs by listener.
#[derive(Debug, Default)]
pub(super) struct Refused {
    namespaces: HashMap<Key, Namespace>,
    counts: HashMap<SockId, Count>,
}

impl Refused {
    /// Reads the namespaces' counters by way of any process in them, and counts.
    pub(super) fn update(
        &mut self,
        listeners: &[(SockId, Listener)],
        holders: &BTreeMap<SockId, BTreeSet<u32>>,
    ) {
        let mut members: BTreeMap<Key, Vec<&(SockId, Listener)>> = BTreeMap::new();
        for entry in listeners {
            members.entry(key(&entry.1)).or_default().push(entry);
        }
        // Where nobody listens any more another namespace may come to be, by the same number.
        self.namespaces.retain(|key, _| members.contains_key(key));
        for (key, members) in members {
            let pids = members.iter().flat_map(|(id, listener)| {
                holders.get(id).into_iter().flatten().copied().chain(std::iter::once(listener.tgid))
            });
            // A process of that number may be in another namespace by now.
            let mut counters =
                pids.filter(|&pid| netns_of(pid) == Some(key.0)).filter_map(read_counters);
            self.count(key, &members, counters.next());
        }
    }

    fn count(&mut self, key: Key, members: &[&(SockId, Listener)], counters: Option<Counters>) {
        if let Some(counters) = counters {
            let space =
                self.namespaces.entry(key).or_insert_with(|| Namespace::since(counters, members));
            space.now = counters;
        }
        let shown: Vec<Shown> = members.iter().map(|(_, listener)| Shown::of(listener)).collect();
        let full: Vec<u64> = shown.iter().map(|shown| shown.full).collect();
        let acks = shown.iter().map(|shown| shown.acks).sum();
        let allowed = self.namespaces.get(&key).map(|space| space.allows(acks));
        let overflow = share(&full, allowed.map_or(u64::MAX, |allowed| allowed.overflow));
        // With both queues full and no syncookies the kernel does not call it an overflow.
        let rest = shown
            .iter()
            .zip(&overflow)
            .map(|(shown, overflow)| shown.syn_full + (shown.full - overflow));
        let dropped =
            share(&rest.collect::<Vec<_>>(), allowed.map_or(0, |allowed| allowed.dropped));
        for ((id, listener), (overflow, dropped)) in
            members.iter().zip(overflow.into_iter().zip(dropped))
        {
            let before = self.of(*id);
            // Totals never shrink, also when another listener's share was first counted here.
            let count = Count {
                overflow: overflow.max(before.overflow),
                dropped: dropped.max(before.dropped),
            };
            self.counts.insert(*id, count);
            if listener.closed_ns != 0
                && let Some(space) = self.namespaces.get_mut(&key)
            {
                space.gone.overflow += count.overflow;
                space.gone.dropped += count.dropped;
                space.gone_acks += listener.overflow_ack;
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

/// The inode of a process's network namespace.
pub(super) fn netns_of(pid: u32) -> Option<u32> {
    inode(&fs::read_link(format!("/proc/{pid}/ns/net")).ok()?.to_string_lossy())
}

/// The link reads "net:[4026531840]".
fn inode(link: &str) -> Option<u32> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// Packets that all listeners of a namespace have refused since it was made (`ListenDrops`), by way
/// of a process in it.
pub(super) fn listen_drops(netns: u32, pid: u32) -> Option<u64> {
    let counters = (netns_of(pid) == Some(netns)).then(|| read_counters(pid))?;
    counters.map(|counters| counters.drops)
}

fn read_counters(pid: u32) -> Option<Counters> {
    parse(&fs::read_to_string(format!("/proc/{pid}/net/netstat")).ok()?)
}

/// The file has pairs of lines: names, then values, both after the same prefix.
fn parse(text: &str) -> Option<Counters> {
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let value = |wanted: &str| {
        let (_, value) =
            names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == wanted)?;
        value.parse().ok()
    };
    Some(Counters { overflows: value("ListenOverflows")?, drops: value("ListenDrops")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = (1, 77);
    const BASE: Counters = Counters { overflows: 100, drops: 100 };

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

    /// What each listener is told to have refused, when the namespace counted so many overflows and
    /// so many other drops.
    fn told(overflows: u64, others: u64, listeners: &[Listener]) -> Vec<Count> {
        let mut refused = Refused::default();
        refused.namespaces.insert(KEY, Namespace { base: BASE, now: BASE, ..Namespace::default() });
        let now = Counters {
            overflows: BASE.overflows + overflows,
            drops: BASE.drops + overflows + others,
        };
        count(&mut refused, listeners, now)
    }

    fn count(refused: &mut Refused, listeners: &[Listener], now: Counters) -> Vec<Count> {
        let members: Vec<(SockId, Listener)> = (1..).zip(listeners.iter().copied()).collect();
        refused.count(KEY, &members.iter().collect::<Vec<_>>(), Some(now));
        members.iter().map(|(id, _)| refused.of(*id)).collect()
    }

    fn overflow(overflow: u64) -> Count {
        Count { overflow, dropped: 0 }
    }

    #[test]
    fn reads_what_the_kernel_writes() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\nIpExt: InNoRoutes\nIpExt: 0\n";
        assert_eq!(parse(text), Some(Counters { overflows: 22, drops: 333 }));
        assert_eq!(parse("TcpExt: ListenDrops\n"), None);
        assert_eq!(
            [inode("net:[4026531840]"), inode("mnt:[1]"), inode("net:[]")],
            [Some(4_026_531_840), None, None]
        );
    }

    #[test]
    fn drops_of_a_queue_with_room_are_no_refusals_whatever_the_neighbours_suffer() {
        // RSTs of health checks, bare ACKs under TCP_DEFER_ACCEPT: `sk_drops` grew, the queue was
        // never full.
        let healthy = Listener { drops: 40, unexplained: 40, ..listener(0, 0, 0) };
        assert_eq!(told(1_000, 1_000, &[healthy]), [Count::default()]);
        assert_eq!(told(1_000, 0, &[healthy, listener(9, 0, 0)]), [Count::default(), overflow(9)]);
    }

    #[test]
    fn several_that_overflow_at_once_have_their_own() {
        assert_eq!(
            told(60, 0, &[listener(14, 0, 0), listener(46, 0, 0)]),
            [overflow(14), overflow(46)]
        );
        // An unwatched one of the namespace makes no difference.
        assert_eq!(
            told(900, 0, &[listener(14, 0, 0), listener(46, 0, 0)]),
            [overflow(14), overflow(46)]
        );
    }

    #[test]
    fn the_sum_never_exceeds_the_kernels_total() {
        // Before 6.18 an ignored final ACK counts twice at the socket, and nothing tells it from a
        // SYN.
        assert_eq!(told(9, 0, &[listener(18, 0, 0)]), [overflow(9)]);
        assert_eq!(
            told(9, 0, &[listener(12, 0, 0), listener(6, 0, 0)]),
            [overflow(6), overflow(3)]
        );
        assert_eq!(told(10, 0, &[listener(7, 0, 7)]), [overflow(3)]);
    }

    #[test]
    fn a_full_syn_queue_without_syncookies_is_no_overflow() {
        assert_eq!(told(0, 5, &[listener(0, 5, 0)]), [Count { overflow: 0, dropped: 5 }]);
        assert_eq!(told(4, 5, &[listener(9, 0, 0)]), [Count { overflow: 4, dropped: 5 }]);
        assert_eq!(told(0, 2, &[listener(0, 5, 0)]), [Count { overflow: 0, dropped: 2 }]);
    }

    #[test]
    fn a_namespace_that_cannot_be_read_leaves_what_the_listener_shows() {
        let mut refused = Refused::default();
        let member = (1, listener(14, 3, 0));
        refused.count(KEY, &[&member], None);
        assert_eq!(refused.of(1), overflow(14));
    }

    #[test]
    fn counters_that_went_back_do_not_wrap() {
        let mut refused = Refused::default();
        let overflowing = [listener(5, 0, 0)];
        assert_eq!(
            count(&mut refused, &overflowing, Counters { overflows: 105, drops: 105 }),
            [overflow(5)]
        );
        assert_eq!(count(&mut refused, &overflowing, Counters::default()), [overflow(5)]);
    }

    #[test]
    fn listeners_that_are_gone_keep_their_share() {
        let mut refused = Refused::default();
        refused.namespaces.insert(KEY, Namespace { base: BASE, now: BASE, ..Namespace::default() });
        let now = Counters { overflows: 105, drops: 105 };
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
        let now = Counters { overflows: 106, drops: 106 };
        assert_eq!(count(&mut refused, &[listener(6, 0, 0)], now), [overflow(6)]);
        assert_eq!(
            count(&mut refused, &[listener(6, 0, 0), listener(6, 0, 0)], now)[0],
            overflow(6)
        );
    }
}

//! Counts refused SYNs where no hook sees them: from each listener's drop counter, checked against its network
//! namespace's.
//!
//! A listener's `sk_drops` grows by 1 for a dropped SYN, by 2 for an overflow at the final ACK, and by 1 for the bare
//! ACK that TCP_DEFER_ACCEPT ignores (`tcp_listendrop` and `tcp_v4_rcv`, 5.10 to 7.3). The namespace's `ListenOverflows`
//! counts both overflows, `ListenDrops` every dropped SYN besides. So neither alone tells, but the smaller of what the
//! socket and the namespace allow is right whenever one listener of a namespace overflows at a time, and never more
//! than the kernel's own total.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
};

use backscope_abi::Listener;

use crate::model::event::SockId;

/// SYNs that a listener refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Since the accept queue was full.
    pub(super) overflow: u64,
    /// For another reason.
    pub(super) dropped: u64,
}

/// A network namespace's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    overflows: u64,
    drops: u64,
}

/// The counters since they were first read.
#[derive(Debug, Default)]
struct Namespace {
    base: Counters,
    now: Counters,
}

impl Namespace {
    /// What its listeners dropped since they are watched came before this first look: it counts.
    fn since(counters: Counters, members: &[&(SockId, Listener)]) -> Self {
        let own: u64 = members.iter().map(|(_, listener)| at_syn(listener) + listener.overflow_ack).sum();
        let base =
            Counters { overflows: counters.overflows.saturating_sub(own), drops: counters.drops.saturating_sub(own) };
        Self { base, now: counters }
    }
}

/// SYNs dropped by the listener's own counter, bare ACKs that TCP_DEFER_ACCEPT ignored among them.
fn at_syn(listener: &Listener) -> u64 {
    u64::from(listener.drops.wrapping_sub(listener.drops_base)).saturating_sub(2 * listener.overflow_ack)
}

/// Refused SYNs by listener.
#[derive(Debug, Default)]
pub(super) struct Refused {
    namespaces: HashMap<u32, Namespace>,
    counts: HashMap<SockId, Count>,
    /// What listeners that are gone had, by namespace.
    gone: HashMap<u32, Spent>,
}

/// What of a namespace's counters is accounted for.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    syn: u64,
    dropped: u64,
    ack: u64,
}

impl Refused {
    /// Reads the namespaces' counters by way of any process in them, and shares them out.
    pub(super) fn update(&mut self, listeners: &[(SockId, Listener)], holders: &BTreeMap<SockId, BTreeSet<u32>>) {
        let mut members: BTreeMap<u32, Vec<&(SockId, Listener)>> = BTreeMap::new();
        for entry in listeners {
            members.entry(entry.1.netns).or_default().push(entry);
        }
        for (netns, members) in members {
            let pids = members.iter().flat_map(|(id, listener)| {
                holders.get(id).into_iter().flatten().copied().chain(std::iter::once(listener.tgid))
            });
            if let Some(counters) = pids.into_iter().find_map(read_counters) {
                let space = self.namespaces.entry(netns).or_insert_with(|| Namespace::since(counters, &members));
                space.now = counters;
            }
            self.share_out(netns, &members);
        }
    }

    fn share_out(&mut self, netns: u32, members: &[&(SockId, Listener)]) {
        let Some(space) = self.namespaces.get(&netns) else { return };
        let gone = self.gone.get(&netns).copied().unwrap_or_default();
        let acks: u64 = gone.ack + members.iter().map(|(_, listener)| listener.overflow_ack).sum::<u64>();
        let overflows = space.now.overflows - space.base.overflows;
        let drops = space.now.drops - space.base.drops;
        let mut syn_left = overflows.saturating_sub(acks + gone.syn);
        let mut drop_left = drops.saturating_sub(overflows + gone.dropped);
        for (id, listener) in members {
            let at_syn = at_syn(listener);
            let before = self.counts.get(id).copied().unwrap_or_default();
            // Totals never shrink, also when another listener's share was first counted here.
            let overflow = at_syn.min(syn_left).max(before.overflow);
            syn_left = syn_left.saturating_sub(overflow);
            let dropped = at_syn.saturating_sub(overflow).min(drop_left).max(before.dropped);
            drop_left = drop_left.saturating_sub(dropped);
            self.counts.insert(*id, Count { overflow, dropped });
            if listener.closed_ns != 0 {
                let gone = self.gone.entry(netns).or_default();
                gone.syn += overflow;
                gone.dropped += dropped;
                gone.ack += listener.overflow_ack;
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

fn read_counters(pid: u32) -> Option<Counters> {
    parse(&fs::read_to_string(format!("/proc/{pid}/net/netstat")).ok()?)
}

/// The file has pairs of lines: names, then values, both after the same prefix.
fn parse(text: &str) -> Option<Counters> {
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let value = |wanted: &str| {
        let (_, value) = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == wanted)?;
        value.parse().ok()
    };
    Some(Counters { overflows: value("ListenOverflows")?, drops: value("ListenDrops")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(drops: u32, overflow_ack: u64) -> Listener {
        Listener { drops, overflow_ack, netns: 1, ..Listener::BLANK }
    }

    fn with(overflows: u64, drops: u64) -> Refused {
        let mut refused = Refused::default();
        let base = Counters { overflows: 100, drops: 100 };
        let now = Counters { overflows: 100 + overflows, drops: 100 + drops };
        refused.namespaces.insert(1, Namespace { base, now });
        refused
    }

    #[test]
    fn reads_the_kernels_pairs_of_lines() {
        let text =
            "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\nIpExt: InNoRoutes\nIpExt: 0\n";
        assert_eq!(parse(text), Some(Counters { overflows: 22, drops: 333 }));
        assert_eq!(parse("TcpExt: ListenDrops\n"), None);
    }

    #[test]
    fn syn_stage_overflows_are_what_socket_and_namespace_agree_on() {
        let mut refused = with(14, 14);
        refused.share_out(1, &[&(7, listener(14, 0))]);
        assert_eq!(refused.of(7), Count { overflow: 14, dropped: 0 });
    }

    #[test]
    fn final_ack_overflows_count_twice_at_the_socket() {
        // 6 at the final ACK (12 drops), 3 at the SYN, 4 bare ACKs that TCP_DEFER_ACCEPT ignored.
        let mut refused = with(9, 9);
        refused.share_out(1, &[&(7, listener(12 + 3 + 4, 6))]);
        assert_eq!(refused.of(7), Count { overflow: 3, dropped: 0 });
    }

    #[test]
    fn drops_with_room_in_the_accept_queue_are_no_overflow() {
        let mut refused = with(0, 5);
        refused.share_out(1, &[&(7, listener(5, 0))]);
        assert_eq!(refused.of(7), Count { overflow: 0, dropped: 5 });
    }

    #[test]
    fn an_unwatched_listener_of_the_namespace_changes_nothing() {
        let mut refused = with(50, 50);
        refused.share_out(1, &[&(7, listener(2, 0)), &(8, listener(0, 0))]);
        assert_eq!(refused.of(7), Count { overflow: 2, dropped: 0 });
        assert_eq!(refused.of(8), Count::default());
    }
}

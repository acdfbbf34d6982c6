//! Sums over the connections of a group of listeners.

use std::collections::{BTreeMap, BTreeSet};

use super::service_history::{Id, ServiceHistory};
use super::thread_starts::ThreadStarts;
use crate::model::event::SockId;

/// Exchanges of a connection beyond this number add no evidence.
const ENOUGH_EXCHANGES: u32 = 7;

/// The thread that served a connection, seen from the one that accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It is the one that accepted.
    Own,
    /// Another one that accepts, too.
    Peer,
    /// One that does not accept.
    Handed,
    /// One that began for this connection.
    ForIt,
    /// Several, of those that accept: tasks move between threads.
    Roaming,
}

/// Sums over the newest connections.
#[derive(Clone, Debug, Default)]
pub(super) struct PatternFacts {
    /// Connections with a known server.
    pub(super) connections: u64,
    /// Connections with a known server, with more weight to those with more exchanges.
    pub(super) weight: u64,
    /// Connections of which the acceptor is not known.
    pub(super) preexisting: u64,
    /// Connections by [`Role`] of their server.
    pub(super) own: u64,
    pub(super) peer: u64,
    pub(super) handed: u64,
    pub(super) for_it: u64,
    pub(super) roaming: u64,
    /// Connections with both reads and writes, and of these the ones that another thread writes
    /// than reads them.
    pub(super) both: u64,
    pub(super) split: u64,
    /// Connections served by another process than accepted them, or than holds the listener.
    pub(super) other_process: u64,
    /// Connections accepted, by thread.
    pub(super) acceptors: BTreeMap<Id, u64>,
    /// The accepting threads, and threads seen waiting for the listener.
    pub(super) accepting: BTreeSet<Id>,
    /// Connections served, by thread.
    pub(super) servers: BTreeMap<Id, u64>,
    /// Threads that write what others read.
    pub(super) other_writers: BTreeSet<Id>,
    /// Listeners of the group that are open.
    pub(super) listeners: u64,
    /// Each accepting thread has a listener of its own.
    pub(super) one_each: bool,
    /// Accepts that waited for the connection, and those that found it there.
    pub(super) blocked: u64,
    pub(super) found: u64,
    /// Connections that waited until the thread's previous one had ended.
    pub(super) serial: u64,
    /// Connections accepted while the thread had another one open.
    pub(super) overlapping: u64,
}

/// A group of listeners at one address.
pub(super) struct Group<'a> {
    pub(super) histories: Vec<&'a ServiceHistory>,
    /// Threads seen waiting for one of the listeners, and for which.
    pub(super) waiting: &'a BTreeMap<Id, SockId>,
    pub(super) listeners: u64,
    /// The family's root.
    pub(super) root: u32,
}

impl PatternFacts {
    pub(super) fn of(group: &Group<'_>, thread_starts: &ThreadStarts) -> Self {
        let mut facts = Self { listeners: group.listeners, ..Self::default() };
        facts.accepting.extend(group.waiting.keys());
        let mut listeners_of: BTreeMap<Id, BTreeSet<SockId>> =
            group.waiting.iter().map(|(&id, &listener)| (id, [listener].into())).collect();
        for history in &group.histories {
            if let Some(acceptor) = history.acceptor {
                *facts.acceptors.entry(acceptor).or_default() += 1;
                facts.accepting.insert(acceptor);
                listeners_of.entry(acceptor).or_default().extend(history.listener);
                facts.blocked += u64::from(history.blocked == Some(true));
                facts.found += u64::from(history.blocked == Some(false));
            }
            if let Some(server) = history.server() {
                *facts.servers.entry(server).or_default() += 1;
            }
        }
        let every: BTreeSet<SockId> = listeners_of.values().flatten().copied().collect();
        facts.one_each = group.listeners > 1
            && listeners_of.values().all(|own| own.len() == 1)
            && every.len() == listeners_of.len();
        for history in &group.histories {
            facts.add(history, group.root, thread_starts);
        }
        facts.watch_turns(&group.histories);
        facts
    }

    fn add(&mut self, history: &ServiceHistory, root: u32, thread_starts: &ThreadStarts) {
        let Some(server) = history.server() else { return };
        let Some(role) = self.role(history, server, root, thread_starts) else { return };
        match role {
            Role::Own => self.own += 1,
            Role::Peer => self.peer += 1,
            Role::Handed => self.handed += 1,
            Role::ForIt => self.for_it += 1,
            Role::Roaming => self.roaming += 1,
        }
        self.connections += 1;
        self.weight += u64::from(1 + history.exchanges.min(ENOUGH_EXCHANGES));
        self.preexisting += u64::from(history.acceptor.is_none());
        let home = history.acceptor.map_or(root, |(pid, _)| pid);
        self.other_process += u64::from(home != server.0);
        if let (Some(reader), Some(writer)) = (history.readers.first, history.writers.first) {
            self.both += 1;
            if reader != writer {
                self.split += 1;
                self.other_writers.insert(writer);
            }
        }
    }

    fn role(
        &self,
        history: &ServiceHistory,
        server: Id,
        root: u32,
        thread_starts: &ThreadStarts,
    ) -> Option<Role> {
        let accepts = self.accepting.contains(&server);
        if accepts && self.accepting.len() > 1 && history.readers.several {
            return Some(Role::Roaming);
        }
        let alone = || self.servers.get(&server) == Some(&1);
        match (history.acceptor, history.begun_for_it) {
            // A pool takes part in reading, even if the acceptor reads, too.
            _ if accepts && history.readers.several => Some(Role::Handed),
            (Some(acceptor), _) if acceptor == server => Some(Role::Own),
            (None, _) if accepts => Some(Role::Own),
            // A thread of a pool that grows on demand goes on to other connections.
            (Some(_), Some(true)) if alone() => Some(Role::ForIt),
            (Some(_), _) if accepts => Some(Role::Peer),
            // Who accepted it is not known, but a pool does not grow by one thread a connection.
            (None, _) if alone() && thread_starts.began_later_than(server, root) == Some(true) => {
                Some(Role::ForIt)
            }
            (None, _) if self.accepting.is_empty() => None,
            _ => Some(Role::Handed),
        }
    }

    /// Counts, of threads that serve what they accepted, connections one at a time and overlapping.
    fn watch_turns(&mut self, histories: &[&ServiceHistory]) {
        // The latest end of what a thread accepted so far.
        let mut busy_until: BTreeMap<Id, u64> = BTreeMap::new();
        let mut order: Vec<&&ServiceHistory> = histories.iter().collect();
        order.sort_by_key(|history| history.accepted_ns);
        for history in order {
            let Some(acceptor) = history.acceptor else { continue };
            if history.server() != Some(acceptor) {
                continue;
            }
            let end_ns = history.ended_ns.unwrap_or(u64::MAX);
            let Some(until) = busy_until.insert(acceptor, end_ns) else { continue };
            busy_until.insert(acceptor, end_ns.max(until));
            if until > history.accepted_ns {
                self.overlapping += 1;
            } else if matches!(history.queued_ns, Some(queued_ns) if queued_ns < until) {
                self.serial += 1;
            }
        }
    }

    /// Processes that accept.
    pub(super) fn processes(&self) -> usize {
        self.accepting.iter().map(|(pid, _)| pid).collect::<BTreeSet<_>>().len()
    }

    /// A part of the connections.
    pub(super) fn share(&self, part: u64) -> f64 {
        part as f64 / self.connections.max(1) as f64
    }
}

//! Waits of the threads that serve: each for one connection, or for many at once.

use std::collections::BTreeSet;

use super::facts::PatternFacts;
use super::service_history::Id;
use crate::model::event::{Sample, WaitKind};
use crate::model::snapshot::{Io, PatternName};

/// Looks at sleepers and their turns count from this on.
const ENOUGH: u64 = 8;
/// Looks kept; beyond it all of them lose half their weight, so that a change shows.
const MANY: u64 = 512;

/// Calls that threads slept in when they were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looks {
    /// In accept, a read or a write, or a `poll` of one descriptor.
    pub(super) one: u64,
    /// In `epoll_wait` or io_uring.
    pub(super) many: u64,
    /// In a `poll` or `select` of several descriptors, which may be a loop, or the wait for a
    /// connection or a signal.
    pub(super) several: u64,
    /// For a lock, as those do that are handed their work.
    pub(super) lock: u64,
}

impl Looks {
    fn add(&mut self, sleep: WaitKind) {
        match sleep {
            WaitKind::Accept | WaitKind::Descriptor => self.one += 1,
            WaitKind::Events => self.many += 1,
            WaitKind::Several => self.several += 1,
            WaitKind::Lock => self.lock += 1,
            WaitKind::Other => {}
        }
        if self.one + self.many + self.several + self.lock > MANY {
            let Self { one, many, several, lock } = *self;
            *self = Self { one: one / 2, many: many / 2, several: several / 2, lock: lock / 2 };
        }
    }

    /// Returns how they wait, if four in five looks agree. A thread that is `handed` its work waits
    /// for that by a lock.
    fn io(self, handed: bool) -> Option<Io> {
        let one = self.one + if handed { self.lock } else { 0 };
        match (one, self.many) {
            (0, 0) => None,
            (one, many) if many >= one * 4 => Some(Io::EventLoop),
            (one, many) if one >= many * 4 => Some(Io::Blocking),
            _ => Some(Io::Mixed),
        }
    }

    /// Returns the looks with `several` taken for a loop.
    fn in_a_loop(self) -> Self {
        Self { many: self.many + self.several, ..self }
    }
}

/// Calls that the threads of a family sleep in, by what the threads do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    /// Those that serve.
    pub(super) servers: Looks,
    /// Those that accept and do not serve.
    pub(super) acceptors: Looks,
}

impl Waits {
    pub(super) fn sampled(
        &mut self,
        sample: &Sample,
        servers: &BTreeSet<Id>,
        facts: &PatternFacts,
    ) {
        for thread in &sample.threads {
            let (id, Some(sleep)) = ((thread.pid, thread.tid), thread.sleep) else { continue };
            if servers.contains(&id) {
                self.servers.add(sleep);
            } else if facts.accepting.contains(&id) {
                self.acceptors.add(sleep);
            }
        }
    }

    /// Returns how the threads that serve under this name wait; `None` while nothing shows it.
    pub(super) fn io(&self, name: PatternName, facts: &PatternFacts) -> Option<Io> {
        match name {
            PatternName::Unknown => None,
            // Whatever it calls to wait, it waits for one connection.
            PatternName::ThreadPerConnection | PatternName::ProcessPerConnection => {
                Some(Io::Blocking)
            }
            PatternName::AcceptorPlusReaders => {
                match (self.acceptors.in_a_loop().io(false), self.servers.in_a_loop().io(true)) {
                    // The one keeps many connections, the others take each alone.
                    (Some(Io::EventLoop), Some(Io::Blocking)) => Some(Io::Mixed),
                    (acceptors, None) => acceptors,
                    (_, servers) => servers,
                }
            }
            _ => self.own_io(facts),
        }
    }

    fn own_io(&self, facts: &PatternFacts) -> Option<Io> {
        let turns = facts.serial + facts.overlapping;
        let (serial, overlapping) = (facts.serial * 5 >= turns * 4, facts.overlapping * 2 >= turns);
        let (servers, acceptors) = (self.servers, self.acceptors);
        let looked = Looks {
            one: servers.one + acceptors.one + facts.blocked,
            many: servers.many + acceptors.many,
            several: servers.several + acceptors.several,
            lock: 0,
        };
        match () {
            () if turns < ENOUGH => looked.io(false),
            // Connections waited until the thread's own had ended: it serves one at a time, if not
            // by epoll.
            () if serial && looked.many <= looked.one + looked.several => Some(Io::Blocking),
            () if overlapping && looked.one == 0 => Some(Io::EventLoop),
            () if overlapping => looked.in_a_loop().io(false),
            () => looked.io(false),
        }
    }
}

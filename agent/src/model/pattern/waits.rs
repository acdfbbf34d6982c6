//! How those who serve wait for their connections: each for one, or for many at once.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::trail::Id;
use crate::model::event::{Sample, Sleep};
use crate::model::snapshot::{Io, PatternName};

/// Looks at sleepers and their turns count from this on.
const ENOUGH: u64 = 8;
/// Looks kept; beyond it all of them lose half their weight, so that a change shows.
const MANY: u64 = 512;

/// What threads slept in when they were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looks {
    /// In accept, a read or a write, or a `poll` of one descriptor.
    pub(super) one: u64,
    /// In `epoll_wait` or the like.
    pub(super) many: u64,
    /// For a lock, as those do that are handed their work.
    pub(super) lock: u64,
}

impl Looks {
    fn add(&mut self, sleep: Sleep) {
        match sleep {
            Sleep::Accept | Sleep::Descriptor => self.one += 1,
            Sleep::Events => self.many += 1,
            Sleep::Lock => self.lock += 1,
            Sleep::Other => {}
        }
        if self.one + self.many + self.lock > MANY {
            *self = Self { one: self.one / 2, many: self.many / 2, lock: self.lock / 2 };
        }
    }

    fn io(self) -> Option<Io> {
        let one = self.one + self.lock;
        match (one, self.many) {
            (0, 0) => None,
            (one, many) if many >= one * 4 => Some(Io::EventLoop),
            (one, many) if one >= many * 4 => Some(Io::Blocking),
            _ => Some(Io::Mixed),
        }
    }
}

/// What the threads of a family sleep in, by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    /// Those that serve.
    pub(super) servers: Looks,
    /// Those that accept and do not serve.
    pub(super) acceptors: Looks,
}

impl Waits {
    pub(super) fn sampled(&mut self, sample: &Sample, servers: &BTreeSet<Id>, facts: &Facts) {
        for thread in &sample.threads {
            let (id, Some(sleep)) = ((thread.pid, thread.tid), thread.sleep) else { continue };
            if servers.contains(&id) {
                self.servers.add(sleep);
            } else if facts.accepting.contains(&id) {
                self.acceptors.add(sleep);
            }
        }
    }

    /// How those who serve under this name wait; `None` while nothing shows it.
    pub(super) fn io(&self, name: PatternName, facts: &Facts) -> Option<Io> {
        match name {
            PatternName::Unknown => None,
            // Whatever it calls to wait, it waits for one connection.
            PatternName::ThreadPerConnection | PatternName::ProcessPerConnection => Some(Io::Blocking),
            PatternName::AcceptorPlusReaders => match (self.acceptors.io(), self.servers.io()) {
                // The one keeps many connections, the others take each alone.
                (Some(Io::EventLoop), Some(Io::Blocking)) => Some(Io::Mixed),
                (acceptors, None) => acceptors,
                (_, servers) => servers,
            },
            _ => self.own_io(facts),
        }
    }

    fn own_io(&self, facts: &Facts) -> Option<Io> {
        let turns = facts.serial + facts.overlapping;
        // A thread that lets connections wait until its own has ended serves one at a time, whatever it waits with.
        if turns >= ENOUGH && facts.serial * 5 >= turns * 4 {
            return Some(Io::Blocking);
        }
        let looked = Looks {
            one: self.servers.one + self.acceptors.one + facts.blocked,
            many: self.servers.many + self.acceptors.many,
            // Whoever accepts and serves is handed nothing: a lock is another matter.
            lock: 0,
        };
        match looked.io() {
            None if turns >= ENOUGH && facts.overlapping * 2 >= turns => Some(Io::EventLoop),
            // Accept may block in a thread that polls everything else.
            Some(Io::Blocking | Io::Mixed) if turns >= ENOUGH && facts.overlapping * 5 >= turns * 4 => {
                Some(if self.servers.many > 0 { Io::EventLoop } else { Io::Mixed })
            }
            io => io,
        }
    }
}

//! Connections that were closed at once, nothing read. Whether the application meant it is known
//! only later: the end of their process or of their listener closes them, too.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use super::{Scope, Tally};
use crate::model::event::{Ending, Sample, SockId};

/// Connections that are remembered; beyond that the oldest does not count.
const MAX_CLOSES: usize = 4_096;
/// Listeners that are remembered when they have closed.
const MAX_SHUT: usize = 64;
/// A connection is closed at once within so long after accept, ns.
const AT_ONCE_NS: u64 = 250_000_000;
/// Time after which it is known whether the listener closed as well, ns.
const SETTLED_NS: u64 = 500_000_000;
/// A listener that closes within so long after a connection closes with it, ns.
const TOGETHER_NS: u64 = 100_000_000;

/// A connection that was closed at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Close {
    pub(super) ts_ns: u64,
    pub(super) scope: Scope,
    pub(super) pid: u32,
    pub(super) how: Ending,
    /// Time since accept.
    pub(super) after_ns: u64,
    /// Something was written before.
    pub(super) written_to: bool,
}

/// Connections whose close may have been meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Unserved {
    closes: VecDeque<Close>,
    /// Those on which the server had spoken first.
    spoke_first: VecDeque<(SockId, Close)>,
    /// Listeners that closed last, and when.
    shut: VecDeque<(SockId, u64)>,
    /// Processes with threads at the newest sample.
    running: FxHashSet<u32>,
}

impl Unserved {
    /// Adds a connection that closed. A server that speaks first and closes, as one for the time of
    /// day does, serves its clients. It does not if they have something to say, now (`is_unserved`)
    /// or a little later.
    pub(super) fn add(&mut self, sock: SockId, close: Close, is_unserved: bool) {
        if close.after_ns >= AT_ONCE_NS {
            return;
        }
        if is_unserved {
            self.keep(close);
            return;
        }
        if self.spoke_first.len() == MAX_CLOSES {
            self.spoke_first.pop_front();
        }
        self.spoke_first.push_back((sock, close));
    }

    /// Notes data that came after a close. Returns true if nothing was read on that connection.
    pub(super) fn came_late(&mut self, now_ns: u64, sock: SockId) -> bool {
        let newest = self.spoke_first.iter().rposition(|(other, _)| *other == sock);
        let Some(newest) = newest else { return false };
        let Some((_, close)) = self.spoke_first.remove(newest) else { return false };
        self.keep(Close { ts_ns: now_ns, ..close });
        true
    }

    fn keep(&mut self, close: Close) {
        if self.closes.len() == MAX_CLOSES {
            self.closes.pop_front();
        }
        self.closes.push_back(close);
    }

    /// Notes that a listener closed.
    pub(super) fn shut(&mut self, sock: SockId, closed_ns: u64) {
        if self.shut.len() == MAX_SHUT {
            self.shut.pop_front();
        }
        self.shut.push_back((sock, closed_ns));
    }

    /// Returns the processes that have no threads any more: a watch by port does not see their end.
    pub(super) fn gone(&mut self, sample: &Sample) -> Vec<u32> {
        let running: FxHashSet<u32> = sample.threads.iter().map(|thread| thread.pid).collect();
        let gone = self.running.difference(&running).copied().collect();
        self.running = running;
        gone
    }

    /// Takes out the closes that are old enough to judge. Returns those that were meant: neither
    /// the process nor the listener ended with them.
    pub(super) fn settle(&mut self, now_ns: u64, has_ended: impl Fn(u32) -> bool) -> Vec<Close> {
        let mut meant = Vec::new();
        while let Some(close) = self.closes.front() {
            if now_ns.saturating_sub(close.ts_ns) < SETTLED_NS {
                break;
            }
            if !has_ended(close.pid) && !self.went_with_listener(close) {
                meant.push(*close);
            }
            self.closes.pop_front();
        }
        meant
    }

    fn went_with_listener(&self, close: &Close) -> bool {
        self.shut.iter().any(|&(sock, closed_ns)| {
            close.scope == Scope::Socket(sock)
                && closed_ns <= close.ts_ns.saturating_add(TOGETHER_NS)
        })
    }
}

/// Sums over accepted connections that the application closed at once, nothing read.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct UnservedStats {
    /// From accept to the close.
    pub(in crate::model) closed: Tally,
    /// Those of them that it reset.
    pub(in crate::model) reset: u64,
    /// Those of them to which it had written, without a read.
    pub(in crate::model) written_to: u64,
    /// The process of the last.
    pub(in crate::model) pid: u32,
}

impl UnservedStats {
    pub(super) fn add(&mut self, close: &Close) {
        self.closed.add(close.after_ns / 1_000);
        self.reset += u64::from(close.how == Ending::Reset);
        self.written_to += u64::from(close.written_to);
        self.pid = close.pid;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.closed.merge(&other.closed);
        self.reset += other.reset;
        self.written_to += other.written_to;
        if other.pid != 0 {
            self.pid = other.pid;
        }
    }
}

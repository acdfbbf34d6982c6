//! Connections whose end no record told: a complete scan does not show them.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Connections;
use crate::model::event::{Census, SockId};

/// Two complete scans, begun so long apart, do not show a connection that has ended, ns. It may be
/// on its way from one process to another, and the record of its end to the agent.
pub const UNTOLD_NS: u64 = 3_000_000_000;

/// The scan that goes on, and what the ones before did not show.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Beginning of the scan that the parts belong to.
    since_ns: u64,
    /// Connections that it has shown.
    shown: FxHashSet<SockId>,
    /// Connections that the newest complete scan did not show, with the beginning of the first that
    /// did not.
    missed: FxHashMap<SockId, u64>,
    /// Connections that have ended and are to be closed, the oldest last.
    ended: Vec<SockId>,
}

impl Connections {
    /// Takes a part of a scan of all connections. The last one tells which have ended
    /// ([`next_untold`](Self::next_untold)).
    pub(in crate::model) fn counted(&mut self, census: &Census) {
        if census.socks.is_empty() && !census.complete {
            return;
        }
        let Counted { since_ns, shown, missed, .. } = &mut self.census;
        if *since_ns != census.since_ns {
            *since_ns = census.since_ns;
            shown.clear();
        }
        shown.extend(census.socks.iter().copied());
        if !census.complete {
            return;
        }
        // All of it is memory that only this needs.
        let (shown, before) = (std::mem::take(shown), std::mem::take(missed));
        let mut ended = Vec::new();
        for (sock, connection) in self.table.iter() {
            let existed = connection.is_open() && connection.since_ns() < census.since_ns;
            if !existed || shown.contains(&sock) {
                continue;
            }
            let first_ns = before.get(&sock).copied().unwrap_or(census.since_ns);
            if census.since_ns.saturating_sub(first_ns) >= UNTOLD_NS {
                ended.push((connection.since_ns(), sock));
            } else {
                missed.insert(sock, first_ns);
            }
        }
        ended.sort_unstable_by(|one, other| other.cmp(one));
        self.census.ended = ended.into_iter().map(|(_, sock)| sock).collect();
    }

    /// Takes the oldest connection that has ended untold, and is not closed yet.
    pub(in crate::model) fn next_untold(&mut self) -> Option<SockId> {
        loop {
            let sock = self.census.ended.pop()?;
            if self.table.open_mut(sock).is_some() {
                return Some(sock);
            }
        }
    }
}

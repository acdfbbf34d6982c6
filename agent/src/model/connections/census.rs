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
}

impl Connections {
    /// Takes a part of a scan of all connections. With the last one returns those that have ended,
    /// the oldest first.
    pub(in crate::model) fn counted(&mut self, census: &Census) -> Vec<SockId> {
        let Counted { since_ns, shown, missed } = &mut self.census;
        if *since_ns != census.since_ns {
            *since_ns = census.since_ns;
            shown.clear();
        }
        shown.extend(census.socks.iter().copied());
        if !census.complete {
            return Vec::new();
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
        ended.sort_unstable();
        ended.into_iter().map(|(_, sock)| sock).collect()
    }
}

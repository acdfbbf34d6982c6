//! A census: once ends may have been lost, every connection that is there is counted.

use std::mem;

use backscope_abi as abi;
use rustc_hash::FxHashSet;

use super::{Connections, Scanned, scan::Scan};
use crate::model::{
    UNTOLD_NS,
    event::{Census, Event, SockId},
};

/// Empty parts that follow a complete census, one with each look at the ring: for each the model
/// closes some of the connections that have ended, all of those that it may know.
const FOLLOWING: usize = 100;

/// Connections that a census has met.
#[derive(Debug, Default)]
pub(super) struct Counting {
    pub(super) since_ns: u64,
    pub(super) held: FxHashSet<SockId>,
    /// Those that are not told yet.
    pub(super) part: Vec<SockId>,
    /// There are connections that the iterator cannot reach.
    pub(super) fails: bool,
}

impl Counting {
    pub(super) fn note(&mut self, sock: SockId) {
        match sock {
            abi::CANNOT_COUNT => self.fails = true,
            _ if self.held.insert(sock) => self.part.push(sock),
            _ => {}
        }
    }

    pub(super) fn tell(&mut self, complete: bool) -> Event {
        let since_ns = self.since_ns;
        let socks = mem::take(&mut self.part);
        Event::Census(Census { ts_ns: since_ns, since_ns, socks, complete })
    }
}

/// Ends were lost: scans are censuses until one has begun so long after the first that the model
/// can tell which connections have ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recount {
    /// Beginning of the first complete census.
    first_ns: Option<u64>,
}

impl Connections {
    /// Notes that records may have been lost, and with them the ends of connections.
    pub(in crate::sensor) fn recount(&mut self) {
        self.recount = Some(Recount::default());
    }

    /// Whether the scan that goes on is a census.
    pub(in crate::sensor) fn is_census(&self) -> bool {
        matches!(&self.scan, Some(scan) if scan.census.is_some())
    }

    /// Returns the next of the empty parts that follow a complete census.
    pub(in crate::sensor) fn next_part(&mut self) -> Option<Event> {
        let (left, since_ns) = &mut self.follow;
        *left = left.checked_sub(1)?;
        let (ts_ns, since_ns) = (*since_ns, *since_ns);
        Some(Event::Census(Census { ts_ns, since_ns, socks: Vec::new(), complete: false }))
    }

    /// Takes the connections that the newest census has shown, if it was complete.
    pub(in crate::sensor) fn take_held(&mut self) -> Option<FxHashSet<SockId>> {
        self.held.take()
    }

    /// Ends a census.
    pub(super) fn count(&mut self, scan: &mut Scan, scanned: &mut Scanned) {
        let Some(mut census) = scan.census.take() else { return };
        let complete = scan.udp_sockets.complete_since_ns.is_some() && !census.fails;
        scanned.found.push(census.tell(complete));
        if census.fails {
            // So will the next one.
            self.recount = None;
        }
        if !complete {
            return;
        }
        match self.recount.and_then(|recount| recount.first_ns) {
            None => self.recount = Some(Recount { first_ns: Some(census.since_ns) }),
            Some(first_ns) if census.since_ns >= first_ns + UNTOLD_NS => self.recount = None,
            Some(_) => {}
        }
        self.follow = (FOLLOWING, census.since_ns);
        self.announced.retain(|sock| census.held.contains(sock));
        self.held = Some(census.held);
    }
}

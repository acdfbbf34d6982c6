//! Clients that believe they are connected and are not: the kernel ignored their final ACK because
//! the accept queue was full.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::event::{Accept, Overflow, SockId, Stage};

/// Clients kept, of all listeners. More are not counted.
const MAX_IGNORED: usize = 16_384;
/// A client is forgotten if nothing more of it was ignored for so long, ns. It may have given up,
/// which nothing would show.
const HEARD_OF_NS: u64 = 60_000_000_000;

/// By listener, with the time of the newest packet that was ignored.
#[derive(Clone, Debug, Default)]
pub(super) struct Ignored {
    clients: BTreeMap<SockId, BTreeMap<SocketAddr, u64>>,
    count: usize,
}

impl Ignored {
    pub(super) fn overflowed(&mut self, overflow: &Overflow) {
        if overflow.stage != Stage::Ack {
            return;
        }
        let clients = self.clients.entry(overflow.listener).or_default();
        if self.count < MAX_IGNORED || clients.contains_key(&overflow.peer) {
            self.count += usize::from(clients.insert(overflow.peer, overflow.ts_ns).is_none());
        }
    }

    /// Removes a client that came into the queue after all.
    pub(super) fn accepted(&mut self, accept: &Accept) {
        if let Some(clients) = self.clients.get_mut(&accept.listener) {
            self.count -= usize::from(clients.remove(&accept.peer).is_some());
        }
    }

    pub(super) fn closed(&mut self, listener: SockId) {
        if let Some(clients) = self.clients.remove(&listener) {
            self.count -= clients.len();
        }
    }

    pub(super) fn expire(&mut self, now_ns: u64) {
        self.clients.retain(|_, clients| {
            clients.retain(|_, heard_ns| now_ns.saturating_sub(*heard_ns) < HEARD_OF_NS);
            !clients.is_empty()
        });
        self.count = self.clients.values().map(BTreeMap::len).sum();
    }

    /// Counts the clients of a listener.
    pub(super) fn of(&self, listener: SockId) -> u64 {
        let Some(clients) = self.clients.get(&listener) else { return 0 };
        clients.len() as u64
    }
}

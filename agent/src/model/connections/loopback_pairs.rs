//! Connections with both ends on this host. The delayed ACKs that one end records prove those that
//! the other end can only infer.

use std::net::SocketAddr;

use crate::bounded::Bounded;
use crate::model::event::SockId;

/// Connections made by watched processes that are known by their addresses. Of more, nothing is
/// proved by the one that was made first.
pub const MAX_LOOPBACK_PAIRS: usize = 16_384;
/// Largest difference of two stamps of one instant, ns.
const SLACK_NS: u64 = 1_000_000;
/// Newest delayed ACKs remembered of each.
const REMEMBERED: usize = 4;

/// The local and the remote address of a connection that a watched process made.
type Addresses = (SocketAddr, SocketAddr);

#[derive(Clone, Debug)]
struct End {
    sock: SockId,
    closed: bool,
    /// Another open connection has the same addresses, in another network namespace: either may be
    /// the other end.
    ambiguous: bool,
    /// Times of its newest delayed ACKs, ns.
    acks_ns: [u64; REMEMBERED],
}

/// The ends that made connections. The other ends, which accepted them, need not be kept: a
/// client's exchange ends with what it reads, so that no delayed ACK is inferred from its side.
#[derive(Clone, Debug)]
pub(super) struct LoopbackPairs {
    table: Bounded<Addresses, End>,
}

impl Default for LoopbackPairs {
    fn default() -> Self {
        Self { table: Bounded::new(MAX_LOOPBACK_PAIRS) }
    }
}

impl LoopbackPairs {
    pub(super) fn opened(&mut self, sock: SockId, local: SocketAddr, peer: SocketAddr) {
        if let Some(known) = self.table.get_mut((local, peer))
            && (known.sock == sock || !known.closed)
        {
            known.ambiguous |= known.sock != sock;
            return;
        }
        let new = End { sock, closed: false, ambiguous: false, acks_ns: [0; REMEMBERED] };
        self.table.insert((local, peer), new);
    }

    pub(super) fn closed(&mut self, sock: SockId, local: SocketAddr, peer: SocketAddr) {
        if let Some(end) = self.table.get_mut((local, peer)) {
            end.closed |= end.sock == sock;
        }
    }

    pub(super) fn forget(&mut self, sock: SockId, local: SocketAddr, peer: SocketAddr) {
        if matches!(self.table.get((local, peer)), Some(end) if end.sock == sock) {
            self.table.remove((local, peer));
        }
    }

    /// Connections that gave way to others.
    pub(super) fn gave_way(&self) -> u64 {
        self.table.gave_way()
    }

    /// Notes a delayed ACK that this end sent at `ack_ns`. True if that is news.
    pub(super) fn acknowledged(
        &mut self,
        sock: SockId,
        local: SocketAddr,
        peer: SocketAddr,
        ack_ns: u64,
    ) -> bool {
        let Some(end) = self.table.get_mut((local, peer)) else { return false };
        if end.sock != sock || end.ambiguous || end.acks_ns.contains(&ack_ns) {
            return false;
        }
        end.acks_ns.rotate_right(1);
        end.acks_ns[0] = ack_ns;
        true
    }

    /// Whether the other end of the connection with these addresses sent a delayed ACK within this
    /// wait for one. A timer acknowledges all that is there, so that is the one that ended it.
    pub(super) fn confirm(
        &self,
        local: SocketAddr,
        peer: SocketAddr,
        sent_ns: u64,
        acked_ns: u64,
    ) -> bool {
        let Some(end) = self.table.get((peer, local)) else { return false };
        let wait = sent_ns..=acked_ns.saturating_add(SLACK_NS);
        !end.ambiguous && end.acks_ns.iter().any(|ack_ns| *ack_ns != 0 && wait.contains(ack_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_connection_proves_delayed_acks_though_no_old_one_was_seen_to_end() {
        let mut pairs = LoopbackPairs::default();
        let local = |sock: u64| SocketAddr::from(([127, 0, 0, (sock >> 16) as u8], sock as u16));
        let peer = SocketAddr::from(([127, 0, 0, 1], 80));
        let newest = MAX_LOOPBACK_PAIRS as u64 + 2;
        for sock in 1..=newest {
            pairs.opened(sock, local(sock), peer);
        }
        assert_eq!(pairs.gave_way(), 2);
        assert!(!pairs.acknowledged(2, local(2), peer, 5), "it gave way");
        for sock in [3, newest] {
            assert!(pairs.acknowledged(sock, local(sock), peer, 5), "{sock}");
            assert!(pairs.confirm(peer, local(sock), 4, 6));
        }
    }
}

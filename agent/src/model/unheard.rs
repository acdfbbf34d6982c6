//! Peers whose packets the kernel ignored because the accept queue was full: they believe that they
//! are connected, and send again and again until one of their packets finds room.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::event::{Accept, Overflow, SockId, Stage, SynAckRetransmit};
use super::exchange::Ignoring;

/// Peers that are kept.
pub(super) const MAX_UNHEARD: usize = 16_384;
/// Time within which a peer tries again at first, ns: the first SYN-ACK is sent again after a
/// second.
const FIRST_RETRY_NS: u64 = 2_000_000_000;

/// A peer that was ignored.
#[derive(Clone, Copy, Debug)]
struct Peer {
    listener: SockId,
    /// Port of the listener.
    port: Option<u16>,
    /// The first packet that was ignored; where packets are not seen, the SYN-ACK that was
    /// answered.
    since_ns: u64,
    /// SYN-ACK sent, where that is known.
    answered_ns: Option<u64>,
    data: Option<bool>,
    /// The newest sign of it.
    newest_ns: u64,
    /// It was let in.
    accepted: bool,
}

/// All peers that were ignored lately. When there are too many, the one that was met first goes.
#[derive(Debug, Default)]
pub(super) struct Unheard {
    peers: HashMap<SocketAddr, Vec<Peer>>,
    order: VecDeque<(SocketAddr, SockId)>,
}

impl Unheard {
    /// Notes a packet of a peer that was dropped. `port` is the listener's.
    pub(super) fn overflowed(&mut self, overflow: &Overflow, port: Option<u16>) {
        if overflow.stage != Stage::Ack || overflow.peer.port() == 0 {
            return;
        }
        let peer = self.met(overflow.peer, overflow.listener, overflow.ts_ns, overflow.ts_ns);
        peer.port = peer.port.or(port);
        if let Some(bytes) = overflow.bytes {
            peer.data = Some(peer.data == Some(true) || bytes > 0);
        }
    }

    /// Notes a SYN-ACK that was sent again to a peer which had answered it.
    pub(super) fn asked_again(&mut self, again: &SynAckRetransmit, port: Option<u16>) {
        if !again.ignored {
            return;
        }
        let since_ns = again.first_ns.unwrap_or(again.ts_ns);
        let peer = self.met(again.peer, again.listener, again.ts_ns, since_ns);
        peer.port = peer.port.or(port);
        peer.answered_ns = peer.answered_ns.or(again.first_ns);
    }

    /// Takes an accept. If the peer had been ignored before, returns how, and the time that its
    /// handshake took, µs.
    pub(super) fn accepted(&mut self, accept: &Accept) -> Option<(Ignoring, Option<u64>)> {
        let queued_ns = accept.queued_ns.unwrap_or(accept.ts_ns);
        let peers = self.peers.get_mut(&accept.peer)?;
        let peer =
            peers.iter_mut().find(|peer| peer.listener == accept.listener && !peer.accepted)?;
        peer.accepted = true;
        peer.port = Some(accept.local.port());
        if !peer.is_before(queued_ns) {
            return None;
        }
        let answered_ns = match accept.handshake_us {
            // The kernel's sample runs to the packet that was let in.
            Some(us) => Some(queued_ns.saturating_sub(us.saturating_mul(1_000))),
            None => peer.answered_ns,
        };
        let mut handshake_us = None;
        if let Some(answered_ns) = answered_ns
            && answered_ns < peer.since_ns
        {
            handshake_us = Some((peer.since_ns - answered_ns) / 1_000);
        }
        Some((Ignoring { since_ns: Some(peer.since_ns), data: peer.data }, handshake_us))
    }

    /// Whether the server at `port` of this host ignored what came from `local` since `since_ns`.
    pub(super) fn at(&self, local: SocketAddr, port: u16, since_ns: u64) -> bool {
        let Some(peers) = self.peers.get(&local) else { return false };
        peers.iter().any(|peer| peer.port == Some(port) && peer.newest_ns >= since_ns)
    }

    /// Returns the entry of a peer. If this is the first sign of it, it was ignored from `since_ns`
    /// on.
    fn met(
        &mut self,
        address: SocketAddr,
        listener: SockId,
        ts_ns: u64,
        since_ns: u64,
    ) -> &mut Peer {
        if self.order.len() >= MAX_UNHEARD
            && let Some((oldest, of)) = self.order.pop_front()
        {
            self.forget(oldest, of);
        }
        let fresh = Peer {
            listener,
            port: None,
            since_ns,
            answered_ns: None,
            data: None,
            newest_ns: ts_ns,
            accepted: false,
        };
        let peers = self.peers.entry(address).or_default();
        let at = match peers.iter().position(|peer| peer.listener == listener) {
            Some(at) => at,
            None => {
                self.order.push_back((address, listener));
                peers.push(fresh);
                peers.len() - 1
            }
        };
        let peer = &mut peers[at];
        // The same address may connect anew.
        if peer.accepted || !peer.is_before(ts_ns) {
            *peer = Peer { port: peer.port, ..fresh };
        }
        peer.newest_ns = ts_ns;
        peer
    }

    fn forget(&mut self, address: SocketAddr, listener: SockId) {
        if let Some(peers) = self.peers.get_mut(&address) {
            peers.retain(|peer| peer.listener != listener);
            if peers.is_empty() {
                self.peers.remove(&address);
            }
        }
    }
}

impl Peer {
    /// Whether a packet at `ts_ns` can be of the connection that was ignored. Each time the peer,
    /// or the kernel for it, tries again after twice the time.
    fn is_before(&self, ts_ns: u64) -> bool {
        let tried_ns = self.newest_ns.saturating_sub(self.since_ns);
        ts_ns.saturating_sub(self.newest_ns)
            <= tried_ns.saturating_mul(2).saturating_add(FIRST_RETRY_NS)
    }
}

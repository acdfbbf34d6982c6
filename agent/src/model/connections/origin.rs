//! Facts that thousands of connections have in common, kept once.

use std::net::SocketAddr;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::model::event::{Role, SockId, TcpState};
use crate::model::snapshot::Protocol;
use crate::text::Untrusted;

/// With so many origins those without a connection are removed; the next time at twice the number
/// that is left.
const LEAST_PRUNED: usize = 256;

/// The source of a connection, and other facts that are the same for many.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::model) struct Origin {
    pub(in crate::model) role: Role,
    pub(in crate::model) listener: Option<SockId>,
    /// The end that many share: the local one of an accepted connection, the remote one of a
    /// connection that was made.
    pub(super) near: SocketAddr,
    pub(in crate::model) pid: u32,
    pub(in crate::model) comm: Untrusted,
    /// The thread that accepted it; 0 if that is not known.
    pub(in crate::model) acceptor: u32,
    /// It was open at the attach.
    pub(super) preexisting: bool,
    /// Its protocol, once that is known.
    pub(super) protocol: Option<Protocol>,
    /// Its listener has TCP_DEFER_ACCEPT: the handshake, as the kernel measures it, lasted until
    /// the first data came.
    pub(super) deferred: bool,
    /// Its SYN carried data that was taken.
    pub(super) fast_open: bool,
    /// Delayed ACKs that this host sends are seen.
    pub(super) sees_delayed_acks: bool,
    /// Its bytes pass through Multipath TCP, where reads and writes are not seen.
    pub(in crate::model) multipath: bool,
    /// Of an open connection, at the newest sample.
    pub(super) state: TcpState,
}

impl Origin {
    /// The end that many share: the local one of an accepted connection, the remote one of a
    /// connection that was made.
    pub(in crate::model) fn near(&self) -> SocketAddr {
        self.near
    }
}

/// The origins of all connections there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    known: FxHashSet<Arc<Origin>>,
    prune_at: usize,
    /// Mostly the next one is of the same origin as the one before.
    last: Option<Arc<Origin>>,
    /// Delayed ACKs that this host sends were seen on some connection: then they are on those that
    /// come.
    pub(super) sees_delayed_acks: bool,
}

impl Origins {
    pub(super) fn share(&mut self, origin: Origin) -> Arc<Origin> {
        if let Some(last) = &self.last
            && **last == origin
        {
            return Arc::clone(last);
        }
        if let Some(known) = self.known.get(&origin) {
            self.last = Some(Arc::clone(known));
            return Arc::clone(known);
        }
        if self.known.len() >= self.prune_at.max(LEAST_PRUNED) {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.prune_at = 2 * self.known.len();
        }
        let origin = Arc::new(origin);
        self.known.insert(Arc::clone(&origin));
        origin
    }

    /// Gives a connection an origin of its own with this change, shared again with all that have
    /// the same.
    pub(super) fn change(&mut self, of: &mut Arc<Origin>, change: impl FnOnce(&mut Origin)) {
        let mut changed = Origin::clone(of);
        change(&mut changed);
        *of = self.share(changed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(pid: u32) -> Origin {
        let near = SocketAddr::from(([10, 0, 0, 1], 80));
        Origin {
            role: Role::Server,
            listener: Some(7),
            near,
            pid,
            comm: "server".into(),
            acceptor: pid,
            preexisting: false,
            protocol: None,
            deferred: false,
            fast_open: false,
            sees_delayed_acks: false,
            multipath: false,
            state: TcpState::Established,
        }
    }

    #[test]
    fn equals_are_kept_once_and_what_nobody_uses_goes() {
        let mut origins = Origins::default();
        let used = origins.share(origin(0));
        for pid in 1..10 * LEAST_PRUNED as u32 {
            origins.share(origin(pid));
        }
        assert!(Arc::ptr_eq(&used, &origins.share(origin(0))));
        assert!(origins.known.len() <= LEAST_PRUNED, "{} are kept", origins.known.len());
    }
}

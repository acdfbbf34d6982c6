//! Threads that accept and wait for one client: a server that serves one connection at a time is
//! held by a silent one.

use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::{Connection, Connections};
use crate::model::event::{Role, SockId, ThreadSample, WaitKind};
use crate::model::exchange;
use crate::model::snapshot::ListenerView;

/// Why a client holds a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum HeldBy {
    /// It has sent nothing yet.
    Silence,
    /// Nothing since it was answered.
    Idleness,
}

/// A thread that accepts, and the client whom it seems to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct Held {
    pub(in crate::model) tid: u32,
    pub(in crate::model) peer: SocketAddr,
    pub(in crate::model) why: HeldBy,
}

impl Connections {
    /// The newest of a listener's clients that hold a thread, if they hold at least half of those
    /// that accept: each sleeps in a call on one descriptor, and the newest connection that it took
    /// has its client's turn.
    pub(in crate::model) fn held(
        &self,
        listener: &ListenerView,
        threads: &[ThreadSample],
    ) -> Option<Held> {
        let asleep = |tid: u32| {
            threads
                .iter()
                .any(|thread| thread.tid == tid && thread.sleep == Some(WaitKind::Descriptor))
        };
        let acceptors = listener
            .acceptors
            .iter()
            .filter(|acceptor| !acceptor.in_accept && asleep(acceptor.tid));
        let mut newest: FxHashMap<u32, Option<(u64, SockId)>> =
            acceptors.map(|one| (one.tid, None)).collect();
        if newest.is_empty() || newest.len() * 2 < listener.acceptors.len() {
            return None;
        }
        for (sock, connection) in self.table.iter() {
            let origin = &connection.origin;
            let is_of_it = origin.role == Role::Server
                && origin.listener == Some(listener.sock)
                && connection.is_open();
            if let Some(newest) = newest.get_mut(&origin.acceptor).filter(|_| is_of_it) {
                *newest = (*newest).max(Some((connection.since_ns(), sock)));
            }
        }
        let newest = newest.into_iter().filter_map(|(tid, newest)| Some((newest?, tid)));
        let held = newest.filter_map(|((since_ns, sock), tid)| {
            let connection = self.table.get(sock)?;
            Some((since_ns, Held { tid, peer: connection.peer(), why: why(connection)? }))
        });
        held.max_by_key(|(since_ns, _)| *since_ns).map(|(_, held)| held)
    }
}

/// Why it is the client's turn; `None` if it is not.
fn why(connection: &Connection) -> Option<HeldBy> {
    match connection.current() {
        None if connection.exchanges() == 0 => Some(HeldBy::Silence),
        Some(current) if !exchange::is_quiet(current) => None,
        _ => Some(HeldBy::Idleness),
    }
}

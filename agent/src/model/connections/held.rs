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
    /// Returns the newest of a listener's clients that hold a thread, if they hold at least half of
    /// the accepting threads. A held thread sleeps in a call on one descriptor, and on the newest
    /// connection that it accepted it is the client's turn.
    pub(in crate::model) fn held(
        &self,
        listener: &ListenerView,
        threads: &[ThreadSample],
    ) -> Option<Held> {
        let mut newest: FxHashMap<u32, Option<(u64, SockId)>> = FxHashMap::default();
        for acceptor in &listener.acceptors {
            if !acceptor.in_accept && is_asleep(threads, acceptor.tid) {
                newest.insert(acceptor.tid, None);
            }
        }
        if newest.is_empty() || newest.len() * 2 < listener.acceptors.len() {
            return None;
        }
        for (sock, connection) in self.table.iter() {
            let origin = &connection.origin;
            let is_of_it = origin.role == Role::Server
                && origin.listener == Some(listener.sock)
                && connection.is_open();
            if is_of_it && let Some(newest) = newest.get_mut(&origin.acceptor) {
                *newest = (*newest).max(Some((connection.since_ns(), sock)));
            }
        }
        let mut newest_held: Option<(u64, Held)> = None;
        for (tid, newest) in newest {
            let Some((since_ns, sock)) = newest else { continue };
            let Some(connection) = self.table.get(sock) else { continue };
            let Some(why) = why(connection) else { continue };
            if newest_held.is_none_or(|(newest_ns, _)| since_ns >= newest_ns) {
                newest_held = Some((since_ns, Held { tid, peer: connection.peer(), why }));
            }
        }
        let (_, held) = newest_held?;
        Some(held)
    }
}

fn is_asleep(threads: &[ThreadSample], tid: u32) -> bool {
    threads.iter().any(|thread| thread.tid == tid && thread.sleep == Some(WaitKind::Descriptor))
}

/// Why it is the client's turn; `None` if it is not.
fn why(connection: &Connection) -> Option<HeldBy> {
    match connection.current() {
        None if connection.exchanges() == 0 => Some(HeldBy::Silence),
        Some(current) if !exchange::is_quiet(current) => None,
        _ => Some(HeldBy::Idleness),
    }
}

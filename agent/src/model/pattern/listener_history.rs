//! One listener's last connections, and the calls of threads on all of them.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::service_history::{Added, Id};
use crate::model::event::{ListenerSample, Place, SockId};
use crate::model::histogram::{Precision, WaitHistogram};

/// Connections by which a listener's pattern is judged: the newest.
const MAX_CONNECTIONS: usize = 256;
/// Threads whose calls are counted; the one that did something least recently is forgotten.
const MAX_THREADS: usize = 256;

/// Calls of a thread on the listener's connections since the attach.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calls {
    pub(super) accepts: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
    pub(super) connections: u64,
    last_ns: u64,
}

impl Calls {
    pub(super) fn add(&mut self, other: &Self) {
        self.accepts = self.accepts.saturating_add(other.accepts);
        self.reads = self.reads.saturating_add(other.reads);
        self.writes = self.writes.saturating_add(other.writes);
        self.connections = self.connections.saturating_add(other.connections);
    }
}

/// Recent connections of one listener, and the threads that did something on any.
#[derive(Debug)]
pub(super) struct ListenerHistory {
    /// `None` before the listener's first sample.
    pub(super) place: Option<Place>,
    pub(super) open: bool,
    /// Connections, oldest first.
    pub(super) connections: VecDeque<SockId>,
    pub(super) threads: BTreeMap<Id, Calls>,
    pub(super) handoff: WaitHistogram,
    /// Reads of all threads, the forgotten ones, too.
    pub(super) reads: u64,
    pub(super) last_ns: u64,
}

impl ListenerHistory {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            place: None,
            open: true,
            connections: VecDeque::new(),
            threads: BTreeMap::new(),
            handoff: WaitHistogram::new(Precision::Coarse),
            reads: 0,
            last_ns: now_ns,
        }
    }

    pub(super) fn sampled(&mut self, sample: &ListenerSample) {
        self.place = Some(sample.place());
        self.open = sample.closed_ns.is_none();
    }

    /// Adds a connection; returns the one that is forgotten for it.
    pub(super) fn push(&mut self, sock: SockId) -> Option<SockId> {
        self.connections.push_back(sock);
        if self.connections.len() > MAX_CONNECTIONS { self.connections.pop_front() } else { None }
    }

    /// Tells whether there were more connections than are kept.
    pub(super) fn is_full(&self) -> bool {
        self.connections.len() >= MAX_CONNECTIONS
    }

    /// Counts an accept, as often as it stands for one.
    pub(super) fn accepted(&mut self, id: Id, now_ns: u64, stands_for: u64) {
        self.thread(id, now_ns).accepts += stands_for;
        self.last_ns = now_ns;
    }

    /// Adds the growth of a connection's history.
    pub(super) fn noted(&mut self, added: &Added, now_ns: u64) {
        self.reads = self.reads.saturating_add(added.reads);
        let mut writes = added.writes;
        if let Some(reader) = added.reader
            && added.reads > 0
        {
            let calls = self.thread(reader, now_ns);
            calls.reads = calls.reads.saturating_add(added.reads);
            // Mostly it is the same thread.
            if added.writer == added.reader {
                calls.writes = calls.writes.saturating_add(mem::take(&mut writes));
            }
        }
        if let Some(writer) = added.writer
            && writes > 0
        {
            self.thread(writer, now_ns).writes =
                self.thread(writer, now_ns).writes.saturating_add(writes);
        }
        if let Some(server) = added.serves {
            self.thread(server, now_ns).connections += added.connections;
        }
        if let Some(ns) = added.handed_ns {
            self.handoff.record_many(ns / 1_000, added.connections);
        }
        self.last_ns = now_ns;
    }

    fn thread(&mut self, id: Id, now_ns: u64) -> &mut Calls {
        if self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&id) {
            let oldest = self.threads.iter().min_by_key(|(_, calls)| calls.last_ns);
            if let Some((&oldest, _)) = oldest {
                self.threads.remove(&oldest);
            }
        }
        let calls = self.threads.entry(id).or_default();
        calls.last_ns = now_ns;
        calls
    }
}

//! What is kept of one listener: its last connections, and what threads did on all of them.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::service_history::{Added, Id};
use crate::model::event::{ListenerSample, SockId};
use crate::model::histogram::{Precision, WaitHistogram};

/// Connections by which a listener's pattern is judged: the newest.
const MAX_TRAILS: usize = 256;
/// Threads whose doings are counted; the one that did something least recently is forgotten.
const MAX_DOERS: usize = 256;

/// Where a listener listens, and in which network namespace: those of one SO_REUSEPORT group have
/// it in common.
pub(super) type Key = (std::net::SocketAddr, u32);

/// What a thread did on the listener's connections since the attach.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doings {
    pub(super) accepts: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
    pub(super) connections: u64,
    last_ns: u64,
}

impl Doings {
    pub(super) fn add(&mut self, other: &Self) {
        self.accepts += other.accepts;
        self.reads += other.reads;
        self.writes += other.writes;
        self.connections += other.connections;
    }
}

/// One listener.
#[derive(Debug)]
pub(super) struct Line {
    /// `None` before its first sample.
    pub(super) key: Option<Key>,
    pub(super) open: bool,
    /// Connections, oldest first.
    pub(super) trails: VecDeque<SockId>,
    pub(super) doers: BTreeMap<Id, Doings>,
    pub(super) handoff: WaitHistogram,
    /// Reads of all threads, the forgotten ones, too.
    pub(super) reads: u64,
    pub(super) last_ns: u64,
}

impl Line {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            key: None,
            open: true,
            trails: VecDeque::new(),
            doers: BTreeMap::new(),
            handoff: WaitHistogram::new(Precision::Coarse),
            reads: 0,
            last_ns: now_ns,
        }
    }

    pub(super) fn sampled(&mut self, sample: &ListenerSample) {
        self.key = Some((sample.local, sample.netns));
        self.open = sample.closed_ns.is_none();
    }

    /// Adds a connection; gives the one that is forgotten for it.
    pub(super) fn push(&mut self, sock: SockId) -> Option<SockId> {
        self.trails.push_back(sock);
        if self.trails.len() > MAX_TRAILS { self.trails.pop_front() } else { None }
    }

    pub(super) fn accepted(&mut self, id: Id, now_ns: u64) {
        self.doer(id, now_ns).accepts += 1;
        self.last_ns = now_ns;
    }

    pub(super) fn noted(&mut self, added: &Added, now_ns: u64) {
        self.reads += added.reads;
        let mut writes = added.writes;
        if let Some(reader) = added.reader.filter(|_| added.reads > 0) {
            let doings = self.doer(reader, now_ns);
            doings.reads += added.reads;
            // Mostly it is the same thread.
            if added.writer == added.reader {
                doings.writes += mem::take(&mut writes);
            }
        }
        if let Some(writer) = added.writer.filter(|_| writes > 0) {
            self.doer(writer, now_ns).writes += writes;
        }
        if let Some(server) = added.serves {
            self.doer(server, now_ns).connections += 1;
        }
        if let Some(ns) = added.handed_ns {
            self.handoff.record(ns / 1_000);
        }
        self.last_ns = now_ns;
    }

    fn doer(&mut self, id: Id, now_ns: u64) -> &mut Doings {
        if self.doers.len() >= MAX_DOERS && !self.doers.contains_key(&id) {
            let oldest =
                self.doers.iter().min_by_key(|(_, doings)| doings.last_ns).map(|(&id, _)| id);
            oldest.and_then(|id| self.doers.remove(&id));
        }
        let doings = self.doers.entry(id).or_default();
        doings.last_ns = now_ns;
        doings
    }
}

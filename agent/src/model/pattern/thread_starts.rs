//! When threads and processes began, as far as that is known.

use std::collections::{HashMap, HashSet, VecDeque};

use super::service_history::Id;
use crate::model::event::{Process, ProcessChange, Sample, ThreadSample};

/// Forks remembered; the oldest goes.
const MAX_FORKS: usize = 4_096;
/// A thread's beginning is known to this, ns.
const TICK_NS: u64 = 10_000_000;
/// A sample that has so many threads may lack some.
const FULL_SAMPLE: usize = 1_024;
/// A thread that begins so long after its process is no part of its pool, ns.
const LATER_NS: u64 = 100_000_000;

#[derive(Clone, Debug)]
struct Thread {
    pid: u32,
    parent: u32,
    started_ns: u64,
    comm: String,
}

/// What the last two samples and the forks say.
#[derive(Debug, Default)]
pub(super) struct ThreadStarts {
    now: HashMap<u32, Thread>,
    before: HashMap<u32, Thread>,
    forks: HashMap<u32, u64>,
    order: VecDeque<u32>,
    truncated: bool,
}

impl ThreadStarts {
    pub(super) fn process(&mut self, process: &Process) {
        if let ProcessChange::Forked { .. } = process.change {
            if self.forks.insert(process.pid, process.ts_ns).is_none() {
                self.order.push_back(process.pid);
            }
            if self.order.len() > MAX_FORKS {
                self.order.pop_front().and_then(|oldest| self.forks.remove(&oldest));
            }
        }
    }

    pub(super) fn sampled(&mut self, sample: &Sample) {
        let thread = |thread: &ThreadSample| {
            let ThreadSample { pid, parent, started_ns, .. } = *thread;
            (thread.tid, Thread { pid, parent, started_ns, comm: thread.comm.clone() })
        };
        self.truncated = sample.threads.len() >= FULL_SAMPLE;
        let now = sample.threads.iter().take(FULL_SAMPLE).map(thread).collect();
        self.before = std::mem::replace(&mut self.now, now);
    }

    fn of(&self, id: Id) -> Option<&Thread> {
        let found = self.now.get(&id.1).or_else(|| self.before.get(&id.1));
        found.filter(|thread| thread.pid == id.0)
    }

    /// Whether a thread began after a moment. One that no sample ever met, of a process that
    /// samples know, lived for less than a refresh.
    pub(super) fn began_after(&self, id: Id, ns: u64) -> Option<bool> {
        if let Some(thread) = self.of(id) {
            return Some(thread.started_ns + TICK_NS > ns);
        }
        if let Some(&forked_ns) = self.forks.get(&id.0) {
            return Some(forked_ns > ns);
        }
        (!self.truncated && self.now.contains_key(&id.0)).then_some(true)
    }

    /// Whether a thread began well after the process: `None` when not known.
    pub(super) fn began_later_than(&self, id: Id, process: u32) -> Option<bool> {
        let (thread, process) = (self.of(id)?, self.of((process, process))?);
        Some(thread.started_ns > process.started_ns + LATER_NS)
    }

    pub(super) fn comm(&self, id: Id) -> Option<&str> {
        self.of(id).map(|thread| thread.comm.as_str())
    }

    pub(super) fn parent(&self, pid: u32) -> Option<u32> {
        self.of((pid, pid)).map(|thread| thread.parent)
    }

    /// The processes that there are; `None` if the newest sample may lack some.
    pub(super) fn processes(&self) -> Option<HashSet<u32>> {
        let complete = !self.truncated && !self.now.is_empty();
        complete.then(|| self.now.values().map(|thread| thread.pid).collect())
    }

    pub(super) fn is_alive(&self, id: Id) -> bool {
        self.now.get(&id.1).is_some_and(|thread| thread.pid == id.0)
    }
}

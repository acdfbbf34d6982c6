//! Start times of threads and processes, as far as they are known.

use std::collections::{HashMap, HashSet, VecDeque};

use super::service_history::Id;
use crate::model::event::{Process, ProcessChange, Sample, ThreadSample};
use crate::text::Untrusted;

/// Forks remembered; the oldest goes.
const MAX_FORKS: usize = 4_096;
/// A thread's start is known to this precision, ns.
const TICK_NS: u64 = 10_000_000;
/// A sample that has so many threads may lack some.
const FULL_SAMPLE: usize = 1_024;
/// A thread that begins so long after its process is no part of its pool, ns.
const LATER_NS: u64 = 100_000_000;

#[derive(Clone, Debug)]
struct ThreadStart {
    pid: u32,
    parent: u32,
    started_ns: u64,
    comm: Untrusted,
}

/// Threads of the last two samples, and recent forks.
#[derive(Debug, Default)]
pub(super) struct ThreadStarts {
    now: HashMap<u32, ThreadStart>,
    before: HashMap<u32, ThreadStart>,
    forks: HashMap<u32, u64>,
    order: VecDeque<u32>,
    truncated: bool,
}

impl ThreadStarts {
    pub(super) fn process(&mut self, process: &Process) {
        let ProcessChange::Forked { .. } = process.change else { return };
        if self.forks.insert(process.pid, process.ts_ns).is_none() {
            self.order.push_back(process.pid);
        }
        if self.order.len() > MAX_FORKS
            && let Some(oldest) = self.order.pop_front()
        {
            self.forks.remove(&oldest);
        }
    }

    pub(super) fn sampled(&mut self, sample: &Sample) {
        self.truncated = sample.threads.len() >= FULL_SAMPLE;
        let mut now = HashMap::new();
        for thread in sample.threads.iter().take(FULL_SAMPLE) {
            let ThreadSample { pid, parent, started_ns, .. } = *thread;
            let comm = thread.comm.clone();
            now.insert(thread.tid, ThreadStart { pid, parent, started_ns, comm });
        }
        self.before = std::mem::replace(&mut self.now, now);
    }

    fn of(&self, (pid, tid): Id) -> Option<&ThreadStart> {
        let thread = match self.now.get(&tid) {
            Some(thread) => thread,
            None => self.before.get(&tid)?,
        };
        if thread.pid == pid { Some(thread) } else { None }
    }

    /// Whether a thread began after `ns`. A thread that no sample ever met, of a process that
    /// samples know, lived for less than a refresh.
    pub(super) fn began_after(&self, id: Id, ns: u64) -> Option<bool> {
        if let Some(thread) = self.of(id) {
            return Some(thread.started_ns.saturating_add(TICK_NS) > ns);
        }
        if let Some(&forked_ns) = self.forks.get(&id.0) {
            return Some(forked_ns > ns);
        }
        if !self.truncated && self.now.contains_key(&id.0) { Some(true) } else { None }
    }

    /// Whether a thread began well after the process: `None` when not known.
    pub(super) fn began_later_than(&self, id: Id, process: u32) -> Option<bool> {
        let (thread, process) = (self.of(id)?, self.of((process, process))?);
        Some(thread.started_ns > process.started_ns.saturating_add(LATER_NS))
    }

    pub(super) fn comm(&self, id: Id) -> Option<&Untrusted> {
        Some(&self.of(id)?.comm)
    }

    pub(super) fn parent(&self, pid: u32) -> Option<u32> {
        Some(self.of((pid, pid))?.parent)
    }

    /// Returns the processes that there are; `None` if the newest sample may lack some.
    pub(super) fn processes(&self) -> Option<HashSet<u32>> {
        if self.truncated || self.now.is_empty() {
            return None;
        }
        Some(self.now.values().map(|thread| thread.pid).collect())
    }

    pub(super) fn is_alive(&self, (pid, tid): Id) -> bool {
        matches!(self.now.get(&tid), Some(thread) if thread.pid == pid)
    }
}

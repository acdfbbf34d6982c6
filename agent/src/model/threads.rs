//! How the watched threads spend their time, from one sample to the next.

use std::cmp::Reverse;
use std::collections::HashMap;

use rustc_hash::FxHashMap;

use super::event::{Accept, Sample, ThreadSample};
use super::snapshot::ThreadView;

/// Threads followed; further ones are not shown.
pub const MAX_THREADS: usize = 4_096;
/// Threads in a snapshot.
pub const MAX_THREAD_VIEWS: usize = 512;

#[derive(Clone, Debug)]
struct Thread {
    /// The newest sample.
    sample: ThreadSample,
    view: ThreadView,
    /// How long it was ready without a CPU in the last period, ns.
    delay_ns: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Threads {
    /// By thread id, which the kernel gives out once at a time.
    table: HashMap<u32, Thread>,
    /// Accepts in the present period, by thread id.
    accepts: FxHashMap<u32, u64>,
    sampled_ns: u64,
    refused: u64,
}

impl Threads {
    pub(super) fn accepted(&mut self, accept: &Accept) {
        if self.accepts.len() < MAX_THREADS || self.accepts.contains_key(&accept.tid) {
            *self.accepts.entry(accept.tid).or_default() += 1;
        }
    }

    pub(super) fn sampled(&mut self, sample: &Sample) {
        let elapsed_ns = sample.ts_ns.saturating_sub(self.sampled_ns);
        let accepts = std::mem::take(&mut self.accepts);
        let mut before = std::mem::take(&mut self.table);
        for thread in sample.threads.iter().take(MAX_THREADS) {
            let old = before.remove(&thread.tid).filter(|old| old.sample.pid == thread.pid);
            let accepted = accepts.get(&thread.tid).copied().unwrap_or(0);
            let view = view(thread, old.as_ref().map(|old| &old.sample), accepted, elapsed_ns);
            let delay_ns =
                old.map(|old| thread.run_delay_ns.saturating_sub(old.sample.run_delay_ns));
            self.table.insert(thread.tid, Thread { sample: thread.clone(), view, delay_ns });
        }
        self.refused = self.refused.max(sample.threads.len().saturating_sub(MAX_THREADS) as u64);
        self.sampled_ns = sample.ts_ns;
    }

    /// Threads of one sample that found no room, at the worst.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// The share of the last period that a thread was on a CPU.
    pub(super) fn busy(&self, tid: u32) -> Option<f64> {
        self.table.get(&tid)?.view.busy
    }

    /// How long a thread was ready without a CPU in the last period, ns.
    pub(super) fn delay_ns(&self, tid: u32) -> Option<u64> {
        self.table.get(&tid)?.delay_ns
    }

    /// Busiest first. `connections` are open connections by thread.
    pub(super) fn views(&self, connections: &HashMap<u32, u32>) -> Vec<ThreadView> {
        let mut order: Vec<_> = self.table.values().map(|thread| &thread.view).collect();
        let parts = |share: Option<f64>| (share.unwrap_or(0.0) * 1e4) as u64;
        order.sort_unstable_by_key(|view| {
            (Reverse(parts(view.busy)), Reverse(view.reads as u64), view.pid, view.tid)
        });
        order.truncate(MAX_THREAD_VIEWS);
        let connections_of = |tid| connections.get(&tid).copied().unwrap_or(0);
        order
            .into_iter()
            .map(|view| ThreadView { connections: connections_of(view.tid), ..view.clone() })
            .collect()
    }
}

fn view(
    thread: &ThreadSample,
    before: Option<&ThreadSample>,
    accepts: u64,
    elapsed_ns: u64,
) -> ThreadView {
    let share = |ns: u64| (elapsed_ns > 0).then(|| (ns as f64 / elapsed_ns as f64).min(1.0));
    let busy = before.and_then(|old| share(thread.cpu_ns.saturating_sub(old.cpu_ns)));
    let waits = before.and_then(|old| share(thread.run_delay_ns.saturating_sub(old.run_delay_ns)));
    let rate = |now: u64, then: fn(&ThreadSample) -> u64| {
        before.map_or(0.0, |old| super::rate(now.saturating_sub(then(old)), elapsed_ns))
    };
    ThreadView {
        pid: thread.pid,
        tid: thread.tid,
        comm: thread.comm.clone(),
        accepts: super::rate(accepts, if before.is_some() { elapsed_ns } else { 0 }),
        reads: rate(thread.reads, |old| old.reads),
        writes: rate(thread.writes, |old| old.writes),
        busy,
        waits,
        asleep: busy.zip(waits).map(|(busy, waits)| (1.0 - busy - waits).max(0.0)),
        connections: 0,
    }
}

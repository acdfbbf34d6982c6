//! Time of the watched threads, from one sample to the next.

use std::cmp::Reverse;
use std::collections::HashMap;

use rustc_hash::FxHashMap;

use super::event::{Accept, Exchange, Sample, ThreadSample, ThreadUse};
use super::snapshot::ThreadView;

/// Threads followed; further ones are not shown.
pub const MAX_THREADS: usize = 4_096;
/// Threads in a snapshot.
pub const MAX_THREAD_VIEWS: usize = 512;

/// Returns the thread that read a request.
pub(super) fn reader(exchange: &Exchange) -> Option<&ThreadUse> {
    exchange.inbound.as_ref()?.reader.as_ref()
}

/// Returns the thread that wrote a response, or a call.
pub(super) fn writer(exchange: &Exchange) -> Option<&ThreadUse> {
    exchange.outbound.as_ref()?.writer.as_ref()
}

#[derive(Clone, Debug)]
struct ThreadUsage {
    /// The newest sample.
    sample: ThreadSample,
    view: ThreadView,
    /// Time that it was ready without a CPU in the last period, ns.
    delay_ns: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Threads {
    /// By thread id, which the kernel gives out once at a time.
    table: HashMap<u32, ThreadUsage>,
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
            // A thread id may come again in another process.
            let old = match before.remove(&thread.tid) {
                Some(old) if old.sample.pid == thread.pid => Some(old.sample),
                _ => None,
            };
            let accepted = accepts.get(&thread.tid).copied().unwrap_or(0);
            let view = view(thread, old.as_ref(), accepted, elapsed_ns);
            let delay_ns = old.map(|old| thread.run_delay_ns.saturating_sub(old.run_delay_ns));
            self.table.insert(thread.tid, ThreadUsage { sample: thread.clone(), view, delay_ns });
        }
        self.refused = self.refused.max(sample.threads.len().saturating_sub(MAX_THREADS) as u64);
        self.sampled_ns = sample.ts_ns;
    }

    /// Threads of one sample that found no room, at the worst.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Share of the last period that a thread was on a CPU.
    pub(super) fn busy(&self, tid: u32) -> Option<f64> {
        self.table.get(&tid)?.view.busy
    }

    /// Time that a thread was ready without a CPU in the last period, ns.
    pub(super) fn delay_ns(&self, tid: u32) -> Option<u64> {
        self.table.get(&tid)?.delay_ns
    }

    /// Returns the threads, busiest first. `connections` are open connections by thread.
    pub(super) fn views(&self, connections: &HashMap<u32, u32>) -> Vec<ThreadView> {
        let mut order: Vec<_> = self.table.values().map(|thread| &thread.view).collect();
        let parts = |share: Option<f64>| (share.unwrap_or(0.0) * 1e4) as u64;
        order.sort_unstable_by_key(|view| {
            (Reverse(parts(view.busy)), Reverse(view.reads as u64), view.pid, view.tid)
        });
        order.truncate(MAX_THREAD_VIEWS);
        let mut views = Vec::with_capacity(order.len());
        for view in order {
            let connections = connections.get(&view.tid).copied().unwrap_or(0);
            views.push(ThreadView { connections, ..view.clone() });
        }
        views
    }
}

fn view(
    thread: &ThreadSample,
    before: Option<&ThreadSample>,
    accepts: u64,
    elapsed_ns: u64,
) -> ThreadView {
    let mut view = ThreadView {
        pid: thread.pid,
        tid: thread.tid,
        comm: thread.comm.clone(),
        accepts: 0.0,
        reads: 0.0,
        writes: 0.0,
        busy: None,
        waits: None,
        asleep: None,
        connections: 0,
    };
    let Some(before) = before else { return view };
    view.accepts = super::rate(accepts, elapsed_ns);
    view.reads = super::rate(thread.reads.saturating_sub(before.reads), elapsed_ns);
    view.writes = super::rate(thread.writes.saturating_sub(before.writes), elapsed_ns);
    if elapsed_ns > 0 {
        let share = |ns: u64| (ns as f64 / elapsed_ns as f64).min(1.0);
        let busy = share(thread.cpu_ns.saturating_sub(before.cpu_ns));
        let waits = share(thread.run_delay_ns.saturating_sub(before.run_delay_ns));
        view.busy = Some(busy);
        view.waits = Some(waits);
        view.asleep = Some((1.0 - busy - waits).max(0.0));
    }
    view
}

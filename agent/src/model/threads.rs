//! Time of the watched threads.

use std::cmp::Reverse;
use std::collections::HashMap;

use rustc_hash::FxHashMap;

use super::event::{Accept, Exchange, Sample, ThreadSample, ThreadUse};
use super::lately::Lately;
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
    /// Totals of accepts, reads, writes, and time on a CPU and ready without one, ns.
    lately: Lately<5>,
    accepts: u64,
    /// Share of the last period on a CPU.
    busy: Option<f64>,
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
            *self.accepts.entry(accept.tid).or_default() += accept.stands_for;
        }
    }

    pub(super) fn sampled(&mut self, sample: &Sample) {
        let elapsed_ns = sample.ts_ns.saturating_sub(self.sampled_ns);
        let accepts = std::mem::take(&mut self.accepts);
        let mut before = std::mem::take(&mut self.table);
        for thread in sample.threads.iter().take(MAX_THREADS) {
            // A thread id may come again in another process.
            let old = before.remove(&thread.tid).filter(|old| old.sample.pid == thread.pid);
            let (mut busy, mut delay_ns) = (None, None);
            let (mut lately, mut total) = (Lately::default(), 0);
            if let Some(old) = old {
                let cpu_ns = thread.cpu_ns.saturating_sub(old.sample.cpu_ns);
                busy = share(cpu_ns, elapsed_ns);
                delay_ns = Some(thread.run_delay_ns.saturating_sub(old.sample.run_delay_ns));
                (lately, total) = (old.lately, old.accepts);
            }
            total += accepts.get(&thread.tid).copied().unwrap_or(0);
            let totals = [total, thread.reads, thread.writes, thread.cpu_ns, thread.run_delay_ns];
            lately.push(sample.ts_ns, totals);
            let view = view(thread, lately.growth(sample.ts_ns));
            let sample = thread.clone();
            let usage = ThreadUsage { sample, view, lately, accepts: total, busy, delay_ns };
            self.table.insert(thread.tid, usage);
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
        self.table.get(&tid)?.busy
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

/// Returns a part of a time; `None` of none.
fn share(part_ns: u64, of_ns: u64) -> Option<f64> {
    if of_ns == 0 { None } else { Some((part_ns as f64 / of_ns as f64).min(1.0)) }
}

fn view(thread: &ThreadSample, growth: Option<(u64, [u64; 5])>) -> ThreadView {
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
    let Some((elapsed_ns, [accepts, reads, writes, cpu_ns, delay_ns])) = growth else {
        return view;
    };
    view.accepts = super::rate(accepts, elapsed_ns);
    view.reads = super::rate(reads, elapsed_ns);
    view.writes = super::rate(writes, elapsed_ns);
    (view.busy, view.waits) = (share(cpu_ns, elapsed_ns), share(delay_ns, elapsed_ns));
    if let (Some(busy), Some(waits)) = (view.busy, view.waits) {
        view.asleep = Some((1.0 - busy - waits).max(0.0));
    }
    view
}

//! Time of the watched threads.

use std::cmp::Reverse;
use std::collections::HashMap;

use rustc_hash::FxHashMap;

use super::event::{Accept, Exchange, Sample, ThreadSample, ThreadUse};
use super::lately::Lately;
use super::snapshot::{ExchangeView, ThreadView};

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

/// Calls of a thread that its samples do not count.
#[derive(Clone, Copy, Debug, Default)]
struct More {
    accepts: u64,
    /// Of exchanges that were left untold, and that others stand for.
    reads: u64,
    writes: u64,
}

impl More {
    fn add(&mut self, other: Self) {
        self.accepts = self.accepts.saturating_add(other.accepts);
        self.reads = self.reads.saturating_add(other.reads);
        self.writes = self.writes.saturating_add(other.writes);
    }
}

#[derive(Clone, Debug)]
struct ThreadUsage {
    /// The newest sample.
    sample: ThreadSample,
    view: ThreadView,
    /// Totals of accepts, reads, writes, and time on a CPU and ready without one, ns.
    lately: Lately<5>,
    more: More,
    /// Share of the last period on a CPU.
    busy: Option<f64>,
    /// Time that it was ready without a CPU in the last period, ns.
    delay_ns: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Threads {
    /// By thread id, which the kernel gives out once at a time.
    table: HashMap<u32, ThreadUsage>,
    /// Of the present period, by thread id.
    more: FxHashMap<u32, More>,
    sampled_ns: u64,
    refused: u64,
}

impl Threads {
    pub(super) fn accepted(&mut self, accept: &Accept) {
        self.add(accept.tid, More { accepts: accept.stands_for, ..More::default() });
    }

    /// Counts the calls of exchanges that were left untold, and that this one stands for.
    pub(super) fn stood_for(&mut self, exchange: &Exchange, view: &ExchangeView) {
        let others = view.stands_for - 1;
        if others == 0 {
            return;
        }
        if let (Some(inbound), Some(reader)) = (&exchange.inbound, reader(exchange)) {
            let reads = u64::from(inbound.reads).saturating_mul(others);
            self.add(reader.tid, More { reads, ..More::default() });
        }
        if let (Some(outbound), Some(writer)) = (&exchange.outbound, writer(exchange)) {
            let writes = u64::from(outbound.writes).saturating_mul(others);
            self.add(writer.tid, More { writes, ..More::default() });
        }
    }

    fn add(&mut self, tid: u32, more: More) {
        if self.more.len() < MAX_THREADS || self.more.contains_key(&tid) {
            self.more.entry(tid).or_default().add(more);
        }
    }

    pub(super) fn sampled(&mut self, sample: &Sample) {
        let elapsed_ns = sample.ts_ns.saturating_sub(self.sampled_ns);
        let period = std::mem::take(&mut self.more);
        let mut before = std::mem::take(&mut self.table);
        for thread in sample.threads.iter().take(MAX_THREADS) {
            // A thread id may come again in another process.
            let old = before.remove(&thread.tid).filter(|old| old.sample.pid == thread.pid);
            let (mut busy, mut delay_ns) = (None, None);
            let (mut lately, mut more) = (Lately::default(), More::default());
            if let Some(old) = old {
                let cpu_ns = thread.cpu_ns.saturating_sub(old.sample.cpu_ns);
                busy = share(cpu_ns, elapsed_ns);
                delay_ns = Some(thread.run_delay_ns.saturating_sub(old.sample.run_delay_ns));
                (lately, more) = (old.lately, old.more);
            }
            more.add(period.get(&thread.tid).copied().unwrap_or_default());
            let reads = thread.reads.saturating_add(more.reads);
            let writes = thread.writes.saturating_add(more.writes);
            let totals = [more.accepts, reads, writes, thread.cpu_ns, thread.run_delay_ns];
            lately.push(sample.ts_ns, totals);
            let view = view(thread, lately.growth(sample.ts_ns));
            let sample = thread.clone();
            let usage = ThreadUsage { sample, view, lately, more, busy, delay_ns };
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

//! The threads of watched processes: how they spend their time, from `/proc`, and what they read
//! and write, from the exchanges that pass by. No scheduler hook is needed.

use std::collections::{BTreeSet, HashMap};

use rustc_hash::FxHashMap;

use super::{epolls::Epolls, proc_syscall::WaitingCall, scan::Descriptors};
use crate::{
    model::event::{Accept, Exchange, ThreadSample, ThreadUse, Waiting},
    sensor::{clock::slept_ns, procfs},
    text::Untrusted,
};

/// Most threads that are sampled. Further ones are not seen.
const MAX_THREADS: usize = 1_024;
/// Most threads whose system call is read at one refresh. With more they take turns.
const MAX_WAITERS: usize = 256;

/// Reads and writes of a thread of a process.
#[derive(Debug, Default)]
struct ThreadCalls {
    pid: u32,
    reads: u64,
    writes: u64,
    /// Its name, if that was read since the last sample.
    comm: Option<Untrusted>,
}

/// Facts of a thread that stay the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    pid: u32,
    parent: u32,
    /// Ticks since the machine's start.
    started: u64,
}

/// Reads and writes by thread.
///
/// [`Threads::accepted`] and [`Threads::count`] are given each accept and exchange.
/// [`Threads::sample`] returns the sums at a refresh.
#[derive(Debug, Default)]
pub(in crate::sensor) struct Threads {
    calls: FxHashMap<u32, ThreadCalls>,
    origins: HashMap<u32, Origin>,
    epolls: Epolls,
    /// The thread at which looking for waiters goes on.
    turn: usize,
}

impl Threads {
    /// Notes the thread that accepted, and names it where another told of that.
    pub(in crate::sensor) fn accepted(&mut self, accept: &mut Accept) {
        let (pid, tid) = (accept.pid, accept.tid);
        let calls = self.of(pid, tid);
        if accept.comm.is_empty() {
            let name = || procfs::thread_comm(pid, tid).unwrap_or_default();
            accept.comm = calls.comm.get_or_insert_with(name).clone();
        }
    }

    /// Counts the calls of an exchange that is over.
    pub(in crate::sensor) fn count(&mut self, exchange: &Exchange) {
        let (writer, writes) = match &exchange.outbound {
            Some(outbound) => (outbound.writer, u64::from(outbound.writes)),
            None => (None, 0),
        };
        if let Some(inbound) = &exchange.inbound
            && let Some(reader) = inbound.reader
        {
            let calls = self.of(reader.pid, reader.tid);
            calls.reads += u64::from(inbound.reads);
            // Mostly it is the same thread.
            if let Some(user) = writer
                && is_same(user, reader)
            {
                calls.writes += writes;
                return;
            }
        }
        if let Some(writer) = writer {
            self.of(writer.pid, writer.tid).writes += writes;
        }
    }

    fn of(&mut self, pid: u32, tid: u32) -> &mut ThreadCalls {
        let calls = self.calls.entry(tid).or_default();
        calls.pid = pid;
        calls
    }

    /// Samples every thread of these processes, and of those that accept or serve connections
    /// otherwise watched, and returns who of them waits for a listener. Those that ended are
    /// forgotten.
    pub(in crate::sensor) fn sample(
        &mut self,
        processes: &[u32],
        listeners: &Descriptors,
    ) -> (Vec<ThreadSample>, Vec<Waiting>) {
        let mut pids: BTreeSet<u32> = processes.iter().copied().collect();
        pids.extend(self.calls.values().map(|calls| calls.pid));
        pids.extend(listeners.keys().map(|(pid, _)| *pid));
        let slept_ns = slept_ns();
        let mut samples = Vec::new();
        for pid in pids {
            for tid in procfs::threads(pid) {
                samples.extend(self.thread(pid, tid, slept_ns));
            }
            if samples.len() >= MAX_THREADS {
                samples.truncate(MAX_THREADS);
                break;
            }
        }
        let present: BTreeSet<u32> = samples.iter().map(|sample| sample.tid).collect();
        self.calls.retain(|tid, calls| {
            calls.comm = None;
            present.contains(tid)
        });
        self.origins.retain(|tid, _| present.contains(tid));
        let waiting = self.find_waiters(&mut samples, listeners);
        (samples, waiting)
    }

    fn thread(&mut self, pid: u32, tid: u32, slept_ns: i64) -> Option<ThreadSample> {
        let (cpu_ns, run_delay_ns, runs) = procfs::schedstat(pid, tid)?;
        let comm = procfs::thread_comm(pid, tid)?;
        let origin = self.origin(pid, tid)?;
        let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        let (mut reads, mut writes) = (0, 0);
        if let Some(calls) = self.calls.get(&tid) {
            (reads, writes) = (calls.reads, calls.writes);
        }
        Some(ThreadSample {
            pid,
            tid,
            parent: origin.parent,
            comm,
            cpu_ns,
            run_delay_ns,
            runs,
            started_ns: origin
                .started
                .saturating_mul(tick_ns)
                .saturating_add_signed(slept_ns.saturating_neg()),
            sleep: None,
            reads,
            writes,
        })
    }

    fn origin(&mut self, pid: u32, tid: u32) -> Option<Origin> {
        if let Some(origin) = self.origins.get(&tid)
            && origin.pid == pid
        {
            return Some(*origin);
        }
        let (parent, started) = procfs::thread_origin(pid, tid)?;
        let origin = Origin { pid, parent, started };
        self.origins.insert(tid, origin);
        Some(origin)
    }

    /// Sees what threads wait for, and returns those that wait for a listener by epoll.
    fn find_waiters(
        &mut self,
        samples: &mut [ThreadSample],
        listeners: &Descriptors,
    ) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        self.epolls.refresh();
        let all = samples.len();
        let begin = if all > MAX_WAITERS { self.turn % all } else { 0 };
        for at in begin..begin + all.min(MAX_WAITERS) {
            let sample = &mut samples[at % all];
            let (pid, tid) = (sample.pid, sample.tid);
            let Some(call) = WaitingCall::of(pid, tid) else { continue };
            sample.sleep = Some(call.wait_kind());
            let Some(epoll) = call.epoll() else { continue };
            for (listener, exclusive) in self.epolls.watched(pid, epoll, listeners) {
                let Some(switches) = procfs::voluntary_switches(pid, tid) else { continue };
                waiting.push(Waiting { pid, tid, listener, epoll, exclusive, switches });
            }
        }
        self.turn = begin + MAX_WAITERS;
        waiting
    }
}

fn is_same(one: ThreadUse, other: ThreadUse) -> bool {
    (one.pid, one.tid) == (other.pid, other.tid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::clock::now_ns;

    #[test]
    fn own_threads_are_seen_and_strangers_forgotten() {
        let mut threads = Threads::default();
        threads.of(u32::MAX, u32::MAX).reads = 1;
        let own = std::process::id();
        let (samples, waiting) = threads.sample(&[own], &Descriptors::new());
        assert!(samples.iter().any(|sample| sample.cpu_ns > 0 && !sample.comm.is_empty()));
        let began = |sample: &ThreadSample| sample.started_ns > 0 && sample.started_ns <= now_ns();
        assert!(samples.iter().all(|sample| began(sample) && sample.parent != own), "{samples:?}");
        assert!(threads.calls.is_empty() && waiting.is_empty());
    }
}

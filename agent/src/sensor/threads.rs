//! The threads of watched processes: how they spend their time, from `/proc`, and what they read
//! and write, from the exchanges that pass by. No scheduler hook is needed.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
};

use rustc_hash::FxHashMap;
use rustix::time::{ClockId, clock_gettime};

use super::{
    asleep::{Call, Epolls},
    now_ns,
    sample::Descriptors,
    stream,
};
use crate::model::event::{Accept, Exchange, ThreadSample, ThreadUse, Waiting};

/// Threads that are looked at; of a process with more the rest goes unseen.
const MAX_THREADS: usize = 1_024;
/// Threads of which one refresh sees what they sleep in; with more they take turns.
const MAX_ASLEEP: usize = 256;

/// Reads and writes of a thread of a process.
#[derive(Debug, Default)]
struct Calls {
    pid: u32,
    reads: u64,
    writes: u64,
}

/// What stays the same of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    pid: u32,
    parent: u32,
    /// Ticks since the machine's start.
    started: u64,
}

/// Reads and writes by thread.
#[derive(Debug, Default)]
pub(super) struct Threads {
    calls: FxHashMap<u32, Calls>,
    origins: HashMap<u32, Origin>,
    epolls: Epolls,
    /// The thread at which looking for sleepers goes on.
    turn: usize,
}

impl Threads {
    /// Notes who accepts.
    pub(super) fn accepted(&mut self, accept: &Accept) {
        self.of(accept.pid, accept.tid);
    }

    /// Counts the calls of an exchange that is over.
    pub(super) fn count(&mut self, exchange: &Exchange) {
        let of = |user: ThreadUse| (user.pid, user.tid);
        let reader =
            exchange.inbound.as_ref().and_then(|it| Some((of(it.reader?), u64::from(it.reads))));
        let writer =
            exchange.outbound.as_ref().and_then(|it| Some((of(it.writer?), u64::from(it.writes))));
        if let Some(((pid, tid), reads)) = reader {
            let calls = self.of(pid, tid);
            calls.reads += reads;
            // Mostly it is the same thread.
            if let Some((_, writes)) = writer.filter(|(writer, _)| *writer == (pid, tid)) {
                calls.writes += writes;
                return;
            }
        }
        if let Some(((pid, tid), writes)) = writer {
            self.of(pid, tid).writes += writes;
        }
    }

    fn of(&mut self, pid: u32, tid: u32) -> &mut Calls {
        let calls = self.calls.entry(tid).or_default();
        calls.pid = pid;
        calls
    }

    /// Every thread of these processes, and of those that accept or serve connections otherwise
    /// watched, now, and who of them waits for a listener; those that ended are forgotten.
    pub(super) fn sample(
        &mut self,
        processes: &[u32],
        listeners: &Descriptors,
    ) -> (Vec<ThreadSample>, Vec<Waiting>) {
        let mut samples = Vec::new();
        let boot_ns = boot_ns();
        let users = self.calls.values().map(|calls| calls.pid);
        let holders = listeners.keys().map(|(pid, _)| *pid);
        for pid in processes.iter().copied().chain(users).chain(holders).collect::<BTreeSet<_>>() {
            let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            let tids = entries
                .flatten()
                .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
            samples.extend(tids.filter_map(|tid| self.thread(pid, tid, boot_ns)));
            if samples.len() >= MAX_THREADS {
                samples.truncate(MAX_THREADS);
                break;
            }
        }
        let present: BTreeSet<u32> = samples.iter().map(|sample| sample.tid).collect();
        self.calls.retain(|tid, _| present.contains(tid));
        self.origins.retain(|tid, _| present.contains(tid));
        let waiting = self.find_sleepers(&mut samples, listeners);
        (samples, waiting)
    }

    fn thread(&mut self, pid: u32, tid: u32, boot_ns: u64) -> Option<ThreadSample> {
        let folder = format!("/proc/{pid}/task/{tid}");
        let (cpu_ns, run_delay_ns, runs) =
            schedstat(&fs::read_to_string(format!("{folder}/schedstat")).ok()?)?;
        let comm = fs::read(format!("{folder}/comm")).ok()?;
        let (reads, writes) =
            self.calls.get(&tid).map_or((0, 0), |calls| (calls.reads, calls.writes));
        let comm = stream::comm(comm.strip_suffix(b"\n").unwrap_or(&comm));
        let origin = match self.origins.get(&tid).filter(|origin| origin.pid == pid) {
            Some(origin) => *origin,
            None => {
                let (parent, started) = stat(&fs::read(format!("{folder}/stat")).ok()?)?;
                let origin = Origin { pid, parent, started };
                self.origins.insert(tid, origin);
                origin
            }
        };
        let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        let started_ns = origin.started.saturating_mul(tick_ns).saturating_sub(boot_ns);
        let parent = origin.parent;
        Some(ThreadSample {
            pid,
            tid,
            parent,
            comm,
            cpu_ns,
            run_delay_ns,
            runs,
            started_ns,
            sleep: None,
            reads,
            writes,
        })
    }

    /// Sees what threads sleep in, and which of them wait for a listener by epoll.
    fn find_sleepers(
        &mut self,
        samples: &mut [ThreadSample],
        listeners: &Descriptors,
    ) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        self.epolls.refresh();
        let all = samples.len();
        let begin = if all > MAX_ASLEEP { self.turn % all } else { 0 };
        for at in (begin..begin + all.min(MAX_ASLEEP)).map(|at| at % all) {
            let sample = &mut samples[at];
            let (pid, tid) = (sample.pid, sample.tid);
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")) else {
                continue;
            };
            let Some(call) = Call::parse(&text) else { continue };
            sample.sleep = Some(call.sleep());
            let Some(epoll) = call.epoll() else { continue };
            for (listener, exclusive) in self.epolls.watched(pid, epoll, listeners) {
                let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status"))
                    .unwrap_or_default();
                let Some(switches) = switches(&status) else { continue };
                waiting.push(Waiting { pid, tid, listener, epoll, exclusive, switches });
            }
        }
        self.turn = begin + MAX_ASLEEP;
        waiting
    }
}

/// How much longer the clock runs that counts sleep of the machine, too, and that threads'
/// beginnings are told by.
fn boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let now = u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(now.tv_nsec).unwrap_or(0);
    now.saturating_sub(now_ns())
}

/// Time on a CPU, time waiting for one, ns, and times put on one (`proc_pid_schedstat`).
fn schedstat(text: &str) -> Option<(u64, u64, u64)> {
    let mut figures = text.split_whitespace();
    Some((
        figures.next()?.parse().ok()?,
        figures.next()?.parse().ok()?,
        figures.next()?.parse().ok()?,
    ))
}

/// Parent and beginning, in ticks since the machine's start: the 4th and the 22nd field. The 2nd is
/// the command name, which may hold anything.
fn stat(text: &[u8]) -> Option<(u32, u64)> {
    let name_ends = text.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&text[name_ends + 1..]).ok()?.split_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.nth(17)?.parse().ok()?))
}

/// Times that a thread went to sleep of its own accord.
fn switches(status: &str) -> Option<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_kernel_puts_them() {
        assert_eq!(schedstat("12 34 5\n"), Some((12, 34, 5)));
        assert_eq!(schedstat("12"), None);
        let text = b"77 (a) b (c) S 42 77 77 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 991234 0 0";
        assert_eq!(stat(text), Some((42, 991_234)));
        assert_eq!(stat(b"77 (a"), None);
        assert_eq!(
            switches("Name:\tx\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t5\n"),
            Some(150)
        );
    }

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

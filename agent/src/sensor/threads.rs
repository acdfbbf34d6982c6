//! The threads of watched processes: how they spend their time, from `/proc`, and what they read and write, from the
//! exchanges that pass by. No scheduler hook is needed.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
};

use super::stream;
use crate::model::event::{Exchange, ThreadSample, ThreadUse};

/// Threads that are looked at; of a process with more the rest goes unseen.
const MAX_THREADS: usize = 1_024;

/// Reads and writes of a thread of a process.
#[derive(Debug, Default)]
struct Calls {
    pid: u32,
    reads: u64,
    writes: u64,
}

/// Reads and writes by thread.
#[derive(Debug, Default)]
pub(super) struct Threads {
    calls: HashMap<u32, Calls>,
}

impl Threads {
    /// Counts the calls of an exchange that is over.
    pub(super) fn count(&mut self, exchange: &Exchange) {
        if let Some((inbound, reader)) = exchange.inbound.as_ref().and_then(|it| Some((it, it.reader?))) {
            self.of(reader).reads += u64::from(inbound.reads);
        }
        if let Some((outbound, writer)) = exchange.outbound.as_ref().and_then(|it| Some((it, it.writer?))) {
            self.of(writer).writes += u64::from(outbound.writes);
        }
    }

    fn of(&mut self, user: ThreadUse) -> &mut Calls {
        let calls = self.calls.entry(user.tid).or_default();
        calls.pid = user.pid;
        calls
    }

    /// Every thread of these processes, and of those that serve connections otherwise watched, now; those that ended are
    /// forgotten.
    pub(super) fn sample(&mut self, processes: &[u32]) -> Vec<ThreadSample> {
        let mut samples = Vec::new();
        let users = self.calls.values().map(|calls| calls.pid);
        for pid in processes.iter().copied().chain(users).collect::<BTreeSet<_>>() {
            let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            let tids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
            samples.extend(tids.filter_map(|tid| self.thread(pid, tid)));
            if samples.len() >= MAX_THREADS {
                samples.truncate(MAX_THREADS);
                break;
            }
        }
        self.calls.retain(|tid, _| samples.iter().any(|sample| sample.tid == *tid));
        samples
    }

    fn thread(&self, pid: u32, tid: u32) -> Option<ThreadSample> {
        let folder = format!("/proc/{pid}/task/{tid}");
        let (cpu_ns, run_delay_ns) = schedstat(&fs::read_to_string(format!("{folder}/schedstat")).ok()?)?;
        let comm = fs::read(format!("{folder}/comm")).ok()?;
        let (reads, writes) = self.calls.get(&tid).map_or((0, 0), |calls| (calls.reads, calls.writes));
        let comm = stream::comm(comm.strip_suffix(b"\n").unwrap_or(&comm));
        Some(ThreadSample { pid, tid, comm, cpu_ns, run_delay_ns, reads, writes })
    }
}

/// The first two figures of `schedstat`: time on a CPU and time waiting for one, ns (`proc_pid_schedstat`).
fn schedstat(text: &str) -> Option<(u64, u64)> {
    let mut figures = text.split_whitespace();
    Some((figures.next()?.parse().ok()?, figures.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_has_time_on_a_cpu_first() {
        assert_eq!(schedstat("12 34 5\n"), Some((12, 34)));
        assert_eq!(schedstat("12"), None);
    }

    #[test]
    fn own_threads_are_seen_and_strangers_forgotten() {
        let mut threads = Threads { calls: HashMap::from([(u32::MAX, Calls { pid: u32::MAX, reads: 1, writes: 1 })]) };
        let samples = threads.sample(&[std::process::id()]);
        assert!(samples.iter().any(|sample| sample.cpu_ns > 0 && !sample.comm.is_empty()));
        assert!(threads.calls.is_empty());
    }
}

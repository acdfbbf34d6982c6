//! Who holds which listener: the iterator over the targets' files.

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use aya::programs::ProgramFd;
use backscope_abi::{Listener, ScanEntry};

use super::{MAX_SCANNED_ALONE, Sampler};
use crate::sensor::sample::scan::{self, Descriptors, Found, MAX_NAMED_IN_ALL, Traceable};
use crate::{
    model::event::SockId,
    sensor::{attach::sys, clock::CpuTimer, decode::comm, maps::Maps, targets::Targets},
};

/// Time between scans, in times of what the last one cost. A process with very many files is
/// scanned less often than at each refresh, and in between depths come from events alone.
const SCAN_SHARE: u32 = 100;

impl Sampler {
    /// Scans one process at once.
    pub(in crate::sensor) fn scan_process(&mut self, program: &ProgramFd, pid: u32) {
        if self.run(program, Some(pid)).is_err() {
            self.scan_everything(program);
        }
    }

    fn scan_everything(&mut self, program: &ProgramFd) {
        // A failure (out of memory) leaves the figures of the last scan, which the next one renews.
        let _ = self.run(program, None);
    }

    /// Runs the iterator over one process, or over all, and notes what it shows.
    fn run(&mut self, program: &ProgramFd, pid: Option<u32>) -> io::Result<()> {
        self.read(sys::task_iterator(program.as_fd(), pid)?)
    }

    pub(super) fn read(&mut self, iterator: impl io::Read) -> io::Result<()> {
        // Names of others' processes would leave no room for the caller's.
        let mut traceable = Traceable::default();
        scan::for_each_entry(iterator, |found| match found {
            Found::Listener(entry) if traceable.has(entry.tgid) => self.note(&entry),
            Found::Unix(unix) if traceable.has(unix.tgid) => self.beside.unix(&unix),
            Found::Listener(_) | Found::Unix(_) => {}
            Found::Other(other) => self.beside.other(&other),
        })
    }

    fn note(&mut self, entry: &ScanEntry) {
        let (pid, fd) = (entry.tgid, entry.fd);
        self.names.entry(pid).or_insert_with(|| comm(&entry.comm));
        let holders = self.holders.entry(entry.listener).or_default();
        if !holders.note(pid, &mut self.room) {
            return;
        }
        if self.descriptors.len() >= MAX_NAMED_IN_ALL {
            return holders.lacks_descriptor();
        }
        if self.descriptors.insert((pid, fd), entry.listener) != Some(entry.listener) {
            holders.descriptors.push((pid, fd));
        }
    }

    /// Scans the files of every process for sockets that listen beside watched ones. That takes
    /// long, and is done seldom.
    fn look_around(&mut self, program: &ProgramFd) {
        if self.beside.is_due() && !self.holders.is_empty() {
            let begin = CpuTimer::begin();
            self.beside.forget_others();
            self.scan_everything(program);
            self.beside.looked(begin.elapsed() * SCAN_SHARE);
        }
    }

    /// Scans every target, unless the last scan cost so much that it is not yet time again.
    pub(in crate::sensor) fn scan(&mut self, program: &ProgramFd, targets: &Targets, maps: &Maps) {
        if Instant::now() < self.next_scan {
            return;
        }
        let begin = CpuTimer::begin();
        self.scanned = true;
        self.holders.clear();
        self.room = MAX_NAMED_IN_ALL;
        self.descriptors.clear();
        self.names.clear();
        self.beside.forget_unix();
        let processes = maps.targets();
        let is_few = targets.only_processes() && processes.len() <= MAX_SCANNED_ALONE;
        if is_few && self.filters_by_process {
            self.scan_processes(program, &processes);
        }
        if is_few && self.filters_by_process {
            self.look_around(program);
        } else {
            self.beside.forget_others();
            self.scan_everything(program);
        }
        let cost = begin.elapsed();
        if cost > Duration::from_millis(5) {
            self.next_scan = Instant::now() + cost * SCAN_SHARE;
        }
    }

    /// Scans these alone, if the kernel can.
    fn scan_processes(&mut self, program: &ProgramFd, processes: &[u32]) {
        for pid in processes {
            match self.run(program, Some(*pid)) {
                Ok(()) => {}
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(_) => {
                    self.filters_by_process = false;
                    return;
                }
            }
        }
    }

    /// Returns whether a process holds a watched listener.
    pub(in crate::sensor) fn is_holder(&self, pid: u32) -> bool {
        self.names.contains_key(&pid)
    }

    /// Returns the watched listeners by process and descriptor, of the holders that are named.
    pub(in crate::sensor) fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// Returns the process that stands for a listener, and those that hold it, as far as they are
    /// named.
    pub(super) fn owner(&self, id: SockId, raw: &Listener) -> (u32, Vec<u32>) {
        let Some(holders) = self.holders.get(&id) else { return (raw.tgid, Vec::new()) };
        let mut pid = raw.tgid;
        let mut named = holders.named.clone();
        // The process that called listen(2) is known only if the call was seen. Else the lowest id
        // stands for all.
        let is_held = raw.backlog >= 0 && named.contains(&pid);
        let is_unnamed = raw.backlog >= 0 && holders.unnamed() > 0 && self.is_holder(pid);
        if is_unnamed && let Some(highest) = named.last().copied() {
            named.remove(&highest);
            named.insert(pid);
        } else if !is_held && let Some(lowest) = named.first() {
            pid = *lowest;
        }
        (pid, named.into_iter().collect())
    }
}

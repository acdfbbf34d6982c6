//! Reads every listener's figures at a refresh: from the maps, and by running the iterator over the
//! targets' files.

use std::{
    collections::{BTreeMap, HashMap},
    io, mem,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use aya::programs::ProgramFd;
use backscope_abi::{Listener, ScanEntry, counter};

use super::{
    beside::Beside,
    epolls,
    fails::Fails,
    pending_accepts::note_pending_accepts,
    refused::Refused,
    scan::{self, Descriptors, Found, Holders, MAX_NAMED_IN_ALL, Traceable},
};
use crate::{
    model::{
        Tier,
        event::{InAccept, LeftQueue, ListenerSample, NetSettings, Sample, SockId},
    },
    sensor::{
        attach::{Chosen, Signal, sys},
        clock::{CpuTimer, now_ns},
        decode::{address, comm, known},
        maps::Maps,
        procfs,
        targets::Targets,
    },
    text::Untrusted,
};

/// Time between scans, in times of what the last one cost. A process with very many files is
/// scanned less often than at each refresh, and in between depths come from events alone.
const SCAN_SHARE: u32 = 100;
/// Most processes that are scanned one by one. With more it is quicker to scan all files at once.
pub(in crate::sensor) const MAX_SCANNED_ALONE: usize = 64;
/// Time after its close in which a listener's queue is emptied, ns.
const SETTLES_NS: u64 = 20_000_000;

/// The name under which sockets beside watched listeners count as lost.
const BESIDE: &str = "beside";
/// Indices of the counters of lost records.
const LOSSES: std::ops::Range<u32> = counter::RING_FULL..counter::COUNT;

/// Turns the maps' totals into samples.
///
/// [`Sampler::scan`] runs the iterator. [`Sampler::begin`] is called once, after the first scan,
/// and [`Sampler::sample`] at each refresh. [`Sampler::scan_process`] is for a process that may
/// have come by a listener in between. [`Sampler::ends`] says that the next sample is the last.
pub(in crate::sensor) struct Sampler {
    seen: Seen,
    period: u32,
    /// Depths of both queues at the last sample.
    depths: HashMap<SockId, (u32, u32)>,
    /// Connections accepted up to the last sample.
    accepted: HashMap<SockId, u64>,
    holders: BTreeMap<SockId, Holders>,
    /// Room that is left for names of holders.
    room: usize,
    descriptors: Descriptors,
    names: HashMap<u32, Untrusted>,
    refused: Refused,
    fails: Fails,
    beside: Beside,
    /// Drops at full queues that were accounted for.
    drops: u64,
    /// The network namespace that this process is in.
    own_netns: Option<u32>,
    next_scan: Instant,
    /// A scan ran since the last sample.
    scanned: bool,
    filters_by_process: bool,
    /// The run ends: nothing waits for a later sample.
    ends: bool,
}

/// Figures of listeners that the chosen hooks see. A total of 0 means none only for these.
struct Seen {
    fails: bool,
    queues: bool,
    syns: bool,
    cookies: bool,
    acks: bool,
    acked: bool,
}

impl Sampler {
    /// `knows_acked`: this kernel's requests tell whether their final ACK has come.
    pub(in crate::sensor) fn new(chosen: &Chosen, knows_acked: bool) -> Self {
        let seen = Seen {
            fails: chosen.has(Signal::AcceptFails),
            queues: chosen.has(Signal::Queued),
            syns: chosen.sees(Signal::Syn, Tier::Full),
            cookies: chosen.sees(Signal::Syncookie, Tier::Full),
            acks: chosen.has(Signal::OverflowAck),
            acked: knows_acked,
        };
        Self {
            seen,
            period: 0,
            depths: HashMap::new(),
            accepted: HashMap::new(),
            holders: BTreeMap::new(),
            room: MAX_NAMED_IN_ALL,
            descriptors: HashMap::new(),
            names: HashMap::new(),
            refused: Refused::default(),
            fails: Fails::default(),
            beside: Beside::default(),
            drops: 0,
            own_netns: procfs::netns_of(std::process::id()),
            next_scan: Instant::now(),
            scanned: false,
            filters_by_process: true,
            ends: false,
        }
    }

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

    fn read(&mut self, iterator: impl io::Read) -> io::Result<()> {
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

    /// Returns the refresh period that the newest sample ended.
    pub(in crate::sensor) fn ended(&self) -> u32 {
        self.period.wrapping_sub(1)
    }

    /// Says that the next sample is the last: its scan runs whatever the one before cost.
    pub(in crate::sensor) fn ends(&mut self) {
        self.next_scan = Instant::now();
        self.ends = true;
    }

    /// Returns whether a process holds a watched listener.
    pub(in crate::sensor) fn is_holder(&self, pid: u32) -> bool {
        self.names.contains_key(&pid)
    }

    /// Returns the watched listeners by process and descriptor, of the holders that are named.
    pub(in crate::sensor) fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// Notes the state at the attach: threads inside accept, and the namespaces' counters, from
    /// which refused SYNs are counted.
    pub(in crate::sensor) fn begin(&mut self, maps: &mut Maps) {
        note_pending_accepts(&self.descriptors, maps);
        if !self.seen.syns {
            self.refused.update(&maps.listeners(), &self.holders, true);
        }
    }

    /// Reads the state of every listener, and starts a new refresh period.
    pub(in crate::sensor) fn sample(&mut self, maps: &mut Maps) -> Sample {
        let ended = self.period;
        self.period = self.period.wrapping_add(1);
        maps.start_period(self.period);
        let raw = maps.listeners();
        let scanned = mem::take(&mut self.scanned);
        if !self.seen.syns && self.is_news(&raw, scanned) {
            self.refused.update(&raw, &self.holders, scanned);
        }
        self.fails.update(maps.failed());
        let mut sample =
            Sample { ts_ns: now_ns(), unix: self.beside.unix_listeners(), ..Sample::default() };
        let (mut somaxconn, mut settings) = (BTreeMap::new(), BTreeMap::new());
        for (id, listener) in &raw {
            // The namespace of a closed one may be gone, and its number that of another.
            let is_newest = listener.closed_ns == 0 || !settings.contains_key(&listener.netns);
            if listener.somaxconn != 0 && is_newest {
                somaxconn.insert(listener.netns, listener.somaxconn);
                settings.insert(listener.netns, self.settings(listener));
            }
            let mut figures = self.listener(*id, listener, ended);
            let has_settled =
                self.ends || sample.ts_ns.saturating_sub(listener.closed_ns) >= SETTLES_NS;
            if !has_settled {
                figures.closed_ns = None;
            }
            sample.listeners.push(figures);
            if listener.closed_ns != 0 && has_settled {
                // Read for the last time: the place in the map is free for the next listener.
                maps.forget_listener(*id);
                self.depths.remove(id);
                self.accepted.remove(id);
                self.refused.forget(*id);
            }
        }
        sample.listeners.sort_by_key(|listener| (listener.since_ns, listener.sock));
        sample.somaxconn = somaxconn.into_iter().collect();
        sample.settings = settings.into_values().collect();
        for (pid, tid, call) in maps.calls() {
            let (listener, since_ns) = (call.listener, call.entered_ns);
            sample.in_accept.push(InAccept { pid, tid, listener, since_ns });
        }
        for index in LOSSES {
            let total = maps.counter(index);
            if total > 0 {
                sample.lost.push((counter::NAMES[index as usize].into(), total));
            }
        }
        if self.beside.lost() > 0 {
            sample.lost.push((BESIDE.into(), self.beside.lost()));
        }
        sample.seen = maps.counter(counter::SEEN);
        sample
    }

    /// Returns true if listeners dropped something, came or went since the last sample: else there
    /// is nothing to share out.
    fn is_news(&mut self, raw: &[(SockId, Listener)], scanned: bool) -> bool {
        let mut drops: u64 = 0;
        let mut has_closed = false;
        for (_, listener) in raw {
            let of_listener = listener.drops_full.wrapping_add(listener.drops_syn_full);
            drops = drops.wrapping_add(of_listener);
            has_closed |= listener.closed_ns != 0;
        }
        let has_dropped = mem::replace(&mut self.drops, drops) != drops;
        has_dropped || scanned || has_closed
    }

    /// Returns the figures of a listener with this value in the map, if it is long enough.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(in crate::sensor) fn fuzzed_listener(
        &mut self,
        id: SockId,
        value: &[u8],
    ) -> Option<ListenerSample> {
        let raw = crate::sensor::decode::record::<Listener>(value)?;
        Some(self.listener(id, &raw, self.period))
    }

    /// Takes the output of an iterator, and adds what it has to a sample.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(in crate::sensor) fn fuzzed_scan(&mut self, output: &[u8], sample: &mut Sample) {
        // Bytes in memory can always be read.
        let _ = self.read(output);
        sample.unix = self.beside.unix_listeners();
    }

    fn settings(&self, listener: &Listener) -> NetSettings {
        NetSettings {
            netns: listener.netns,
            here: self.own_netns.map(|own| own == listener.netns),
            syncookies: listener.syncookies,
            syn_retries: listener.syn_retries,
            syn_linear_timeouts: listener.syn_linear_timeouts,
            abort_on_overflow: listener.abort_on_overflow != 0,
        }
    }

    fn listener(&mut self, id: SockId, raw: &Listener, ended: u32) -> ListenerSample {
        let slot = (ended & 1) as usize;
        let (peak, syn_peak) = if raw.peak_epoch[slot] == ended {
            (raw.peak[slot], raw.syn_peak[slot])
        } else {
            (0, 0)
        };
        let before = self.depths.insert(id, (raw.depth, raw.syn_depth)).unwrap_or_default();
        let (mut overflow_syn, mut syn_dropped) = (raw.overflow_syn, raw.syn_dropped);
        if !self.seen.syns {
            let refused = self.refused.of(id);
            (overflow_syn, syn_dropped) = (refused.overflow, refused.dropped);
        }
        // Connections wait for longer than a moment: none was accepted since the last sample, or
        // some waited then, too, or the queue is full.
        let none_accepted =
            raw.depth > 0 && self.accepted.insert(id, raw.accepted) == Some(raw.accepted);
        let stands = none_accepted || raw.depth > 0 && (before.0 > 0 || raw.depth > raw.limit);
        let (pid, holders) = self.owner(id, raw);
        let (unnamed_holders, unwatched) = match self.holders.get(&id) {
            Some(held) => (held.unnamed(), stands && self.is_unwatched(id, held)),
            None => (0, false),
        };
        let comm = match self.names.get(&pid) {
            Some(name) => name.clone(),
            None => comm(&raw.comm),
        };
        let seen = &self.seen;
        ListenerSample {
            sock: id,
            local: address(raw.local),
            pid,
            comm,
            holders,
            netns: raw.netns,
            since_ns: raw.since_ns,
            closed_ns: known(raw.closed_ns),
            backlog: u32::try_from(raw.backlog).ok(),
            limit: raw.limit,
            depth: raw.depth,
            peak: peak.max(before.0).max(raw.depth),
            syn_depth: raw.syn_depth,
            syn_peak: syn_peak.max(before.1).max(raw.syn_depth),
            syns: if seen.syns { Some(raw.syns) } else { None },
            queued: raw.queued,
            accepted: raw.accepted,
            overflow_syn,
            overflow_ack: if seen.acks { Some(raw.overflow_ack) } else { None },
            syn_dropped: Some(syn_dropped),
            cookies_sent: if seen.cookies { Some(raw.cookies_sent) } else { None },
            drops: raw.drops.into(),
            synack_retransmits: raw.synack_retransmits,
            eagain: raw.eagain,
            abandoned: raw.abandoned,
            fails: if seen.fails { Some(self.fails.of(id)) } else { None },
            left: if seen.queues { Some(left_queue(raw)) } else { None },
            others: self.beside.of(raw),
            synack_acked: if seen.acked { Some(raw.synack_acked) } else { None },
            defer_accept: Some(raw.defer_accept),
            unwatched,
            unnamed_holders,
            calls_missed: false,
            netns_cookie: known(raw.netns_cookie),
        }
    }

    fn is_unwatched(&self, id: SockId, held: &Holders) -> bool {
        // Somebody who is not named may wait for it.
        held.is_complete() && epolls::is_unwatched(id, &held.descriptors, &self.descriptors)
    }

    /// Returns the process that stands for a listener, and those that hold it, as far as they are
    /// named.
    fn owner(&self, id: SockId, raw: &Listener) -> (u32, Vec<u32>) {
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

fn left_queue(raw: &Listener) -> LeftQueue {
    LeftQueue {
        closed: raw.peer_closed,
        reset: raw.peer_reset,
        late: raw.left_late,
        late_us: raw.left_late_ns / 1_000,
        cut: raw.cut,
    }
}

//! Reads every listener's figures at a refresh: from the maps, and by running the iterator over the targets' files.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use aya::programs::ProgramFd;
use backscope_abi::{Listener, counter};

use super::{LOSSES, Targets, blocked, choose::Chosen, maps::Maps, now_ns, plan::Tier, refused::Refused, stream, sys};
use crate::model::event::{InAccept, ListenerSample, Sample, SockId};

/// A scan may take this share of the time between scans: on a process with very many files it runs less often than
/// the refresh, and depths come from events alone in between.
const SCAN_SHARE: u32 = 100;

/// Listeners by process and descriptor.
pub(super) type Descriptors = HashMap<(u32, u32), SockId>;

/// Turns the maps' totals into samples.
pub(super) struct Sampler {
    period: u32,
    depths: HashMap<SockId, (u32, u32)>,
    holders: BTreeMap<SockId, BTreeSet<u32>>,
    descriptors: Descriptors,
    names: HashMap<u32, String>,
    refused: Refused,
    sees_syns: bool,
    sees_cookies: bool,
    sees_acks: bool,
    next_scan: Instant,
    /// A scan ran since the last sample.
    scanned: bool,
    filters_by_process: bool,
}

impl Sampler {
    pub(super) fn new(chosen: &Chosen) -> Self {
        let sees_syns = chosen.sees("syn", Tier::Full);
        let sees_acks = chosen.sees("overflow_ack", Tier::Full) || chosen.sees("overflow_ack", Tier::Tracepoint);
        Self {
            period: 0,
            depths: HashMap::new(),
            holders: BTreeMap::new(),
            descriptors: HashMap::new(),
            names: HashMap::new(),
            refused: Refused::default(),
            sees_syns,
            sees_cookies: chosen.sees("syncookie", Tier::Full),
            sees_acks,
            next_scan: Instant::now(),
            scanned: false,
            filters_by_process: true,
        }
    }

    /// Scans one process at once.
    pub(super) fn scan_process(&mut self, program: &ProgramFd, pid: u32) {
        match sys::run_task_iterator(program.as_fd(), Some(pid)) {
            Ok(output) => self.note(&output),
            Err(_) => self.scan_everything(program),
        }
    }

    fn scan_everything(&mut self, program: &ProgramFd) {
        // A failure (out of memory) leaves the figures of the last scan, which the next one renews.
        if let Ok(output) = sys::run_task_iterator(program.as_fd(), None) {
            self.note(&output);
        }
    }

    fn note(&mut self, output: &[u8]) {
        for entry in stream::scan_entries(output) {
            self.holders.entry(entry.listener).or_default().insert(entry.tgid);
            self.descriptors.insert((entry.tgid, entry.fd), entry.listener);
            self.names.insert(entry.tgid, stream::comm(&entry.comm));
        }
    }

    /// Scans every target, unless the last scan was so long that it is not yet time again.
    pub(super) fn scan(&mut self, program: &ProgramFd, targets: &Targets, maps: &Maps) {
        let begin = Instant::now();
        if begin < self.next_scan {
            return;
        }
        self.scanned = true;
        self.holders.clear();
        self.descriptors.clear();
        self.names.clear();
        let processes = maps.targets();
        if self.filters_by_process && targets.only_processes() && processes.len() <= 64 {
            for pid in processes {
                match sys::run_task_iterator(program.as_fd(), Some(pid)) {
                    Ok(output) => self.note(&output),
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    Err(_) => {
                        self.filters_by_process = false;
                        break;
                    }
                }
            }
        }
        if !(self.filters_by_process && targets.only_processes()) || maps.targets().len() > 64 {
            self.scan_everything(program);
        }
        let took = begin.elapsed();
        if took > Duration::from_millis(5) {
            self.next_scan = Instant::now() + took * SCAN_SHARE;
        }
    }

    /// The refresh period that the newest sample ended.
    pub(super) fn ended(&self) -> u32 {
        self.period.wrapping_sub(1)
    }

    /// Makes the next scan run whatever the last one took.
    pub(super) fn scan_is_due(&mut self) {
        self.next_scan = Instant::now();
    }

    /// Every process that holds a watched listener.
    pub(super) fn holders(&self) -> BTreeSet<u32> {
        self.holders.values().flatten().copied().collect()
    }

    /// Watched listeners by process and descriptor.
    pub(super) fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// Takes what is there at the attach: threads inside accept, and the counters of the namespaces of all listeners
    /// found, as the base of what is refused from now on.
    pub(super) fn begin(&mut self, maps: &mut Maps) {
        blocked::note(&self.descriptors, maps);
        if !self.sees_syns {
            self.refused.update(&maps.listeners(), &self.holders);
        }
    }

    pub(super) fn sample(&mut self, maps: &mut Maps) -> Sample {
        let ended = self.period;
        self.period = self.period.wrapping_add(1);
        maps.start_period(self.period);
        let raw = maps.listeners();
        // Without new drop counters there is nothing to share out, and a base read now would hide what came since.
        if !self.sees_syns && (std::mem::take(&mut self.scanned) || raw.iter().any(|(_, known)| known.closed_ns != 0)) {
            self.refused.update(&raw, &self.holders);
        }
        let mut sample = Sample { ts_ns: now_ns(), ..Sample::default() };
        let mut somaxconn = BTreeMap::new();
        for (id, listener) in &raw {
            if listener.somaxconn != 0 {
                somaxconn.insert(listener.netns, listener.somaxconn);
            }
            sample.listeners.push(self.listener(*id, listener, ended));
            if listener.closed_ns != 0 {
                // Read for the last time: the place in the map is free for the next listener.
                maps.forget_listener(*id);
                self.depths.remove(id);
                self.refused.forget(*id);
            }
        }
        sample.listeners.sort_by_key(|listener| (listener.since_ns, listener.sock));
        sample.somaxconn = somaxconn.into_iter().collect();
        sample.in_accept = maps
            .calls()
            .into_iter()
            .map(|(pid, tid, call)| InAccept { pid, tid, listener: call.listener, since_ns: call.entered_ns })
            .collect();
        sample.lost = LOSSES
            .map(|index| (counter::NAMES[index as usize].to_owned(), maps.counter(index)))
            .filter(|(_, total)| *total > 0)
            .collect();
        sample.seen = maps.counter(counter::SEEN);
        sample
    }

    fn listener(&mut self, id: SockId, raw: &Listener, ended: u32) -> ListenerSample {
        let slot = (ended & 1) as usize;
        let in_period = |value: u32| if raw.peak_epoch[slot] == ended { value } else { 0 };
        let before = self.depths.insert(id, (raw.depth, raw.syn_depth)).unwrap_or_default();
        let (overflow_syn, syn_dropped) = if self.sees_syns {
            (raw.overflow_syn, Some(raw.syn_dropped))
        } else {
            let refused = self.refused.of(id);
            (refused.overflow, Some(refused.dropped))
        };
        let holders = self.holders.get(&id);
        let pid = match holders {
            // Who called listen(2) is known only if we saw it; else the eldest stands for all.
            Some(holders) if raw.backlog < 0 || !holders.contains(&raw.tgid) => {
                holders.first().copied().unwrap_or(raw.tgid)
            }
            _ => raw.tgid,
        };
        ListenerSample {
            sock: id,
            local: stream::address(raw.local),
            pid,
            comm: self.names.get(&pid).cloned().unwrap_or_else(|| stream::comm(&raw.comm)),
            holders: holders.map_or_else(Vec::new, |holders| holders.iter().copied().collect()),
            netns: raw.netns,
            since_ns: raw.since_ns,
            closed_ns: (raw.closed_ns != 0).then_some(raw.closed_ns),
            backlog: u32::try_from(raw.backlog).ok(),
            limit: raw.limit,
            depth: raw.depth,
            peak: in_period(raw.peak[slot]).max(before.0).max(raw.depth),
            syn_depth: raw.syn_depth,
            syn_peak: in_period(raw.syn_peak[slot]).max(before.1).max(raw.syn_depth),
            syns: self.sees_syns.then_some(raw.syns),
            queued: raw.queued,
            accepted: raw.accepted,
            overflow_syn,
            overflow_ack: self.sees_acks.then_some(raw.overflow_ack),
            syn_dropped,
            cookies_sent: self.sees_cookies.then_some(raw.cookies_sent),
            drops: raw.drops.into(),
            synack_retransmits: raw.synack_retransmits,
            eagain: raw.eagain,
            abandoned: raw.abandoned,
        }
    }
}

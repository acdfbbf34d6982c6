//! Reads every listener's figures at a refresh: from the maps, and by running the iterator over the
//! targets' files.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use aya::programs::ProgramFd;
use backscope_abi::{Listener, counter};

use super::{
    LOSSES, Targets, asleep,
    beside::Beside,
    blocked,
    choose::Chosen,
    fails::Fails,
    maps::Maps,
    now_ns,
    plan::Tier,
    refused::{self, Refused},
    stream, sys,
};
use crate::model::event::{InAccept, LeftQueue, ListenerSample, NetSettings, Sample, SockId};

/// A scan may take this share of the time between scans: on a process with very many files it runs
/// less often than the refresh, and depths come from events alone in between.
const SCAN_SHARE: u32 = 100;
/// What a listener leaves in its queue is gone so soon after it has closed, ns.
const SETTLES_NS: u64 = 20_000_000;

/// Listeners by process and descriptor.
pub(super) type Descriptors = HashMap<(u32, u32), SockId>;

/// Turns the maps' totals into samples.
pub(super) struct Sampler {
    period: u32,
    depths: HashMap<SockId, (u32, u32)>,
    /// Connections accepted up to the last sample.
    accepted: HashMap<SockId, u64>,
    holders: BTreeMap<SockId, BTreeSet<u32>>,
    descriptors: Descriptors,
    names: HashMap<u32, String>,
    refused: Refused,
    fails: Fails,
    beside: Beside,
    sees_fails: bool,
    sees_queues: bool,
    /// Drops at full queues that were accounted for.
    drops: u64,
    /// The network namespace that this process is in.
    own_netns: Option<u32>,
    sees_syns: bool,
    sees_cookies: bool,
    sees_acks: bool,
    knows_acked: bool,
    next_scan: Instant,
    /// A scan ran since the last sample.
    scanned: bool,
    filters_by_process: bool,
    /// The run ends: nothing waits for a later sample.
    ends: bool,
}

impl Sampler {
    pub(super) fn new(chosen: &Chosen, knows_acked: bool) -> Self {
        let sees_syns = chosen.sees("syn", Tier::Full);
        let sees_acks = chosen.sees("overflow_ack", Tier::Full)
            || chosen.sees("overflow_ack", Tier::Tracepoint);
        Self {
            period: 0,
            depths: HashMap::new(),
            accepted: HashMap::new(),
            holders: BTreeMap::new(),
            descriptors: HashMap::new(),
            names: HashMap::new(),
            refused: Refused::default(),
            fails: Fails::default(),
            beside: Beside::default(),
            sees_fails: chosen.has("accept_fails"),
            sees_queues: chosen.has("queued"),
            drops: 0,
            own_netns: refused::netns_of(std::process::id()),
            sees_syns,
            sees_cookies: chosen.sees("syncookie", Tier::Full),
            sees_acks,
            knows_acked,
            next_scan: Instant::now(),
            scanned: false,
            filters_by_process: true,
            ends: false,
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
            match entry {
                stream::Scanned::Listener(entry) => {
                    self.holders.entry(entry.listener).or_default().insert(entry.tgid);
                    self.descriptors.insert((entry.tgid, entry.fd), entry.listener);
                    self.names.insert(entry.tgid, stream::comm(&entry.comm));
                }
                stream::Scanned::Unix(unix) => self.beside.unix(&unix),
                stream::Scanned::Other(other) => self.beside.other(&other),
            }
        }
    }

    /// Looks at everybody's files, for sockets that listen beside watched ones: seldom, for what it
    /// takes.
    fn look_around(&mut self, program: &ProgramFd) {
        if self.beside.is_due() && !self.holders.is_empty() {
            let begin = Instant::now();
            self.beside.forget_others();
            self.scan_everything(program);
            self.beside.looked(begin.elapsed() * SCAN_SHARE);
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
        self.beside.forget_unix();
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
            self.beside.forget_others();
            self.scan_everything(program);
        } else {
            self.look_around(program);
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

    /// The next sample is the last: its scan runs whatever the one before took.
    pub(super) fn ends(&mut self) {
        self.next_scan = Instant::now();
        self.ends = true;
    }

    /// Every process that holds a watched listener.
    pub(super) fn holders(&self) -> BTreeSet<u32> {
        self.holders.values().flatten().copied().collect()
    }

    /// Watched listeners by process and descriptor.
    pub(super) fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// Takes what is there at the attach: threads inside accept, and the counters of the namespaces
    /// of all listeners found, as the base of what is refused from now on.
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
        if !self.sees_syns && self.is_news(&raw) {
            self.refused.update(&raw, &self.holders);
        }
        self.fails.update(maps.failed());
        let mut sample =
            Sample { ts_ns: now_ns(), unix: self.beside.unix_listeners(), ..Sample::default() };
        let (mut somaxconn, mut settings) = (BTreeMap::new(), BTreeMap::new());
        for (id, listener) in &raw {
            if listener.somaxconn != 0 {
                somaxconn.insert(listener.netns, listener.somaxconn);
                settings.insert(listener.netns, self.settings(listener));
            }
            let mut figures = self.listener(*id, listener, ended);
            let settled =
                self.ends || sample.ts_ns.saturating_sub(listener.closed_ns) >= SETTLES_NS;
            figures.closed_ns = figures.closed_ns.filter(|_| settled);
            sample.listeners.push(figures);
            if listener.closed_ns != 0 && settled {
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
        sample.in_accept = maps
            .calls()
            .into_iter()
            .map(|(pid, tid, call)| InAccept {
                pid,
                tid,
                listener: call.listener,
                since_ns: call.entered_ns,
            })
            .collect();
        sample.lost = LOSSES
            .map(|index| (counter::NAMES[index as usize].to_owned(), maps.counter(index)))
            .filter(|(_, total)| *total > 0)
            .collect();
        sample.seen = maps.counter(counter::SEEN);
        sample
    }

    /// Whether listeners dropped something, came or went since the last sample: else there is
    /// nothing to share out.
    fn is_news(&mut self, raw: &[(SockId, Listener)]) -> bool {
        let of = |listener: &Listener| listener.drops_full.wrapping_add(listener.drops_syn_full);
        let drops = raw.iter().fold(0, |sum: u64, (_, listener)| sum.wrapping_add(of(listener)));
        let scanned = std::mem::take(&mut self.scanned);
        std::mem::replace(&mut self.drops, drops) != drops
            || scanned
            || raw.iter().any(|(_, listener)| listener.closed_ns != 0)
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
        let in_period = |value: u32| if raw.peak_epoch[slot] == ended { value } else { 0 };
        let before = self.depths.insert(id, (raw.depth, raw.syn_depth)).unwrap_or_default();
        let (overflow_syn, syn_dropped) = if self.sees_syns {
            (raw.overflow_syn, Some(raw.syn_dropped))
        } else {
            let refused = self.refused.of(id);
            (refused.overflow, Some(refused.dropped))
        };
        // Connections wait, and it is no chance: none was accepted since the last sample, or some
        // waited then, too, or the queue is full.
        let none_accepted =
            raw.depth > 0 && self.accepted.insert(id, raw.accepted) == Some(raw.accepted);
        let stands = none_accepted || raw.depth > 0 && (before.0 > 0 || raw.depth > raw.limit);
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
            fails: self.sees_fails.then(|| self.fails.of(id)),
            left: self.sees_queues.then_some(LeftQueue {
                closed: raw.peer_closed,
                reset: raw.peer_reset,
                late: raw.left_late,
                late_us: raw.left_late_ns / 1_000,
                cut: raw.cut,
            }),
            others: self.beside.of(raw),
            synack_acked: self.knows_acked.then_some(raw.synack_acked),
            defer_accept: Some(raw.defer_accept),
            unwatched: stands && asleep::is_unwatched(id, &self.descriptors),
        }
    }
}

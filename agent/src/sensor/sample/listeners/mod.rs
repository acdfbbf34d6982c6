//! Reads every listener's figures at a refresh: from the maps, and by running the iterator over the
//! targets' files.

mod figures;
mod holders;

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    time::Instant,
};

use backscope_abi::{Listener, counter};

use crate::sensor::sample::{
    beside::Beside,
    fails::Fails,
    pending_accepts::note_pending_accepts,
    refused::Refused,
    scan::{Descriptors, Holders, MAX_NAMED_IN_ALL},
};
use crate::{
    model::{
        Tier,
        event::{InAccept, Sample, SockId},
    },
    sensor::{
        attach::{Chosen, Signal},
        clock::now_ns,
        maps::Maps,
        procfs,
    },
    text::Untrusted,
};

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

    /// Returns the refresh period that the newest sample ended.
    pub(in crate::sensor) fn ended(&self) -> u32 {
        self.period.wrapping_sub(1)
    }

    /// Says that the next sample is the last: its scan runs whatever the one before cost.
    pub(in crate::sensor) fn ends(&mut self) {
        self.next_scan = Instant::now();
        self.ends = true;
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
    ) -> Option<crate::model::event::ListenerSample> {
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
}

//! One group of listeners at one address, judged sample after sample.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::facts::{self, Facts};
use super::herd::{Herd, Totals};
use super::judge::{self, Helpers, Judgement, Reason};
use super::line::{Doings, Key};
use super::service_history::{Id, ServiceHistory};
use super::thread_starts::ThreadStarts;
use super::waits::Waits;
use super::words::Evidence;
use crate::model::event::{Sample, SockId, Waiting};
use crate::model::sharing::Sharing;
use crate::model::snapshot::{PatternName, PatternThread, PatternView, WaitView};

/// Threads in a pattern.
const MAX_PATTERN_THREADS: usize = 64;
/// Who was seen waiting for a listener counts as one that accepts for so long, ns.
const WAITED_NS: u64 = 30_000_000_000;
/// Reads over which helpers are judged, at least; at more than 128 times as many the past loses
/// half its weight.
const HELPED_READS: u64 = 20;

/// What a group has at one sample.
pub(super) struct Now<'a> {
    pub(super) sample: &'a Sample,
    pub(super) key: Key,
    pub(super) trails: Vec<&'a ServiceHistory>,
    pub(super) doers: BTreeMap<Id, Doings>,
    pub(super) handoff: WaitView,
    /// Its open listeners, with one of them.
    pub(super) listeners: u64,
    pub(super) listener: SockId,
    pub(super) root: u32,
    pub(super) comm: String,
    pub(super) totals: Totals,
    /// Who waits now.
    pub(super) waiting: Vec<&'a Waiting>,
    pub(super) in_accept: Vec<(Id, SockId)>,
    /// Times that threads were put on a CPU since the sample before.
    pub(super) runs: &'a HashMap<Id, u64>,
}

/// What is kept of a group from sample to sample.
#[derive(Debug)]
pub(super) struct Group {
    /// Who was seen waiting, for which listener, and when last.
    waiting: BTreeMap<Id, (SockId, u64)>,
    waits: Waits,
    helped_reads: u64,
    helpers: HashMap<Id, u64>,
    /// Reads by the sample before; `None` before the first, whose runs are not known either.
    reads: Option<u64>,
    pub(super) herd: Herd,
    readers: Sharing<Id>,
    /// What the newest judgement looks like.
    pub(super) view: Option<PatternView>,
    /// Connections that the judgement rests on.
    pub(super) weight: u64,
    /// The process under which it was told.
    pub(super) told_as: Option<u32>,
}

impl Group {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            waiting: BTreeMap::new(),
            waits: Waits::default(),
            helped_reads: 0,
            helpers: HashMap::new(),
            reads: None,
            herd: Herd::default(),
            readers: Sharing::new(now_ns),
            view: None,
            weight: 0,
            told_as: None,
        }
    }

    /// How the last few hundred reads were shared among those that only serve.
    pub(super) fn reads_shared(&self) -> Option<crate::model::sharing::Stretch<Id>> {
        self.readers.last()
    }

    pub(super) fn sampled(
        &mut self,
        now: &Now<'_>,
        thread_starts: &ThreadStarts,
        elsewhere: usize,
    ) {
        let now_ns = now.sample.ts_ns;
        for waiting in &now.waiting {
            self.waiting.insert((waiting.pid, waiting.tid), (waiting.listener, now_ns));
        }
        for &(id, listener) in &now.in_accept {
            self.waiting.insert(id, (listener, now_ns));
        }
        let alive = thread_starts.processes();
        let is_gone = |pid: u32| alive.as_ref().is_some_and(|alive| !alive.contains(&pid));
        self.waiting.retain(|id, (_, seen_ns)| {
            now_ns.saturating_sub(*seen_ns) < WAITED_NS && !is_gone(id.0)
        });
        let waiting = self.waiting.iter().map(|(&id, &(listener, _))| (id, listener)).collect();
        let trails = now.trails.clone();
        let facts = Facts::of(
            &facts::Group { trails, waiting: &waiting, listeners: now.listeners, root: now.root },
            thread_starts,
        );
        let servers: BTreeSet<Id> = facts.servers.keys().copied().collect();
        self.waits.sampled(now.sample, &servers, &facts);
        let acceptors = now.doers.values().filter(|doings| doings.accepts > 0).count() as u64;
        self.herd.sampled(now_ns, &now.waiting, acceptors, now.totals, now.listener);
        let helpers = self.helpers(now, &facts);
        let judgement = judge::judge(&facts, helpers);
        self.share(now, &facts, thread_starts, judgement.name);
        let known = self.view.as_ref().is_some_and(|view| view.name != PatternName::Unknown);
        if known && judgement.reason == Some(Reason::Few) {
            // A family that ends, or has just begun anew, is what it was, until enough is seen of
            // what it is.
            return;
        }
        self.weight = facts.weight;
        self.view = Some(self.look(now, &facts, thread_starts, judgement, helpers, elsewhere));
    }

    /// Threads of the serving process that neither accept nor serve, and how often they ran.
    fn helpers(&mut self, now: &Now<'_>, facts: &Facts) -> Helpers {
        let reads = now.totals.reads;
        self.helped_reads += reads.saturating_sub(self.reads.unwrap_or(reads));
        self.reads = Some(reads);
        let processes: BTreeSet<u32> = facts.servers.keys().map(|(pid, _)| *pid).collect();
        let others = |id: &Id| {
            processes.contains(&id.0)
                && !facts.servers.contains_key(id)
                && !facts.accepting.contains(id)
        };
        for (&id, &runs) in now.runs.iter().filter(|(id, _)| others(id)) {
            *self.helpers.entry(id).or_default() += runs;
        }
        self.helpers.retain(|id, _| others(id) && now.runs.contains_key(id));
        if self.helped_reads > HELPED_READS * 128 {
            self.helped_reads /= 2;
            self.helpers.values_mut().for_each(|runs| *runs /= 2);
        }
        if self.helped_reads < HELPED_READS {
            return Helpers::default();
        }
        let busy = || self.helpers.values().filter(|runs| **runs * 10 >= self.helped_reads);
        Helpers {
            threads: busy().count() as u64,
            runs_per_read: busy().sum::<u64>() as f64 / self.helped_reads as f64,
        }
    }

    fn share(
        &mut self,
        now: &Now<'_>,
        facts: &Facts,
        thread_starts: &ThreadStarts,
        name: PatternName,
    ) {
        if name != PatternName::AcceptorPlusReaders {
            self.readers = Sharing::new(now.sample.ts_ns);
            return;
        }
        let only_serves = |id: &Id| {
            facts.servers.contains_key(id)
                && !facts.accepting.contains(id)
                && thread_starts.is_alive(*id)
        };
        let readers = now
            .doers
            .iter()
            .filter(|(id, _)| only_serves(id))
            .map(|(&id, doings)| (id, doings.reads));
        self.readers.update(now.sample.ts_ns, readers);
    }

    fn look(
        &self,
        now: &Now<'_>,
        facts: &Facts,
        thread_starts: &ThreadStarts,
        judgement: Judgement,
        helpers: Helpers,
        elsewhere: usize,
    ) -> PatternView {
        let take_part: BTreeSet<u32> =
            facts.accepting.iter().chain(facts.servers.keys()).map(|(pid, _)| *pid).collect();
        let evidence = Evidence {
            judgement,
            facts,
            helpers,
            waits: &self.waits,
            handoff: now.handoff,
            key: now.key,
            processes: take_part.len(),
            elsewhere,
        };
        PatternView {
            pid: now.root,
            comm: thread_starts
                .comm((now.root, now.root))
                .map_or_else(|| now.comm.clone(), str::to_owned),
            name: judgement.name,
            units: judgement.units,
            io: self.waits.io(judgement.name, facts),
            confidence: judgement.confidence,
            headline: evidence.headline(),
            evidence: evidence.sentences(),
            handoff: now.handoff,
            threads: threads(now, facts, thread_starts, judgement.name),
            uneven: self
                .readers
                .last()
                .filter(is_uneven)
                .map(|stretch| stretch.busiest.1)
                .into_iter()
                .collect(),
        }
    }
}

/// One reader has far more than its part.
fn is_uneven(stretch: &crate::model::sharing::Stretch<Id>) -> bool {
    crate::model::finding::is_uneven(stretch.parties, stretch.accepts, stretch.most)
        && stretch.most * 4 >= stretch.accepts
}

fn threads(
    now: &Now<'_>,
    facts: &Facts,
    thread_starts: &ThreadStarts,
    name: PatternName,
) -> Vec<PatternThread> {
    let passing =
        matches!(name, PatternName::ThreadPerConnection | PatternName::ProcessPerConnection);
    let mut doers = now.doers.clone();
    for &id in &facts.accepting {
        doers.entry(id).or_default();
    }
    let stays = |id: Id| !passing || thread_starts.is_alive(id) || facts.accepting.contains(&id);
    let mut threads: Vec<PatternThread> = doers
        .into_iter()
        .filter(|(id, _)| stays(*id))
        .map(|((pid, tid), doings)| PatternThread {
            pid,
            tid,
            comm: thread_starts.comm((pid, tid)).unwrap_or_default().to_owned(),
            accepts: doings.accepts,
            reads: doings.reads,
            writes: doings.writes,
            connections: doings.connections,
        })
        .collect();
    threads.sort_by_key(|thread| std::cmp::Reverse(thread.connections.max(thread.accepts)));
    threads.truncate(MAX_PATTERN_THREADS);
    threads
}

//! One group of listeners at one address, judged sample after sample.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ReadsShared;
use super::facts::{self, PatternFacts};
use super::herd::{Herd, Totals};
use super::judge::{self, Helpers, Judgement, Reason};
use super::listener_history::Calls;
use super::service_history::{Id, ServiceHistory};
use super::thread_starts::ThreadStarts;
use super::waits::Waits;
use super::words::Evidence;
use crate::model::event::{Place, Sample, SockId, Waiting};
use crate::model::sharing::{Sharing, Stretch};
use crate::model::snapshot::{PatternName, PatternThread, PatternView, WaitView};
use crate::text::Untrusted;

/// Threads in a pattern.
const MAX_PATTERN_THREADS: usize = 64;
/// A thread that was seen waiting for a listener counts as one that accepts for so long, ns.
const WAITED_NS: u64 = 30_000_000_000;
/// Reads over which helpers are judged, at least; at more than 128 times as many the past loses
/// half its weight.
const HELPED_READS: u64 = 20;

/// State of a group at one sample.
pub(super) struct Now<'a> {
    pub(super) sample: &'a Sample,
    pub(super) place: Place,
    pub(super) histories: Vec<&'a ServiceHistory>,
    pub(super) threads: BTreeMap<Id, Calls>,
    pub(super) handoff: WaitView,
    /// Its open listeners, with one of them.
    pub(super) listeners: u64,
    pub(super) listener: SockId,
    pub(super) root: u32,
    pub(super) comm: Untrusted,
    pub(super) totals: Totals,
    /// Threads that wait now.
    pub(super) waiting: Vec<&'a Waiting>,
    pub(super) in_accept: Vec<(Id, SockId)>,
    /// Times that threads were put on a CPU since the sample before.
    pub(super) runs: &'a HashMap<Id, u64>,
}

/// One group, from sample to sample.
#[derive(Debug)]
pub(super) struct Group {
    /// Threads that were seen waiting, for which listener, and when last.
    waiting: BTreeMap<Id, (SockId, u64)>,
    waits: Waits,
    helped_reads: u64,
    helpers: HashMap<Id, u64>,
    /// Reads by the sample before; `None` before the first, whose runs are not known either.
    reads: Option<u64>,
    pub(super) herd: Herd,
    readers: Sharing<Id>,
    /// The newest judgement as it is shown.
    pub(super) view: Option<PatternView>,
    /// Connections that the judgement rests on.
    pub(super) weight: u64,
    /// The process under which it was reported.
    pub(super) reported_as: Option<u32>,
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
            reported_as: None,
        }
    }

    /// Returns how the last few hundred reads were shared among those that only serve.
    pub(super) fn reads_shared(&self) -> Option<ReadsShared> {
        let stretch = self.readers.last()?;
        Some(ReadsShared {
            readers: stretch.parties,
            reads: stretch.accepts,
            most: stretch.most,
            busiest: stretch.busiest.1,
        })
    }

    /// Returns the threads that were seen waiting for a listener of late.
    pub(super) fn waiting_for(&self, sock: SockId) -> impl Iterator<Item = Id> {
        let own = self.waiting.iter().filter(move |(_, (listener, _))| *listener == sock);
        own.map(|(&id, _)| id)
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
        let is_alive = |pid: u32| match &alive {
            Some(alive) => alive.contains(&pid),
            None => true,
        };
        self.waiting.retain(|id, (_, seen_ns)| {
            now_ns.saturating_sub(*seen_ns) < WAITED_NS && is_alive(id.0)
        });
        let facts = self.facts(now, thread_starts);
        let servers: BTreeSet<Id> = facts.servers.keys().copied().collect();
        self.waits.sampled(now.sample, &servers, &facts);
        let acceptors = now.threads.values().filter(|calls| calls.accepts > 0).count() as u64;
        self.herd.sampled(now_ns, &now.waiting, acceptors, now.totals, now.listener);
        let helpers = self.helpers(now, &facts);
        let judgement = judge::judge(&facts, helpers);
        self.share(now, &facts, thread_starts, judgement.name);
        let is_known = matches!(&self.view, Some(view) if view.name != PatternName::Unknown);
        if is_known && judgement.reason == Some(Reason::Few) {
            // A family that ends, or has just begun anew, keeps its pattern until enough of its
            // connections are seen.
            return;
        }
        self.weight = facts.weight;
        self.view =
            Some(self.pattern_view(now, &facts, thread_starts, judgement, helpers, elsewhere));
    }

    /// Sums the newest connections.
    fn facts(&self, now: &Now<'_>, thread_starts: &ThreadStarts) -> PatternFacts {
        let waiting = self.waiting.iter().map(|(&id, &(listener, _))| (id, listener)).collect();
        let group = facts::Group {
            histories: now.histories.clone(),
            waiting: &waiting,
            listeners: now.listeners,
            root: now.root,
        };
        PatternFacts::of(&group, thread_starts)
    }

    /// Finds threads of the serving process that neither accept nor serve, and how often they ran.
    fn helpers(&mut self, now: &Now<'_>, facts: &PatternFacts) -> Helpers {
        let reads = now.totals.reads;
        self.helped_reads =
            self.helped_reads.saturating_add(reads.saturating_sub(self.reads.unwrap_or(reads)));
        self.reads = Some(reads);
        let processes: BTreeSet<u32> = facts.servers.keys().map(|(pid, _)| *pid).collect();
        let is_helper = |id: &Id| {
            processes.contains(&id.0)
                && !facts.servers.contains_key(id)
                && !facts.accepting.contains(id)
        };
        for (&id, &runs) in now.runs {
            if is_helper(&id) {
                *self.helpers.entry(id).or_default() += runs;
            }
        }
        self.helpers.retain(|id, _| is_helper(id) && now.runs.contains_key(id));
        if self.helped_reads > HELPED_READS * 128 {
            self.helped_reads /= 2;
            for runs in self.helpers.values_mut() {
                *runs /= 2;
            }
        }
        if self.helped_reads < HELPED_READS {
            return Helpers::default();
        }
        let (mut threads, mut busy_runs) = (0, 0_u64);
        for &runs in self.helpers.values() {
            if runs.saturating_mul(10) >= self.helped_reads {
                threads += 1;
                busy_runs = busy_runs.saturating_add(runs);
            }
        }
        Helpers { threads, runs_per_read: busy_runs as f64 / self.helped_reads as f64 }
    }

    fn share(
        &mut self,
        now: &Now<'_>,
        facts: &PatternFacts,
        thread_starts: &ThreadStarts,
        name: PatternName,
    ) {
        if name != PatternName::AcceptorPlusReaders {
            self.readers = Sharing::new(now.sample.ts_ns);
            return;
        }
        let reads_of = |(&id, calls): (&Id, &Calls)| {
            let only_serves = facts.servers.contains_key(&id)
                && !facts.accepting.contains(&id)
                && thread_starts.is_alive(id);
            if only_serves { Some((id, calls.reads)) } else { None }
        };
        self.readers.update(now.sample.ts_ns, now.threads.iter().filter_map(reads_of));
    }

    fn pattern_view(
        &self,
        now: &Now<'_>,
        facts: &PatternFacts,
        thread_starts: &ThreadStarts,
        judgement: Judgement,
        helpers: Helpers,
        elsewhere: usize,
    ) -> PatternView {
        let take_part: BTreeSet<u32> =
            facts.accepting.iter().chain(facts.servers.keys()).map(|(pid, _)| *pid).collect();
        let comm = thread_starts.comm((now.root, now.root)).unwrap_or(&now.comm);
        let mut uneven = Vec::new();
        if let Some(stretch) = self.readers.last()
            && is_uneven(&stretch)
        {
            uneven.push(stretch.busiest.1);
        }
        let evidence = Evidence {
            judgement,
            facts,
            helpers,
            waits: &self.waits,
            handoff: now.handoff,
            place: now.place,
            processes: take_part.len(),
            elsewhere,
        };
        PatternView {
            pid: now.root,
            comm: comm.clone(),
            name: judgement.name,
            units: judgement.units,
            io: self.waits.io(judgement.name, facts),
            confidence: judgement.confidence,
            headline: evidence.headline(),
            evidence: evidence.sentences(),
            handoff: now.handoff,
            threads: threads(now, facts, thread_starts, judgement.name),
            uneven,
        }
    }
}

/// Whether one reader has far more than its part.
fn is_uneven(stretch: &Stretch<Id>) -> bool {
    crate::model::finding::is_uneven(stretch.parties, stretch.accepts, stretch.most)
        && stretch.most.saturating_mul(4) >= stretch.accepts
}

fn threads(
    now: &Now<'_>,
    facts: &PatternFacts,
    thread_starts: &ThreadStarts,
    name: PatternName,
) -> Vec<PatternThread> {
    let passing =
        matches!(name, PatternName::ThreadPerConnection | PatternName::ProcessPerConnection);
    let mut threads = now.threads.clone();
    for &id in &facts.accepting {
        threads.entry(id).or_default();
    }
    let stays = |id: Id| !passing || thread_starts.is_alive(id) || facts.accepting.contains(&id);
    let mut views = Vec::new();
    for (id, calls) in threads {
        if !stays(id) {
            continue;
        }
        views.push(PatternThread {
            pid: id.0,
            tid: id.1,
            comm: thread_starts.comm(id).cloned().unwrap_or_default(),
            accepts: calls.accepts,
            reads: calls.reads,
            writes: calls.writes,
            connections: calls.connections,
        });
    }
    views.sort_by_key(|thread| std::cmp::Reverse(thread.connections.max(thread.accepts)));
    views.truncate(MAX_PATTERN_THREADS);
    views
}

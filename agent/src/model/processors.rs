//! Who may have the processors: what quotas of cgroups took from whom, who is stopped, how many
//! want to run.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::event::{CpuLimit, CpuState, Exchange};
use super::finding::CpuFacts;
use super::snapshot::{ExchangeView, Slice, SliceKind};

/// How far back it is known what quotas did, ns, and in how many steps at most.
const SPAN_NS: u64 = 20_000_000_000;
const MAX_STEPS: usize = 1_024;
/// Less than this is no part of a wait worth telling, µs.
const LEAST_US: u64 = 1_000;
/// How far back a crowd counts, ns.
const LATELY_NS: u64 = 5_000_000_000;
/// Readings of the run queue, and of who is stopped, that are kept.
const MAX_READINGS: usize = 64;

/// A cgroup with a quota, and how its times grew.
#[derive(Clone, Debug, Default)]
struct Group {
    limit: CpuLimit,
    /// What threads had been kept off processors in all, ns, by the time it was read.
    steps: VecDeque<(u64, u64)>,
    /// `nr_periods` and `nr_throttled` when it became known.
    before: (u64, u64),
}

impl Group {
    fn note(&mut self, ts_ns: u64, limit: &CpuLimit) {
        (self.limit.periods, self.limit.throttled) = (limit.periods, limit.throttled);
        self.limit.throttled_ns = limit.throttled_ns;
        // How it was before another quota came is told late.
        if self.steps.back().is_some_and(|last| ts_ns < last.0) {
            return;
        }
        // Between two readings with the same figure another one says nothing.
        let same =
            |step: Option<&(u64, u64)>| step.is_some_and(|(_, ns)| *ns == limit.throttled_ns);
        let count = self.steps.len();
        if count >= 2 && same(self.steps.back()) && same(self.steps.get(count - 2)) {
            self.steps.pop_back();
        }
        self.steps.push_back((ts_ns, limit.throttled_ns));
        let is_old = |step: &(u64, u64)| step.0.saturating_add(SPAN_NS) < ts_ns;
        while self.steps.len() > MAX_STEPS
            || self.steps.len() > 2 && self.steps.get(1).is_some_and(is_old)
        {
            self.steps.pop_front();
        }
    }

    /// How much it grew from one moment to another, ns, as far as readings tell.
    fn grown_ns(&self, from_ns: u64, to_ns: u64) -> u64 {
        let after = self
            .steps
            .partition_point(|step| step.0 < to_ns)
            .min(self.steps.len().saturating_sub(1));
        let before = self.steps.partition_point(|step| step.0 <= from_ns).saturating_sub(1);
        let at = |index: usize| self.steps.get(index).map_or(0, |step| step.1);
        at(after).saturating_sub(at(before))
    }
}

/// A quota, as a finding tells of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quota {
    pub(super) path: String,
    pub(super) quota_us: u64,
    pub(super) period_us: u64,
    /// Periods since it became known, and how many of them the quota did not last for.
    pub(super) periods: u64,
    pub(super) throttled: u64,
}

/// What is known of the processors.
#[derive(Clone, Debug, Default)]
pub(super) struct Processors {
    groups: Vec<Group>,
    /// Places in `groups`, by process.
    of_process: FxHashMap<u32, Vec<usize>>,
    cpus: Option<u32>,
    runnable: VecDeque<(u64, u32)>,
    /// Refreshes at which processes were stopped.
    stopped: VecDeque<(u64, Vec<u32>)>,
}

impl Processors {
    pub(super) fn note(&mut self, state: &CpuState) {
        let Some(refresh) = &state.refresh else {
            for (group, limit) in self.groups.iter_mut().zip(&state.limits) {
                group.note(state.ts_ns, limit);
            }
            return;
        };
        let mut before = std::mem::take(&mut self.groups);
        self.of_process.clear();
        for (at, limit) in state.limits.iter().enumerate() {
            let known =
                before.iter_mut().find(|group| group.limit.path == limit.path).map(std::mem::take);
            let mut group = known.unwrap_or_else(|| Group {
                before: (limit.periods, limit.throttled),
                ..Group::default()
            });
            group.limit = limit.clone();
            group.note(state.ts_ns, limit);
            self.groups.push(group);
            limit.pids.iter().for_each(|&pid| self.of_process.entry(pid).or_default().push(at));
        }
        self.cpus = refresh.cpus;
        push(&mut self.runnable, refresh.runnable.map(|runnable| (state.ts_ns, runnable)));
        let stopped = (!refresh.stopped.is_empty()).then(|| (state.ts_ns, refresh.stopped.clone()));
        push(&mut self.stopped, stopped);
    }

    /// Waits for a processor that a quota accounts for become such.
    pub(super) fn attribute(&self, exchange: &Exchange, view: &mut ExchangeView) {
        if self.of_process.is_empty() {
            return;
        }
        let reader = exchange.inbound.as_ref().and_then(|inbound| inbound.reader);
        let writer = exchange.outbound.as_ref().and_then(|outbound| outbound.writer);
        let Some(pid) = writer.or(reader).map(|thread| thread.pid) else { return };
        let mut at = 0;
        while at < view.slices.len() {
            let slice = view.slices[at];
            let end_ns = slice.start_ns + slice.us * 1_000;
            let is_delayed =
                view.slices.get(at + 1).is_some_and(|next| next.kind == SliceKind::RunQueue);
            // The wait may have been anywhere in what its thread did, behind which it is laid.
            let from = at.checked_sub(1).map(|at| view.slices[at]);
            let from = from
                .filter(|before| before.cpu_us.is_some() || before.kind == SliceKind::AcceptQueue);
            let from_ns = from.map_or(slice.start_ns, |before| before.start_ns);
            match slice.kind {
                SliceKind::RunQueue => {
                    at += throttle(
                        &mut view.slices,
                        at,
                        self.throttled_ns(pid, from_ns, end_ns) / 1_000,
                    );
                }
                // Which thread would have accepted is not known, but none of the cgroup's could.
                SliceKind::AcceptQueue if !is_delayed => {
                    at += throttle(
                        &mut view.slices,
                        at,
                        self.throttled_ns(pid, slice.start_ns, end_ns) / 1_000,
                    );
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// How long a quota kept threads of the process's cgroup off the processors, ns: the one that
    /// did so longest.
    fn throttled_ns(&self, pid: u32, from_ns: u64, to_ns: u64) -> u64 {
        let groups =
            self.of_process.get(&pid).into_iter().flatten().filter_map(|&at| self.groups.get(at));
        groups.map(|group| group.grown_ns(from_ns, to_ns)).max().unwrap_or(0)
    }

    /// The same of a process that has a quota.
    pub(super) fn taken_ns(&self, pid: u32, from_ns: u64, to_ns: u64) -> Option<u64> {
        let has_quota = self.of_process.contains_key(&pid);
        has_quota.then(|| self.throttled_ns(pid, from_ns, to_ns))
    }

    /// The quota that this process reached most often.
    fn quota(&self, pid: u32) -> Option<Quota> {
        let groups = self.of_process.get(&pid)?.iter().filter_map(|&at| self.groups.get(at));
        let quotas = groups.map(|group| Quota {
            path: group.limit.path.clone(),
            quota_us: group.limit.quota_us,
            period_us: group.limit.period_us,
            periods: group.limit.periods.saturating_sub(group.before.0),
            throttled: group.limit.throttled.saturating_sub(group.before.1),
        });
        quotas.max_by_key(|quota| quota.throttled)
    }

    /// What findings tell of the processors that a process may have; 0 stands for none that had to
    /// wait.
    pub(super) fn facts(&self, now_ns: u64, pid: u32) -> CpuFacts {
        let since_ns = now_ns.saturating_sub(LATELY_NS);
        let (quota, crowd) =
            if pid == 0 { (None, None) } else { (self.quota(pid), self.crowd(since_ns)) };
        let recent_figures =
            self.stopped.iter().filter(|(ts_ns, _)| ts_ns.saturating_add(2 * LATELY_NS) >= now_ns);
        let stopped =
            recent_figures.flat_map(|(ts_ns, pids)| pids.iter().map(|&pid| (*ts_ns, pid)));
        CpuFacts { quota, crowd, stopped: stopped.collect() }
    }

    /// A quota took from the process lately, or more threads wanted to run than there are
    /// processors: it may have had none.
    pub(super) fn are_short(&self, now_ns: u64, pid: u32) -> bool {
        let since_ns = now_ns.saturating_sub(LATELY_NS);
        let crowded = self.crowd(since_ns).is_some_and(|(cpus, runnable)| runnable > cpus);
        crowded || self.throttled_ns(pid, since_ns, now_ns) > 0
    }

    /// Processors of the machine, and the most threads that wanted one at a refresh since then,
    /// where that was read.
    fn crowd(&self, since_ns: u64) -> Option<(u32, u32)> {
        let recent_figures = self
            .runnable
            .iter()
            .filter(|(ts_ns, _)| *ts_ns >= since_ns)
            .map(|&(_, runnable)| runnable);
        Some((self.cpus?, recent_figures.max()?))
    }
}

fn push<T>(readings: &mut VecDeque<T>, new: Option<T>) {
    readings.extend(new);
    if readings.len() > MAX_READINGS {
        readings.pop_front();
    }
}

/// So much of a wait for a processor was a quota's. Gives how many slices there are more.
fn throttle(slices: &mut Vec<Slice>, at: usize, throttled_us: u64) -> usize {
    let wait = slices[at];
    let us = throttled_us.min(wait.us);
    if us < LEAST_US {
        return 0;
    }
    if wait.us - us < LEAST_US.max(wait.us / 10) {
        slices[at].kind = SliceKind::Throttled;
        return 0;
    }
    slices[at].us = wait.us - us;
    let start_ns = wait.start_ns + (wait.us - us) * 1_000;
    slices.insert(at + 1, Slice { kind: SliceKind::Throttled, start_ns, us, ..wait });
    1
}

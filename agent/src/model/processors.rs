//! Processors that processes may have: the time that cgroups' quotas took, processes that are
//! stopped, and threads that want to run.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::event::{CpuLimit, CpuState, Exchange};
use super::finding::CpuFacts;
use super::snapshot::{ExchangeView, Slice, SliceKind};
use super::threads;
use crate::text::Untrusted;

/// Length of a cgroup's history, ns, and its steps at most.
const SPAN_NS: u64 = 20_000_000_000;
const MAX_STEPS: usize = 1_024;
/// A shorter part of a wait is not reported apart, µs.
const LEAST_US: u64 = 1_000;
/// Age up to which a crowded run queue counts, ns.
const RECENT_NS: u64 = 5_000_000_000;
/// Readings of the run queue, and of stopped processes, that are kept.
const MAX_READINGS: usize = 64;

/// A cgroup with a quota, and how its times grew.
#[derive(Clone, Debug, Default)]
struct Group {
    limit: CpuLimit,
    /// Time of a reading, and the total time that the quota had kept threads off processors, ns.
    steps: VecDeque<(u64, u64)>,
    /// `nr_periods` and `nr_throttled` when it became known.
    before: (u64, u64),
}

impl Group {
    fn note(&mut self, ts_ns: u64, limit: &CpuLimit) {
        (self.limit.periods, self.limit.throttled) = (limit.periods, limit.throttled);
        self.limit.throttled_ns = limit.throttled_ns;
        // The state before another quota came is read late.
        if let Some(&(last_ns, _)) = self.steps.back()
            && ts_ns < last_ns
        {
            return;
        }
        // Between two readings with the same figure another one says nothing.
        let is_same = |at: usize| self.steps[at].1 == limit.throttled_ns;
        let count = self.steps.len();
        if count >= 2 && is_same(count - 1) && is_same(count - 2) {
            self.steps.pop_back();
        }
        self.steps.push_back((ts_ns, limit.throttled_ns));
        let is_old = |step: (u64, u64)| step.0.saturating_add(SPAN_NS) < ts_ns;
        while self.steps.len() > MAX_STEPS || self.steps.len() > 2 && is_old(self.steps[1]) {
            self.steps.pop_front();
        }
    }

    /// Time that the quota kept threads off processors in a stretch, ns, as far as readings show.
    fn grown_ns(&self, from_ns: u64, to_ns: u64) -> u64 {
        let Some(newest) = self.steps.len().checked_sub(1) else { return 0 };
        let after = self.steps.partition_point(|step| step.0 < to_ns).min(newest);
        let before = self.steps.partition_point(|step| step.0 <= from_ns).saturating_sub(1);
        self.steps[after].1.saturating_sub(self.steps[before].1)
    }
}

/// A quota, as a finding shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quota {
    pub(super) path: Untrusted,
    pub(super) quota_us: u64,
    pub(super) period_us: u64,
    /// Periods since it became known, and those in which the quota was used up.
    pub(super) periods: u64,
    pub(super) throttled: u64,
}

/// Quotas, stopped processes and the run queue.
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
    /// Takes a reading: of quotas alone, or at a refresh of everything.
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
            let mut group = match before.iter_mut().find(|group| group.limit.path == limit.path) {
                Some(known) => std::mem::take(known),
                None => Group { before: (limit.periods, limit.throttled), ..Group::default() },
            };
            group.limit = limit.clone();
            group.note(state.ts_ns, limit);
            self.groups.push(group);
            for &pid in &limit.pids {
                self.of_process.entry(pid).or_default().push(at);
            }
        }
        self.cpus = refresh.cpus;
        if let Some(runnable) = refresh.runnable {
            push(&mut self.runnable, (state.ts_ns, runnable));
        }
        if !refresh.stopped.is_empty() {
            push(&mut self.stopped, (state.ts_ns, refresh.stopped.clone()));
        }
    }

    /// Turns waits for a processor into waits for the quota, as far as the quota accounts for them.
    pub(super) fn attribute(&self, exchange: &Exchange, view: &mut ExchangeView) {
        if self.of_process.is_empty() {
            return;
        }
        let thread = threads::writer(exchange).or(threads::reader(exchange));
        let Some(pid) = thread.map(|thread| thread.pid) else { return };
        let mut at = 0;
        while at < view.slices.len() {
            let slice = view.slices[at];
            let end_ns = slice.start_ns + slice.us * 1_000;
            let throttled_ns = match slice.kind {
                SliceKind::RunQueue => {
                    self.throttled_ns(pid, run_queue_from_ns(&view.slices, at), end_ns)
                }
                // The thread that would have accepted is not known, but none of the cgroup could.
                SliceKind::AcceptQueue if !is_run_queue(view.slices.get(at + 1)) => {
                    self.throttled_ns(pid, slice.start_ns, end_ns)
                }
                _ => 0,
            };
            at += throttle(&mut view.slices, at, throttled_ns / 1_000) + 1;
        }
    }

    /// Longest time that a quota kept threads of a cgroup of the process off the processors, ns.
    fn throttled_ns(&self, pid: u32, from_ns: u64, to_ns: u64) -> u64 {
        let Some(places) = self.of_process.get(&pid) else { return 0 };
        let mut longest_ns = 0;
        for &place in places {
            if let Some(group) = self.groups.get(place) {
                longest_ns = longest_ns.max(group.grown_ns(from_ns, to_ns));
            }
        }
        longest_ns
    }

    /// Longest time that a quota kept threads of the process off the processors, ns; `None` if it
    /// has no quota.
    pub(super) fn taken_ns(&self, pid: u32, from_ns: u64, to_ns: u64) -> Option<u64> {
        if !self.of_process.contains_key(&pid) {
            return None;
        }
        Some(self.throttled_ns(pid, from_ns, to_ns))
    }

    /// Returns the quota that this process reached most often.
    fn quota(&self, pid: u32) -> Option<Quota> {
        let groups = self.of_process.get(&pid)?.iter().filter_map(|&at| self.groups.get(at));
        let throttled = |group: &Group| group.limit.throttled.saturating_sub(group.before.1);
        let group = groups.max_by_key(|group| throttled(group))?;
        Some(Quota {
            path: group.limit.path.clone(),
            quota_us: group.limit.quota_us,
            period_us: group.limit.period_us,
            periods: group.limit.periods.saturating_sub(group.before.0),
            throttled: throttled(group),
        })
    }

    /// Returns the facts that findings judge a process's processors by. Process 0 stands for none
    /// that had to wait.
    pub(super) fn facts(&self, now_ns: u64, pid: u32) -> CpuFacts {
        let since_ns = now_ns.saturating_sub(RECENT_NS);
        let (quota, crowd) =
            if pid == 0 { (None, None) } else { (self.quota(pid), self.crowd(since_ns)) };
        let mut stopped = Vec::new();
        for (ts_ns, pids) in &self.stopped {
            if ts_ns.saturating_add(2 * RECENT_NS) >= now_ns {
                stopped.extend(pids.iter().map(|&pid| (*ts_ns, pid)));
            }
        }
        CpuFacts { quota, crowd, stopped }
    }

    /// Whether the process may have had no processor lately: a quota took from it, or more threads
    /// wanted to run than there are processors.
    pub(super) fn are_short(&self, now_ns: u64, pid: u32) -> bool {
        let since_ns = now_ns.saturating_sub(RECENT_NS);
        let is_crowded = matches!(self.crowd(since_ns), Some((cpus, runnable)) if runnable > cpus);
        is_crowded || self.throttled_ns(pid, since_ns, now_ns) > 0
    }

    /// Processors of the machine, and the most threads that wanted one at a refresh since then,
    /// where that was read.
    fn crowd(&self, since_ns: u64) -> Option<(u32, u32)> {
        let cpus = self.cpus?;
        let mut most = None;
        for &(ts_ns, runnable) in &self.runnable {
            if ts_ns >= since_ns {
                most = most.max(Some(runnable));
            }
        }
        Some((cpus, most?))
    }
}

fn push<T>(readings: &mut VecDeque<T>, new: T) {
    readings.push_back(new);
    if readings.len() > MAX_READINGS {
        readings.pop_front();
    }
}

fn is_run_queue(slice: Option<&Slice>) -> bool {
    matches!(slice, Some(slice) if slice.kind == SliceKind::RunQueue)
}

/// Earliest time at which the wait for a processor in a slice may have begun. It is laid behind
/// what its thread did, and may have been anywhere in that.
fn run_queue_from_ns(slices: &[Slice], at: usize) -> u64 {
    if let Some(before) = at.checked_sub(1) {
        let before = &slices[before];
        if before.cpu_us.is_some() || before.kind == SliceKind::AcceptQueue {
            return before.start_ns;
        }
    }
    slices[at].start_ns
}

/// Turns a part of a wait for a processor into a wait for the quota. Returns the number of slices
/// that it added.
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

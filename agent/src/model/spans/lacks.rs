//! How long threads of a process were ready without a CPU, from one sample to the next.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{MAX_SAMPLES, MAX_THREADS, Spans};
use crate::model::event::Sample;

/// The longest time that any thread of a process was ready without a CPU between two samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lack {
    from_ns: u64,
    to_ns: u64,
    /// `None` if a thread ended meanwhile: what it lacked is lost with it.
    most_ns: Option<u64>,
}

impl Spans {
    /// Notes how long threads of each process lacked a CPU since the sample before.
    pub(super) fn note_lacks(&mut self, sample: &Sample) {
        let (from_ns, to_ns) =
            (std::mem::replace(&mut self.sampled_ns, sample.ts_ns), sample.ts_ns);
        if from_ns == 0 || sample.threads.len() > MAX_THREADS {
            return self.lacks.clear();
        }
        let threads: FxHashSet<u32> = sample.threads.iter().map(|thread| thread.tid).collect();
        let mut lost_threads: FxHashSet<u32> = FxHashSet::default();
        for (tid, samples) in &self.samples {
            if let Some(last) = samples.back()
                && !threads.contains(tid)
            {
                lost_threads.insert(last.pid);
            }
        }
        let mut most: FxHashMap<u32, u64> = FxHashMap::default();
        for thread in &sample.threads {
            let before_ns = match self.samples.get(&thread.tid).and_then(VecDeque::back) {
                Some(before) if before.pid == thread.pid => before.delay_ns,
                // It began in between.
                _ if thread.started_ns >= from_ns => 0,
                // It was not watched.
                _ => thread.run_delay_ns,
            };
            let delay_ns = thread.run_delay_ns.saturating_sub(before_ns);
            let most = most.entry(thread.pid).or_default();
            *most = delay_ns.max(*most);
        }
        self.lacks.retain(|pid, _| most.contains_key(pid));
        for (pid, most_ns) in most {
            let lacks = self.lacks.entry(pid).or_default();
            if lacks.len() == MAX_SAMPLES {
                lacks.pop_front();
            }
            let most_ns = if lost_threads.contains(&pid) { None } else { Some(most_ns) };
            lacks.push_back(Lack { from_ns, to_ns, most_ns });
        }
    }

    /// Returns the longest that any thread of a process can have been ready without a CPU in a
    /// stretch, ns; `None` if it is not known of all of it.
    pub(in crate::model) fn lacked(&self, pid: u32, from_ns: u64, to_ns: u64) -> Option<u64> {
        let (mut first_ns, mut last_ns, mut sum_ns) = (None, 0, 0_u64);
        for lack in self.lacks.get(&pid)? {
            if lack.to_ns <= from_ns || lack.from_ns >= to_ns {
                continue;
            }
            first_ns.get_or_insert(lack.from_ns);
            last_ns = lack.to_ns;
            sum_ns = sum_ns.saturating_add(lack.most_ns?);
        }
        let is_whole = first_ns? <= from_ns && last_ns >= to_ns;
        if is_whole { Some(sum_ns) } else { None }
    }
}

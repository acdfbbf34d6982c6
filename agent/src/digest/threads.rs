//! Threads of the watched processes over the whole run.

use std::collections::BTreeMap;

use crate::{model::snapshot::ThreadView, text::Untrusted};

/// Threads whose shares are kept; further ones are counted.
const MAX: usize = 1_024;

/// A mean over samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    sum: f64,
    samples: u32,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.samples += 1;
        }
    }

    fn get(self) -> Option<f64> {
        (self.samples > 0).then(|| self.sum / f64::from(self.samples))
    }
}

/// A thread's shares of time, as means over the samples that had them.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadStory {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Command name at the last sample: escape before printing.
    pub comm: Untrusted,
    busy: Mean,
    waits: Mean,
    asleep: Mean,
}

impl ThreadStory {
    /// Share of the time on a CPU; `None` where not observed.
    pub fn busy(&self) -> Option<f64> {
        self.busy.get()
    }

    /// Share of the time runnable without a CPU; `None` where not observed.
    pub fn waits(&self) -> Option<f64> {
        self.waits.get()
    }

    /// Share of the time asleep; `None` where not observed.
    pub fn asleep(&self) -> Option<f64> {
        self.asleep.get()
    }
}

/// The threads of a run.
#[derive(Clone, Debug, Default)]
pub struct Threads {
    stories: BTreeMap<u32, ThreadStory>,
    leaves_out: bool,
}

impl Threads {
    pub(super) fn sampled(&mut self, views: &[ThreadView]) {
        for view in views {
            if self.stories.len() == MAX && !self.stories.contains_key(&view.tid) {
                self.leaves_out = true;
                continue;
            }
            let story = self.stories.entry(view.tid).or_insert_with(|| ThreadStory {
                pid: view.pid,
                tid: view.tid,
                comm: view.comm.clone(),
                busy: Mean::default(),
                waits: Mean::default(),
                asleep: Mean::default(),
            });
            story.comm.clone_from(&view.comm);
            story.busy.add(view.busy);
            story.waits.add(view.waits);
            story.asleep.add(view.asleep);
        }
    }

    /// Returns the threads by id.
    pub fn stories(&self) -> &BTreeMap<u32, ThreadStory> {
        &self.stories
    }

    /// True if there were more threads than are kept.
    pub fn leaves_out(&self) -> bool {
        self.leaves_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(tid: u32, busy: Option<f64>) -> ThreadView {
        ThreadView {
            pid: 1,
            tid,
            comm: "worker".into(),
            accepts: 0.0,
            reads: 0.0,
            writes: 0.0,
            busy,
            waits: None,
            asleep: None,
            connections: 0,
        }
    }

    #[test]
    fn what_was_not_observed_is_in_no_mean() {
        let mut threads = Threads::default();
        for busy in [None, Some(0.2), Some(0.4)] {
            threads.sampled(&[view(7, busy)]);
        }
        let story = &threads.stories()[&7];
        assert!((story.busy().expect("observed twice") - 0.3).abs() < 1e-9);
        assert_eq!(story.waits(), None);
    }

    #[test]
    fn threads_are_bounded() {
        let mut threads = Threads::default();
        for tid in 0..2 * MAX as u32 {
            threads.sampled(&[view(tid, Some(0.5))]);
        }
        assert_eq!(threads.stories().len(), MAX);
        assert!(threads.leaves_out());
    }
}

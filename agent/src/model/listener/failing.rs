//! Failures of `accept`.

use super::Listener;
use crate::model::event::{ListenerSample, Used};

/// Failures of `accept`, by the error that came most often lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct Failing {
    pub(in crate::model) errno: u32,
    /// Start of these failures, and the number of earlier ones.
    pub(in crate::model) since_ns: u64,
    before: u64,
    /// Number of failures since the listener is watched.
    pub(in crate::model) total: u64,
    /// The process that called last, its thread, and what it used up.
    pub(in crate::model) pid: u32,
    pub(in crate::model) tid: u32,
    pub(in crate::model) used: Option<Used>,
    last_ns: u64,
}

impl Failing {
    /// Number of failures since it began.
    pub(in crate::model) fn times(&self) -> u64 {
        self.total - self.before
    }
}

/// A failure after so long without one is a new beginning, ns.
const FAILS_ANEW_NS: u64 = 10_000_000_000;

impl Listener {
    /// Failures of `accept`; `None` while it does not fail.
    pub(in crate::model) fn failing(&self) -> Option<&Failing> {
        let failing = self.failing.as_ref()?;
        if self.recent.figures().fails > 0 { Some(failing) } else { None }
    }

    /// Finds the error that came most often since the sample before.
    pub(super) fn note_failures(&mut self, start_ns: u64, now_ns: u64, sample: &ListenerSample) {
        let before = |errno: u32| {
            let known = self.sample.as_ref()?.fails.as_ref()?;
            Some(known.iter().find(|fails| fails.errno == errno)?.count)
        };
        let (mut most, mut most_grown) = (None, 0);
        for fails in sample.fails.iter().flatten() {
            let before = before(fails.errno).unwrap_or(0);
            let grown = fails.count.saturating_sub(before);
            if grown > 0 && grown >= most_grown {
                (most, most_grown) = (Some((fails, before)), grown);
            }
        }
        let Some((fails, before)) = most else { return };
        let (since_ns, before) = match self.failing {
            Some(failing)
                if failing.errno == fails.errno
                    && now_ns.saturating_sub(failing.last_ns) < FAILS_ANEW_NS =>
            {
                (failing.since_ns, failing.before)
            }
            _ => (fails.first_ns.max(start_ns), before),
        };
        self.failing = Some(Failing {
            errno: fails.errno,
            since_ns,
            before,
            total: fails.count,
            pid: fails.pid,
            tid: fails.tid,
            used: fails.used,
            last_ns: now_ns,
        });
    }
}

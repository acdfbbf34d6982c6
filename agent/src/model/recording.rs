//! What becomes of the recording of a run, for whoever is shown it.
//!
//! It is no event: a recording does not tell of itself.

use super::output::Summary;
use crate::text::Untrusted;

/// A recording that goes on, or ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Where it goes.
    pub into: Untrusted,
    /// Why nothing more is written; `None` while it goes on.
    pub stopped: Option<RecordingStop>,
}

/// The early end of a recording. What was written before can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingStop {
    /// Its time, ns of `CLOCK_MONOTONIC`.
    pub ts_ns: u64,
    /// End of what the recording holds, likewise; `None` where that is not known.
    pub reaches_ns: Option<u64>,
    /// The reason, as the system gave it.
    pub reason: Untrusted,
}

impl RecordingStop {
    /// Returns how much of a run the recording holds, from the attach, µs.
    pub fn reaches_us(&self, summary: &Summary) -> Option<u64> {
        let attached_ns = summary.ts_ns.saturating_sub(summary.duration_us.saturating_mul(1_000));
        Some(self.reaches_ns?.saturating_sub(attached_ns) / 1_000)
    }
}

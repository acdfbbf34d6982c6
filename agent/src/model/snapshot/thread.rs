//! Threads as every front-end renders them.

use crate::text::Untrusted;

/// One thread of a watched process.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadView {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Command name: escape before printing.
    pub comm: Untrusted,
    /// Accepts a second, over the last [`RATE_SECONDS`](super::RATE_SECONDS), as all that follows.
    pub accepts: f64,
    /// Reads a second.
    pub reads: f64,
    /// Writes a second.
    pub writes: f64,
    /// Share of the time on a CPU; `None` before the second sample.
    pub busy: Option<f64>,
    /// Share runnable without a CPU.
    pub waits: Option<f64>,
    /// Share asleep.
    pub asleep: Option<f64>,
    /// Open connections that it read from or wrote to last.
    pub connections: u32,
}

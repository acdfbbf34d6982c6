//! The body of `pattern`.

use serde::Serialize;

use super::parts::{WaitBody, gaps};
use crate::model::snapshot::{Io, PatternThread, PatternView, Units};
use crate::text::Untrusted;

/// Way in which a family of processes shares its connections: when that is known, when it changes,
/// and at the end.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PatternBody<'a> {
    /// Root of the family: the process that holds the listener and whose parent does not.
    pid: u32,
    /// Name of that process.
    comm: &'a Untrusted,
    /// Name of the pattern.
    #[cfg_attr(test, schemars(with = "crate::model::snapshot::PatternName"))]
    name: &'static str,
    /// Units that share the work; `null` if the name is unknown.
    #[cfg_attr(test, schemars(with = "Option<Units>"))]
    units: Option<&'static str>,
    /// Way in which they wait for their connections; `null` if nothing was seen waiting.
    #[cfg_attr(test, schemars(with = "Option<Io>"))]
    io: Option<&'static str>,
    /// Confidence in the name, 0 to 0.99; 0 if it is unknown.
    confidence: f64,
    /// Sentences on what was seen.
    evidence: &'a [String],
    /// Time from accept, or the first byte if that is later, to the first read by another thread;
    /// right to a tenth.
    handoff_us: WaitBody,
    /// Threads that take part, 64 at most. Of threads and processes that begin for a connection,
    /// those that are there.
    threads: Vec<ThreadBody<'a>>,
    /// Threads that read far more than their part.
    uneven: &'a [u32],
    /// Reasons for what is `null`; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ThreadBody<'a> {
    /// Its process.
    pid: u32,
    /// The thread.
    tid: u32,
    /// Its name.
    comm: &'a Untrusted,
    /// Connections that it accepted.
    accepts: u64,
    /// Reads that moved bytes.
    reads: u64,
    /// Writes that moved bytes.
    writes: u64,
    /// Connections that it serves.
    connections: u64,
}

impl<'a> From<&'a PatternThread> for ThreadBody<'a> {
    fn from(thread: &'a PatternThread) -> Self {
        let PatternThread { pid, tid, ref comm, accepts, reads, writes, connections } = *thread;
        Self { pid, tid, comm, accepts, reads, writes, connections }
    }
}

impl<'a> From<&'a PatternView> for PatternBody<'a> {
    fn from(view: &'a PatternView) -> Self {
        Self {
            pid: view.pid,
            comm: &view.comm,
            name: view.name.name(),
            units: view.units.map(Units::name),
            io: view.io.map(Io::name),
            confidence: (view.confidence * 100.0).round() / 100.0,
            evidence: &view.evidence,
            handoff_us: view.handoff.into(),
            threads: view.threads.iter().map(ThreadBody::from).collect(),
            uneven: &view.uneven,
            gaps: gaps([
                (view.units.is_none(), "units: the pattern is unknown"),
                (view.io.is_none(), "io: nothing was seen waiting"),
                (
                    view.handoff.count == 0,
                    "handoff_us: no connection was seen handed to another thread",
                ),
            ]),
        }
    }
}

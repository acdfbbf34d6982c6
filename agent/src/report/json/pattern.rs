//! The body of a `pattern` object.

use serde::Serialize;

use super::body::{WaitBody, gaps};
use crate::model::snapshot::{Io, PatternThread, PatternView, Units};

#[derive(Serialize)]
pub(super) struct PatternBody<'a> {
    pid: u32,
    comm: &'a str,
    name: &'static str,
    units: Option<&'static str>,
    io: Option<&'static str>,
    confidence: f64,
    evidence: &'a [String],
    handoff_us: WaitBody,
    threads: Vec<ThreadBody<'a>>,
    uneven: &'a [u32],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

#[derive(Serialize)]
struct ThreadBody<'a> {
    pid: u32,
    tid: u32,
    comm: &'a str,
    accepts: u64,
    reads: u64,
    writes: u64,
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

//! A thread, in the files that a key of the screen writes. The event stream has no such object.

use serde::Serialize;

use crate::model::snapshot::ThreadView;
use crate::text::Untrusted;

/// One thread of a watched process over the last period.
#[derive(Serialize)]
pub(super) struct ThreadBody<'a> {
    pid: u32,
    tid: u32,
    comm: &'a Untrusted,
    accepts_per_s: f64,
    reads_per_s: f64,
    writes_per_s: f64,
    /// Shares of the period; `null` before the second sample.
    on_cpu: Option<f64>,
    waiting_for_cpu: Option<f64>,
    asleep: Option<f64>,
    open_connections: u32,
}

impl<'a> From<&'a ThreadView> for ThreadBody<'a> {
    fn from(thread: &'a ThreadView) -> Self {
        Self {
            pid: thread.pid,
            tid: thread.tid,
            comm: &thread.comm,
            accepts_per_s: thread.accepts,
            reads_per_s: thread.reads,
            writes_per_s: thread.writes,
            on_cpu: thread.busy,
            waiting_for_cpu: thread.waits,
            asleep: thread.asleep,
            open_connections: thread.connections,
        }
    }
}

//! Names of slices and threads, as columns have room for them.

use unicode_width::UnicodeWidthStr;

use crate::model::event::Outcome;
use crate::model::snapshot::{CallFault, ConnectionView, Holder, SliceKind, Snapshot};
use crate::model::timeline;
use crate::model::workload::Workloads;
use crate::text::{Untrusted, named};
use crate::tui::text::escape;

/// Returns the name of a kind of slice, in twelve characters at most.
pub(super) fn name(kind: SliceKind) -> &'static str {
    match kind {
        SliceKind::Handshake => "handshake",
        SliceKind::AcceptQueue => "accept queue",
        SliceKind::ReceiveQueue => "recv queue",
        SliceKind::RunQueue => "run queue",
        SliceKind::Request => "request",
        SliceKind::App => "app",
        SliceKind::SendBuffer => "send buffer",
        SliceKind::Nagle => "Nagle",
        SliceKind::Cork => "cork",
        SliceKind::Congestion => "congestion",
        SliceKind::ReceiveWindow => "recv window",
        SliceKind::Pacing => "pacing",
        SliceKind::AckWait => "ACK wait",
        SliceKind::DelayedAck => "delayed ACK",
        SliceKind::Retransmit => "retransmit",
        SliceKind::Response => "response",
        SliceKind::Connect | SliceKind::ConnectRefused => "connect",
        SliceKind::Ignored => "ignored",
        SliceKind::Throttled => "throttled",
        SliceKind::Streaming => "streaming",
        SliceKind::Unknown => "unknown",
    }
}

/// Returns the name of what somebody held, in twelve characters at most.
pub(super) fn held(holder: Holder, kind: SliceKind) -> &'static str {
    if holder == Holder::Upstream { "upstream" } else { name(kind) }
}

/// Returns what an upstream did, behind its name.
pub(super) fn fault(fault: CallFault) -> &'static str {
    match fault {
        CallFault::Connect(Outcome::Unreachable) => "is unreachable",
        CallFault::Connect(Outcome::GivenUp) => "did not answer the SYN until given up",
        CallFault::Connect(Outcome::Failed) => "failed to connect",
        fault => fault.words(),
    }
}

/// Returns a thread's name and id: "worker-1 4243"; "thread 4243" where the name is not known.
pub(super) fn thread(snapshot: &Snapshot, connection: &ConnectionView, tid: u32) -> String {
    match timeline::comm(snapshot, connection, tid) {
        Some(comm) => format!("{} {tid}", escape(comm)),
        None => format!("thread {tid}"),
    }
}

/// Returns a process's name and id, with its container or unit if that fits into the width: "nginx
/// 4242 · web".
pub(super) fn process(workloads: &Workloads, comm: &Untrusted, pid: u32, width: usize) -> String {
    let process = escape(&named(comm, pid));
    let Some(label) = workloads.label(pid) else { return process };
    let with_place = format!("{process} · {}", escape(&label));
    if with_place.width() <= width { with_place } else { process }
}

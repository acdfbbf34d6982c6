//! Words of the page for kinds of time, and for figures by their names.

use crate::{
    model::snapshot::{Holder, SliceKind},
    text::{bytes, count, duration_us, percent},
};

/// Returns the name of a kind of slice.
pub(super) fn kind(kind: SliceKind) -> &'static str {
    match kind {
        SliceKind::Handshake => "handshake",
        SliceKind::AcceptQueue => "accept queue",
        SliceKind::ReceiveQueue => "receive queue",
        SliceKind::RunQueue => "run queue",
        SliceKind::Request => "request",
        SliceKind::App => "application",
        SliceKind::SendBuffer => "send buffer",
        SliceKind::Nagle => "Nagle",
        SliceKind::Cork => "cork",
        SliceKind::Congestion => "congestion",
        SliceKind::ReceiveWindow => "receive window",
        SliceKind::Pacing => "pacing",
        SliceKind::AckWait => "ACK wait",
        SliceKind::DelayedAck => "delayed ACK",
        SliceKind::Retransmit => "retransmission",
        SliceKind::Response => "response",
        SliceKind::Connect => "connect",
        SliceKind::ConnectRefused => "connect refused",
        SliceKind::Ignored => "ignored",
        SliceKind::Throttled => "throttled",
        SliceKind::Streaming => "streaming",
        SliceKind::Unknown => "unknown",
    }
}

/// Returns the meaning of a kind of slice.
pub(super) fn meaning(kind: SliceKind) -> &'static str {
    match kind {
        SliceKind::Handshake => "SYN-ACK sent, waiting for the peer's final ACK",
        SliceKind::AcceptQueue => "queued, waiting for accept()",
        SliceKind::ReceiveQueue => "bytes had arrived, and nobody read them",
        SliceKind::RunQueue => "the thread could run, and got no CPU",
        SliceKind::Request => "waiting for the rest of the request",
        SliceKind::App => "the application had the request, and had not answered",
        SliceKind::SendBuffer => "a write waited for room: the peer's window was shut",
        SliceKind::Nagle => "bytes held by Nagle's algorithm",
        SliceKind::Cork => "bytes held by TCP_CORK or MSG_MORE",
        SliceKind::Congestion => "bytes held by congestion control",
        SliceKind::ReceiveWindow => "bytes held by the peer's receive window",
        SliceKind::Pacing => "bytes held by pacing",
        SliceKind::AckWait => "sent, waiting for the acknowledgement",
        SliceKind::DelayedAck => "the peer's delayed ACK added this",
        SliceKind::Retransmit => "waiting for a retransmission to succeed",
        SliceKind::Response => "the request is out, waiting for the peer's answer",
        SliceKind::Connect => "SYN sent, waiting for an answer",
        SliceKind::ConnectRefused => "the peer refused the connection",
        SliceKind::Ignored => "the accept queue was full: the kernel ignored the peer's packets",
        SliceKind::Throttled => "the thread could run, and its cgroup's quota was used up",
        SliceKind::Streaming => "between the pieces of a streamed response",
        SliceKind::Unknown => "nobody can vouch for this time",
    }
}

/// Returns the holder in a sentence: "the application".
pub(super) fn owner(holder: impl Into<Holder>) -> &'static str {
    match holder.into() {
        Holder::App => "the application",
        Holder::Upstream => "upstreams that the application waited for",
        Holder::Kernel => "the kernel",
        Holder::Network => "the network",
        Holder::Peer => "the peer",
        Holder::Unknown => "nobody that can be proved",
    }
}

/// Returns the name of a figure of evidence, in words.
pub(super) fn figure_name(name: &str) -> String {
    let name = name.strip_suffix("_us").or_else(|| name.strip_suffix("_bytes")).unwrap_or(name);
    name.replace('_', " ")
}

/// Returns a figure of evidence with the unit that its name says.
pub(super) fn figure(name: &str, value: f64) -> String {
    let whole = value.max(0.0).round() as u64;
    if name.ends_with("_us") {
        duration_us(whole)
    } else if name.ends_with("_bytes") {
        bytes(whole)
    } else if name.contains("share") {
        percent(value)
    } else if value.fract() == 0.0 {
        count(whole)
    } else {
        format!("{value:.2}")
    }
}

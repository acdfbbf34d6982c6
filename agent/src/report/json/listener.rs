//! The body of `listener`, of one of TCP.

use std::net::SocketAddr;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::parts::{HOLDERS_GAP, WaitBody, gaps, holders_total};
use crate::model::event::{LeftQueue, OtherListener};
use crate::model::snapshot::{ListenerView, Totals};
use crate::text::Untrusted;

/// Listener of TCP. Peaks run since the last object, counts since the attach.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ListenerBody<'a> {
    /// Id of the listener.
    sock: String,
    /// Address family; `"unix"` of a Unix-domain socket.
    #[cfg_attr(test, schemars(extend("enum" = ["ipv4", "ipv6"])))]
    family: &'static str,
    /// Address on which it listens.
    local: String,
    /// Process that holds it.
    pid: u32,
    /// Name of that process.
    comm: &'a Untrusted,
    /// Processes that have it open, 64 at most.
    holders: &'a [u32],
    /// Number of processes that have it open, if they are more than `holders` names; absent
    /// otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    holders_total: Option<u64>,
    /// `true` if it has stopped listening.
    closed: bool,
    /// Backlog that `listen` asked for; `null` if that was before the attach, or while
    /// thousands of connections a second came.
    backlog: Option<u32>,
    /// Limit of the accept queue that is in force.
    limit: u32,
    /// TCP_DEFER_ACCEPT in seconds, 0 without; `null` in recordings of version 2.
    defer_accept_s: Option<u64>,
    /// Connections in the accept queue.
    accept_depth: u32,
    /// Most of them since the last object.
    accept_peak: u32,
    /// Handshakes that are not finished.
    syn_depth: u32,
    /// Most of them since the last object.
    syn_peak: u32,
    /// Refusals since the accept queue was full.
    overflows: Overflows,
    /// SYNs that were dropped since the SYN queue was full; `null` where no hook tells.
    syn_dropped: Option<u64>,
    /// SYN cookies that were sent; `null` where no hook tells.
    cookies_sent: Option<u64>,
    /// SYN-ACKs that were sent again.
    synack_retransmits: u64,
    /// Connections that entered the accept queue.
    queued: u64,
    /// Connections that were accepted.
    accepted: u64,
    /// Connections that left the queue and that nobody accepted.
    abandoned: u64,
    /// Causes for which connections left the queue; `null` where no hook tells.
    left_queue: Option<LeftBody>,
    /// Calls of `accept` that returned an error; not EAGAIN, EINTR, or an end of the listener.
    /// `null` where no hook tells.
    accept_fails: Option<u64>,
    /// Number of these calls by the error that they returned; absent if there are none.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, u64>"))]
    accept_errors: Map<String, Value>,
    /// Sockets at the same address, or a nearer one, that nobody watched holds (a member of a
    /// SO_REUSEPORT group, an old process after a reload), looked for every 5 s, 64 at most; absent
    /// if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<OtherBody<'a>>,
    /// Time that connections spent in the accept queue.
    accept_wait_us: WaitBody,
    /// Reasons for what is `null`; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

impl<'a> From<&'a ListenerView> for ListenerBody<'a> {
    fn from(view: &'a ListenerView) -> Self {
        let totals = &view.totals;
        let mut accept_errors = Map::new();
        for (name, count) in &view.accept_errors {
            accept_errors.insert(name.clone(), json!(count));
        }
        Self {
            sock: view.sock.to_string(),
            family: family(view.local),
            local: view.local.to_string(),
            pid: view.pid,
            comm: &view.comm,
            holders: &view.holders,
            holders_total: holders_total(&view.holders, view.unnamed_holders),
            closed: view.closed,
            backlog: view.backlog,
            limit: view.limit,
            defer_accept_s: view.defer_accept_s,
            accept_depth: view.depth,
            accept_peak: view.peak,
            syn_depth: view.syn_depth,
            syn_peak: view.syn_peak,
            overflows: totals.into(),
            syn_dropped: totals.syn_dropped,
            cookies_sent: totals.cookies_sent,
            synack_retransmits: totals.synack_retransmits,
            queued: totals.queued,
            accepted: totals.accepted,
            abandoned: totals.abandoned,
            left_queue: totals.left.map(LeftBody::from),
            accept_fails: totals.accept_fails,
            accept_errors,
            others: view.others.iter().map(OtherBody::from).collect(),
            accept_wait_us: view.wait.into(),
            gaps: gaps([
                (view.backlog.is_none(), "backlog: listen() ran before the attach"),
                (view.defer_accept_s.is_none(), "defer_accept_s: not in recordings of version 2"),
                (totals.overflow_ack.is_none(), ACK_GAP),
                (
                    totals.syn_dropped.is_none(),
                    "syn_dropped: no hook on this kernel tells these drops apart",
                ),
                (
                    totals.cookies_sent.is_none(),
                    "cookies_sent: no hook on this kernel sees syncookies",
                ),
                (
                    totals.left.is_none(),
                    "left_queue: no hook on this kernel sees who enters the queue",
                ),
                (
                    totals.accept_fails.is_none(),
                    "accept_fails: no hook on this kernel sees every call that fails",
                ),
                (view.calls_missed && totals.accept_fails.is_some(), MISSED_GAP),
                (view.unnamed_holders > 0, HOLDERS_GAP),
                (view.wait.count == 0, "accept_wait_us: no accept with a known wait yet"),
            ]),
        }
    }
}

const ACK_GAP: &str = "overflows.ack: this kernel does not tell ignored final ACKs from dropped \
     SYNs; both are in overflows.syn";

const MISSED_GAP: &str = "accept_errors and left_queue.peer_closed: what failed or left while \
     thousands of connections a second came may be missing";

/// Address family of a listener.
fn family(local: SocketAddr) -> &'static str {
    if local.is_ipv4() { "ipv4" } else { "ipv6" }
}

/// Refusals since the accept queue was full.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Overflows {
    /// SYNs that were dropped since the accept queue was full.
    syn: u64,
    /// Final ACKs that were ignored for the same reason; `null` where the kernel does not tell them
    /// from dropped SYNs.
    ack: Option<u64>,
}

impl From<&Totals> for Overflows {
    fn from(totals: &Totals) -> Self {
        Self { syn: totals.overflow_syn, ack: totals.overflow_ack }
    }
}

/// Connections that left the accept queue and that nobody accepted.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "LeftQueue"))]
pub(super) struct LeftBody {
    /// Connections whose peer sent a FIN while they waited.
    peer_closed: u64,
    /// Connections whose peer sent a RST while they waited.
    peer_reset: u64,
    /// Those of both that had waited for 50 ms or longer: a client that gave up, and no health
    /// check.
    late: u64,
    /// Sum of the waits of those.
    late_us: u64,
    /// Connections that the kernel reset since the listener closed.
    reset_by_close: u64,
}

impl From<LeftQueue> for LeftBody {
    fn from(left: LeftQueue) -> Self {
        let LeftQueue { closed, reset, late, late_us, cut } = left;
        Self { peer_closed: closed, peer_reset: reset, late, late_us, reset_by_close: cut }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OtherBody<'a> {
    /// Process that holds it.
    pid: u32,
    /// Name of that process.
    comm: &'a Untrusted,
    /// Address on which it listens.
    local: String,
    /// Connections in its accept queue.
    accept_depth: u32,
    /// Limit of its accept queue.
    limit: u32,
}

impl<'a> From<&'a OtherListener> for OtherBody<'a> {
    fn from(other: &'a OtherListener) -> Self {
        let OtherListener { pid, ref comm, local, depth, limit } = *other;
        Self { pid, comm, local: local.to_string(), accept_depth: depth, limit }
    }
}

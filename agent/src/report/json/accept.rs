//! The body of `accept`.

use serde::Serialize;

use super::parts::gaps;
use crate::model::event::Accept;
use crate::text::Untrusted;

/// A connection was handed to the application.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AcceptBody<'a> {
    /// Id of the connection.
    sock: String,
    /// Id of the listener.
    listener: String,
    /// Address of this host; an IPv4-mapped one as IPv4.
    local: String,
    /// Address of the client, likewise.
    peer: String,
    /// Process that accepted it.
    pid: u32,
    /// Thread that accepted it.
    tid: u32,
    /// Name of that process.
    comm: &'a Untrusted,
    /// Descriptor that it got; `null` of a direct one of io_uring.
    fd: Option<i32>,
    /// Time from SYN-ACK to final ACK: one round trip to the peer.
    handshake_us: Option<u64>,
    /// Time in the accept queue, to the return of `accept`.
    queued_us: Option<u64>,
    /// Time for which the thread had waited in `accept` before the connection came; 0 if the
    /// connection was there first.
    blocked_us: Option<u64>,
    /// Connections that still wait behind it.
    depth: u32,
    /// `"lsndtime"`: `queued_us` is an estimate; `"first_read_or_write"`: it is told late. Else
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = ["lsndtime", "first_read_or_write"])))]
    observed_by: Option<&'static str>,
    /// Reasons for what is `null`; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

impl<'a> From<&'a Accept> for AcceptBody<'a> {
    fn from(accept: &'a Accept) -> Self {
        Self {
            sock: accept.sock.to_string(),
            listener: accept.listener.to_string(),
            local: accept.local.to_string(),
            peer: accept.peer.to_string(),
            pid: accept.pid,
            tid: accept.tid,
            comm: &accept.comm,
            fd: accept.fd,
            handshake_us: accept.handshake_us,
            queued_us: accept.queued_us(),
            blocked_us: accept.blocked_us(),
            depth: accept.depth,
            observed_by: match (accept.queued_estimated, accept.late) {
                (true, _) => Some("lsndtime"),
                (_, true) => Some("first_read_or_write"),
                _ => None,
            },
            gaps: gaps([
                (
                    accept.fd.is_none(),
                    "fd: a direct descriptor of io_uring, or the hooks of accept rested",
                ),
                (
                    accept.handshake_us.is_none(),
                    "handshake_us: the kernel took no sample of it alone (syncookie, SYN-ACK sent \
                     again, TCP_DEFER_ACCEPT)",
                ),
                (
                    accept.late,
                    "queued_us: the kernel skipped the probe at the return; ts_ns is that of the \
                     first read or write",
                ),
                (
                    accept.queued_ns.is_none() && !accept.late,
                    "queued_us: it was queued before the attach, or its stamp found no room",
                ),
                (
                    accept.queued_ns.is_some() && accept.entered_ns.is_none(),
                    "blocked_us: the call began before the attach, while the hooks rested, or its \
                     stamp found no room",
                ),
                (
                    accept.queued_ns.is_none() && accept.entered_ns.is_some(),
                    "blocked_us: not known without the moment of queueing",
                ),
                (
                    accept.queued_ns.is_none() && accept.entered_ns.is_none(),
                    "blocked_us: the call's beginning was not seen",
                ),
            ]),
        }
    }
}

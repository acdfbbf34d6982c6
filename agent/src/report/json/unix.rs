//! The body of `listener`, of a Unix-domain socket.

use serde::Serialize;

use super::parts::{HOLDERS_GAP, WaitBody, gaps, holders_total};
use crate::model::event::UnixListener;
use crate::model::snapshot::WaitView;
use crate::text::Untrusted;

/// A listener that is a Unix-domain socket has the fields of any other; most are of TCP and `null`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct UnixBody<'a> {
    /// Id of the listener.
    sock: String,
    /// Address family.
    #[cfg_attr(test, schemars(extend("enum" = ["unix"])))]
    family: &'static str,
    /// Name of the socket: `unix:PATH`.
    local: Untrusted,
    /// Path of a Unix-domain socket, absent of others. A name in the abstract namespace begins with
    /// `@`.
    path: &'a Untrusted,
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
    /// Always `null`.
    backlog: Option<u32>,
    /// Limit of the accept queue that is in force.
    limit: u32,
    /// Always `null`.
    defer_accept_s: Option<u64>,
    /// Connections in the accept queue.
    accept_depth: u32,
    /// Always `null`.
    accept_peak: Option<u32>,
    /// Of a Unix-domain socket, calls of `connect` that did not wait and found the queue full;
    /// `null` where no hook counts them. Absent of others.
    refused: Option<u64>,
    /// Always `null`.
    syn_depth: Option<u32>,
    /// Refusals, always `null`.
    overflows: UnixOverflows,
    /// Always `null`.
    cookies_sent: Option<u64>,
    /// Always `null`.
    accepted: Option<u64>,
    /// Time in the accept queue, always `null`.
    accept_wait_us: WaitBody,
    /// Reasons for what is `null`.
    gaps: Vec<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct UnixOverflows {
    syn: Option<u64>,
    ack: Option<u64>,
}

impl<'a> From<&'a UnixListener> for UnixBody<'a> {
    fn from(view: &'a UnixListener) -> Self {
        Self {
            sock: view.sock.to_string(),
            family: "unix",
            local: compose!("unix:{}", view.path),
            path: &view.path,
            pid: view.pid,
            comm: &view.comm,
            holders: &view.holders,
            holders_total: holders_total(&view.holders, view.unnamed_holders),
            closed: false,
            backlog: None,
            limit: view.limit,
            defer_accept_s: None,
            accept_depth: view.depth,
            accept_peak: None,
            refused: view.refused,
            syn_depth: None,
            overflows: UnixOverflows { syn: None, ack: None },
            cookies_sent: None,
            accepted: None,
            accept_wait_us: WaitView::default().into(),
            gaps: gaps([
                (true, UNIX_GAP),
                (view.unnamed_holders > 0, HOLDERS_GAP),
                (
                    view.refused.is_none(),
                    "refused: no hook counts who finds the queue of this socket full",
                ),
            ]),
        }
    }
}

const UNIX_GAP: &str = "backlog, defer_accept_s, accept_peak, syn_depth, overflows, cookies_sent, \
     accepted, accept_wait_us: of a Unix-domain socket the queue is looked at, and no hook watches \
     its connections";

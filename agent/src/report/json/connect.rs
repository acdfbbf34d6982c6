//! The body of `connect`.

use serde::Serialize;

use super::parts::gaps;
use crate::model::event::{Connect, Outcome};
use crate::model::snapshot::error_name;
use crate::text::Untrusted;

/// A connect of a watched process that failed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ConnectBody<'a> {
    /// Id of the socket.
    sock: String,
    /// Address that was asked for a connection.
    peer: String,
    /// Process that asked.
    pid: u32,
    /// Thread that asked; `null` if none was seen asking.
    tid: Option<u32>,
    /// Name of the process.
    comm: &'a Untrusted,
    /// Outcome.
    #[cfg_attr(test, schemars(with = "Outcome"))]
    outcome: &'static str,
    /// Name of the error that `connect` returned, such as `"ECONNREFUSED"`; `null` if there was
    /// none, or where it was not observed.
    error: Option<String>,
    /// `true` where the kernel did not show it, else absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    inferred: bool,
    /// Moment at which the connection was asked for.
    start_ns: u64,
    /// Time until it failed.
    us: u64,
    /// SYNs that were sent.
    syns: u32,
    /// Of `"no_port"`, the range of local ports in the network namespace (`ip_local_port_range`);
    /// absent of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    ports: Option<[u16; 2]>,
    /// Of `"no_port"`, sockets in TIME_WAIT in that namespace; absent of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_wait: Option<u64>,
    /// Reasons for what is `null`.
    gaps: Vec<&'static str>,
}

impl<'a> From<&'a Connect> for ConnectBody<'a> {
    fn from(connect: &'a Connect) -> Self {
        Self {
            sock: connect.sock.to_string(),
            peer: connect.peer.to_string(),
            pid: connect.pid,
            tid: connect.tid,
            comm: &connect.comm,
            outcome: connect.outcome.name(),
            error: connect.error.map(error),
            inferred: connect.inferred,
            start_ns: connect.asked_ns,
            us: connect.ts_ns.saturating_sub(connect.asked_ns) / 1_000,
            syns: connect.syns,
            ports: connect.ports.map(|(low, high)| [low, high]),
            time_wait: connect.time_wait,
            gaps: gaps([
                (
                    connect.error.is_none() && connect.outcome == Outcome::GivenUp,
                    "error: the application closed the socket before the kernel gave up",
                ),
                (
                    connect.error.is_none() && connect.outcome != Outcome::GivenUp,
                    "error: no hook on this kernel shows what connect returned",
                ),
                (connect.tid.is_none(), "tid: no thread was seen asking"),
            ]),
        }
    }
}

/// The name of an error number, or the number.
pub(super) fn error(error: u32) -> String {
    match error_name(error) {
        Some(name) => name.to_owned(),
        None => error.to_string(),
    }
}

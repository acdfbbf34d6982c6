//! The body of a `connect` object, and connects in other objects.

use serde::Serialize;

use super::body::gaps;
use crate::model::event::{Connect, Outcome};
use crate::model::snapshot::{ConnectFailure, ConnectTotals, ResetTotals, error_name};

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
    comm: &'a str,
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
fn error(error: u32) -> String {
    match error_name(error) {
        Some(name) => name.to_owned(),
        None => error.to_string(),
    }
}

/// A failed connect that an exchange waited for.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct FailureBody {
    /// Id of the socket.
    sock: String,
    /// Address that was asked for a connection.
    peer: String,
    /// Outcome, as of `connect`.
    #[cfg_attr(test, schemars(with = "Outcome"))]
    outcome: &'static str,
    /// Name of the error that `connect` returned, or `null`.
    error: Option<String>,
    /// Time that it took.
    us: u64,
}

impl From<&ConnectFailure> for FailureBody {
    fn from(failure: &ConnectFailure) -> Self {
        Self {
            sock: failure.sock.to_string(),
            peer: failure.peer.to_string(),
            outcome: failure.outcome.name(),
            error: failure.error.map(error),
            us: failure.us,
        }
    }
}

/// All connects of a run.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ConnectTotalsBody {
    /// Connects that brought a connection.
    made: u64,
    /// Connects that failed, for whatever reason.
    failed: u64,
    /// Connects that hang.
    pending: u64,
    /// Connects that were refused.
    refused: u64,
    /// Connects that the kernel gave up without an answer.
    timed_out: u64,
    /// Connects whose peer cannot be reached, as the network said.
    unreachable: u64,
    /// Connects that found no free local port.
    no_port: u64,
    /// Connects that found no route, or that a filter on this host refused.
    no_route: u64,
    /// Connects whose socket the application closed first.
    given_up: u64,
    /// Connections that the peer reset before it had answered anything.
    reset: u64,
    /// Sum of the durations of all that failed.
    failed_us: u64,
}

impl From<ConnectTotals> for ConnectTotalsBody {
    fn from(totals: ConnectTotals) -> Self {
        let ConnectTotals { made, pending, refused, timed_out, unreachable, .. } = totals;
        let ConnectTotals { no_port, no_route, given_up, reset, failed_us, .. } = totals;
        let failed = totals.failed();
        Self {
            made,
            failed,
            pending,
            refused,
            timed_out,
            unreachable,
            no_port,
            no_route,
            given_up,
            reset,
            failed_us,
        }
    }
}

/// Ends that are no plain FIN.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ResetTotalsBody {
    /// Connections that this host reset, also after its FIN.
    sent: u64,
    /// Connections that the peer reset.
    received: u64,
    /// Connections that the kernel gave up.
    timeouts: u64,
    /// Requests that met a connection which its server had closed.
    late_requests: u64,
    /// Responses that a RST followed since the request was not read to its end.
    truncated_responses: u64,
}

impl From<ResetTotals> for ResetTotalsBody {
    fn from(totals: ResetTotals) -> Self {
        let ResetTotals { sent, received, timeouts, late_requests, truncated } = totals;
        Self { sent, received, timeouts, late_requests, truncated_responses: truncated }
    }
}

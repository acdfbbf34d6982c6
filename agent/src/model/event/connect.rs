//! Connects that brought no connection.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::SockId;
use crate::text::Untrusted;

/// Outcome of a connect that brought no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
pub enum Outcome {
    /// Nothing yet: SYNs are out, and nobody has answered.
    Pending,
    /// A RST answered the SYN, or a message that nobody listens on the port.
    Refused,
    /// The kernel gave up: no SYN was answered.
    TimedOut,
    /// The network reported that the peer cannot be reached.
    Unreachable,
    /// There was no free port on this host.
    NoPort,
    /// It failed before the choice of a port: there was no route, or a filter refused.
    NoRoute,
    /// The application closed the socket before anybody answered.
    GivenUp,
    /// Anything else.
    Failed,
    /// It brought a connection, which the peer reset before it had answered anything.
    Reset,
}

/// A watched process asked for a connection, and has not got it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    /// Time of its failure; of a pending one, of the sample.
    pub ts_ns: u64,
    /// Its socket.
    pub sock: SockId,
    /// Whom it asked.
    pub peer: SocketAddr,
    /// Process.
    pub pid: u32,
    /// Its command name.
    pub comm: Untrusted,
    /// Thread; `None` when not observed.
    pub tid: Option<u32>,
    /// Time of the call of `connect`.
    pub asked_ns: u64,
    /// Its outcome.
    pub outcome: Outcome,
    /// The error number that connect gave or will give; `None` if there is none, or where it was
    /// not observed.
    pub error: Option<u32>,
    /// The kernel did not show the error number. It follows from the network's configuration.
    pub inferred: bool,
    /// SYNs that were sent.
    pub syns: u32,
    /// `ip_local_port_range`, where there was no free port.
    pub ports: Option<(u16, u16)>,
    /// Sockets in TIME_WAIT in the network namespace, likewise.
    pub time_wait: Option<u64>,
}

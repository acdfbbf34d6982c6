//! Connections: how they became known, and their state at a refresh.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Exchange, SockId};
use crate::text::Untrusted;

/// Side of a connection on which the watched process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum Role {
    /// It accepted the connection.
    Server,
    /// It made the connection.
    Client,
}

/// A connection became known otherwise than by accept: the watched process made it, or had it at
/// the attach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Its time.
    pub ts_ns: u64,
    /// The socket.
    pub sock: SockId,
    /// On which side the process is.
    pub role: Role,
    /// The listener it came from, where known.
    pub listener: Option<SockId>,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub peer: SocketAddr,
    /// Process.
    pub pid: u32,
    /// Its command name.
    pub comm: Untrusted,
    /// SYN sent → SYN-ACK received; `None` when not observed.
    pub handshake_us: Option<u64>,
    /// It was open at the attach.
    pub preexisting: bool,
    /// Of one that the process made: time of the call of `connect`; `None` when not observed.
    pub asked_ns: Option<u64>,
    /// Of one that the process made: SYNs that were sent again.
    pub syns_again: u32,
}

/// State of a TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "kebab-case"))]
pub enum TcpState {
    /// Data can flow both ways.
    Established,
    /// SYN sent, no answer yet.
    SynSent,
    /// This side has closed (FIN_WAIT1, FIN_WAIT2, CLOSING, LAST_ACK).
    Closing,
    /// The peer has closed, this side has not.
    CloseWait,
    /// Closed.
    Closed,
}

/// Some of the connections at one refresh: where there are many, they come in parts, before the
/// sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionPart {
    /// Time of the refresh.
    pub ts_ns: u64,
    /// The connections.
    pub connections: Vec<ConnectionSample>,
}

/// A part of a scan that shows every connection which any process holds. It runs where records were
/// lost, for the ends that they told. With each part some of the connections that have ended are
/// closed; empty ones follow the last for the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// Time of the refresh.
    pub ts_ns: u64,
    /// The scan began: what was open then and is in no part of it has ended.
    pub since_ns: u64,
    /// Connections that are there.
    pub socks: Vec<SockId>,
    /// This is the last part, and the scan has shown everything.
    pub complete: bool,
}

/// A connection at one refresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionSample {
    /// The connection.
    pub sock: SockId,
    /// Its state.
    pub state: TcpState,
    /// The exchange that it is in, or that was its last; `None` before the first.
    pub exchange: Option<Exchange>,
    /// The last byte came or went, or the state changed.
    pub active_ns: u64,
    /// The peer's receive window is shut.
    pub peer_window_zero: bool,
    /// Our receive window is shut.
    pub window_zero: bool,
    /// The first FIN or RST came or went; `None` when there was none, or it was not observed.
    pub fin_ns: Option<u64>,
    /// A request that came after the exchange was answered, and that nobody has read: times of its
    /// first byte and of its newest.
    pub next: Option<(u64, u64)>,
}

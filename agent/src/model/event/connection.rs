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
    /// Both sides have closed, and neither's FIN is acknowledged (CLOSING). In a recording of an
    /// earlier version: this side has closed.
    Closing,
    /// The peer has closed, this side has not.
    CloseWait,
    /// Closed.
    Closed,
    /// This side has closed, and the peer has not acknowledged that.
    #[cfg_attr(test, schemars(rename = "fin-wait-1"))]
    FinWait1,
    /// This side has closed, the peer has acknowledged that, and has not closed itself.
    #[cfg_attr(test, schemars(rename = "fin-wait-2"))]
    FinWait2,
    /// The peer has closed, then this side, and the peer has not acknowledged that.
    LastAck,
}

impl TcpState {
    /// Name as `ss` and netstat spell it, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::SynSent => "syn-sent",
            Self::Closing => "closing",
            Self::CloseWait => "close-wait",
            Self::Closed => "closed",
            Self::FinWait1 => "fin-wait-1",
            Self::FinWait2 => "fin-wait-2",
            Self::LastAck => "last-ack",
        }
    }

    /// This side has closed, and its socket is still there.
    pub fn is_closing(self) -> bool {
        matches!(self, Self::Closing | Self::FinWait1 | Self::FinWait2 | Self::LastAck)
    }
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

/// Connections that this host has closed and whose socket is still there, where the kernel lists
/// them: no file leads to them any more, so that they are in no sample.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Time of the refresh.
    pub ts_ns: u64,
    /// The connections.
    pub sockets: Vec<ClosingSocket>,
}

/// A connection that is closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosingSocket {
    /// The connection.
    pub sock: SockId,
    /// Its state.
    pub state: TcpState,
    /// Segments that this host has sent again on it; `None` where the kernel does not say.
    pub retransmits: Option<u32>,
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

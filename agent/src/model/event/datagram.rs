//! The facts of UDP sockets: what the probes counted of each.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::SockId;
use crate::text::Untrusted;

/// Datagrams that went one way, since the socket became known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatagramFlow {
    /// Their number.
    pub datagrams: u64,
    /// Their bytes; `None` where this kernel does not show them.
    pub bytes: Option<u64>,
}

/// A UDP socket of a watched process at one refresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatagramSample {
    /// The socket.
    pub sock: SockId,
    /// Time at which it became known.
    pub since_ns: u64,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address, of a connected socket.
    pub peer: Option<SocketAddr>,
    /// Process.
    pub pid: u32,
    /// Its command name.
    pub comm: Untrusted,
    /// Nobody holds it any more: this is its last sample.
    pub closed: bool,
    /// Datagrams that entered the receive queue, and those that were in it when the socket became
    /// known; `None` where not observed.
    pub arrived: Option<DatagramFlow>,
    /// Datagrams that reads returned; `None` where not observed.
    pub read: Option<DatagramFlow>,
    /// Datagrams written; `None` where not observed.
    pub written: Option<DatagramFlow>,
    /// Datagrams in the receive queue.
    pub waiting: u32,
    /// Bytes in the receive buffer, with the kernel's overhead.
    pub queued_bytes: u64,
    /// Most of them since the last sample.
    pub peak_bytes: u64,
    /// Size of the receive buffer.
    pub buffer_bytes: u64,
    /// Datagrams dropped since the socket was made.
    pub drops: u64,
    /// Those of them that were dropped before it became known.
    pub drops_before: u64,
    /// Waits of the datagrams that were read since the last sample: (µs, how many).
    pub waits: Vec<(u64, u32)>,
    /// Number of waits that are lower bounds.
    pub at_least: u64,
    /// Longest wait, µs.
    pub longest_us: u64,
    /// Longest wait since the last sample, µs.
    pub longest_recent_us: u64,
    /// Latest possible arrival of the oldest datagram in the queue; `None` if there is none, or not
    /// known.
    pub oldest_ns: Option<u64>,
    /// Process and thread that read last.
    pub reader: Option<(u32, u32)>,
    /// Time of that read.
    pub read_ns: Option<u64>,
}

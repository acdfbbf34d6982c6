//! UDP sockets, as shown.

use std::net::SocketAddr;

use super::{DatagramProtocol, WaitView};
use crate::model::event::{DatagramFlow, Role, SockId};
use crate::text::Untrusted;

/// A UDP socket. Counts run since it became known; `None` is what this kernel does not show.
#[derive(Clone, Debug, PartialEq)]
pub struct DatagramView {
    /// The socket.
    pub sock: SockId,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address, of a connected socket.
    pub peer: Option<SocketAddr>,
    /// Process.
    pub pid: u32,
    /// Its command name: escape before printing.
    pub comm: Untrusted,
    /// Its protocol; `None` if its first datagrams told nothing.
    pub protocol: Option<DatagramProtocol>,
    /// QUIC connections that began on it.
    pub quic_connections: u64,
    /// The last of them that got their first answer, oldest first.
    pub quic: Vec<QuicView>,
    /// Nobody holds it any more.
    pub closed: bool,
    /// Datagrams that entered the receive queue.
    pub arrived: Option<DatagramFlow>,
    /// Datagrams that reads returned.
    pub read: Option<DatagramFlow>,
    /// Datagrams written.
    pub written: Option<DatagramFlow>,
    /// Datagrams dropped since the socket was made.
    pub drops: u64,
    /// Figures a second.
    pub rates: DatagramRates,
    /// Datagrams in the receive queue.
    pub waiting: u32,
    /// Bytes in the receive buffer, with the kernel's overhead.
    pub queued_bytes: u64,
    /// Most of them since the last refresh.
    pub peak_bytes: u64,
    /// Size of the receive buffer.
    pub buffer_bytes: u64,
    /// Waits of datagrams to be read.
    pub wait: WaitView,
    /// Number of these waits that are lower bounds.
    pub at_least: u64,
    /// Wait of the oldest datagram in the queue so far, µs; `None` if there is none, or not known.
    pub unread_us: Option<u64>,
    /// Figures of each refresh; empty in outputs.
    pub history: DatagramHistory,
}

/// Figures of a UDP socket in each of the last refreshes, oldest first; bounded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatagramHistory {
    /// Begin of the period, ns. It ends where the next begins, the last one at the snapshot.
    pub from_ns: Vec<u64>,
    /// Most bytes in the receive buffer.
    pub peak_bytes: Vec<u64>,
    /// Datagrams that entered the receive queue.
    pub arrived: Vec<u32>,
    /// Datagrams dropped.
    pub drops: Vec<u32>,
}

impl DatagramView {
    /// The QUIC connection on it that was answered last.
    pub fn quic_last(&self) -> Option<&QuicView> {
        self.quic.last()
    }
}

/// A QUIC connection, by what its datagrams show. Its handshake is the application's work: the
/// kernel moves datagrams.
#[derive(Clone, Debug, PartialEq)]
pub struct QuicView {
    /// The UDP socket.
    pub sock: SockId,
    /// The other end; `None` before the first datagram to it, where the socket is not connected.
    pub peer: Option<SocketAddr>,
    /// End at which the watched process is.
    pub role: Role,
    /// Its first datagram.
    pub since_ns: u64,
    /// 1 or 2.
    pub version: u8,
    /// The id that the client goes by.
    pub client_id: Vec<u8>,
    /// The id that the server goes by, by its newest packet that says so.
    pub server_id: Option<Vec<u8>>,
    /// The client sent early data (0-RTT).
    pub early_data: bool,
    /// The server had the client prove its address (Retry).
    pub retry: bool,
    /// Its first answer.
    pub answer: Option<QuicAnswer>,
    /// The waits of this end up to that answer, in their order; empty before it.
    pub trips: Vec<QuicTrip>,
}

/// A wait for the other end, µs since the connection's first datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicTrip {
    /// This end sent the first datagram of a flight.
    pub sent_us: u64,
    /// The first datagram of the other's answer to it came.
    pub back_us: u64,
}

/// Way of a QUIC connection to its first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicAnswer {
    /// Round trips, that of the request included.
    pub round_trips: u32,
    /// From its first datagram, µs.
    pub us: u64,
}

/// Figures a second over the last few; 0 for what is not observed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DatagramRates {
    /// Datagrams that arrived.
    pub arrived: f64,
    /// Datagrams that were read.
    pub read: f64,
    /// Datagrams that were written.
    pub written: f64,
    /// Datagrams that were dropped.
    pub drops: f64,
}

/// Totals over the UDP sockets of a run; `None` is what this kernel does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramTotals {
    /// Sockets.
    pub sockets: u64,
    /// Datagrams that arrived.
    pub arrived: Option<u64>,
    /// Datagrams that were read.
    pub read: Option<u64>,
    /// Datagrams that were written.
    pub written: Option<u64>,
    /// Datagrams that were dropped since the sockets became known.
    pub drops: u64,
}

impl Default for DatagramTotals {
    fn default() -> Self {
        Self { sockets: 0, arrived: Some(0), read: Some(0), written: Some(0), drops: 0 }
    }
}

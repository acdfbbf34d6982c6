//! The facts of a connection's end, and of data that come after it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::SockId;

/// A side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum Side {
    /// This host.
    Local,
    /// The peer.
    Peer,
}

/// Way in which a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum Ending {
    /// FIN.
    Fin,
    /// RST.
    Reset,
    /// The kernel gave it up: retransmissions or keepalives unanswered.
    Timeout,
}

/// Cause of a connection's end, beyond who closed first and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Why {
    /// This host closed with data unread: the kernel sent a RST.
    UnreadData,
    /// This host closed with SO_LINGER and a time of 0: the kernel sent a RST.
    Linger,
    /// A RST ended it.
    Reset,
    /// Data that this host had sent were not acknowledged.
    Unacknowledged,
    /// Keepalive probes were not answered.
    Keepalive,
    /// The network reported that the peer cannot be reached.
    Unreachable,
    /// Somebody else had the kernel end it (`ss -K`).
    Aborted,
}

/// The first FIN or RST of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Time at which it came or went.
    pub ts_ns: u64,
    /// Side that sent it.
    pub by: Side,
    /// Its kind.
    pub how: Ending,
    /// The peer sent a FIN, and answered later data by a RST: it had closed both ways.
    pub gone: bool,
}

/// Data came to a connection that this host had closed. The kernel answered them by a RST, or the
/// application reads on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Late {
    /// Its time.
    pub ts_ns: u64,
    /// Local address.
    pub local: SocketAddr,
    /// Remote address.
    pub peer: SocketAddr,
    /// Number of bytes.
    pub bytes: u64,
    /// The connection whose application reads on (a lingering close), and the time from the newest
    /// data before to the close, ns; `None` where a RST went back.
    pub lingers: Option<(SockId, u64)>,
}

/// A connection ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// Time at which its socket was destroyed, or went to TIME_WAIT.
    pub ts_ns: u64,
    /// The connection.
    pub sock: SockId,
    /// Side that ended it first; `None` if that was before it became known.
    pub by: Option<Side>,
    /// The way it ended; `None` likewise.
    pub how: Option<Ending>,
    /// Time at which the first FIN or RST was seen or sent.
    pub since_ns: Option<u64>,
    /// Bytes that were read since it became known. They are right even if exchanges were dropped
    /// under pressure.
    pub bytes_in: u64,
    /// Bytes that were written, likewise.
    pub bytes_out: u64,
    /// Exchanges, likewise.
    pub exchanges: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// Delayed ACKs that this host sent by timer; `None` where this kernel does not show them.
    pub delayed_acks: Option<u32>,
    /// Sum of their waits, µs.
    pub delayed_ack_us: u64,
    /// Its cause, where that was observed.
    pub why: Option<Why>,
    /// From the newest data in either direction to the first FIN or RST, right to a tick; `None`
    /// when not observed.
    pub idle_ns: Option<u64>,
    /// Bytes unread at the time at which this host reset it.
    pub unread_bytes: u64,
    /// Bytes written and not acknowledged at that time.
    pub unacked_bytes: u64,
    /// The last exchange has its request and no part of its response.
    pub unanswered: bool,
    /// Time at which the first byte of that request was written, or had come.
    pub asked_ns: Option<u64>,
    /// Lowest round-trip time that the kernel has seen, µs.
    pub min_rtt_us: Option<u32>,
    /// Data had come after the last exchange, and nobody had read any.
    pub unseen: bool,
    /// Multipath TCP was spoken on both sides, so that reads and writes were not seen.
    pub multipath: bool,
    /// No record told the end, so that nothing else is known of it: `ts_ns` is when it was missed.
    pub untold: bool,
}

impl Closed {
    /// The end of a connection that no record told.
    pub fn untold(ts_ns: u64, sock: SockId) -> Self {
        Self {
            ts_ns,
            sock,
            by: None,
            how: None,
            since_ns: None,
            bytes_in: 0,
            bytes_out: 0,
            exchanges: 0,
            retransmits: 0,
            delayed_acks: None,
            delayed_ack_us: 0,
            why: None,
            idle_ns: None,
            unread_bytes: 0,
            unacked_bytes: 0,
            unanswered: false,
            asked_ns: None,
            min_rtt_us: None,
            unseen: false,
            multipath: false,
            untold: true,
        }
    }
}

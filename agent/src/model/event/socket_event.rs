//! Single events of connections (`--detail events`): reported as they come, without a judgement.

use serde::{Deserialize, Serialize};

use super::{HoldReason, Side, SockId};

/// Something happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketEvent {
    /// Its time. For a call it is the return. For data, a release, and an inferred delayed ACK it
    /// is the socket's own stamp, which may be earlier than the times of events reported before.
    pub ts_ns: u64,
    /// The connection.
    pub sock: SockId,
    /// The event.
    pub kind: SocketEventKind,
}

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketEventKind {
    /// Data are in the receive queue.
    Data {
        /// Bytes that can be read.
        unread_bytes: u32,
        /// Memory that the receive buffer uses.
        buffer_used_bytes: u32,
        /// Its limit.
        buffer_bytes: u32,
        /// Further ACKs that will not be delayed (`icsk_ack.quick`).
        quick: u8,
        /// Degree to which the connection counts as interactive (`icsk_ack.pingpong`).
        pingpong: u8,
    },
    /// A read returned.
    Read(SocketCall),
    /// A read that takes nothing (MSG_PEEK) returned.
    Peek(SocketCall),
    /// A write returned.
    Write {
        /// The call: what it left are bytes not sent.
        call: SocketCall,
        /// Why it left them; `None` if it left none.
        why: Option<HoldReason>,
    },
    /// A segment leaves TCP. Large ones are split only later (TSO).
    Segment {
        /// Bytes of data.
        bytes: u32,
        /// Number of the first, as on the wire.
        seq: u32,
        /// The next that is expected from the peer, as on the wire.
        ack_seq: u32,
        /// FIN, SYN, RST and so on, as in the header.
        flags: u8,
        /// They have been sent before.
        again: bool,
    },
    /// A segment came that acknowledges new data, or a pure ACK.
    Ack {
        /// Bytes newly acknowledged.
        bytes: u32,
        /// The peer's receive window.
        window_bytes: u32,
        /// Bytes sent and still not acknowledged.
        unacked_bytes: u32,
    },
    /// Written bytes are held from now on.
    Hold {
        /// Why.
        why: HoldReason,
        /// Their number.
        bytes: u32,
    },
    /// They have been sent.
    Release {
        /// Why they were held.
        why: HoldReason,
        /// For how long, µs.
        held_us: u32,
    },
    /// This host sent a delayed ACK by timer.
    DelayedAck {
        /// Since the newest data, µs.
        waited_us: u32,
        /// No hook saw its timer: stamps of the socket tell.
        inferred: bool,
    },
    /// A segment was sent again.
    Retransmit {
        /// Bytes of data.
        bytes: u32,
        /// Number of the first, as on the wire.
        seq: u32,
        /// Flags, as in the header.
        flags: u8,
        /// State of congestion control (`TCP_CA_Open` and so on).
        ca_state: u8,
        /// Retransmission timeout, µs.
        rto_us: u64,
    },
    /// A receive window was shut, or is open again.
    Window {
        /// Whose.
        side: Side,
        /// It is shut.
        zero: bool,
        /// Its size.
        bytes: u32,
    },
    /// The state changed.
    State {
        /// From this one (`TCP_ESTABLISHED` and so on).
        from: u8,
        /// To this one.
        to: u8,
        /// Directions that are shut down: 1 receiving, 2 sending.
        shutdown: u8,
        /// State within TIME_WAIT; 0 for others, and where not observed.
        substate: u8,
        /// No hook saw it.
        inferred: bool,
    },
    /// A RST was sent or received.
    Reset {
        /// By whom.
        by: Side,
    },
    /// The socket is gone.
    Destroyed,
}

/// Result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketCall {
    /// Thread.
    pub tid: u32,
    /// Bytes, or the number of the error.
    pub result: Result<u32, u32>,
    /// Bytes that it left: of a read unread, of a write not sent.
    pub left_bytes: u32,
    /// Wait inside the call for data or for room, µs; `None` where not observed.
    pub blocked_us: Option<u32>,
}

impl SocketEventKind {
    /// Its name in the event stream.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Data { .. } => "data",
            Self::Read(_) => "read",
            Self::Peek(_) => "peek",
            Self::Write { .. } => "write",
            Self::Segment { .. } => "segment",
            Self::Ack { .. } => "ack",
            Self::Hold { .. } => "hold",
            Self::Release { .. } => "release",
            Self::DelayedAck { .. } => "delayed_ack",
            Self::Retransmit { .. } => "retransmit",
            Self::Window { .. } => "window",
            Self::State { .. } => "state",
            Self::Reset { .. } => "reset",
            Self::Destroyed => "destroyed",
        }
    }

    /// The thread that called; `None` for what no call did.
    pub fn tid(&self) -> Option<u32> {
        match self {
            Self::Read(call) | Self::Peek(call) | Self::Write { call, .. } => Some(call.tid),
            _ => None,
        }
    }
}

//! The bodies of `event`: single events of connections, and of listeners.

use backscope_abi::errno::EAGAIN;
use serde::Serialize;

use super::parts::{gaps, side_name};
use crate::model::event::{HoldReason, SocketCall, SocketEvent, SocketEventKind, SynAckRetransmit};
use crate::report::kernel_names::{ca_state, cause, flags, shutdown, state, why};

/// Single event of a connection.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SocketEventBody {
    /// Id of the connection; of `synack_retransmit` that of the listener.
    sock: String,
    /// Name of the event.
    name: &'static str,
    /// Thread that called; `null` of what no call did.
    tid: Option<u32>,
    #[serde(flatten)]
    carries: Carries,
    /// Stamp or field of the socket from which it was inferred; absent if it was observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = ["tcp_wstamp_ns", "sk_err"])))]
    observed_by: Option<&'static str>,
    /// Reasons for what is `null`; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

/// Fields by the name of the event: each variant lists the names that have its fields.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
enum Carries {
    /// Data are in the receive queue.
    #[cfg_attr(test, schemars(extend("name" = ["data"])))]
    Data {
        /// Bytes that are unread.
        unread_bytes: u32,
        /// Memory of the receive buffer that is used, with the kernel's overhead.
        buffer_used_bytes: u32,
        /// Size of the receive buffer.
        buffer_bytes: u32,
        /// ACKs that will not be delayed (quick-ACK mode).
        quick: u8,
        /// Above 0 the kernel takes the connection for interactive, and delays ACKs.
        pingpong: u8,
    },
    /// A read returned.
    #[cfg_attr(test, schemars(extend("name" = ["read", "peek"])))]
    Read {
        /// Bytes; 0 is the end of the data. `null` of an error.
        bytes: Option<u32>,
        /// Number of the error, or `null`.
        error: Option<u32>,
        /// `true` if that was EAGAIN.
        would_block: bool,
        /// Time that the call waited for data; `null` if not observed.
        blocked_us: Option<u32>,
        /// Bytes that it left unread.
        unread_bytes: u32,
    },
    /// A write returned.
    #[cfg_attr(test, schemars(extend("name" = ["write"])))]
    Write(Write),
    /// A segment leaves.
    #[cfg_attr(test, schemars(extend("name" = ["segment"])))]
    Segment {
        /// Bytes of data.
        bytes: u32,
        /// Sequence number on the wire.
        seq: u32,
        /// Acknowledgement number on the wire.
        ack_seq: u32,
        /// Flags of the header that are set.
        flags: Vec<&'static str>,
        /// `true` if it was sent before.
        again: bool,
    },
    /// A segment came that acknowledges something new, or nothing else.
    #[cfg_attr(test, schemars(extend("name" = ["ack"])))]
    Ack {
        /// Bytes newly acknowledged.
        bytes: u32,
        /// Peer's window.
        window_bytes: u32,
        /// Bytes that are still out.
        unacked_bytes: u32,
    },
    /// Written bytes are held from now on.
    #[cfg_attr(test, schemars(extend("name" = ["hold"])))]
    Hold {
        /// Reason of the hold.
        #[cfg_attr(test, schemars(with = "HoldReason"))]
        reason: &'static str,
        /// Bytes that are held.
        bytes: u32,
    },
    /// Bytes that were held have been sent.
    #[cfg_attr(test, schemars(extend("name" = ["release"])))]
    Release {
        /// Reason of the hold.
        #[cfg_attr(test, schemars(with = "HoldReason"))]
        reason: &'static str,
        /// Time that they were held.
        held_us: u32,
    },
    /// This host sent a delayed ACK.
    #[cfg_attr(test, schemars(extend("name" = ["delayed_ack"])))]
    DelayedAck {
        /// Time since the newest data.
        waited_us: u32,
        /// Trigger of the ACK.
        #[cfg_attr(test, schemars(extend("enum" = ["timer"])))]
        by: &'static str,
    },
    /// A segment was sent again.
    #[cfg_attr(test, schemars(extend("name" = ["retransmit"])))]
    Retransmit {
        /// Bytes of data.
        bytes: u32,
        /// Sequence number on the wire.
        seq: u32,
        /// Flags of the header that are set.
        flags: Vec<&'static str>,
        /// Cause: the retransmission timeout, duplicate ACKs, or the probe for a lost tail.
        #[cfg_attr(test, schemars(extend("enum" = ["timeout", "recovery", "tail_loss_probe"])))]
        cause: &'static str,
        /// State of the kernel's congestion control.
        #[cfg_attr(
            test,
            schemars(extend("enum" = ["Open", "Disorder", "CWR", "Recovery", "Loss", "unknown"]))
        )]
        ca_state: &'static str,
        /// Retransmission timeout.
        rto_us: u64,
    },
    /// A receive window was shut, or is open again.
    #[cfg_attr(test, schemars(extend("name" = ["window"])))]
    Window {
        /// Side whose window it is.
        #[cfg_attr(test, schemars(with = "crate::model::event::Side"))]
        side: &'static str,
        /// `true` if it is shut.
        zero: bool,
        /// Size of the window.
        bytes: u32,
    },
    /// The state changed.
    #[cfg_attr(test, schemars(extend("name" = ["state"])))]
    State {
        /// State before, by the kernel's name.
        from: &'static str,
        /// State after, by the kernel's name.
        to: &'static str,
        /// Directions that are shut down; `"send"` alone is a half-closed connection.
        #[cfg_attr(test, schemars(extend("enum" = ["none", "receive", "send", "both"])))]
        shutdown: &'static str,
        /// Of TIME_WAIT, `"FIN_WAIT2"` while the FIN of the peer is still to come; else `null`.
        substate: Option<&'static str>,
    },
    /// A RST was sent or received.
    #[cfg_attr(test, schemars(extend("name" = ["reset"])))]
    Reset {
        /// Side that sent it.
        #[cfg_attr(test, schemars(with = "crate::model::event::Side"))]
        by: &'static str,
    },
    /// The socket is gone.
    #[cfg_attr(test, schemars(extend("name" = ["destroyed"])))]
    Destroyed {},
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Write {
    /// Bytes; `null` of an error.
    bytes: Option<u32>,
    /// Number of the error, or `null`.
    error: Option<u32>,
    /// `true` if that was EAGAIN.
    would_block: bool,
    /// Time of the wait for room, inside the call or since the first EAGAIN; `null` if not
    /// observed.
    blocked_us: Option<u32>,
    /// Bytes that are not sent yet.
    unsent_bytes: u32,
    /// Reason that they are held; `null` if they are not.
    #[cfg_attr(test, schemars(with = "Option<HoldReason>"))]
    reason: Option<&'static str>,
}

impl From<&SocketEvent> for SocketEventBody {
    fn from(socket_event: &SocketEvent) -> Self {
        let (inferred_by, blind) = match &socket_event.kind {
            SocketEventKind::Read(call)
            | SocketEventKind::Peek(call)
            | SocketEventKind::Write { call, .. } => (None, call.blocked_us.is_none()),
            SocketEventKind::DelayedAck { inferred: true, .. } => (Some("tcp_wstamp_ns"), false),
            SocketEventKind::State { inferred: true, .. } => (Some("sk_err"), false),
            _ => (None, false),
        };
        let unnamed =
            matches!(socket_event.kind, SocketEventKind::State { to: TIME_WAIT, substate: 0, .. });
        Self {
            sock: socket_event.sock.to_string(),
            name: socket_event.kind.name(),
            tid: socket_event.kind.tid(),
            carries: Carries::from(&socket_event.kind),
            observed_by: inferred_by,
            gaps: gaps([
                (blind, "blocked_us: no hook on this kernel sees a call wait"),
                (unnamed, "substate: no hook on this kernel sees the timewait socket made"),
            ]),
        }
    }
}

/// `TCP_TIME_WAIT`.
const TIME_WAIT: u8 = 6;

impl From<&SocketEventKind> for Carries {
    fn from(kind: &SocketEventKind) -> Self {
        match *kind {
            SocketEventKind::Data {
                unread_bytes,
                buffer_used_bytes,
                buffer_bytes,
                quick,
                pingpong,
            } => Self::Data { unread_bytes, buffer_used_bytes, buffer_bytes, quick, pingpong },
            SocketEventKind::Read(call) | SocketEventKind::Peek(call) => Self::Read {
                bytes: call.result.ok(),
                error: call.result.err(),
                would_block: would_block(&call),
                blocked_us: call.blocked_us,
                unread_bytes: call.left_bytes,
            },
            SocketEventKind::Write { call, why: reason } => Self::Write(write(&call, reason)),
            SocketEventKind::Segment { bytes, seq, ack_seq, flags: bits, again } => {
                Self::Segment { bytes, seq, ack_seq, flags: flags(bits), again }
            }
            SocketEventKind::Ack { bytes, window_bytes, unacked_bytes } => {
                Self::Ack { bytes, window_bytes, unacked_bytes }
            }
            SocketEventKind::Hold { why: reason, bytes } => {
                Self::Hold { reason: why(reason), bytes }
            }
            SocketEventKind::Release { why: reason, held_us } => {
                Self::Release { reason: why(reason), held_us }
            }
            SocketEventKind::DelayedAck { waited_us, .. } => {
                Self::DelayedAck { waited_us, by: "timer" }
            }
            SocketEventKind::Retransmit { bytes, seq, flags: bits, ca_state: number, rto_us } => {
                Self::Retransmit {
                    bytes,
                    seq,
                    flags: flags(bits),
                    cause: cause(number),
                    ca_state: ca_state(number),
                    rto_us,
                }
            }
            SocketEventKind::Window { side: whose, zero, bytes } => {
                Self::Window { side: side_name(whose), zero, bytes }
            }
            SocketEventKind::State { from, to, shutdown: bits, substate, .. } => Self::State {
                from: state(from),
                to: state(to),
                shutdown: shutdown(bits),
                substate: if substate == 0 { None } else { Some(state(substate)) },
            },
            SocketEventKind::Reset { by } => Self::Reset { by: side_name(by) },
            SocketEventKind::Destroyed => Self::Destroyed {},
        }
    }
}

fn write(call: &SocketCall, reason: Option<HoldReason>) -> Write {
    Write {
        bytes: call.result.ok(),
        error: call.result.err(),
        would_block: would_block(call),
        blocked_us: call.blocked_us,
        unsent_bytes: call.left_bytes,
        reason: reason.map(why),
    }
}

fn would_block(call: &SocketCall) -> bool {
    call.result == Err(EAGAIN)
}

/// A SYN-ACK was sent again.
// Fields are in the order of their names: so they were always written.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SynAckRetransmitBody {
    /// Number of times that it was sent again.
    count: u32,
    /// Name of the event.
    #[cfg_attr(test, schemars(extend("const" = "synack_retransmit")))]
    name: &'static str,
    /// Client that it goes to.
    peer: String,
    /// Id of the listener.
    sock: String,
    /// Always `null`.
    tid: Option<u32>,
}

impl From<&SynAckRetransmit> for SynAckRetransmitBody {
    fn from(retransmit: &SynAckRetransmit) -> Self {
        Self {
            count: retransmit.count,
            name: "synack_retransmit",
            peer: retransmit.peer.to_string(),
            sock: retransmit.listener.to_string(),
            tid: None,
        }
    }
}

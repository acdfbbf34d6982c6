//! `event` objects of connections.

use serde::Serialize;

use super::body::gaps;
use crate::model::event::{Call, HoldReason, Moment, Side, What};
use crate::report::moment::{ca_state, cause, flags, shutdown, state, why};

#[derive(Serialize)]
pub(super) struct MomentBody {
    sock: String,
    name: &'static str,
    tid: Option<u32>,
    #[serde(flatten)]
    carries: Carries,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Carries {
    Data {
        unread_bytes: u32,
        buffer_used_bytes: u32,
        buffer_bytes: u32,
        quick: u8,
        pingpong: u8,
    },
    Read {
        bytes: Option<u32>,
        error: Option<u32>,
        would_block: bool,
        blocked_us: Option<u32>,
        unread_bytes: u32,
    },
    Write(Write),
    Segment {
        bytes: u32,
        seq: u32,
        ack_seq: u32,
        flags: Vec<&'static str>,
        again: bool,
    },
    Ack {
        bytes: u32,
        window_bytes: u32,
        unacked_bytes: u32,
    },
    Hold {
        reason: &'static str,
        bytes: u32,
    },
    Release {
        reason: &'static str,
        held_us: u32,
    },
    DelayedAck {
        waited_us: u32,
        by: &'static str,
    },
    Retransmit {
        bytes: u32,
        seq: u32,
        flags: Vec<&'static str>,
        cause: &'static str,
        ca_state: &'static str,
        rto_us: u64,
    },
    Window {
        side: &'static str,
        zero: bool,
        bytes: u32,
    },
    State {
        from: &'static str,
        to: &'static str,
        shutdown: &'static str,
        substate: Option<&'static str>,
    },
    Reset {
        by: &'static str,
    },
    Destroyed {},
}

#[derive(Serialize)]
struct Write {
    bytes: Option<u32>,
    error: Option<u32>,
    would_block: bool,
    blocked_us: Option<u32>,
    unsent_bytes: u32,
    reason: Option<&'static str>,
}

impl From<&Moment> for MomentBody {
    fn from(moment: &Moment) -> Self {
        let (inferred_by, blind) = match &moment.what {
            What::Read(call) | What::Peek(call) | What::Write { call, .. } => {
                (None, call.blocked_us.is_none())
            }
            What::DelayedAck { inferred: true, .. } => (Some("tcp_wstamp_ns"), false),
            What::State { inferred: true, .. } => (Some("sk_err"), false),
            _ => (None, false),
        };
        let unnamed = matches!(moment.what, What::State { to: TIME_WAIT, substate: 0, .. });
        Self {
            sock: moment.sock.to_string(),
            name: moment.what.name(),
            tid: moment.what.tid(),
            carries: Carries::from(&moment.what),
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

impl From<&What> for Carries {
    fn from(what: &What) -> Self {
        match *what {
            What::Data { unread_bytes, buffer_used_bytes, buffer_bytes, quick, pingpong } => {
                Self::Data { unread_bytes, buffer_used_bytes, buffer_bytes, quick, pingpong }
            }
            What::Read(call) | What::Peek(call) => Self::Read {
                bytes: call.result.ok(),
                error: call.result.err(),
                would_block: would_block(&call),
                blocked_us: call.blocked_us,
                unread_bytes: call.left_bytes,
            },
            What::Write { call, why: reason } => Self::Write(write(&call, reason)),
            What::Segment { bytes, seq, ack_seq, flags: bits, again } => {
                Self::Segment { bytes, seq, ack_seq, flags: flags(bits), again }
            }
            What::Ack { bytes, window_bytes, unacked_bytes } => {
                Self::Ack { bytes, window_bytes, unacked_bytes }
            }
            What::Hold { why: reason, bytes } => Self::Hold { reason: why(reason), bytes },
            What::Release { why: reason, held_us } => {
                Self::Release { reason: why(reason), held_us }
            }
            What::DelayedAck { waited_us, .. } => Self::DelayedAck { waited_us, by: "timer" },
            What::Retransmit { bytes, seq, flags: bits, ca_state: number, rto_us } => {
                Self::Retransmit {
                    bytes,
                    seq,
                    flags: flags(bits),
                    cause: cause(number),
                    ca_state: ca_state(number),
                    rto_us,
                }
            }
            What::Window { side: whose, zero, bytes } => {
                Self::Window { side: side(whose), zero, bytes }
            }
            What::State { from, to, shutdown: bits, substate, .. } => Self::State {
                from: state(from),
                to: state(to),
                shutdown: shutdown(bits),
                substate: if substate == 0 { None } else { Some(state(substate)) },
            },
            What::Reset { by } => Self::Reset { by: side(by) },
            What::Destroyed => Self::Destroyed {},
        }
    }
}

fn write(call: &Call, reason: Option<HoldReason>) -> Write {
    Write {
        bytes: call.result.ok(),
        error: call.result.err(),
        would_block: would_block(call),
        blocked_us: call.blocked_us,
        unsent_bytes: call.left_bytes,
        reason: reason.map(why),
    }
}

fn would_block(call: &Call) -> bool {
    const EAGAIN: u32 = 11;
    call.result == Err(EAGAIN)
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Peer => "peer",
    }
}

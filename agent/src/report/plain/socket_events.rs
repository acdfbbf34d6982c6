//! Lines for single events of connections.

use crate::model::event::{Side, SocketCall, SocketEventKind};
use crate::model::output::SocketEventOutput;
use crate::report::kernel_names::{cause, flags, shutdown, state, why};
use crate::text::{count, count_of, duration_us};

/// Words of a line behind the event's name.
pub(super) fn text(output: &SocketEventOutput) -> String {
    let sock = output.event.sock;
    let who = match output.peer {
        Some(peer) => peer.to_string(),
        None => format!("socket {sock}"),
    };
    format!("{who}: {}", carries(&output.event.kind))
}

fn carries(kind: &SocketEventKind) -> String {
    match *kind {
        SocketEventKind::Data { unread_bytes, buffer_used_bytes, buffer_bytes, .. } => {
            let (used, all) = (count(buffer_used_bytes.into()), count(buffer_bytes.into()));
            format!("{} unread, buffer {used} of {all}", bytes(unread_bytes))
        }
        SocketEventKind::Read(call) | SocketEventKind::Peek(call) => called(&call, "unread"),
        SocketEventKind::Write { call, why: None } => called(&call, "unsent"),
        SocketEventKind::Write { call, why: Some(reason) } => {
            format!("{}: {}", called(&call, "unsent"), why(reason))
        }
        SocketEventKind::Segment { bytes: size, seq, ack_seq, flags: bits, again } => {
            let again = if again { ", retransmitted" } else { "" };
            format!("{}, {} seq {seq} ack {ack_seq}{again}", bytes(size), flags(bits).join(" "))
        }
        SocketEventKind::Ack { bytes: size, window_bytes, unacked_bytes } => {
            format!(
                "{} more acknowledged, {} outstanding; window {}",
                bytes(size),
                count(unacked_bytes.into()),
                count(window_bytes.into())
            )
        }
        SocketEventKind::Hold { why: reason, bytes: size } => {
            format!("{} held: {}", bytes(size), why(reason))
        }
        SocketEventKind::Release { why: reason, held_us } => {
            format!("sent after {}: {}", duration_us(held_us.into()), why(reason))
        }
        SocketEventKind::DelayedAck { waited_us, .. } => {
            format!("sent by timer after {}", duration_us(waited_us.into()))
        }
        SocketEventKind::Retransmit { bytes: size, seq, ca_state, rto_us, .. } => {
            format!("{} seq {seq}: {}, RTO {}", bytes(size), cause(ca_state), duration_us(rto_us))
        }
        SocketEventKind::Window { side, zero, bytes: size } => {
            let (whose, change) = (
                if side == Side::Local { "ours" } else { "the peer's" },
                if zero { "shut" } else { "open" },
            );
            format!("{whose} is {change}, {}", bytes(size))
        }
        SocketEventKind::State { from, to, shutdown: bits, .. } => {
            format!("{} → {}, shut down: {}", state(from), state(to), shutdown(bits))
        }
        SocketEventKind::Reset { by: Side::Local } => "sent".to_owned(),
        SocketEventKind::Reset { by: Side::Peer } => "received".to_owned(),
        SocketEventKind::Destroyed => "gone".to_owned(),
    }
}

fn bytes(size: u32) -> String {
    count_of(size.into(), "byte")
}

fn called(call: &SocketCall, left: &str) -> String {
    let result = match call.result {
        Ok(size) => bytes(size),
        Err(error) => format!("error {error}"),
    };
    let waited = match call.blocked_us {
        Some(us) if us > 0 => format!(", blocked {}", duration_us(us.into())),
        _ => String::new(),
    };
    format!("{result} by thread {}{waited}, {} {left}", call.tid, count(call.left_bytes.into()))
}

//! Records of a connection's life: its beginning at a client, its end.

use backscope_abi as abi;

use super::{
    context::Capabilities,
    record::{address, ending, known, round_trip_us, side},
};
use crate::{
    model::event::{Closed, Opened, Role, TcpState, Why},
    sensor::procfs,
};

/// A connection that a watched process made.
pub(super) fn opened(raw: &abi::Opened) -> Opened {
    // The kernel keeps eight times the round trip.
    let handshake_us = if raw.srtt_us == 0 { None } else { Some(u64::from(raw.srtt_us >> 3)) };
    Opened {
        ts_ns: raw.ts_ns,
        sock: raw.sock,
        role: Role::Client,
        listener: None,
        local: address(raw.local),
        peer: address(raw.peer),
        pid: raw.tgid,
        comm: procfs::comm(raw.tgid).unwrap_or_default(),
        handshake_us,
        preexisting: false,
        asked_ns: known(raw.asked_ns),
        syns_again: raw.again,
    }
}

/// The end of a connection.
pub(super) fn closed(raw: &abi::Ended, capabilities: Capabilities) -> Closed {
    let sees_delayed_acks = capabilities.sees_delayed_acks;
    let idle_ns = u64::from(raw.idle_jiffies) * capabilities.tick_ns;
    Closed {
        ts_ns: raw.ts_ns,
        sock: raw.sock,
        by: side(raw.fin_by),
        how: ending(raw.fin_how),
        since_ns: known(raw.fin_ns),
        bytes_in: raw.bytes_in,
        bytes_out: raw.bytes_out,
        exchanges: raw.exchanges,
        retransmits: raw.retransmits,
        delayed_acks: if sees_delayed_acks { Some(raw.delayed_acks) } else { None },
        delayed_ack_us: raw.delayed_ack_us.into(),
        why: why(raw.why),
        idle_ns: if raw.fin_by == 0 { None } else { Some(idle_ns) },
        unread_bytes: raw.unread.into(),
        unacked_bytes: raw.unacked.into(),
        unanswered: raw.unanswered != 0,
        asked_ns: known(raw.asked_ns),
        min_rtt_us: round_trip_us(raw.min_rtt_us),
        unseen: raw.unseen != 0,
        multipath: raw.multipath != 0,
        untold: raw.in_pause != 0,
    }
}

fn why(raw: u8) -> Option<Why> {
    Some(match raw {
        abi::why::UNREAD => Why::UnreadData,
        abi::why::LINGER => Why::Linger,
        abi::why::RESET => Why::Reset,
        abi::why::UNACKNOWLEDGED => Why::Unacknowledged,
        abi::why::KEEPALIVE => Why::Keepalive,
        abi::why::UNREACHABLE => Why::Unreachable,
        abi::why::ABORTED => Why::Aborted,
        _ => return None,
    })
}

/// The kernel's TCP states (`include/net/tcp_states.h`).
pub(in crate::sensor) fn tcp_state(raw: u8) -> TcpState {
    match raw {
        1 => TcpState::Established,
        2 | 3 => TcpState::SynSent,
        4 => TcpState::FinWait1,
        5 => TcpState::FinWait2,
        8 => TcpState::CloseWait,
        9 => TcpState::LastAck,
        6 | 7 => TcpState::Closed,
        _ => TcpState::Closing,
    }
}

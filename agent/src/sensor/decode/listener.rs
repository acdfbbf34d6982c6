//! Records of listeners: accepts, refusals, SYNs, SYN-ACKs that were sent again.

use backscope_abi as abi;

use super::record::{address, known, name, not_max};
use crate::model::event::{Accept, Overflow, Stage, Syn, SynAckRetransmit};

pub(super) fn accept(raw: abi::Accept, tick_ns: u64) -> Accept {
    let late = raw.late != 0;
    let estimated_ns = raw.ts_ns.saturating_sub(u64::from(raw.age_jiffies) * tick_ns);
    let queued_ns = known(raw.queued_ns).unwrap_or(estimated_ns);
    Accept {
        ts_ns: raw.ts_ns,
        sock: raw.sock,
        listener: raw.listener,
        local: address(raw.local),
        peer: address(raw.peer),
        pid: raw.tgid,
        tid: raw.tid,
        comm: name(&raw.comm).into(),
        fd: if raw.fd < 0 { None } else { Some(raw.fd) },
        handshake_us: handshake_us(raw.srtt_us),
        queued_ns: if late { None } else { Some(queued_ns) },
        queued_estimated: !late && raw.queued_ns == 0,
        late,
        entered_ns: known(raw.entered_ns),
        depth: raw.depth,
        stands_for: 1,
    }
}

/// Connections of its listener that were left untold, the low bits of their number, if an accept
/// stands for them.
pub(super) fn untold(raw: &abi::Accept) -> Option<u16> {
    if raw.drawn != 0 { Some(raw.untold) } else { None }
}

/// The round trip of SYN-ACK and final ACK, which is the only sample before any data was sent.
///
/// A whole number of milliseconds comes from a TCP timestamp, not from the kernel's own clock: then
/// the SYN-ACK was a syncookie, whose timestamp carries other things, or was sent more than once
/// (`tcp_synack_rtt_meas`, `tcp_ack_update_rtt`, 5.10 to 7.3). Such a sample says nothing.
fn handshake_us(srtt: u32) -> Option<u64> {
    const MILLISECOND: u32 = 8 * 1_000;
    if srtt.is_multiple_of(MILLISECOND) { None } else { Some(u64::from(srtt >> 3)) }
}

pub(super) fn overflow(raw: abi::Overflow) -> Option<Overflow> {
    let stage = match raw.stage {
        abi::stage::SYN => Stage::Syn,
        abi::stage::ACK => Stage::Ack,
        abi::stage::SYN_QUEUE => Stage::SynQueue,
        abi::stage::COOKIE => Stage::Cookie,
        _ => return None,
    };
    Some(Overflow {
        ts_ns: raw.ts_ns,
        listener: raw.listener,
        peer: address(raw.peer),
        stage,
        depth: raw.depth,
        limit: raw.limit,
        syn_depth: raw.syn_depth,
        bytes: not_max(raw.bytes),
    })
}

pub(super) fn syn(raw: abi::Syn) -> Syn {
    Syn {
        ts_ns: raw.ts_ns,
        listener: raw.listener,
        peer: address(raw.peer),
        depth: raw.depth,
        syn_depth: raw.syn_depth,
        tfo_bytes: not_max(raw.tfo_bytes),
    }
}

pub(super) fn retransmit(raw: abi::Retransmit) -> SynAckRetransmit {
    let first_ns = raw.first_us.saturating_mul(1_000);
    SynAckRetransmit {
        ts_ns: raw.ts_ns,
        listener: raw.listener,
        peer: address(raw.peer),
        count: raw.before.saturating_add(1),
        first_ns: known(first_ns),
        ignored: raw.ignored != 0,
    }
}

//! The full record of an exchange. Most come as the compact one instead (`compact.rs`).

use backscope_abi as abi;

use super::{
    context::Capabilities,
    record::{HOLD_REASONS, ending, hold_reason, known, progress, role, round_trip_us, side},
};
use crate::model::event::{
    DelayedAcks, End, Exchange, Hold, Holding, Inbound, Outbound, Pauses, ThreadUse,
};

/// The facts in a record.
pub(in crate::sensor) fn exchange(raw: &abi::Exchange, capabilities: Capabilities) -> Exchange {
    let mut delayed_acks = None;
    if capabilities.sees_delayed_acks {
        delayed_acks = Some(DelayedAcks {
            sent: raw.delayed_acks,
            waited_us: raw.delayed_ack_us.into(),
            newest_ns: known(raw.delayed_ack_ns),
        });
    }
    Exchange {
        ts_ns: raw.ts_ns,
        sock: raw.sock,
        seq: raw.seq,
        role: role(raw.role),
        preexisting: raw.preexisting != 0,
        progress: progress(raw.progress),
        inbound: if raw.in_first_ns == 0 { None } else { Some(inbound(raw)) },
        outbound: if raw.writes == 0 { None } else { Some(outbound(raw, capabilities.tick_ns)) },
        min_rtt_us: round_trip_us(raw.min_rtt_us),
        delayed_acks,
        end: end(raw),
        untold: None,
    }
}

fn end(raw: &abi::Exchange) -> Option<End> {
    let by = side(raw.fin_by)?;
    let how = ending(raw.fin_how)?;
    Some(End { ts_ns: raw.fin_ns, by, how, gone: raw.gone != 0 })
}

fn thread(raw: &abi::SchedDelta) -> Option<ThreadUse> {
    if raw.tid == 0 {
        return None;
    }
    Some(ThreadUse {
        pid: raw.tgid,
        tid: raw.tid,
        since_ns: known(raw.since_ns),
        run_delay_ns: raw.run_delay_ns,
        cpu_ns: raw.cpu_ns,
    })
}

fn inbound(raw: &abi::Exchange) -> Inbound {
    Inbound {
        first_ns: raw.in_first_ns,
        last_ns: raw.in_last_ns,
        read_first_ns: known(raw.read_first_ns),
        read_last_ns: known(raw.read_last_ns),
        starved_ns: raw.starved_ns,
        bytes: raw.bytes_in,
        unread_bytes: raw.unread.into(),
        reads: raw.reads,
        eagains: raw.eagains.into(),
        reader: thread(&raw.reader),
        left: raw.flags & abi::flag::LEFT != 0,
    }
}

fn outbound(raw: &abi::Exchange, tick_ns: u64) -> Outbound {
    Outbound {
        first_ns: raw.out_first_ns,
        last_ns: raw.out_last_ns,
        sent_ns: known(raw.sent_ns),
        acked_ns: known(raw.acked_ns),
        bytes: raw.bytes_out,
        unsent_bytes: raw.unsent.into(),
        unacked_bytes: raw.unacked.into(),
        writes: raw.writes,
        small_writes: raw.small_writes.into(),
        last_sizes: raw.last_sizes,
        held_sizes: raw.held_sizes,
        holds: holds(raw),
        blocked_ns: raw.blocked_ns,
        window_limited_ns: u64::from(raw.window_jiffies) * tick_ns,
        retransmits: raw.retransmits.into(),
        retransmit_ns: known(raw.retransmit_ns),
        writer: thread(&raw.writer),
        pauses: pauses(raw),
        // Counted from 1: 0 is none.
        held_last: raw.held_last.checked_sub(1).and_then(hold_reason),
        holding: holding(raw),
        window_restarted: raw.flags & abi::flag::RESTARTED != 0,
        spurious: u32::from(raw.spurious).min(raw.retransmits.into()),
        gaps: raw.pauses.into(),
        longest_gap_ns: u64::from(raw.longest_pause) << abi::PAUSE_SHIFT,
    }
}

/// The hold that lasts as the record is written.
fn holding(raw: &abi::Exchange) -> Option<Holding> {
    let reason = hold_reason(raw.holding)?;
    Some(Holding { reason, since_ns: raw.holding_since_ns })
}

/// Holds by reason, with the one that lasts.
fn holds(raw: &abi::Exchange) -> Vec<Hold> {
    let mut holds = Vec::new();
    for (at, &reason) in HOLD_REASONS.iter().enumerate() {
        let mut count = u32::from(raw.held[at]);
        let mut held_ns = u64::from(raw.held_us[at]) * 1_000;
        if usize::from(raw.holding) == at {
            count += 1;
            held_ns = raw.ts_ns.saturating_sub(raw.holding_since_ns).saturating_add(held_ns);
        }
        if count > 0 {
            holds.push(Hold { reason, count, held_ns });
        }
    }
    holds
}

fn pauses(raw: &abi::Exchange) -> Option<Pauses> {
    let complete = raw.flags & abi::flag::PAUSE_UNKNOWN == 0;
    if complete && raw.pause_delay_us == 0 && raw.pause_cpu_us == 0 {
        return None;
    }
    Some(Pauses {
        run_delay_ns: u64::from(raw.pause_delay_us) * 1_000,
        cpu_ns: u64::from(raw.pause_cpu_us) * 1_000,
        complete,
    })
}

//! The compact record of an exchange.

use backscope_abi as abi;

use super::{
    context::Capabilities,
    record::{known, progress as progress_of, role as role_of, round_trip_us},
};
use crate::model::event::{DelayedAcks, Exchange, Inbound, Outbound, ThreadUse};

/// Puts the facts of a compact record in the place of another exchange's.
///
/// Nearly every record is a compact one, and an exchange is too large to be moved about.
pub(super) fn fill(
    exchange: &mut Exchange,
    raw: &abi::CompactExchange,
    capabilities: Capabilities,
) {
    let times = raw.times.map(|since| raw.base_ns.saturating_add(since.into()));
    let [in_first_ns, in_last_ns, read_first_ns, read_last_ns, ..] = times;
    let [.., out_first_ns, out_last_ns, sent_ns, acked_ns] = times;
    // Every field is named, so that nothing stays of the exchange before.
    let Exchange {
        ts_ns,
        sock,
        seq,
        role,
        preexisting,
        progress,
        inbound,
        outbound,
        min_rtt_us,
        delayed_acks,
        end,
        untold,
    } = exchange;
    (*ts_ns, *sock, *seq, *preexisting) = (raw.ts_ns, raw.sock, raw.seq, raw.preexisting != 0);
    (*role, *progress) = (role_of(raw.role), progress_of(raw.progress));
    *min_rtt_us = round_trip_us(raw.min_rtt_us);
    let no_delayed_acks = DelayedAcks::default();
    *delayed_acks = if capabilities.sees_delayed_acks { Some(no_delayed_acks) } else { None };
    *end = None;
    *untold = Some(raw.untold);
    if in_first_ns == 0 {
        *inbound = None;
    } else {
        *inbound.get_or_insert_default() = Inbound {
            first_ns: in_first_ns,
            last_ns: in_last_ns,
            read_first_ns: known(read_first_ns),
            read_last_ns: known(read_last_ns),
            starved_ns: 0,
            bytes: raw.bytes_in.into(),
            unread_bytes: 0,
            left: false,
            reads: raw.reads.into(),
            eagains: raw.eagains.into(),
            reader: thread(&raw.reader, read_first_ns),
        };
    }
    if raw.writes == 0 {
        *outbound = None;
    } else {
        *outbound.get_or_insert_default() = Outbound {
            first_ns: out_first_ns,
            last_ns: out_last_ns,
            sent_ns: known(sent_ns),
            acked_ns: known(acked_ns),
            bytes: raw.bytes_out.into(),
            writes: raw.writes.into(),
            small_writes: raw.small_writes.into(),
            last_sizes: raw.last_sizes,
            writer: thread(&raw.writer, out_last_ns),
            ..Outbound::default()
        };
    }
}

fn thread(raw: &abi::CompactSched, ts_ns: u64) -> Option<ThreadUse> {
    if raw.tid == 0 {
        return None;
    }
    Some(ThreadUse {
        pid: raw.tgid,
        tid: raw.tid,
        since_ns: known(ts_ns.saturating_sub(raw.since_ago_ns.into())),
        run_delay_ns: raw.run_delay_ns.into(),
        cpu_ns: raw.cpu_ns.into(),
    })
}

#[cfg(test)]
mod tests {
    use backscope_abi as abi;

    use super::{super::exchange::exchange, Capabilities, fill};

    #[test]
    fn it_says_what_the_full_record_would() {
        let user =
            |tid| abi::CompactSched { tgid: 7, tid, since_ago_ns: 30, run_delay_ns: 4, cpu_ns: 5 };
        let brief = abi::CompactExchange {
            kind: abi::COMPACT_EXCHANGE,
            seq: 3,
            ts_ns: 9_000_000_000,
            sock: 42,
            base_ns: 1_000,
            role: abi::role::SERVER,
            progress: abi::progress::FOLLOWED,
            preexisting: 1,
            untold: 7,
            min_rtt_us: 11,
            times: [0, 10, 100, 200, 300, u32::MAX, 500, 600],
            bytes_in: 12,
            bytes_out: 13,
            reader: user(8),
            writer: user(9),
            reads: 1,
            eagains: 2,
            writes: 3,
            small_writes: 4,
            last_sizes: [5, 6],
        };
        let last_ns = 1_000 + u64::from(u32::MAX);
        let user =
            |tid, since_ns| abi::SchedDelta { tgid: 7, tid, since_ns, run_delay_ns: 4, cpu_ns: 5 };
        let full = abi::Exchange {
            seq: 3,
            ts_ns: 9_000_000_000,
            sock: 42,
            progress: abi::progress::FOLLOWED,
            preexisting: 1,
            min_rtt_us: 11,
            in_first_ns: 1_000,
            in_last_ns: 1_010,
            read_first_ns: 1_100,
            read_last_ns: 1_200,
            out_first_ns: 1_300,
            out_last_ns: last_ns,
            sent_ns: 1_500,
            acked_ns: 1_600,
            bytes_in: 12,
            bytes_out: 13,
            reader: user(8, 1_070),
            writer: user(9, last_ns - 30),
            reads: 1,
            eagains: 2,
            writes: 3,
            small_writes: 4,
            last_sizes: [5, 6],
            ..abi::Exchange::BLANK
        };
        for sees_delayed_acks in [false, true] {
            let capabilities = Capabilities { tick_ns: 4_000_000, sees_delayed_acks };
            // Whatever was there before.
            let mut other =
                abi::Exchange { fin_by: 1, fin_how: 1, held: [1; _], retransmits: 3, ..full };
            for writes in [3, 0] {
                (other.writes, other.in_first_ns) = (writes, writes.into());
                let mut told = exchange(&other, capabilities);
                fill(&mut told, &brief, capabilities);
                assert_eq!(told.untold.take(), Some(7), "only a compact one says it");
                assert_eq!(told, exchange(&full, capabilities));
            }
            let empty = abi::CompactExchange { writes: 0, base_ns: 0, times: [0; 8], ..brief };
            let mut told = exchange(&full, capabilities);
            fill(&mut told, &empty, capabilities);
            assert!(told.inbound.is_none() && told.outbound.is_none(), "{told:?}");
        }
    }
}

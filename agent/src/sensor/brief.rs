//! The short record of an exchange.

use backscope_abi as abi;

/// The exchange that a brief record tells of.
pub(super) fn in_full(raw: &abi::Brief) -> abi::Exchange {
    let [in_first_ns, in_last_ns, read_first_ns, read_last_ns, out_first_ns, out_last_ns, sent_ns, acked_ns] =
        raw.times.map(|since| raw.base_ns.saturating_add(since.into()));
    let user = |user: &abi::BriefUse, ts_ns: u64| abi::ThreadUse {
        tgid: user.tgid,
        tid: user.tid,
        since_ns: ts_ns.saturating_sub(user.since_ago_ns.into()),
        run_delay_ns: user.run_delay_ns.into(),
        cpu_ns: user.cpu_ns.into(),
    };
    abi::Exchange {
        seq: raw.seq,
        ts_ns: raw.ts_ns,
        sock: raw.sock,
        role: raw.role,
        progress: raw.progress,
        midway: raw.midway,
        min_rtt_us: raw.min_rtt_us,
        in_first_ns,
        in_last_ns,
        read_first_ns,
        read_last_ns,
        out_first_ns,
        out_last_ns,
        sent_ns,
        acked_ns,
        bytes_in: raw.bytes_in.into(),
        bytes_out: raw.bytes_out.into(),
        reader: user(&raw.reader, read_first_ns),
        writer: user(&raw.writer, out_last_ns),
        reads: raw.reads.into(),
        eagains: raw.eagains.into(),
        writes: raw.writes.into(),
        small_writes: raw.small_writes.into(),
        last_sizes: raw.last_sizes,
        ..abi::Exchange::BLANK
    }
}

#[cfg(test)]
mod tests {
    use backscope_abi as abi;

    use super::in_full;

    #[test]
    fn times_count_from_the_base_and_threads_from_their_calls() {
        let user = |tid| abi::BriefUse { tgid: 7, tid, since_ago_ns: 30, run_delay_ns: 4, cpu_ns: 5 };
        let full = in_full(&abi::Brief {
            kind: abi::BRIEF,
            seq: 3,
            ts_ns: 9_000_000_000,
            sock: 42,
            base_ns: 1_000,
            role: abi::role::SERVER,
            progress: abi::progress::FOLLOWED,
            midway: 1,
            _pad: 0,
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
        });
        let times = [full.in_first_ns, full.in_last_ns, full.read_first_ns, full.read_last_ns];
        assert_eq!(times, [1_000, 1_010, 1_100, 1_200]);
        let last_ns = 1_000 + u64::from(u32::MAX);
        let times = [full.out_first_ns, full.out_last_ns, full.sent_ns, full.acked_ns];
        assert_eq!(times, [1_300, last_ns, 1_500, 1_600]);
        assert_eq!((full.reader.tid, full.reader.since_ns, full.reader.cpu_ns), (8, 1_070, 5));
        assert_eq!((full.writer.tid, full.writer.since_ns, full.writer.run_delay_ns), (9, last_ns - 30, 4));
        assert_eq!((full.reads, full.eagains, full.writes, full.small_writes), (1, 2, 3, 4));
        assert_eq!((full.seq, full.ts_ns, full.sock, full.bytes_in, full.bytes_out), (3, 9_000_000_000, 42, 12, 13));
        assert_eq!((full.holding, full.unacked, full.retransmits), (abi::hold::NONE, 0, 0));
    }
}

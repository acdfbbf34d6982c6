//! Compact records: an exchange that was as most are, in less than half the length.

use core::mem::offset_of;

use backscope_abi as abi;
use backscope_abi::{CompactExchange, CompactSched, Exchange, SchedDelta, hold};

use crate::{live::Live, maps::reserve};

/// Bytes of an exchange in which lies what a [`CompactExchange`] tells of. All behind them is blank
/// in one that was sent as one, or written before the next is sent.
pub(crate) const RECORDED: usize = offset_of!(Exchange, ts_ns);

/// Bits that a [`CompactExchange`] has no room for, of all figures. A time of 0, which means "not
/// yet", gives some.
#[inline(always)]
fn excess(exchange: &Exchange, base_ns: u64) -> u64 {
    let since = |ns: u64| ns.wrapping_sub(base_ns);
    let of_thread = |thread: &SchedDelta, ts_ns: u64| {
        let since_ago_ns = ts_ns.wrapping_sub(thread.since_ns);
        since_ago_ns | thread.run_delay_ns | thread.cpu_ns
    };
    let inbound = since(exchange.in_first_ns)
        | since(exchange.in_last_ns)
        | since(exchange.read_first_ns)
        | since(exchange.read_last_ns)
        | exchange.bytes_in
        | of_thread(&exchange.reader, exchange.read_first_ns);
    let outbound = since(exchange.out_first_ns)
        | since(exchange.out_last_ns)
        | since(exchange.sent_ns)
        | since(exchange.acked_ns)
        | exchange.bytes_out
        | of_thread(&exchange.writer, exchange.out_last_ns);
    let counts = exchange.reads | exchange.writes;
    (inbound | outbound) >> 32 | (counts >> 16) as u64
}

/// Not 0 if anything happened that a [`CompactExchange`] does not tell of. An ACK that was delayed
/// before it has been told.
#[inline(always)]
fn unusual(exchange: &Exchange, base_ns: u64) -> u64 {
    let counts = exchange.unread | exchange.unsent | exchange.unacked | exchange.window_jiffies;
    let delayed_ack = (exchange.delayed_ack_ns >= base_ns) as u64;
    let [a, b, c, d, e] = exchange.held;
    let held =
        (a | b | c | d | e | exchange.pauses) as u32 | (exchange.holding ^ hold::NONE) as u32;
    let paused = exchange.pause_delay_us | exchange.pause_cpu_us | exchange.flags as u32;
    delayed_ack
        | exchange.starved_ns
        | exchange.blocked_ns
        | exchange.retransmit_ns
        | (counts | held | paused) as u64
}

#[inline(always)]
fn compact_sched(thread: &SchedDelta, ts_ns: u64) -> CompactSched {
    CompactSched {
        tgid: thread.tgid,
        tid: thread.tid,
        since_ago_ns: ts_ns.wrapping_sub(thread.since_ns) as u32,
        run_delay_ns: thread.run_delay_ns as u32,
        cpu_ns: thread.cpu_ns as u32,
    }
}

/// Returns the earliest time of the exchange, if a [`CompactExchange`] can tell all of it.
#[inline(always)]
pub(crate) fn base_ns(exchange: Live<Exchange>) -> Option<u64> {
    let exchange = &*exchange;
    let (first, other) = (exchange.in_first_ns, exchange.out_first_ns);
    let base_ns = if first < other { first } else { other };
    if base_ns == 0 || excess(exchange, base_ns) | unusual(exchange, base_ns) != 0 {
        return None;
    }
    Some(base_ns)
}

/// Sends the exchange as a compact record. False if the ring is full.
#[inline(always)]
pub(crate) fn emit(exchange: Live<Exchange>, base_ns: u64, untold: u8) -> bool {
    // The exchange is over, and what another processor still writes may be in the record or not.
    let exchange = &*exchange;
    reserve(|mut record: Live<CompactExchange>| {
        let since = |ns: u64| ns.wrapping_sub(base_ns) as u32;
        record.kind = abi::COMPACT_EXCHANGE;
        record.seq = exchange.seq;
        record.ts_ns = exchange.ts_ns;
        record.sock = exchange.sock;
        record.base_ns = base_ns;
        record.role = exchange.role;
        record.progress = exchange.progress;
        record.preexisting = exchange.preexisting;
        record.untold = untold;
        record.min_rtt_us = exchange.min_rtt_us;
        record.times = [
            since(exchange.in_first_ns),
            since(exchange.in_last_ns),
            since(exchange.read_first_ns),
            since(exchange.read_last_ns),
            since(exchange.out_first_ns),
            since(exchange.out_last_ns),
            since(exchange.sent_ns),
            since(exchange.acked_ns),
        ];
        record.bytes_in = exchange.bytes_in as u32;
        record.bytes_out = exchange.bytes_out as u32;
        record.reader = compact_sched(&exchange.reader, exchange.read_first_ns);
        record.writer = compact_sched(&exchange.writer, exchange.out_last_ns);
        record.reads = exchange.reads as u16;
        record.eagains = exchange.eagains;
        record.writes = exchange.writes as u16;
        record.small_writes = exchange.small_writes;
        record.last_sizes = exchange.last_sizes;
    })
}

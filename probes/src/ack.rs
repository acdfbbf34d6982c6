//! Segments sent again, and ACKs that this host delayed.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry},
    programs::{BtfTracePointContext, FEntryContext},
};
use backscope_abi::Connection;

use crate::{
    connection::connection_of,
    era::is_pause,
    event,
    kernel::{config, jiffies, jiffies64, load, now},
    live::Live,
    tcp::tcp_of,
};

/// Segment sent again.
/// proto: 5.10..6.12 include/trace/events/tcp.h: void trace_tcp_retransmit_skb(
///     const struct sock *sk, const struct sk_buff *skb)
/// proto: 6.18..7.3 include/trace/events/tcp.h: void trace_tcp_retransmit_skb(
///     const struct sock *sk, const struct sk_buff *skb, int err)
#[btf_tracepoint(function = "tcp_retransmit_skb")]
fn retransmit(ctx: BtfTracePointContext) -> i32 {
    let (sk, skb): (*mut c_void, *const c_void) = (ctx.arg(0), ctx.arg(1));
    if is_pause() {
        return 0;
    }
    let Some(connection) = connection_of(sk) else { return 0 };
    event::retransmit(connection, sk, skb);
    let mut exchange = connection.exchange();
    if exchange.retransmits == 0 {
        exchange.retransmit_ns = now();
        exchange.dsack_base = load_dsacks(sk);
    }
    exchange.retransmits += 1;

    0
}

/// Low bits of the segments that the peer has told to have had already.
#[inline(always)]
fn load_dsacks(sk: *mut c_void) -> u8 {
    let tp = tcp_of(sk);
    if tp.is_null() { 0 } else { load!(tp, dsack_dups as u32) as u8 }
}

/// An ACK is never delayed by less than `TCP_ATO_MIN`, 40 ms (5.10 to 7.3), less what a timer is
/// early.
const LEAST_NS: u64 = 20_000_000;
/// Nor by more than `TCP_DELACK_MAX`, 200 ms: what leaves later is an answer to something else,
/// such as a probe.
const MOST_NS: u64 = 200_000_000;
/// Delay of a timer on a busy machine, at most.
const LATE_NS: u64 = 50_000_000;
/// Stamps closer than this are of one event.
const SAME_NS: u64 = 1_000_000;
/// A read may be kept from its processor for so long between the ACK that it sends and its return.
const BEFORE_READ_NS: u64 = 5_000_000;

#[inline(always)]
fn note_delayed_ack(mut connection: Live<Connection>, ts_ns: u64, seen: bool) {
    event::delayed_ack(connection, ts_ns, seen);
    let mut exchange = connection.exchange();
    exchange.delayed_acks += 1;
    // The newest arrival that was seen may be older than the data that the ACK is for.
    let waited_ns = ts_ns - connection.arrival_ns;
    exchange.delayed_ack_us +=
        (if waited_ns < MOST_NS { waited_ns } else { MOST_NS } / 1_000) as u32;
    exchange.delayed_ack_ns = ts_ns;
    // The next scan tells of it, whatever the last one showed.
    connection.shown_seq = 0;
}

/// Whether the newest segment left long enough after the newest data to be a delayed ACK that was
/// not counted yet. Returns when it left, or 0; 0 where the timer itself is hooked.
#[inline(always)]
pub(crate) fn left_late(connection: Live<Connection>, tp: *const c_void) -> u64 {
    if config!(delayed_ack_timer) != 0 {
        return 0;
    }
    let (sent_ns, arrival_ns) = (load!(tp, tcp_wstamp_ns as u64), connection.arrival_ns);
    let counted_ns = connection.exchange.delayed_ack_ns;
    if arrival_ns == 0 || sent_ns < arrival_ns + LEAST_NS || sent_ns < counted_ns + LEAST_NS {
        return 0;
    }
    if sent_ns > arrival_ns + MOST_NS + LATE_NS {
        return 0;
    }
    sent_ns
}

/// A delayed ACK has been sent by timer since data came last, as the socket's own stamps tell: its
/// newest segment left long after that, carried no data, and nobody had read just then or closed.
#[inline(always)]
pub(crate) fn settle_delayed_ack(connection: Live<Connection>, tp: *const c_void, ts_ns: u64) {
    let sent_ns = left_late(connection, tp);
    if sent_ns == 0 || connection.exchange.fin_by != 0 {
        return;
    }
    // `__tcp_transmit_skb` notes the jiffy of each segment with data, sent for the first time
    // or again.
    let data_age = jiffies().wrapping_sub(load!(tp, lsndtime as u32)) as u64;
    if data_age * (config!(tick_ns) as u64) < ts_ns.wrapping_sub(sent_ns) + LEAST_NS / 2 {
        return;
    }
    // A read sends an ACK before it returns. Which of several reads did is not known.
    let exchange = connection.exchange();
    if sent_ns + BEFORE_READ_NS < exchange.read_first_ns
        || sent_ns > exchange.read_last_ns + SAME_NS
    {
        note_delayed_ack(connection, sent_ns, false);
    }
}

/// Timer of a delayed ACK. It also fires when no ACK is owed any more, or for an ACK that has left
/// while the next one is not due; it is then set anew.
/// proto: 5.10..7.3 net/ipv4/tcp_timer.c: void tcp_delack_timer_handler(struct sock *sk)
#[fentry(function = "tcp_delack_timer_handler")]
fn delayed_ack(ctx: FEntryContext) -> i32 {
    const ICSK_ACK_SCHED_AND_TIMER: u8 = 3;
    if is_pause() {
        return 0;
    }
    let sk: *mut c_void = ctx.arg(0);
    let Some(connection) = connection_of(sk) else { return 0 };
    let tp = tcp_of(sk);
    if tp.is_null()
        || load!(tp, rcv_nxt as u32) == load!(tp, rcv_wup as u32)
        || load!(tp, ack_pending as u8) & ICSK_ACK_SCHED_AND_TIMER != ICSK_ACK_SCHED_AND_TIMER
    {
        return 0;
    }
    let due = load!(tp, ack_timeout as u64);
    if due != 0 && (due.wrapping_sub(jiffies64()) as i64) > 0 {
        return 0;
    }
    let ts_ns = now();
    if connection.arrival_ns != 0
        && ts_ns > connection.arrival_ns + LEAST_NS
        && ts_ns > connection.exchange.delayed_ack_ns + LEAST_NS
    {
        note_delayed_ack(connection, ts_ns, true);
    }

    0
}

//! Segments sent again, and ACKs that this host delayed.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry},
    programs::{BtfTracePointContext, FEntryContext},
};

use crate::{
    connection::{connection_of, tcp_of},
    kernel::{load, now},
};

/// `tcp_retransmit_skb(sk, skb, …)`.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
fn retransmit(ctx: BtfTracePointContext) -> i32 {
    let connection = connection_of(ctx.arg(0));
    if connection.is_null() {
        return 0;
    }
    // SAFETY: checked for null; the value lives as long as the socket.
    unsafe {
        let exchange = &raw mut (*connection).exchange;
        if (*exchange).retransmits == 0 {
            (*exchange).retransmit_ns = now();
        }
        (*exchange).retransmits += 1;
    }
    0
}

/// `tcp_delack_timer_handler(sk)`: the timer of a delayed ACK. It also fires when nothing is owed any more, and is then
/// set anew; an ACK is never delayed by less than `TCP_ATO_MIN`, 40 ms (5.10 to 7.3).
#[fentry(function = "tcp_delack_timer_handler")]
fn delayed_ack(ctx: FEntryContext) -> i32 {
    const ICSK_ACK_SCHED: u8 = 1;
    const LEAST_NS: u64 = 20_000_000;
    let sk: *mut c_void = ctx.arg(0);
    let connection = connection_of(sk);
    if connection.is_null() {
        return 0;
    }
    let tp = tcp_of(sk);
    if tp.is_null() || load!(tp, rcv_nxt as u32) == load!(tp, rcv_wup as u32) {
        return 0;
    }
    // SAFETY: checked for null; the value lives as long as the socket.
    unsafe {
        let waited_ns = now().wrapping_sub((*connection).arrival_ns);
        if load!(tp, ack_pending as u8) & ICSK_ACK_SCHED != 0 && (*connection).arrival_ns != 0 && waited_ns >= LEAST_NS
        {
            (*connection).delayed_acks += 1;
            (*connection).delayed_ack_us += (waited_ns / 1_000) as u32;
        }
    }
    0
}

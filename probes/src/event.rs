//! Single events of watched connections, where each is asked for: with any other detail nothing of
//! this is left in the programs that call it, and none of the hooks here and in `segment.rs` is
//! attached.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry},
    programs::{BtfTracePointContext, FEntryContext},
};
use backscope_abi as abi;
use backscope_abi::tcp_state::{TCP_CLOSE, TCP_CLOSING, TCP_FIN_WAIT2, TCP_TIME_WAIT};
use backscope_abi::{Connection, counter, event_kind, hold, side};

use crate::{
    connection::connection_of,
    kernel::{config, current, load, now, offset, read},
    live::Live,
    maps::{count, emit_with, ring_waiting},
    tcp::{hold_reason, tcp_of, unread},
};

const MSG_PEEK: u32 = 2;

/// Hands an event to the agent. Single events are the first to be left away.
#[inline(always)]
pub(crate) fn report(
    connection: Live<Connection>,
    name: u8,
    ts_ns: u64,
    tid: u32,
    small: [u8; 3],
    values: [u32; 3],
) {
    let waiting = ring_waiting();
    if waiting > config!(ring_bytes) as u64 / 4 {
        count(counter::SEEN);
        return count(counter::SHED_EVENTS);
    }
    emit_with(|mut record: Live<abi::Event>| {
        record.kind = abi::EVENT;
        record.name = name;
        record.small = small;
        record.ts_ns = ts_ns;
        record.sock = connection.exchange.sock;
        record.tid = tid;
        record.values = values;
    });
}

#[inline(always)]
fn micros(ns: u64) -> u32 {
    let us = ns / 1_000;
    if us > u32::MAX as u64 { u32::MAX } else { us as u32 }
}

/// Time since a stamp that may not have been set, or by another clock a moment ahead.
#[inline(always)]
fn micros_since(since_ns: u64, ts_ns: u64) -> u32 {
    if since_ns == 0 || since_ns > ts_ns { 0 } else { micros(ts_ns - since_ns) }
}

/// Data came into the receive queue.
#[inline(always)]
pub(crate) fn data(connection: Live<Connection>, tp: *const c_void, ts_ns: u64) {
    if config!(events) == 0 {
        return;
    }
    let unread = unread(tp);
    if unread != 0 {
        let small = [load!(tp, ack_quick as u8), load!(tp, ack_pingpong as u8), 0];
        let values = [unread, load!(tp, sk_rmem_alloc as u32), load!(tp, sk_rcvbuf as u32)];
        report(connection, event_kind::DATA, ts_ns, 0, small, values);
    }
}

/// A read returned, with bytes or not.
#[inline(always)]
pub(crate) fn read(mut connection: Live<Connection>, sk: *mut c_void, result: i32, flags: u32) {
    if config!(events) == 0 {
        return;
    }
    let tp = tcp_of(sk);
    if tp.is_null() {
        return;
    }
    let ts_ns = now();
    let name = if flags & MSG_PEEK != 0 { event_kind::PEEK } else { event_kind::READ };
    let waited = micros_since(connection.reading_since_ns, ts_ns);
    connection.reading_since_ns = 0;
    report(connection, name, ts_ns, current() as u32, [0; 3], [result as u32, unread(tp), waited]);
}

/// Read that finds nothing and waits.
/// proto: 5.10..7.3 net/core/sock.c: int sk_wait_data(struct sock *sk, long *timeo,
///     const struct sk_buff *skb)
#[fentry(function = "sk_wait_data")]
fn wait_data(ctx: FEntryContext) -> i32 {
    if let Some(mut connection) = connection_of(ctx.arg(0))
        && connection.reading_since_ns == 0
    {
        connection.reading_since_ns = now();
    }

    0
}

/// A write returned, with bytes or not; to be called before the connection takes note of it.
#[inline(always)]
pub(crate) fn write(connection: Live<Connection>, sk: *mut c_void, result: i32) {
    if config!(events) == 0 {
        return;
    }
    let tp = tcp_of(sk);
    if tp.is_null() {
        return;
    }
    let ts_ns = now();
    let unsent = load!(tp, write_seq as u32).wrapping_sub(load!(tp, snd_nxt as u32));
    let why = if unsent == 0 { hold::NONE } else { hold_reason(tp, unsent) };
    let waited = micros_since(connection.blocked_since_ns, ts_ns);
    report(
        connection,
        event_kind::WRITE,
        ts_ns,
        current() as u32,
        [why, 0, 0],
        [result as u32, unsent, waited],
    );
}

/// Written bytes are held from now on.
#[inline(always)]
pub(crate) fn hold(connection: Live<Connection>, unsent: u32, ts_ns: u64) {
    if config!(events) != 0 {
        let why = connection.exchange.holding;
        report(connection, event_kind::HOLD, ts_ns, 0, [why, 0, 0], [unsent, 0, 0]);
    }
}

/// They have been sent.
#[inline(always)]
pub(crate) fn release(connection: Live<Connection>, why: u8, ts_ns: u64, held_ns: u64) {
    if config!(events) != 0 {
        report(connection, event_kind::RELEASE, ts_ns, 0, [why, 0, 0], [micros(held_ns), 0, 0])
    }
}

/// A delayed ACK was sent by timer: that was seen, or is inferred.
#[inline(always)]
pub(crate) fn delayed_ack(connection: Live<Connection>, ts_ns: u64, seen: bool) {
    if config!(events) != 0 {
        let waited = micros_since(connection.arrival_ns, ts_ns);
        report(connection, event_kind::DELAYED_ACK, ts_ns, 0, [seen as u8, 0, 0], [waited, 0, 0]);
    }
}

/// A segment was sent again.
#[inline(always)]
pub(crate) fn retransmit(connection: Live<Connection>, sk: *const c_void, skb: *const c_void) {
    const CA_STATE: u8 = 31;
    if config!(events) == 0 {
        return;
    }
    let cb = skb.wrapping_byte_add(offset!(skb_cb) as usize);
    let small = [read!(sk, ca_state as u8) & CA_STATE, read!(cb, cb_tcp_flags as u8), 0];
    let values = [read!(skb, skb_len as u32), read!(cb, cb_seq as u32), read!(sk, rto as u32)];
    report(connection, event_kind::RETRANSMIT, now(), 0, small, values);
}

/// Bit of [`Connection::shut`]: a timewait socket was made.
const TIMEWAIT_MADE: u8 = 4;

/// The state of a socket changes.
#[inline(always)]
pub(crate) fn state(sk: *mut c_void, old: u8, new: u8) {
    if config!(events) == 0 {
        return;
    }
    let Some(connection) = connection_of(sk) else { return };
    let shutdown = read!(sk, sk_shutdown as u8);
    let ts_ns = now();
    // The kernel closes the socket once a smaller one stands for it.
    let over = new == TCP_CLOSE
        && (old == TCP_FIN_WAIT2 || old == TCP_CLOSING)
        && read!(sk, sk_err as u32) == 0;
    if over && connection.shut_or_untold & TIMEWAIT_MADE == 0 {
        report(connection, event_kind::STATE, ts_ns, 0, [old, TCP_TIME_WAIT, shutdown], [0; 3]);
    }
    report(connection, event_kind::STATE, ts_ns, 0, [old, new, shutdown], [0, 1, 0]);
}

/// Timewait socket that takes the place of the socket; the second argument is its substate.
/// proto: 5.10..7.3 net/ipv4/tcp_minisocks.c: void tcp_time_wait(struct sock *sk, int state,
///     int timeo)
#[fentry(function = "tcp_time_wait")]
fn time_wait(ctx: FEntryContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    let Some(mut connection) = connection_of(sk) else { return 0 };
    let small = [read!(sk, skc_state as u8), TCP_TIME_WAIT, read!(sk, sk_shutdown as u8)];
    connection.shut_or_untold |= TIMEWAIT_MADE;
    report(connection, event_kind::STATE, now(), 0, small, [ctx.arg(1), 1, 0]);

    0
}

#[inline(always)]
fn reset(sk: *mut c_void, by: u8) {
    // A RST may answer a segment of no connection.
    if sk.is_null() {
        return;
    }
    if let Some(connection) = connection_of(sk) {
        report(connection, event_kind::RESET, now(), 0, [by, 0, 0], [0; 3]);
    }
}

/// RST that this host sends.
/// proto: 5.10..6.1 include/trace/events/tcp.h: void trace_tcp_send_reset(const struct sock *sk,
///     const struct sk_buff *skb)
/// proto: 6.12..7.3 include/trace/events/tcp.h: void trace_tcp_send_reset(const struct sock *sk,
///     const struct sk_buff *skb__nullable, const enum sk_rst_reason reason)
#[btf_tracepoint(function = "tcp_send_reset")]
fn reset_sent(ctx: BtfTracePointContext) -> i32 {
    reset(ctx.arg(0), side::LOCAL);
    0
}

/// RST that the peer sent.
/// proto: 5.10..7.3 include/trace/events/tcp.h: void trace_tcp_receive_reset(struct sock *sk)
#[btf_tracepoint(function = "tcp_receive_reset")]
fn reset_received(ctx: BtfTracePointContext) -> i32 {
    reset(ctx.arg(0), side::PEER);
    0
}

/// The socket goes.
#[inline(always)]
pub(crate) fn destroyed(connection: Live<Connection>) {
    if config!(events) != 0 {
        report(connection, event_kind::DESTROYED, now(), 0, [0; 3], [0; 3]);
    }
}

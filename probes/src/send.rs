//! The application writes; the bytes are sent, or held for a reason, or find no room.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use backscope_abi as abi;
use backscope_abi::errno::{EAGAIN, negative};
use backscope_abi::{Connection, Exchange, SchedDelta, flag, hold, progress, role};

use crate::{
    connection::connection_of,
    datagram,
    era::is_pause,
    event,
    exchange::{finish, record_thread},
    hold::{begin, settle_hold},
    kernel::{config, load, now, sk_of},
    live::Live,
    payload,
    receive::forget_unread,
    tcp::{BULK, sending, tcp_of},
    threads, unstated,
};

/// A write returned.
#[inline(always)]
fn wrote(sk: *mut c_void, result: i32) {
    if is_pause() {
        return;
    }
    let Some(mut connection) = connection_of(sk) else { return datagram::wrote(sk, result) };
    event::write(connection, sk, result);
    if result == negative(EAGAIN) && connection.blocked_since_ns == 0 {
        connection.blocked_since_ns = now();
    }
    if result <= 0 {
        return;
    }
    let tp = tcp_of(sk);
    if tp.is_null() {
        return;
    }
    unstated::settle_connect(sk, connection);
    let unsent = load!(tp, write_seq as u32).wrapping_sub(load!(tp, snd_nxt as u32));
    // What was sent within the call made the socket read the clock.
    let ts_ns = if unsent == 0 { load!(tp, tcp_clock_cache as u64) } else { now() };
    if payload::may_capture(connection, 1) {
        payload::capture(connection, tp, 1, result as u32, ts_ns);
    }
    let mut exchange = connection.exchange();
    let was_held = exchange.holding != hold::NONE;
    settle_hold(connection, tp, ts_ns);
    forget_unread(connection, tp);
    let answered = exchange.role == role::CLIENT && exchange.reads != 0;
    let paused = exchange.writes != 0 && ts_ns > exchange.out_last_ns + PAUSE_NS;
    if paused && !answered {
        pause(connection, tp, result as u32, ts_ns);
    }
    if answered || paused && pushes(connection, was_held, ts_ns) {
        finish(connection, tp, ts_ns, progress::FOLLOWED);
    } else if paused {
        let waiting_ns = connection.blocked_since_ns;
        note_pause(exchange, if waiting_ns != 0 { waiting_ns } else { ts_ns });
    }
    note(connection, sk, tp, result as u32, ts_ns);
    let before = exchange.last_sizes[0];
    if unsent == 0 {
        exchange.sent_ns = ts_ns;
    } else {
        exchange.sent_ns = 0;
        begin(connection, tp, before as u64 | (result as u64) << 32, ts_ns);
    }
}

/// Writes this far apart have something between them, ns.
const PAUSE_NS: u64 = 1_000_000;

/// Whether a write begins an exchange of its own: the one before was long ago, it did not wait for
/// room since, and the bytes of that one have long been sent.
#[inline(always)]
fn pushes(connection: Live<Connection>, was_held: bool, ts_ns: u64) -> bool {
    let waiting_ns = connection.blocked_since_ns;
    let began_ns = if waiting_ns != 0 && waiting_ns < ts_ns { waiting_ns } else { ts_ns };
    !was_held && began_ns > connection.exchange.out_last_ns + abi::BURST_GAP_NS
}

/// A write returned a while after the one before: notes how its thread spent the time, and where
/// nothing told when it began to wait for room, whether it did. A function of its own for the room
/// on the stack.
#[inline(never)]
fn pause(mut connection: Live<Connection>, tp: *const c_void, size: u32, ts_ns: u64) {
    let mut exchange = connection.exchange();
    let mut asleep_ns = ts_ns - exchange.out_last_ns;
    let mut used = SchedDelta::default();
    threads::note(&mut used, ts_ns);
    // Between its writes a thread is not noted while these are close together.
    if used.since_ns != 0 && used.since_ns >= exchange.out_first_ns {
        let delay_ns = if used.run_delay_ns < asleep_ns { used.run_delay_ns } else { asleep_ns };
        asleep_ns -= delay_ns;
        let cpu_ns = if used.cpu_ns < asleep_ns { used.cpu_ns } else { asleep_ns };
        asleep_ns -= cpu_ns;
        exchange.pause_delay_us = exchange.pause_delay_us.saturating_add((delay_ns / 1_000) as u32);
        exchange.pause_cpu_us = exchange.pause_cpu_us.saturating_add((cpu_ns / 1_000) as u32);
    } else {
        exchange.flags |= flag::PAUSE_UNKNOWN;
    }
    let busy = sending(tp).busy;
    let busy_ns = busy.wrapping_sub(connection.busy_base) as u64 * config!(tick_ns) as u64;
    connection.busy_base = busy;
    if connection.blocked_since_ns == 0 && had_no_room(tp, size, busy_ns) {
        let blocked_ns = if asleep_ns < busy_ns { asleep_ns } else { busy_ns };
        connection.blocked_since_ns = ts_ns - blocked_ns;
    }
}

/// Whether a write of this size, before whose return something was out for so long since the last
/// pause, must have waited for room in the send buffer: some of its own bytes are acknowledged
/// already, or the buffer is as full as it is left when a writer is woken
/// (`sk_stream_write_space`). A round trip or two is what any write before it may have taken.
#[inline(always)]
fn had_no_room(tp: *const c_void, size: u32, busy_ns: u64) -> bool {
    let rtt_us = load!(tp, rtt_min as [u32; 2])[1];
    let rtt_ns = if rtt_us == u32::MAX { 0 } else { rtt_us as u64 * 1_000 };
    if busy_ns < 2 * rtt_ns + 2 * config!(tick_ns) as u64 {
        return false;
    }
    let kept = load!(tp, write_seq as u32).wrapping_sub(load!(tp, snd_una as u32));
    let queued = load!(tp, sk_wmem_queued as u32) as u64;
    size as u64 >= BULK && kept < size || queued * 2 >= load!(tp, sk_sndbuf as u32) as u64
}

#[inline(always)]
fn note(
    mut connection: Live<Connection>,
    sk: *const c_void,
    tp: *const c_void,
    size: u32,
    ts_ns: u64,
) {
    let mut exchange = connection.exchange();
    let waiting_ns = connection.blocked_since_ns;
    if waiting_ns != 0 && waiting_ns < ts_ns {
        exchange.blocked_ns += ts_ns - waiting_ns;
    }
    connection.blocked_since_ns = 0;
    if exchange.writes == 0 {
        exchange.out_first_ns = ts_ns;
        if waiting_ns != 0 {
            exchange.out_first_ns = waiting_ns;
        } else if size as u64 >= BULK {
            // The call may have blocked. If nothing was out before, it began when the kernel
            // began to count.
            let sending = sending(tp);
            let waited = if exchange.was_busy != 0 {
                sending.window.wrapping_sub(connection.window_base)
            } else {
                sending.busy.wrapping_sub(connection.busy_base)
            };
            let waited_ns = waited as u64 * config!(tick_ns) as u64;
            if waited_ns < ts_ns {
                exchange.out_first_ns = ts_ns - waited_ns;
                exchange.blocked_ns += waited_ns;
            }
        }
        record_thread(connection, sk, exchange.writer(), ts_ns);
        connection.answered_seq = load!(tp, rcv_nxt as u32);
    }
    exchange.writes += 1;
    if size < abi::SMALL_WRITE {
        exchange.small_writes = exchange.small_writes.saturating_add(1);
    }
    exchange.last_sizes = [exchange.last_sizes[1], size];
    exchange.bytes_out += size as u64;
    exchange.out_last_ns = ts_ns;
    exchange.acked_ns = 0;
    connection.shown_seq = 0;
}

/// Notes how long nothing was written, up to a write that came then.
#[inline(always)]
fn note_pause(mut exchange: Live<Exchange>, ts_ns: u64) {
    let last_ns = exchange.out_last_ns;
    let pause = ts_ns.wrapping_sub(last_ns) >> abi::PAUSE_SHIFT;
    if pause == 0 || ts_ns < last_ns {
        return;
    }
    exchange.pauses = exchange.pauses.saturating_add(1);
    let pause = if pause > u16::MAX as u64 { u16::MAX } else { pause as u16 };
    if pause > exchange.longest_pause {
        exchange.longest_pause = pause;
    }
}

/// Return of a write, from 6.3 on; of sendfile and splice, too.
/// proto: 6.12..7.3 include/trace/events/sock.h: void trace_sock_send_length(struct sock *sk,
///     int ret, int flags)
#[btf_tracepoint(function = "sock_send_length")]
fn send_length(ctx: BtfTracePointContext) -> i32 {
    wrote(ctx.arg(0), ctx.arg(1));
    0
}

/// Return of a write on an IPv4 socket: bytes or error.
/// proto: 5.10..7.3 net/ipv4/af_inet.c: int inet_sendmsg(struct socket *sock, struct msghdr *msg,
///     size_t size)
#[fexit(function = "inet_sendmsg")]
fn sendmsg_v4(ctx: FExitContext) -> i32 {
    wrote(sk_of(ctx.arg(0)), ctx.arg(3));
    0
}

/// Return of a write on an IPv6 socket: bytes or error.
/// proto: 5.10..7.3 net/ipv6/af_inet6.c: int inet6_sendmsg(struct socket *sock, struct msghdr *msg,
///     size_t size)
#[fexit(function = "inet6_sendmsg")]
fn sendmsg_v6(ctx: FExitContext) -> i32 {
    wrote(sk_of(ctx.arg(0)), ctx.arg(3));
    0
}

/// Return of sendfile and splice up to 6.4: bytes or error.
/// proto: 5.10..6.1 net/ipv4/af_inet.c: ssize_t inet_sendpage(struct socket *sock,
///     struct page *page, int offset, size_t size, int flags)
#[fexit(function = "inet_sendpage")]
fn sendpage(ctx: FExitContext) -> i32 {
    wrote(sk_of(ctx.arg(0)), ctx.arg(5));
    0
}

/// Write that waits for room in the send buffer.
/// proto: 5.10..7.3 net/core/stream.c: int sk_stream_wait_memory(struct sock *sk, long *timeo_p)
#[fentry(function = "sk_stream_wait_memory")]
fn wait_memory(ctx: FEntryContext) -> i32 {
    if is_pause() {
        return 0;
    }
    if let Some(mut connection) = connection_of(ctx.arg(0))
        && connection.blocked_since_ns == 0
    {
        connection.blocked_since_ns = now();
    }

    0
}

//! The application writes; the bytes are sent, or held for a reason, or find no room.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use backscope_abi as abi;
use backscope_abi::{Connection, hold, progress, role};

use crate::{
    connection::{BULK, connection_of, finish, note_user, sending, settle_hold, tcp_of},
    datagram, first,
    kernel::{config, load, now, sk_of},
    moment,
    receive::forget_unread,
};

const EAGAIN: i32 = -11;

/// Why the bytes that are written were not sent: the tests of `tcp_write_xmit` in its order (5.10 to 7.3).
#[inline(always)]
pub(crate) fn reason(sk: *mut c_void, tp: *const c_void, unsent: u32) -> u8 {
    const SK_PACING_NEEDED: u32 = 1;
    const TCP_NAGLE_OFF: u8 = 1;
    const TCP_NAGLE_CORK: u8 = 2;
    if load!(sk as *const c_void, sk_pacing_status as u32) == SK_PACING_NEEDED
        && load!(tp, tcp_wstamp_ns as u64) > load!(tp, tcp_clock_cache as u64)
    {
        return hold::PACING;
    }
    let packets = load!(tp, packets_out as u32);
    let left = load!(tp, sacked_out as u32).wrapping_add(load!(tp, lost_out as u32));
    let in_flight = packets.wrapping_sub(left).wrapping_add(load!(tp, retrans_out as u32));
    if in_flight >= load!(tp, snd_cwnd as u32) {
        return hold::CONGESTION;
    }
    let mss = load!(tp, mss_cache as u32);
    let una = load!(tp, snd_una as u32);
    let first = if unsent < mss { unsent } else { mss };
    let window_end = una.wrapping_add(load!(tp, snd_wnd as u32));
    if (load!(tp, snd_nxt as u32).wrapping_add(first).wrapping_sub(window_end) as i32) > 0 {
        return hold::WINDOW;
    }
    if unsent >= mss {
        return hold::PACING;
    }
    let nagle = load!(tp, nonagle as u8) & 15;
    if nagle & TCP_NAGLE_CORK != 0 {
        return hold::CORK;
    }
    // Only a small segment in flight holds the next one (Minshall's change to Nagle's algorithm).
    let small_out = (load!(tp, snd_sml as u32).wrapping_sub(una) as i32) > 0;
    if nagle & TCP_NAGLE_OFF == 0 && packets != 0 && small_out {
        return hold::NAGLE;
    }
    // Nothing else would hold less than a segment but MSG_MORE, which leaves no trace in the socket.
    hold::CORK
}

/// A write returned.
#[inline(always)]
fn wrote(sk: *mut c_void, result: i32) {
    let connection = connection_of(sk);
    if connection.is_null() {
        return datagram::wrote(sk, result);
    }
    // SAFETY: checked for null; the value lives as long as the socket.
    unsafe {
        moment::write(connection, sk, result);
        if result == EAGAIN && (*connection).blocked_since_ns == 0 {
            (*connection).blocked_since_ns = now();
        }
        if result <= 0 {
            return;
        }
        let tp = tcp_of(sk);
        if tp.is_null() {
            return;
        }
        let unsent = load!(tp, write_seq as u32).wrapping_sub(load!(tp, snd_nxt as u32));
        // What was sent within the call made the socket look at the clock.
        let ts_ns = if unsent == 0 { load!(tp, tcp_clock_cache as u64) } else { now() };
        if first::wanted(connection, 1) {
            first::look(connection, tp, 1, result as u32, (*connection).bytes_out + (*connection).exchange.bytes_out);
        }
        settle_hold(connection, tp, ts_ns);
        forget_unread(connection, tp);
        let exchange = &raw mut (*connection).exchange;
        let answered = (*exchange).role == role::CLIENT && (*exchange).reads != 0;
        let pushed = (*exchange).writes != 0 && ts_ns > (*exchange).out_last_ns + abi::BURST_GAP_NS;
        if answered || pushed {
            finish(connection, tp, ts_ns, progress::FOLLOWED);
        }
        note(connection, sk, tp, result as u32, ts_ns);
        let before = (*exchange).last_sizes[0];
        if unsent == 0 {
            (*exchange).sent_ns = ts_ns;
        } else {
            (*exchange).sent_ns = 0;
            if (*exchange).holding == hold::NONE {
                (*exchange).holding = reason(sk, tp, unsent);
                (*exchange).holding_since_ns = ts_ns;
                (*connection).hold_sizes = [before, result as u32];
                moment::hold(connection, unsent, ts_ns);
            }
            (*connection).hold_seq = load!(tp, write_seq as u32);
        }
    }
}

/// # Safety
/// `connection` must point to a live map value.
#[inline(always)]
unsafe fn note(connection: *mut Connection, sk: *const c_void, tp: *const c_void, size: u32, ts_ns: u64) {
    // SAFETY: promised by the caller.
    unsafe {
        let exchange = &raw mut (*connection).exchange;
        let waiting_ns = (*connection).blocked_since_ns;
        if waiting_ns != 0 && waiting_ns < ts_ns {
            (*exchange).blocked_ns += ts_ns - waiting_ns;
        }
        (*connection).blocked_since_ns = 0;
        if (*exchange).writes == 0 {
            (*exchange).out_first_ns = ts_ns;
            if waiting_ns != 0 {
                (*exchange).out_first_ns = waiting_ns;
            } else if size as u64 >= BULK {
                // The call may have blocked. If nothing was out before, it began when the kernel began to count.
                let sending = sending(tp);
                let waited = if (*connection).busy_base == u32::MAX {
                    sending.limited.wrapping_sub((*connection).window_base)
                } else {
                    sending.busy.wrapping_sub((*connection).busy_base)
                };
                let waited_ns = waited as u64 * config!(tick_ns) as u64;
                if waited_ns < ts_ns {
                    (*exchange).out_first_ns = ts_ns - waited_ns;
                    (*exchange).blocked_ns += waited_ns;
                }
            }
            note_user(connection, sk, &raw mut (*exchange).writer, ts_ns);
        }
        (*exchange).writes += 1;
        if size < abi::SMALL_WRITE {
            (*exchange).small_writes += 1;
        }
        (*exchange).last_sizes = [(*exchange).last_sizes[1], size];
        (*exchange).bytes_out += size as u64;
        (*exchange).out_last_ns = ts_ns;
        (*exchange).acked_ns = 0;
        (*connection).shown_seq = 0;
    }
}

/// `sock_send_length(sk, ret, flags)`: from 6.3 on, sendfile and splice too.
#[btf_tracepoint(function = "sock_send_length")]
fn send_length(ctx: BtfTracePointContext) -> i32 {
    wrote(ctx.arg(0), ctx.arg(1));
    0
}

/// `inet_sendmsg(socket, msg, size)` → bytes or error.
#[fexit(function = "inet_sendmsg")]
fn sendmsg_v4(ctx: FExitContext) -> i32 {
    wrote(sk_of(ctx.arg(0)), ctx.arg(3));
    0
}

/// The same for IPv6.
#[fexit(function = "inet6_sendmsg")]
fn sendmsg_v6(ctx: FExitContext) -> i32 {
    wrote(sk_of(ctx.arg(0)), ctx.arg(3));
    0
}

/// `inet_sendpage(socket, page, offset, size, flags)` → bytes or error: sendfile and splice up to 6.4.
#[fexit(function = "inet_sendpage")]
fn sendpage(ctx: FExitContext) -> i32 {
    wrote(sk_of(ctx.arg(0)), ctx.arg(5));
    0
}

/// `sk_stream_wait_memory(sk, timeout)`: a write waits for room in the send buffer.
#[fentry(function = "sk_stream_wait_memory")]
fn wait_memory(ctx: FEntryContext) -> i32 {
    let connection = connection_of(ctx.arg(0));
    // SAFETY: checked for null; the value lives as long as the socket.
    unsafe {
        if !connection.is_null() && (*connection).blocked_since_ns == 0 {
            (*connection).blocked_since_ns = now();
        }
    }
    0
}

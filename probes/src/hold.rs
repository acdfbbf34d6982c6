//! Written bytes are held: for which reason, until when, and whose the time was.

use core::ffi::c_void;

use backscope_abi as abi;
use backscope_abi::{Connection, flag, hold};

use crate::{
    event,
    kernel::{config, load, read},
    live::Live,
    tcp::{hold_reason, reached, sending},
};

/// Ends the hold that lasts, if its bytes have been sent meanwhile; if they are held for another
/// reason by now, that one's time begins.
#[inline(always)]
pub(crate) fn settle_hold(connection: Live<Connection>, tp: *const c_void, ts_ns: u64) {
    if connection.exchange.holding != hold::NONE {
        follow(connection, tp, ts_ns);
    }
}

/// Finds the time at which held bytes were sent by the socket's own stamps: if they were
/// acknowledged, the sending time of what was acknowledged last; if they are in flight, that of the
/// newest segment. A function of its own for the room on the stack.
#[inline(never)]
fn follow(connection: Live<Connection>, tp: *const c_void, ts_ns: u64) {
    let mut exchange = connection.exchange();
    let nxt = load!(tp, snd_nxt as u32);
    if !reached(nxt, connection.hold_seq) {
        let unsent = load!(tp, write_seq as u32).wrapping_sub(nxt);
        let why = hold_reason(tp, unsent);
        if why != exchange.holding {
            end_stretch(connection, tp, ts_ns);
            exchange.holding = why;
            exchange.holding_since_ns = ts_ns;
            event::hold(connection, unsent, ts_ns);
        }
        return;
    }
    let sent_ns = if reached(load!(tp, snd_una as u32), connection.hold_seq) {
        load!(tp, first_tx_mstamp as u64) * 1_000
    } else {
        load!(tp, tcp_wstamp_ns as u64)
    };
    let since_ns = exchange.holding_since_ns;
    let until_ns = if sent_ns < since_ns || sent_ns > ts_ns { ts_ns } else { sent_ns };
    end_stretch(connection, tp, until_ns);
    exchange.sent_ns = until_ns;
    exchange.holding = hold::NONE;
}

/// Counts the time of a hold for one reason. The kernel counts itself for how long the peer's
/// window limited sending: that part is the window's, whatever reason was found. Where the window
/// was the reason and did not limit it any more, the network did.
#[inline(always)]
fn end_stretch(mut connection: Live<Connection>, tp: *const c_void, until_ns: u64) {
    let mut exchange = connection.exchange();
    let (why, since_ns) = (exchange.holding, exchange.holding_since_ns);
    let held_ns = if until_ns > since_ns { until_ns - since_ns } else { 0 };
    let tick_ns = config!(tick_ns) as u64;
    let window = sending(tp).window;
    let limited_ns = window.wrapping_sub(exchange.hold_window) as u64 * tick_ns;
    exchange.hold_window = window;
    let mut by_window_ns = if limited_ns < held_ns { limited_ns } else { held_ns };
    let mut other = why;
    if why == hold::WINDOW {
        if held_ns - by_window_ns <= 2 * tick_ns {
            by_window_ns = held_ns;
        }
        other = hold::CONGESTION;
    }
    if by_window_ns != 0 {
        add(connection, hold::WINDOW, by_window_ns);
    }
    if held_ns > by_window_ns || by_window_ns == 0 {
        add(connection, other, held_ns - by_window_ns);
    }
    exchange.held_last = why + 1;
    event::release(connection, why, until_ns, held_ns);
    if held_ns > connection.longest_hold_ns {
        connection.longest_hold_ns = held_ns;
        exchange.held_sizes = connection.hold_sizes;
    }
}

#[inline(always)]
fn add(connection: Live<Connection>, why: u8, held_ns: u64) {
    let at = if why < hold::PACING { why } else { hold::PACING } as usize;
    let mut exchange = connection.exchange();
    exchange.held_us[at] = exchange.held_us[at].saturating_add(held_ns.div_ceil(1_000) as u32);
    exchange.held[at] += 1;
}

/// Bytes that were just written were not sent: begins a hold, unless one lasts. `sizes` are those
/// of the write before and of this one. A function of its own for the room on the stack.
#[inline(never)]
pub(crate) fn begin(mut connection: Live<Connection>, tp: *const c_void, sizes: u64, ts_ns: u64) {
    let mut exchange = connection.exchange();
    let end = load!(tp, write_seq as u32);
    if exchange.holding == hold::NONE {
        let unsent = end.wrapping_sub(load!(tp, snd_nxt as u32));
        exchange.holding = hold_reason(tp, unsent);
        exchange.holding_since_ns = ts_ns;
        connection.hold_sizes = [sizes as u32, (sizes >> 32) as u32];
        exchange.hold_window = sending(tp).window;
        event::hold(connection, unsent, ts_ns);
    }
    connection.hold_seq = end;
    if exchange.holding == hold::CONGESTION && has_restarted(connection, tp) {
        exchange.flags |= flag::RESTARTED;
    }
}

/// Tells whether the kernel restarted the congestion window with this exchange
/// (`tcp_slow_start_after_idle_check`), on a connection that had sent enough for it to be wider.
#[inline(always)]
fn has_restarted(connection: Live<Connection>, tp: *const c_void) -> bool {
    /// Twice the window that a connection begins with, segments (`TCP_INIT_CWND`).
    const EXPANDED: u64 = 20;
    let before = connection.exchange.sent_before;
    if before == 0 || connection.bytes_out < EXPANDED * load!(tp, mss_cache as u32) as u64 {
        return false;
    }
    let begun = (connection.exchange.out_first_ns / abi::SENT_UNIT_NS) as u32;
    let idle_ns = begun.wrapping_sub(before) as u64 * abi::SENT_UNIT_NS;
    if idle_ns <= load!(tp, rto as u32) as u64 * config!(tick_ns) as u64 {
        return false;
    }
    let ops = load!(tp, icsk_ca_ops as u64) as *const c_void;
    let net = load!(tp, skc_net as u64) as *const c_void;
    read!(ops, ca_cong_control as u64) == 0 && read!(net, net_restart as u8) != 0
}

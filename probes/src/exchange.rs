//! Exchanges: how one is brought up to date from its socket, ends, and is handed to the agent.

use core::ffi::c_void;

use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, helpers::generated};
use backscope_abi as abi;
use backscope_abi::{Connection, Exchange, SchedDelta, counter, flag, hold, progress};

use crate::{
    accept::{self, first_used, is_kept},
    compact,
    hold::settle_hold,
    kernel::{config, load},
    live::Live,
    maps::{EVENTS, count, ring_waiting},
    tcp::{BULK, sending, unread},
    thinning, threads,
};

/// Records the thread of the first read or the first write of an exchange. `slot` must be a part of
/// it.
#[inline(always)]
pub(crate) fn record_thread(
    mut connection: Live<Connection>,
    sk: *const c_void,
    mut slot: Live<SchedDelta>,
    ts_ns: u64,
) {
    threads::note(&mut slot, ts_ns);
    if connection.tgid == 0 {
        connection.tgid = slot.tgid;
        first_used(sk, ts_ns);
    }
}

/// Notes when the last byte was acknowledged, if it has been: the time of the newest ACK that
/// delivered something. It stands until something is sent again.
#[inline(always)]
pub(crate) fn settle_ack(connection: Live<Connection>, tp: *const c_void) {
    let exchange = connection.exchange();
    if exchange.writes != 0 && exchange.acked_ns == 0 {
        settle_ack_of(connection, tp, load!(tp, snd_una as u32), load!(tp, write_seq as u32));
    }
}

/// Notes it of an exchange that has writes; `una` is acknowledged, `end` written.
#[inline(always)]
fn settle_ack_of(connection: Live<Connection>, tp: *const c_void, una: u32, end: u32) {
    let mut exchange = connection.exchange();
    // A FIN that was sent counts as a byte that was written.
    if una == end && exchange.acked_ns == 0 {
        exchange.acked_ns = load!(tp, delivered_mstamp as u64) * 1_000;
        if exchange.sent_ns == 0 {
            exchange.sent_ns = load!(tp, first_tx_mstamp as u64) * 1_000;
        }
    }
}

/// Fills in what is read from the socket when an exchange is sent or shown.
#[inline(always)]
pub(crate) fn refresh_from_socket(connection: Live<Connection>, tp: *const c_void, ts_ns: u64) {
    settle_hold(connection, tp, ts_ns);
    let mut exchange = connection.exchange();
    let (una, nxt, end) =
        (load!(tp, snd_una as u32), load!(tp, snd_nxt as u32), load!(tp, write_seq as u32));
    if exchange.writes != 0 {
        settle_ack_of(connection, tp, una, end);
    }
    exchange.ts_ns = ts_ns;
    exchange.unsent = end.wrapping_sub(nxt);
    // Once the last byte was acknowledged, what is in flight belongs to the exchange that this
    // one is followed by.
    exchange.unacked = if exchange.acked_ns == 0 { nxt.wrapping_sub(una) } else { 0 };
    exchange.unread = unread(tp);
    if exchange.gone != 0 && exchange.unread != 0 {
        // There was a FIN before the RST.
        exchange.unread -= 1;
    }
    exchange.flags &= !flag::LEFT;
    // Who left nothing behind cleared the stamp, and what came since has set it anew.
    let (since_ns, newest_ns) = (connection.unread_since_ns, connection.arrival_ns);
    let read_ns = exchange.read_last_ns;
    if since_ns != 0 && since_ns < read_ns && newest_ns <= read_ns && exchange.unread != 0 {
        exchange.flags |= flag::LEFT;
    }
    exchange.min_rtt_us = load!(tp, rtt_min as [u32; 2])[1];
    if exchange.bytes_out >= BULK || connection.blocked_since_ns != 0 {
        exchange.window_jiffies = sending(tp).window.wrapping_sub(connection.window_base);
    }
    if exchange.retransmits != 0 {
        exchange.spurious = (load!(tp, dsack_dups as u32) as u8).wrapping_sub(exchange.dsack_base);
    }
}

/// Hands the exchange to the agent as it stands, or leaves it untold. True if it was such that a
/// [`abi::CompactExchange`] tells all of it.
#[inline(always)]
fn emit(mut connection: Live<Connection>) -> bool {
    let exchange = connection.exchange();
    let base_ns = compact::base_ns(exchange);
    if let Some(base_ns) = base_ns
        && thinning::leaves_out(connection, base_ns)
    {
        return true;
    }
    count(counter::SEEN);
    let ring_bytes = config!(ring_bytes) as u64;
    let waiting = ring_waiting();
    let begin_ns =
        if exchange.in_first_ns != 0 { exchange.in_first_ns } else { exchange.out_first_ns };
    if waiting > ring_bytes / 4 * 3 {
        count(counter::SHED);
        return false;
    }
    if waiting > ring_bytes / 2 && exchange.ts_ns - begin_ns < abi::SHORT_NS {
        count(counter::SHED_SHORT);
        return false;
    }

    if let Some(base_ns) = base_ns
        && compact::emit(exchange, base_ns, thinning::untold(connection))
    {
        return true;
    }
    // SAFETY: the record is a part of the value, initialised in full.
    let status = unsafe {
        generated::bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            (&raw mut connection.exchange).cast(),
            size_of::<Exchange>() as u64,
            BPF_RB_NO_WAKEUP.into(),
        )
    };
    if status != 0 {
        count(counter::RING_FULL);
    }
    false
}

/// Something is to be told of a connection whose accept is kept: tells that. True if the whole
/// connection is left untold: it is over, and is like most.
#[inline(always)]
fn settle_kept(connection: Live<Connection>, tp: *const c_void) -> bool {
    let is_ordinary = thinning::is_ordinary_connection(connection, tp);
    if is_ordinary && thinning::leaves_out_connection(connection) {
        return true;
    }
    accept::tell(connection, tp, is_ordinary);
    false
}

/// The exchange is over: sends it, and begins the next. A function of its own for the room on the
/// stack: before 6.13 a program and what it calls share 512 bytes.
#[inline(never)]
pub(crate) fn finish(mut connection: Live<Connection>, tp: *const c_void, ts_ns: u64, how: u8) {
    let mut exchange = connection.exchange();
    // Where no byte came and none was written, there is no exchange.
    if exchange.in_first_ns == 0 && exchange.writes == 0 {
        return;
    }
    refresh_from_socket(connection, tp, ts_ns);
    exchange.progress = how;
    if is_kept(connection) && settle_kept(connection, tp) {
        return;
    }
    connection.bytes_in += exchange.bytes_in;
    connection.bytes_out += exchange.bytes_out;
    let is_compact = emit(connection);
    if how == progress::CLOSED {
        return;
    }
    let sending = sending(tp);
    connection.window_base = sending.window;
    connection.busy_base = sending.busy;
    let sent_ns = if exchange.sent_ns != 0 { exchange.sent_ns } else { exchange.out_last_ns };
    let sent = (sent_ns / abi::SENT_UNIT_NS) as u32;
    let sent_before = if sent != 0 { sent } else { exchange.sent_before };
    let (seq, sock, role, fin_by) =
        (exchange.seq + 1, exchange.sock, exchange.role, exchange.fin_by);
    let words = exchange.as_ptr().cast::<u64>();
    if is_compact {
        // What lasts lies behind that.
        // SAFETY: within the exchange, whose fields are plain integers.
        unsafe { core::ptr::write_bytes(words, 0, compact::RECORDED / 8) };
    } else {
        let (acks, ack_ns) = (exchange.delayed_acks, exchange.delayed_ack_ns);
        let ack_us = exchange.delayed_ack_us;
        let (fin_how, fin_ns) = (exchange.fin_how, exchange.fin_ns);
        // SAFETY: as above.
        unsafe { core::ptr::write_bytes(words, 0, size_of::<Exchange>() / 8) };
        exchange.delayed_acks = acks;
        exchange.delayed_ack_ns = ack_ns;
        exchange.delayed_ack_us = ack_us;
        exchange.fin_how = fin_how;
        exchange.fin_ns = fin_ns;
    }
    exchange.kind = abi::EXCHANGE;
    exchange.seq = seq;
    exchange.sock = sock;
    exchange.role = role;
    exchange.fin_by = fin_by;
    exchange.holding = hold::NONE;
    exchange.preexisting = 0;
    exchange.sent_before = sent_before;
    exchange.was_busy = sending.is_busy as u8;
    connection.longest_hold_ns = 0;
}

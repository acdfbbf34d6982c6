//! Eras: to keep to a budget, exchanges are watched for a while, and then not for a while (a
//! pause). The agent takes the hooks of reads and writes off meanwhile. What it cannot take off,
//! and what still runs, asks here.

use core::ffi::c_void;

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use backscope_abi::{Connection, Exchange, ending, hold};

use crate::{
    kernel::config,
    live::Live,
    payload::OVER,
    tcp::{sending, tcp_of},
};

/// Number of the present era: exchanges are watched in even ones, the odd ones are pauses.
#[btf_map]
static ERA: Array<u32, 1> = Array::new();

#[inline(always)]
fn era() -> u16 {
    match ERA.get(0) {
        Some(era) => *era as u16,
        None => 0,
    }
}

/// True while exchanges are not watched.
#[inline(always)]
pub(crate) fn is_pause() -> bool {
    config!(has_pauses) != 0 && era() & 1 != 0
}

/// Notes that a new connection is of this era.
#[inline(always)]
pub(crate) fn begin(mut connection: Live<Connection>) {
    if config!(has_pauses) != 0 {
        connection.era = era();
    }
}

/// Brings a connection into the present era. Nobody knows what happened on it between two of them.
#[inline(always)]
pub(crate) fn at_present(sk: *mut c_void, connection: Live<Connection>) -> Live<Connection> {
    if config!(has_pauses) != 0 && connection.era != era() {
        renew(tcp_of(sk), connection);
    }
    connection
}

/// The same, by what the socket has, or a copy of it.
#[inline(always)]
pub(crate) fn at_present_by(tp: *const c_void, connection: Live<Connection>) -> Live<Connection> {
    if config!(has_pauses) != 0 && connection.era != era() {
        renew(tp, connection);
    }
    connection
}

/// Forgets the exchange in hand, of an earlier era: what comes next may have begun before it is
/// seen. A function of its own for the room on the stack.
#[inline(never)]
fn renew(tp: *const c_void, mut connection: Live<Connection>) {
    let mut exchange = connection.exchange();
    // A connect is watched in pauses, too.
    if exchange.fin_how >= ending::ASKED {
        return;
    }
    connection.era = era();
    let has_begun = exchange.in_first_ns != 0 || exchange.writes != 0;
    let (sock, role, seq) = (exchange.sock, exchange.role, exchange.seq + has_begun as u32);
    let (fin_by, fin_how, fin_ns) = (exchange.fin_by, exchange.fin_how, exchange.fin_ns);
    let (acks, ack_us) = (exchange.delayed_acks, exchange.delayed_ack_us);
    // SAFETY: within the exchange, whose fields are plain integers.
    unsafe {
        core::ptr::write_bytes(exchange.as_ptr().cast::<u64>(), 0, size_of::<Exchange>() / 8)
    };
    exchange.kind = backscope_abi::EXCHANGE;
    exchange.seq = seq;
    exchange.sock = sock;
    exchange.role = role;
    exchange.fin_by = fin_by;
    exchange.fin_how = fin_how;
    exchange.fin_ns = fin_ns;
    exchange.delayed_acks = acks;
    exchange.delayed_ack_us = ack_us;
    exchange.holding = hold::NONE;
    exchange.preexisting = 1;
    connection.preexisting = 1;
    connection.unread_since_ns = 0;
    connection.arrival_ns = 0;
    connection.empty_since_ns = 0;
    connection.blocked_since_ns = 0;
    connection.longest_hold_ns = 0;
    connection.shown_seq = 0;
    connection.answered_seq = 0;
    // What follows is not the beginning of what it says.
    connection.inspected = [OVER; 2];
    if !tp.is_null() {
        let sending = sending(tp);
        connection.window_base = sending.window;
        connection.busy_base = sending.busy;
        exchange.was_busy = sending.is_busy as u8;
    }
}

//! Idle connections: the lasting part of one is compacted to an eighth of the room, until something
//! happens again.

use core::ffi::c_void;

use aya_ebpf::{bindings::BPF_F_NO_PREALLOC, macros::btf_map};
use backscope_abi as abi;
use backscope_abi::{Connection, Idle, counter, hold, role};

use crate::{
    addressed,
    kernel::{load, now},
    live::Live,
    maps::{BLANK_CONNECTION, CONNECTION, count},
    storage::SocketStorage,
    tcp::{sending, unread},
};

/// Idle connections by their socket. It stays when the connection is expanded, and counts only
/// while there is no [`CONNECTION`].
#[btf_map]
static IDLE: SocketStorage<Idle, { BPF_F_NO_PREALLOC as usize }> = SocketStorage::new();

/// No segment must have come or gone for so long, ns: the answer of an exchange does not go on
/// after that, and the agent has taken it for over.
const SILENCE_NS: u64 = 2_000_000_000;

/// True of a connection that was compacted.
#[inline(always)]
pub(crate) fn is_idle(sk: *mut c_void) -> bool {
    IDLE.get(sk, 0).is_some()
}

/// The id of a connection that is idle, or was; 0 of any other socket.
#[inline(always)]
pub(crate) fn sock_of(sk: *mut c_void) -> u64 {
    match IDLE.get(sk, 0) {
        Some(idle) => idle.sock,
        None => 0,
    }
}

/// Gives an idle connection its [`CONNECTION`] again, since something happens on it. `None` of any
/// other socket. A function of its own for the room on the stack.
#[inline(never)]
pub(crate) fn expand(sk: *mut c_void) -> Option<Live<Connection>> {
    let idle = IDLE.find(sk)?;
    let Some(mut connection) = CONNECTION.get_or(sk, &raw const BLANK_CONNECTION) else {
        count(counter::CONNECTIONS_FULL);
        return None;
    };
    let mut exchange = connection.exchange();
    if exchange.sock != 0 {
        // Another processor was faster.
        return Some(connection);
    }
    connection.bytes_in = idle.bytes_in;
    connection.bytes_out = idle.bytes_out;
    connection.window_base = idle.window_base;
    connection.busy_base = idle.busy_base;
    connection.tgid = idle.tgid;
    connection.inspected = idle.inspected;
    connection.preexisting = idle.preexisting & 1;
    connection.shut_or_untold = idle.untold;
    // There is nothing to show yet.
    connection.shown_seq = idle.seq;
    exchange.seq = idle.seq;
    exchange.preexisting = idle.preexisting >> 1;
    exchange.eagains = idle.eagains;
    connection.era = idle.era;
    exchange.delayed_acks = idle.delayed_acks;
    exchange.delayed_ack_us = idle.delayed_ack_us;
    if idle.bytes_out != 0 {
        // For how long it was silent is not kept, but for so long it was.
        exchange.sent_before = (now().saturating_sub(SILENCE_NS) / abi::SENT_UNIT_NS) as u32;
    }
    exchange.sock = idle.sock;
    count(counter::EXPANDED);
    Some(connection)
}

/// Reads the numbers that show that anything came, was written or ended: the socket has changed
/// before any probe hears of it.
#[inline(always)]
fn progress_of(tp: *const c_void) -> [u32; 3] {
    [load!(tp, rcv_nxt as u32), load!(tp, write_seq as u32), ended(tp)]
}

/// Not 0 once either end has closed.
#[inline(always)]
fn ended(tp: *const c_void) -> u32 {
    load!(tp, sk_shutdown as u8) as u32 | load!(tp, sk_err as u32)
}

/// Nothing has happened for a while, and nothing is under way. A client's exchange goes on with a
/// later read.
#[inline(always)]
fn is_silent(connection: Live<Connection>, tp: *const c_void) -> bool {
    let is_empty = load!(tp, rcv_nxt as u32) == load!(tp, copied_seq as u32)
        && load!(tp, write_seq as u32) == load!(tp, snd_una as u32)
        && ended(tp) == 0;
    is_empty
        && connection.exchange.role == role::SERVER
        && connection.exchange.holding == hold::NONE
        && connection.unread_since_ns | connection.blocked_since_ns | connection.exchange.fin_ns
            == 0
        && load!(tp, tcp_clock_cache as u64) + SILENCE_NS < now()
}

/// Compacts a connection if it is idle, the exchange in hand being over and shown. `end` tells
/// the agent that this exchange is over for good; false if it cannot.
///
/// Meanwhile anything may happen on another processor, and be noted in the value that is about to
/// go. So that one is left as it is; and if the socket has moved once nobody can find it any more,
/// it is put back with what came into it.
///
/// `connection` must be that of `sk`, which `tp` must be.
#[inline(always)]
pub(crate) fn compact(
    sk: *mut c_void,
    tp: *const c_void,
    connection: Live<Connection>,
    end: impl FnOnce() -> bool,
) {
    let before = progress_of(tp);
    if !is_silent(connection, tp) {
        return;
    }
    if CONNECTION.get(sk, 0).is_none() {
        return give_storage(sk, tp, connection);
    }
    // Nobody has used it since it has storage.
    addressed::remove(sk as u64);
    let Some(idle) = IDLE.get(sk, 1) else { return };
    let has_exchange = keep(idle, connection, tp);
    CONNECTION.remove(sk);
    if progress_of(tp) == before && (!has_exchange || end()) {
        return count(counter::COMPACTED);
    }
    put_back(sk, tp, connection);
}

/// Copies a connection that is known by the address of its socket into storage, where it is found
/// first from now on. The next scan compacts it: until then a program that has found it before may
/// use it.
#[inline(always)]
fn give_storage(sk: *mut c_void, tp: *const c_void, connection: Live<Connection>) {
    let Some(there) = CONNECTION.get_or(sk, connection.as_ptr()) else {
        return count(counter::CONNECTIONS_FULL);
    };
    note_missed_arrival(there, tp);
}

/// Whoever notes an arrival just now does so in the value that has gone.
#[inline(always)]
fn note_missed_arrival(mut connection: Live<Connection>, tp: *const c_void) {
    if connection.unread_since_ns == 0 && unread(tp) != 0 {
        connection.arrival_ns = load!(tp, tcp_clock_cache as u64);
        connection.unread_since_ns = connection.arrival_ns;
    }
}

/// Copies the lasting part. False if the exchange in hand has not begun.
#[inline(always)]
fn keep(mut idle: Live<Idle>, connection: Live<Connection>, tp: *const c_void) -> bool {
    let exchange = connection.exchange();
    let has_exchange = exchange.in_first_ns != 0 || exchange.writes != 0;
    idle.sock = exchange.sock;
    idle.bytes_in = connection.bytes_in + exchange.bytes_in;
    idle.bytes_out = connection.bytes_out + exchange.bytes_out;
    idle.seq = exchange.seq + has_exchange as u32;
    idle.tgid = connection.tgid;
    idle.delayed_acks = exchange.delayed_acks;
    idle.delayed_ack_us = exchange.delayed_ack_us;
    idle.inspected = connection.inspected;
    idle.untold = connection.shut_or_untold;
    idle.era = connection.era;
    if has_exchange {
        let sending = sending(tp);
        idle.window_base = sending.window;
        idle.busy_base = sending.busy;
        idle.eagains = 0;
        idle.preexisting = connection.preexisting;
    } else {
        idle.window_base = connection.window_base;
        idle.busy_base = connection.busy_base;
        idle.eagains = exchange.eagains;
        idle.preexisting = connection.preexisting | exchange.preexisting << 1;
    }
    has_exchange
}

/// Puts the value of a connection back that something happened on while it was compacted.
#[inline(always)]
fn put_back(sk: *mut c_void, tp: *const c_void, connection: Live<Connection>) {
    if let Some(mut there) = CONNECTION.find(sk) {
        // It was expanded since: the beginning of what expanded it may have been noted before.
        let mut exchange = there.exchange();
        exchange.preexisting = 1;
        if exchange.seq == connection.exchange.seq {
            there.bytes_in += connection.exchange.bytes_in;
            there.bytes_out += connection.exchange.bytes_out;
        }
        return count(counter::COMPACTED);
    }
    let Some(there) = CONNECTION.get_or(sk, connection.as_ptr()) else {
        return count(counter::CONNECTIONS_FULL);
    };
    note_missed_arrival(there, tp);
}

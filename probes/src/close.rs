//! A connection is made by this host, ends, and is destroyed.

use core::{ffi::c_void, mem::MaybeUninit};

use backscope_abi as abi;
use backscope_abi::{Connection, counter, progress, role};

use crate::{
    connection::{connection_of, finish, forget, open, tcp_of},
    kernel::{current, load, now, read, write_ends},
    maps::{cookie_of, count, emit_with, is_target},
    moment,
};

const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_FIN_WAIT1: i32 = 4;
const TCP_CLOSE: i32 = 7;
const TCP_CLOSE_WAIT: i32 = 8;
const ETIMEDOUT: u32 = 110;
const BY_LOCAL: u8 = 1;
const BY_PEER: u8 = 2;
const FIN: u8 = 1;
const RESET: u8 = 2;
const TIMEOUT: u8 = 3;

/// The state of a socket that is no listener's child changes.
#[inline(always)]
pub(crate) fn state_changed(sk: *mut c_void, old: i32, new: i32) {
    if new == TCP_SYN_SENT {
        let tgid = (current() >> 32) as u32;
        if is_target(tgid) {
            open(sk, cookie_of(sk), role::CLIENT, 0, tgid);
            moment::state(sk, old, new);
        }
        return;
    }
    moment::state(sk, old, new);
    let made = old == TCP_SYN_SENT && new == TCP_ESTABLISHED;
    if !made && new != TCP_FIN_WAIT1 && new != TCP_CLOSE_WAIT && new != TCP_CLOSE {
        return;
    }
    let connection = connection_of(sk);
    if connection.is_null() {
        return;
    }
    // SAFETY: checked for null; the value lives as long as the socket.
    unsafe {
        if made {
            return opened(sk, (*connection).exchange.sock, (*connection).tgid);
        }
        if (*connection).fin_by != 0 {
            return;
        }
        let error = load!(sk as *const c_void, sk_err as u32);
        let (by, how) = match new {
            TCP_FIN_WAIT1 => (BY_LOCAL, FIN),
            TCP_CLOSE_WAIT => (BY_PEER, FIN),
            _ if error == ETIMEDOUT => (BY_LOCAL, TIMEOUT),
            _ if error != 0 => (BY_PEER, RESET),
            _ => (BY_LOCAL, RESET),
        };
        (*connection).fin_by = by;
        (*connection).fin_how = how;
        (*connection).fin_ns = now();
    }
}

/// Tells the agent of a connection that a watched process made.
#[inline(always)]
fn opened(sk: *const c_void, sock: u64, tgid: u32) {
    emit_with(|record: *mut abi::Opened| {
        // SAFETY: memory of the ring for one record, every field of which is written here.
        unsafe {
            (*record).kind = abi::OPENED;
            (*record).tgid = tgid;
            (*record).ts_ns = now();
            (*record).sock = sock;
            let mut head = MaybeUninit::uninit();
            write_ends(sk, head.as_mut_ptr(), &raw mut (*record).local, &raw mut (*record).peer);
            (*record).srtt_us = read!(sk, srtt_us as u32);
            (*record)._pad = 0;
        }
    });
}

/// The socket goes: its last exchange is sent, and its totals. A connection that nobody accepted says nothing.
#[inline(always)]
pub(crate) fn destroyed(sk: *mut c_void, connection: *mut Connection, accepted: bool) {
    count(counter::ENDED);
    let tp = tcp_of(sk);
    if accepted && !tp.is_null() {
        // SAFETY: checked for null; the value lives as long as the socket.
        unsafe {
            let ts_ns = now();
            finish(connection, tp, ts_ns, progress::CLOSED);
            let last = &raw const (*connection).exchange;
            let begun = (*last).progress == progress::CLOSED;
            emit_with(|record: *mut abi::Ended| {
                (*record).kind = abi::ENDED;
                (*record).retransmits = load!(tp, total_retrans as u32);
                (*record).ts_ns = ts_ns;
                (*record).sock = (*connection).exchange.sock;
                (*record).fin_ns = (*connection).fin_ns;
                (*record).bytes_in = (*connection).bytes_in;
                (*record).bytes_out = (*connection).bytes_out;
                (*record).exchanges = if begun { (*last).seq } else { (*last).seq - 1 };
                (*record)._pad2 = 0;
                (*record).delayed_acks = (*connection).exchange.delayed_acks;
                (*record).delayed_ack_us = (*connection).exchange.delayed_ack_us;
                (*record).fin_by = (*connection).fin_by;
                (*record).fin_how = (*connection).fin_how;
                (*record)._pad = [0; 6];
            });
        }
    }
    // SAFETY: checked for null; the value lives as long as the socket.
    unsafe { moment::destroyed(connection) };
    forget(sk);
}

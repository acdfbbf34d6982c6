//! What no state change tells: a rush is watched without that hook. How connections began and ended
//! is then taken from their sockets, by the next probe that runs on them.

use core::ffi::c_void;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use backscope_abi::tcp_state::{
    TCP_CLOSE, TCP_CLOSE_WAIT, TCP_CLOSING, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2,
    TCP_LAST_ACK, TCP_TIME_WAIT,
};
use backscope_abi::{Connection, ending, role};

use crate::{
    accept::established_ns,
    close::{BY_LOCAL, BY_PEER, closes},
    connect,
    connection::{born_by_address, connection_of},
    era::{self, is_pause},
    id::cookie_of,
    kernel::{IPPROTO_TCP, config, load, read},
    live::Live,
    suspend::{is_stateless, was_stateless},
};

/// Accept takes a connection that is not known: it is watched from now on.
#[inline(always)]
pub(crate) fn taken_unseen(
    child: *const c_void,
    sock: u64,
    thread: u64,
) -> Option<Live<Connection>> {
    if config!(exchanges) == 0 || is_pause() {
        return None;
    }
    let mut connection = born_by_address(child, sock)?;
    connection.tgid = (thread >> 32) as u32;
    note_early(child, connection);
    Some(connection)
}

/// Notes what came before accept. Nobody has sent anything yet, so that the socket last read its
/// clock when the newest segment came.
#[inline(always)]
fn note_early(child: *const c_void, mut connection: Live<Connection>) {
    let mut unread = read!(child, rcv_nxt as u32).wrapping_sub(read!(child, copied_seq as u32));
    if unread == 0 {
        return;
    }
    let newest_ns = read!(child, tcp_clock_cache as u64);
    if read!(child, skc_state as u8) == TCP_CLOSE_WAIT {
        note_fin(connection, BY_PEER, newest_ns);
        unread -= 1;
    }
    if unread != 0 {
        // With TCP Fast Open this is 0: until the read it is not known when they came.
        connection.unread_since_ns = read!(child, first_data_time as u64) * 1_000;
        connection.arrival_ns = if connection.unread_since_ns != 0 { newest_ns } else { 0 };
    }
}

/// Notes who has closed the connection, if somebody has and no state change told. To be called where
/// its state is not ESTABLISHED.
#[inline(always)]
pub(crate) fn settle_close(connection: Live<Connection>, tp: *const c_void, ts_ns: u64) {
    if connection.exchange.fin_by != 0 {
        return;
    }
    match load!(tp, skc_state as u8) {
        TCP_CLOSE_WAIT | TCP_LAST_ACK => note_fin(connection, BY_PEER, ts_ns),
        TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_CLOSING | TCP_TIME_WAIT => {
            note_fin(connection, BY_LOCAL, fin_sent_ns(tp));
        }
        _ => {}
    }
}

/// The peer's FIN is in order: `tcp_fin` sets it (5.10 to 7.3).
#[inline(always)]
fn peer_has_closed(tp: *const c_void) -> bool {
    const SOCK_DONE: u64 = 1 << 1;
    load!(tp, skc_flags as u64) & SOCK_DONE != 0
}

#[inline(always)]
fn note_fin(connection: Live<Connection>, by: u8, ts_ns: u64) {
    let mut exchange = connection.exchange();
    exchange.fin_by = by;
    exchange.fin_how = ending::FIN;
    exchange.fin_ns = ts_ns;
}

/// When this host's FIN was sent. Once that is acknowledged the socket has it: no segment was
/// acknowledged that was sent later (`tcp_rate_skb_delivered`, 5.10 to 7.3). Until then it is taken
/// to be its newest segment.
#[inline(always)]
fn fin_sent_ns(tp: *const c_void) -> u64 {
    if load!(tp, snd_una as u32) == load!(tp, write_seq as u32) {
        load!(tp, first_tx_mstamp as u64) * 1_000
    } else {
        load!(tp, tcp_wstamp_ns as u64)
    }
}

/// The socket goes, and nobody is known to have closed. Errors and RSTs have been told, and the
/// peer's FIN where data are seen. So it was this host, by a FIN, if that was sent while no state
/// change was seen. Of a connection that was not always watched it is not known whether the peer's
/// came before.
#[inline(always)]
pub(crate) fn settle_end(connection: Live<Connection>, tp: *const c_void) {
    let exchange = connection.exchange();
    // A connect that is not over, or failed, has no FIN.
    if exchange.fin_by != 0 || exchange.fin_how != 0 {
        return;
    }
    if connection.preexisting != 0 && peer_has_closed(tp) {
        return;
    }
    let fin_ns = fin_sent_ns(tp);
    if fin_ns != 0 && was_stateless(fin_ns) {
        note_fin(connection, BY_LOCAL, fin_ns);
    }
}

/// Tells of a connect that was made, if no state change told.
#[inline(always)]
pub(crate) fn settle_connect(sk: *mut c_void, connection: Live<Connection>) {
    if connection.exchange.role == role::CLIENT && connection.exchange.fin_how >= ending::ASKED {
        note_made(sk, connection);
    }
}

/// A function of its own for the room on the stack.
#[inline(never)]
fn note_made(sk: *mut c_void, connection: Live<Connection>) {
    let made_ns = established_ns(sk);
    if made_ns == 0 {
        return;
    }
    if connection.exchange.fin_how == ending::ASKED {
        connect::again(connection, cookie_of(sk), connection.tgid);
    }
    connect::made(sk, connection, made_ns);
    // It may have been used in a pause.
    let _ = era::at_present(sk, connection);
}

/// The socket of a connect goes that was neither made nor seen to fail. Tells of it.
#[inline(always)]
pub(crate) fn connect_ends(sk: *mut c_void, connection: Live<Connection>, tp: *const c_void) {
    let has_gone_out = !tp.is_null() && load!(tp, segs_out as u32) != 0;
    if connection.exchange.fin_how == ending::ASKED && !has_gone_out {
        connect::unrouted(connection);
    } else {
        connect::failed(sk, connection, true);
    }
}

/// This host resets a connection of its own accord, and no state change told.
#[inline(always)]
pub(crate) fn resets(sk: *mut c_void) {
    if sk.is_null() || !is_stateless() || !has_ended(sk) {
        return;
    }
    let Some(connection) = connection_of(sk) else { return };
    let by = connection.exchange.fin_by;
    if by != BY_LOCAL {
        closes(sk, connection, if by == BY_PEER { TCP_CLOSE_WAIT } else { TCP_ESTABLISHED });
    }
}

/// True of a TCP socket whose connection is over.
#[inline(always)]
fn has_ended(sk: *mut c_void) -> bool {
    let sk = sk as *const c_void;
    load!(sk, sk_protocol as u16) == IPPROTO_TCP && load!(sk, skc_state as u8) == TCP_CLOSE
}

/// A socket has an error. If its connection has ended by that, and no state change told, notes it.
/// The application has not closed it yet: it would not be told.
/// proto: 6.1..7.3 include/trace/events/sock.h: void trace_inet_sk_error_report(
///     const struct sock *sk)
#[btf_tracepoint(function = "inet_sk_error_report")]
fn error_report(ctx: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    if config!(exchanges) == 0 || !is_stateless() || !has_ended(sk) {
        return 0;
    }
    if load!(sk as *const c_void, sk_err as u32) == 0 {
        return 0;
    }
    let Some(connection) = connection_of(sk) else { return 0 };
    match connection.exchange.fin_how {
        ending::ASKED | ending::SENT => connect::failed(sk, connection, false),
        0 | ending::FIN => closes(sk, connection, TCP_ESTABLISHED),
        // It has been told: `tcp_disconnect`, too, reports an error once it has sent its RST.
        _ => {}
    }
    0
}

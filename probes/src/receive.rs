//! Data arrives, waits in the receive queue, and is read.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use backscope_abi as abi;
use backscope_abi::errno::{EAGAIN, negative};
use backscope_abi::tcp_state::TCP_ESTABLISHED;
use backscope_abi::{Connection, progress, role};

use crate::{
    ack::settle_delayed_ack,
    close::{BY_LOCAL, BY_PEER, lingers},
    connection::connection_of,
    datagram,
    era::is_pause,
    event,
    exchange::{finish, record_thread, settle_ack},
    hold::settle_hold,
    kernel::{load, now, sk_of},
    live::Live,
    payload,
    tcp::{reached, tcp_of, unread},
    unstated,
};

const MSG_PEEK: u32 = 2;
const MSG_ERRQUEUE: u32 = 0x2000;

/// There is something new to read. The socket read the clock when the segment came, just now.
#[inline(always)]
fn arrived(sk: *mut c_void) {
    if is_pause() {
        return;
    }
    let Some(mut connection) = connection_of(sk) else { return datagram::arrived(sk) };
    let tp = tcp_of(sk);
    if tp.is_null() || load!(tp, rcv_nxt as u32) == load!(tp, copied_seq as u32) {
        return;
    }
    // The application reads from another socket, that of Multipath TCP: nobody sees what becomes of
    // these data.
    if load!(tp, is_mptcp as u8) != 0 {
        return;
    }
    let ts_ns = load!(tp, tcp_clock_cache as u64);
    settle_hold(connection, tp, ts_ns);
    // What the segment acknowledged has been taken in before its data (`tcp_rcv_established`,
    // `tcp_data_queue`).
    settle_ack(connection, tp);
    settle_delayed_ack(connection, tp, ts_ns);
    unstated::settle_connect(sk, connection);
    if load!(tp, skc_state as u8) != TCP_ESTABLISHED {
        unstated::settle_close(connection, tp, ts_ns);
        if is_end(connection, tp) {
            return;
        }
    }
    if connection.exchange.fin_by == BY_LOCAL && connection.exchange.role == role::SERVER {
        lingers(sk, tp, connection, ts_ns);
    }
    connection.arrival_ns = ts_ns;
    if connection.unread_since_ns == 0 {
        connection.unread_since_ns = ts_ns;
    }
    let mut exchange = connection.exchange();
    let begins =
        exchange.in_first_ns == 0 && (exchange.writes == 0 || exchange.role == role::CLIENT);
    // A server that has closed cannot answer what comes then.
    if begins && (exchange.fin_by != BY_LOCAL || exchange.role == role::CLIENT) {
        exchange.in_first_ns = connection.unread_since_ns;
        exchange.in_last_ns = ts_ns;
    }
    event::data(connection, tp, ts_ns);
}

/// The application answers, and nothing is unread: what was there has been taken by a read that is
/// not seen on this kernel, or whose probe the kernel skipped. The data that come next have not
/// waited since then.
#[inline(always)]
pub(crate) fn forget_unread(mut connection: Live<Connection>, tp: *const c_void) {
    if connection.unread_since_ns != 0 && unread(tp) == 0 {
        connection.unread_since_ns = 0;
    }
}

/// Nothing came but the peer's FIN: that is no data. Behind data that wait to be read it is not
/// told from more of them, so that only what came first counts.
#[inline(always)]
fn is_end(connection: Live<Connection>, tp: *const c_void) -> bool {
    unread(tp) == 0 || connection.exchange.fin_by == BY_PEER && connection.unread_since_ns != 0
}

/// Something to read, from 6.3 on.
/// proto: 6.12..7.3 include/trace/events/sock.h: void trace_sk_data_ready(const struct sock *sk)
#[btf_tracepoint(function = "sk_data_ready")]
fn data_ready(ctx: BtfTracePointContext) -> i32 {
    arrived(ctx.arg(0));
    0
}

/// Something to read: `sk_data_ready` points here on every TCP socket that no kernel module took
/// over.
/// proto: 5.10..7.3 net/core/sock.c: void sock_def_readable(struct sock *sk)
#[fentry(function = "sock_def_readable")]
fn def_readable(ctx: FEntryContext) -> i32 {
    arrived(ctx.arg(0));
    0
}

/// A read returned.
#[inline(always)]
fn read(sk: *mut c_void, result: i32, flags: u32) {
    if flags & MSG_ERRQUEUE != 0 || is_pause() {
        return;
    }
    let Some(connection) = connection_of(sk) else {
        if flags & MSG_PEEK == 0 {
            datagram::read(sk, result);
        }
        return;
    };
    event::read(connection, sk, result, flags);
    if flags & MSG_PEEK != 0 {
        return;
    }
    let mut exchange = connection.exchange();
    if result == negative(EAGAIN) {
        exchange.eagains = exchange.eagains.saturating_add(1);
    }
    if result <= 0 {
        return;
    }
    let tp = tcp_of(sk);
    if tp.is_null() {
        return;
    }
    let ts_ns = now();
    if payload::may_capture(connection, 0) {
        payload::capture(connection, tp, 0, result as u32, ts_ns);
    }
    let since_ns = connection.unread_since_ns;
    let mut since_ns = if since_ns == 0 { ts_ns } else { since_ns };
    if exchange.role == role::SERVER && exchange.writes != 0 {
        if load!(tp, skc_state as u8) != TCP_ESTABLISHED {
            unstated::settle_close(connection, tp, ts_ns);
        }
        if is_late(connection, tp, since_ns) {
            return take_late(connection, tp, result as u32, ts_ns);
        }
        // Where data never ran out, the oldest stamp is of some that have been read.
        if since_ns < exchange.out_first_ns {
            since_ns = exchange.out_first_ns;
        }
        finish(connection, tp, ts_ns, progress::FOLLOWED);
    }
    if exchange.reads == 0 {
        exchange.in_first_ns = since_ns;
        exchange.read_first_ns = ts_ns;
        record_thread(connection, sk, exchange.reader(), ts_ns);
    } else if connection.empty_since_ns != 0 && since_ns > connection.empty_since_ns {
        exchange.starved_ns += since_ns - connection.empty_since_ns;
    }
    let is_remainder = is_remainder(connection, tp, result as u64);
    exchange.reads += 1;
    exchange.bytes_in += result as u64;
    if is_remainder {
        // Its reader had the request by then, and has worked on it.
        return note_rest(connection, tp, ts_ns);
    }
    exchange.read_last_ns = ts_ns;
    let arrival_ns = connection.arrival_ns;
    exchange.in_last_ns = if arrival_ns < since_ns { since_ns } else { arrival_ns };
    note_rest(connection, tp, ts_ns);
}

/// Tells whether a read took the small remainder of a request, all of it, that its reader had left
/// there when it read before: such as the end of a stream in a framing of its own (FastCGI), which
/// nobody needs to begin with the work.
#[inline(always)]
fn is_remainder(connection: Live<Connection>, tp: *const c_void, size: u64) -> bool {
    let exchange = connection.exchange();
    exchange.role == role::SERVER
        && exchange.reads != 0
        && connection.empty_since_ns == 0
        && connection.arrival_ns <= exchange.read_last_ns
        && size * abi::REMAINDER < exchange.bytes_in
        && unread(tp) == 0
}

/// Notes whether a read has left anything to be read.
#[inline(always)]
fn note_rest(mut connection: Live<Connection>, tp: *const c_void, ts_ns: u64) {
    if unread(tp) == 0 {
        connection.unread_since_ns = 0;
        connection.empty_since_ns = ts_ns;
    } else {
        connection.empty_since_ns = 0;
    }
}

/// All that was just read had come before the answer began, or cannot be answered any more: it
/// belongs to the exchange that is under way. Both the numbers and the stamps say so: what a quick
/// peer sends next may come before the write returns.
#[inline(always)]
fn is_late(connection: Live<Connection>, tp: *const c_void, since_ns: u64) -> bool {
    let exchange = connection.exchange();
    exchange.fin_by == BY_LOCAL
        || since_ns < exchange.out_first_ns
            && reached(connection.answered_seq, load!(tp, copied_seq as u32))
}

/// Counts a read that belongs to an exchange whose answer has begun. Its times stay: they end with
/// the answer.
#[inline(always)]
fn take_late(mut connection: Live<Connection>, tp: *const c_void, size: u32, ts_ns: u64) {
    connection.exchange.reads += 1;
    connection.exchange.bytes_in += size as u64;
    connection.shown_seq = 0;
    note_rest(connection, tp, ts_ns);
}

/// Return of a read, from 6.3 on.
/// proto: 6.12..7.3 include/trace/events/sock.h: void trace_sock_recv_length(struct sock *sk,
///     int ret, int flags)
#[btf_tracepoint(function = "sock_recv_length")]
fn recv_length(ctx: BtfTracePointContext) -> i32 {
    read(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

/// Return of a read on an IPv4 socket: bytes or error.
/// proto: 5.10..7.3 net/ipv4/af_inet.c: int inet_recvmsg(struct socket *sock, struct msghdr *msg,
///     size_t size, int flags)
#[fexit(function = "inet_recvmsg")]
fn recvmsg_v4(ctx: FExitContext) -> i32 {
    read(sk_of(ctx.arg(0)), ctx.arg(4), ctx.arg(3));
    0
}

/// Return of a read on an IPv6 socket: bytes or error.
/// proto: 5.10..7.3 net/ipv6/af_inet6.c: int inet6_recvmsg(struct socket *sock, struct msghdr *msg,
///     size_t size, int flags)
#[fexit(function = "inet6_recvmsg")]
fn recvmsg_v6(ctx: FExitContext) -> i32 {
    read(sk_of(ctx.arg(0)), ctx.arg(4), ctx.arg(3));
    0
}

/// Return of a splice from a socket, which `sock_recv_length` does not show: bytes or error.
/// proto: 5.10..7.3 net/ipv4/tcp.c: ssize_t tcp_splice_read(struct socket *sock, loff_t *ppos,
///     struct pipe_inode_info *pipe, size_t len, unsigned int flags)
#[fexit(function = "tcp_splice_read")]
fn splice_read(ctx: FExitContext) -> i32 {
    read(sk_of(ctx.arg(0)), ctx.arg(5), 0);
    0
}

//! A connection ends, and is destroyed; what comes after that.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry},
    programs::{BtfTracePointContext, FEntryContext},
};
use backscope_abi as abi;
use backscope_abi::errno::{ECONNABORTED, ECONNREFUSED, ECONNRESET, EPIPE, ETIMEDOUT};
use backscope_abi::tcp_state::{
    TCP_CLOSE, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_LISTEN, TCP_SYN_SENT,
    TCP_TIME_WAIT,
};
use backscope_abi::{Connection, Exchange, Queued, counter, ending, progress, role, why};

use crate::{
    accept::{is_kept, tell_kept},
    connect::{self, SHUT},
    connection::{connection_at_end, connection_of, forget},
    era::{self, is_pause},
    event,
    exchange::finish,
    kernel::{
        config, jiffies, load, local_of, now, payload_of, peer_of, read, receiver_of, sender_of,
    },
    listen::ends_unseen,
    live::{Find, Live},
    maps::{LISTENERS, QUEUED, add, count, emit_with},
    queue::{may_wait, peer_left},
    suspend::{is_rush, is_stateless, suspended_since},
    target::is_served,
    tcp::{tcp_of, unread},
    unstated,
};

pub(crate) const BY_LOCAL: u8 = 1;
pub(crate) const BY_PEER: u8 = 2;

/// The state of a socket that is no listener's child changes. A function of its own for the room on
/// the stack.
#[inline(never)]
pub(crate) fn state_changed(sk: *mut c_void, old: u8, new: u8) {
    if new == TCP_SYN_SENT {
        connect::asked(sk);
        event::state(sk, old, new);
        return;
    }
    event::state(sk, old, new);
    let made = old == TCP_SYN_SENT && new == TCP_ESTABLISHED;
    if !made && new != TCP_FIN_WAIT1 && new != TCP_CLOSE_WAIT && new != TCP_CLOSE {
        return;
    }
    // What ends without an error once this host has closed has told all before.
    if new == TCP_CLOSE && ends_quietly(sk, old) {
        return;
    }
    let Some(connection) = connection_of(sk) else { return };
    peer_left(sk, Some(connection), new);
    match () {
        () if made => {
            era::begin(connection);
            connect::made(sk, connection, now());
        }
        () if old == TCP_SYN_SENT => {
            let closed = load!(sk as *const c_void, sk_shutdown as u8) & SHUT == SHUT;
            connect::failed(sk, connection, closed);
        }
        () if new == TCP_CLOSE => closes(sk, connection, old),
        () if connection.exchange.fin_by == 0 => {
            let mut exchange = connection.exchange();
            exchange.fin_by = if new == TCP_FIN_WAIT1 { BY_LOCAL } else { BY_PEER };
            exchange.fin_how = ending::FIN;
            exchange.fin_ns = now();
        }
        () => {}
    }
}

/// A socket goes to CLOSE, without an error, from a state in which this host has closed.
#[inline(always)]
fn ends_quietly(sk: *mut c_void, old: u8) -> bool {
    !matches!(old, TCP_ESTABLISHED | TCP_SYN_SENT | TCP_CLOSE_WAIT)
        && load!(sk as *const c_void, sk_err as u32) == 0
}

/// The connection goes from `old` to CLOSE. With an error the kernel or the peer ended it. Without
/// one, and before this host had closed, close reset it (`__tcp_close`, 5.10 to 7.3): since data
/// were unread, or for SO_LINGER with a time of 0.
#[inline(always)]
pub(crate) fn closes(sk: *mut c_void, mut connection: Live<Connection>, old: u8) {
    let error = load!(sk as *const c_void, sk_err as u32);
    tell_kept(connection, sk);
    let (by, how, why) = match error {
        // `ends_quietly` has sent all other states away.
        0 => {
            let unread = note_lost(sk, connection, old);
            (BY_LOCAL, ending::RESET, if unread != 0 { why::UNREAD } else { why::LINGER })
        }
        EPIPE | ECONNRESET | ECONNREFUSED => (BY_PEER, ending::RESET, why::RESET),
        ECONNABORTED => (BY_LOCAL, ending::RESET, why::ABORTED),
        ETIMEDOUT => (BY_LOCAL, ending::TIMEOUT, given_up(sk)),
        _ => (BY_LOCAL, ending::TIMEOUT, why::UNREACHABLE),
    };
    connection.why = why | connection.why & why::LATE;
    let mut exchange = connection.exchange();
    if exchange.fin_by == 0 {
        exchange.fin_by = by;
        exchange.fin_how = how;
        exchange.fin_ns = now();
    } else if exchange.fin_by == BY_PEER && exchange.fin_how == ending::FIN && error != 0 {
        exchange.gone = 1;
    }
}

/// Tells what the kernel got no answer to: what was sent, or else its keepalive probes.
#[inline(always)]
fn given_up(sk: *mut c_void) -> u8 {
    let unacked = read!(sk, write_seq as u32) != read!(sk, snd_una as u32);
    if unacked { why::UNACKNOWLEDGED } else { why::KEEPALIVE }
}

/// This host resets the connection: notes what is lost by that. Returns the bytes unread; the
/// peer's FIN has a number, too.
#[inline(always)]
fn note_lost(sk: *mut c_void, mut connection: Live<Connection>, old: u8) -> u32 {
    let mut unread = read!(sk, rcv_nxt as u32).wrapping_sub(read!(sk, copied_seq as u32));
    if old == TCP_CLOSE_WAIT && unread != 0 {
        unread -= 1;
    }
    let unacked = read!(sk, write_seq as u32).wrapping_sub(read!(sk, snd_una as u32));
    connection.reading_since_ns = (unacked as u64) << 32 | unread as u64;
    unread
}

/// Jiffies from the newest data of a connection to its end, which was `since_ns` ago.
#[inline(always)]
fn idle_jiffies(tp: *const c_void, since_ns: u64) -> u32 {
    let now = jiffies();
    let (sent, came) = (
        now.wrapping_sub(load!(tp, lsndtime as u32)),
        now.wrapping_sub(load!(tp, lrcvtime as u32)),
    );
    let age = if sent < came { sent } else { came };
    // A division that may panic makes a function that the verifier refuses.
    let since = since_ns.checked_div(config!(tick_ns) as u64).unwrap_or(0) as u32;
    if age > since { age - since } else { 0 }
}

/// A request came after the last answer, while this host could answer it still, and nobody has read
/// it.
#[inline(always)]
pub(crate) fn is_next_unread(connection: Live<Connection>, tp: *const c_void) -> bool {
    let (last, since_ns) = (connection.exchange(), connection.unread_since_ns);
    last.role == role::SERVER
        && last.writes != 0
        && since_ns > last.out_last_ns
        && (last.fin_by != BY_LOCAL || since_ns < last.fin_ns)
        && unread(tp) != 0
}

/// The socket goes: its last exchange is sent, and its totals. A connection that nobody accepted
/// says nothing.
#[inline(always)]
pub(crate) fn destroyed(sk: *mut c_void, mut connection: Live<Connection>, accepted: bool) {
    count(counter::ENDED);
    let tp = tcp_of(sk);
    unstated::settle_connect(sk, connection);
    if !tp.is_null() {
        unstated::settle_end(connection, tp);
    }
    let how = connection.exchange.fin_how;
    if how >= ending::ASKED {
        unstated::connect_ends(sk, connection, tp);
    } else if accepted && how != ending::NEVER && !tp.is_null() {
        let ts_ns = now();
        if is_next_unread(connection, tp) {
            let (since_ns, newest_ns) = (connection.unread_since_ns, connection.arrival_ns);
            finish(connection, tp, ts_ns, progress::FOLLOWED);
            connection.exchange.in_first_ns = since_ns;
            connection.exchange.in_last_ns = newest_ns;
        }
        let idle = idle_jiffies(tp, ts_ns - connection.exchange.fin_ns);
        let unseen = connection.unread_since_ns != 0 && connection.exchange.reads == 0;
        finish(connection, tp, ts_ns, progress::CLOSED);
        if is_kept(connection) {
            if connection.exchange.progress == progress::CLOSED {
                // It was left untold.
                return forget(sk, connection);
            }
            tell_kept(connection, sk);
        }
        let last = connection.exchange();
        let begun = last.progress == progress::CLOSED;
        emit_with(|mut record: Live<abi::Ended>| {
            record.kind = abi::ENDED;
            record.retransmits = load!(tp, total_retrans as u32);
            record.ts_ns = ts_ns;
            record.sock = connection.exchange.sock;
            record.fin_ns = last.fin_ns;
            record.bytes_in = connection.bytes_in;
            record.bytes_out = connection.bytes_out;
            record.exchanges = if begun { last.seq } else { last.seq - 1 };
            record.idle_jiffies = if last.fin_by == 0 { 0 } else { idle };
            record.delayed_acks = connection.exchange.delayed_acks;
            record.delayed_ack_us = connection.exchange.delayed_ack_us;
            record.fin_by = last.fin_by;
            record.fin_how = last.fin_how;
            record.why = connection.why & !(why::LATE | why::KEPT);
            let is_lost = record.why == why::UNREAD || record.why == why::LINGER;
            let lost = if is_lost { connection.reading_since_ns } else { 0 };
            record.unread = lost as u32;
            record.unacked = (lost >> 32) as u32;
            let unanswered = begun && is_unanswered(last);
            let client = last.role == role::CLIENT;
            let asked_ns = if client { last.out_first_ns } else { last.in_first_ns };
            record.asked_ns = if unanswered { asked_ns } else { 0 };
            record.unanswered = unanswered as u8;
            record.min_rtt_us = load!(tp, rtt_min as [u32; 2])[1];
            record._pad2 = 0;
            record.unseen = unseen as u8;
            record.multipath = load!(tp, is_mptcp as u8);
            record.in_pause = is_pause() as u8;
            record._pad = 0;
        });
    }
    event::destroyed(connection);
    forget(sk, connection);
}

/// The request of an exchange went all the way, and no part of the response.
#[inline(always)]
fn is_unanswered(exchange: Live<Exchange>) -> bool {
    match exchange.role {
        role::CLIENT => exchange.writes != 0 && exchange.reads == 0,
        _ => exchange.writes == 0,
    }
}

/// The kernel answers this segment by a RST. Tells of it if it has data for a port that is listened
/// on: they came when the connection was closed here, whatever stands for it by now.
#[inline(always)]
fn came_late(sk: *const c_void, skb: *const c_void) {
    // A RST of this host's own accord answers no segment.
    if skb.is_null() {
        return;
    }
    let state = if sk.is_null() { 0 } else { read!(sk, skc_state as u8) };
    if !matches!(state, 0 | TCP_CLOSE | TCP_TIME_WAIT | TCP_LISTEN) {
        return;
    }
    let bytes = payload_of(skb);
    let local = receiver_of(skb);
    if bytes == 0 || !is_served(local.port) {
        return;
    }
    emit_with(|mut record: Live<abi::Late>| {
        record.kind = abi::LATE;
        record.bytes = bytes;
        record.ts_ns = now();
        record.local = local;
        record.peer = sender_of(skb);
        record.sock = 0;
        record.idle_ns = 0;
    });
}

/// Data come to a connection of a server that has sent its FIN, and reads on (a lingering close):
/// tells of the first of them, unless the close left a request unanswered. A function of its own
/// for the room on the stack.
///
/// `connection` must be that of `sk`, which `tp` must be.
#[inline(never)]
pub(crate) fn lingers(
    sk: *const c_void,
    tp: *const c_void,
    mut connection: Live<Connection>,
    ts_ns: u64,
) {
    let last = connection.exchange();
    if connection.why & why::LATE != 0 || last.writes == 0 && last.in_first_ns != 0 {
        return;
    }
    connection.why |= why::LATE;
    let mut active_ns = connection.arrival_ns;
    if active_ns < last.out_last_ns {
        active_ns = last.out_last_ns;
    }
    if active_ns < last.read_last_ns {
        active_ns = last.read_last_ns;
    }
    if active_ns == 0 {
        // What it did before it was idle is not kept.
        let age = jiffies().wrapping_sub(load!(tp, lsndtime as u32));
        active_ns = ts_ns.saturating_sub(age as u64 * config!(tick_ns) as u64);
    }
    let (fin_ns, sock) = (last.fin_ns, last.sock);
    let bytes = unread(tp);
    emit_with(|mut record: Live<abi::Late>| {
        record.kind = abi::LATE;
        record.bytes = bytes;
        record.ts_ns = ts_ns;
        record.local = local_of(sk);
        record.peer = peer_of(sk);
        record.sock = sock;
        record.idle_ns = if fin_ns > active_ns { fin_ns - active_ns } else { 0 };
    });
}

/// RST that answers a segment, up to 6.9 only on full sockets; or that this host sends of its own
/// accord.
/// proto: 5.10..6.1 include/trace/events/tcp.h: void trace_tcp_send_reset(const struct sock *sk,
///     const struct sk_buff *skb)
/// proto: 6.12..7.3 include/trace/events/tcp.h: void trace_tcp_send_reset(const struct sock *sk,
///     const struct sk_buff *skb__nullable, const enum sk_rst_reason reason)
#[btf_tracepoint(function = "tcp_send_reset")]
fn late(ctx: BtfTracePointContext) -> i32 {
    let skb: *const c_void = ctx.arg(1);
    if skb.is_null() {
        unstated::resets(ctx.arg(0));
    } else {
        came_late(ctx.arg(0), skb);
    }
    0
}

/// RST that answers a segment over IPv4.
/// proto: 5.10..6.1 net/ipv4/tcp_ipv4.c: void tcp_v4_send_reset(const struct sock *sk,
///     struct sk_buff *skb)
/// proto: 6.12..7.3 net/ipv4/tcp_ipv4.c: void tcp_v4_send_reset(const struct sock *sk,
///     struct sk_buff *skb, enum sk_rst_reason reason)
#[fentry(function = "tcp_v4_send_reset")]
fn late_v4(ctx: FEntryContext) -> i32 {
    came_late(ctx.arg(0), ctx.arg(1));
    0
}

/// RST that answers a segment over IPv6.
/// proto: 5.10..6.1 net/ipv6/tcp_ipv6.c: void tcp_v6_send_reset(const struct sock *sk,
///     struct sk_buff *skb)
/// proto: 6.12..7.3 net/ipv6/tcp_ipv6.c: void tcp_v6_send_reset(const struct sock *sk,
///     struct sk_buff *skb, enum sk_rst_reason reason)
#[fentry(function = "tcp_v6_send_reset")]
fn late_v6(ctx: FEntryContext) -> i32 {
    came_late(ctx.arg(0), ctx.arg(1));
    0
}

/// End of a socket. If the connection is still in an accept queue, nobody will accept it any more;
/// or it was accepted by a call that nothing showed.
/// proto: 5.10..7.3 include/trace/events/tcp.h: void trace_tcp_destroy_sock(struct sock *sk)
#[btf_tracepoint(function = "tcp_destroy_sock")]
fn destroy(ctx: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    let connection = if config!(exchanges) != 0 { connection_at_end(sk) } else { None };
    let is_taken = connection.is_some_and(|connection| connection.tgid != 0);
    let told = !is_taken && is_stateless() && ends_unseen(sk);
    let mut queued = Queued::default();
    if !told
        && may_wait(sk, connection)
        && let Some(known) = QUEUED.find(sk as u64)
    {
        queued = *known;
    }
    // SAFETY: a local. Volatile since the compiler would make a copy of all below for each outcome.
    let listener = unsafe { (&raw const queued.listener).read_volatile() };
    if let Some(connection) = connection {
        decided!("tcp_destroy_sock", sk, "a watched connection ends");
        // In a rush nothing is kept of it while it is queued, but accept leaves its mark.
        let accepted = listener == 0 && !told && !(connection.tgid == 0 && is_rush());
        destroyed(sk, connection, accepted);
    }
    if listener == 0 {
        return 0;
    }
    decided!("tcp_destroy_sock", sk, "it was not seen to be accepted");
    let _ = QUEUED.remove(sk as u64);
    let Some(mut listener) = LISTENERS.find(listener) else { return 0 };
    let closed = listener.closed_ns != 0;
    if !closed {
        // It was accepted: what nobody accepts stays in the queue, even without a peer, until the
        // listener ends (`inet_csk_listen_stop`, 5.10 to 7.3).
        add(&raw mut listener.accepted, 1);
        count(counter::LEFT_UNSEEN);
        return 0;
    }
    if suspended_since(queued.queued_ns) && !is_rush() {
        // It may have been accepted by a call that nothing showed.
        count(counter::LEFT_UNSEEN);
        return 0;
    }
    add(&raw mut listener.abandoned, 1);
    if queued.gone == 0 {
        add(&raw mut listener.cut, 1);
    }
    0
}

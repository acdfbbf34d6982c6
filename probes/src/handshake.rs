//! From SYN to accept queue: SYN queue, syncookies, overflow at both stages, and entry into the
//! accept queue.

use core::ffi::c_void;

use aya_ebpf::{
    btf_maps::PerCpuArray,
    macros::{btf_map, btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use backscope_abi as abi;
use backscope_abi::tcp_state::TCP_NEW_SYN_RECV;
use backscope_abi::{Endpoint, Listener, stage};

use crate::{
    id::cookie_of,
    kernel::{
        accept_depth, accept_limit, config, now, payload_of, peer_of, read, segments_of, sender_of,
        syn_depth,
    },
    listener::{listener_at, note_depth},
    live::{Find, Live},
    maps::{LISTENERS, add, emit},
    queue::enqueue,
};

/// The SYN that this CPU is working on: a CPU handles one at a time, since the stack does it with
/// softirqs off.
#[repr(C)]
struct InHand {
    /// Id of the listener; 0 for a SYN to an unwatched one.
    listener: u64,
    /// The kernel answered it: by a request in the SYN queue, by a cookie, or by a child (TCP Fast
    /// Open).
    answered: u32,
    /// The accept queue was full when it came.
    overflow: u32,
}

#[btf_map]
static IN_HAND: PerCpuArray<InHand, 1> = PerCpuArray::new();

#[inline(always)]
fn in_hand() -> Option<Live<InHand>> {
    IN_HAND.find(0)
}

#[inline(always)]
fn refuse(id: u64, sk: *const c_void, stage: u32, peer: Endpoint, bytes: u32) {
    emit(&abi::Overflow {
        kind: abi::OVERFLOW,
        stage,
        ts_ns: now(),
        listener: id,
        peer,
        depth: accept_depth(sk),
        limit: accept_limit(sk),
        syn_depth: syn_depth(sk),
        bytes,
    });
}

/// SYN at the listener `sk`, already the winner of its SO_REUSEPORT group.
/// proto: 5.10..7.3 net/ipv4/tcp_input.c: int tcp_conn_request(struct request_sock_ops *rsk_ops,
///     const struct tcp_request_sock_ops *af_ops, struct sock *sk, struct sk_buff *skb)
#[fentry(function = "tcp_conn_request")]
fn conn_request(ctx: FEntryContext) -> i32 {
    let sk: *const c_void = ctx.arg(2);
    let Some(mut hand) = in_hand() else { return 0 };
    let Some((id, listener)) = listener_at(sk) else {
        hand.listener = 0;
        return 0;
    };
    let overflow = arrived(sk, id, listener, ctx.arg(3));
    hand.listener = id;
    hand.answered = 0;
    hand.overflow = overflow as u32;

    0
}

#[inline(always)]
fn arrived(sk: *const c_void, id: u64, mut listener: Live<Listener>, skb: *const c_void) -> bool {
    add(&raw mut listener.syns, 1);
    let depth = note_depth(listener, sk, 0);
    if config!(events) != 0 {
        emit(&abi::Syn {
            kind: abi::SYN,
            tfo_bytes: payload_of(skb),
            ts_ns: now(),
            listener: id,
            peer: sender_of(skb),
            depth,
            syn_depth: syn_depth(sk),
        });
    }
    if depth <= accept_limit(sk) || full_without_cookies(sk) {
        return false;
    }
    add(&raw mut listener.overflow_syn, 1);
    refuse(id, sk, stage::SYN, sender_of(skb), payload_of(skb));
    true
}

/// The SYN queue is full and syncookies are off: `tcp_conn_request` drops the SYN before it tests
/// the accept queue, and does not count it as a listen overflow (`net/ipv4/tcp_input.c`, 5.10 to
/// 7.3).
#[inline(always)]
fn full_without_cookies(sk: *const c_void) -> bool {
    let net = read!(sk, skc_net as u64) as *const c_void;
    read!(net, net_syncookies as u8) == 0 && syn_depth(sk) > accept_limit(sk)
}

/// End of the SYN's processing. A SYN that was neither answered nor refused for a full accept queue
/// was dropped for want of room in the SYN queue, of memory or of a route. The function itself
/// always returns 0.
/// proto: 5.10..7.3 net/ipv4/tcp_input.c: int tcp_conn_request(struct request_sock_ops *rsk_ops,
///     const struct tcp_request_sock_ops *af_ops, struct sock *sk, struct sk_buff *skb)
#[fexit(function = "tcp_conn_request")]
fn conn_request_done(ctx: FExitContext) -> i32 {
    let Some(hand) = in_hand() else { return 0 };
    let (id, settled) = (hand.listener, hand.answered | hand.overflow);
    if id == 0 || settled != 0 {
        return 0;
    }
    if let Some(mut listener) = LISTENERS.find(id) {
        add(&raw mut listener.syn_dropped, 1);
        refuse(id, ctx.arg(2), stage::SYN_QUEUE, Endpoint::default(), u32::MAX);
    }
    0
}

#[inline(always)]
fn answered() {
    if let Some(mut hand) = in_hand() {
        hand.answered = 1;
    }
}

/// Request that enters the SYN queue.
/// proto: 5.10 net/ipv4/inet_connection_sock.c: void inet_csk_reqsk_queue_hash_add(struct sock *sk,
///     struct request_sock *req, unsigned long timeout)
/// proto: 6.1..6.18 net/ipv4/inet_connection_sock.c: bool inet_csk_reqsk_queue_hash_add(
///     struct sock *sk, struct request_sock *req, unsigned long timeout)
/// proto: 7.0..7.3 net/ipv4/inet_connection_sock.c: bool inet_csk_reqsk_queue_hash_add(
///     struct sock *sk, struct request_sock *req)
#[fentry(function = "inet_csk_reqsk_queue_hash_add")]
fn syn_queued(_ctx: FEntryContext) -> i32 {
    answered();
    0
}

#[inline(always)]
fn cookie_sent() -> i32 {
    answered();
    let Some(hand) = in_hand() else { return 0 };
    if let Some(mut listener) = LISTENERS.find(hand.listener) {
        add(&raw mut listener.cookies_sent, 1);
    }
    0
}

/// SYN answered by a syncookie: the kernel calls this for nothing else.
/// proto: 5.10..7.3 net/ipv4/syncookies.c: __u32 cookie_v4_init_sequence(const struct sk_buff *skb,
///     __u16 *mssp)
#[fentry(function = "cookie_v4_init_sequence")]
fn cookie_v4(_ctx: FEntryContext) -> i32 {
    cookie_sent()
}

/// IPv6 SYN answered by a syncookie.
/// proto: 5.10..7.3 net/ipv6/syncookies.c: __u32 cookie_v6_init_sequence(const struct sk_buff *skb,
///     __u16 *mssp)
#[fentry(function = "cookie_v6_init_sequence")]
fn cookie_v6(_ctx: FEntryContext) -> i32 {
    cookie_sent()
}

/// Counts a final ACK that was ignored: the kernel made no child while the accept queue was full.
#[inline(always)]
fn final_ack(
    sk: *const c_void,
    skb: *const c_void,
    req: *const c_void,
    child: u64,
    v6: bool,
) -> i32 {
    const AF_INET6: u16 = 10;
    // The IPv6 function calls the IPv4 one for IPv4-mapped peers, which has then reported it.
    if child != 0 || v6 != (read!(req, skc_family as u16) == AF_INET6) {
        return 0;
    }
    let Some((id, mut listener)) = listener_at(sk) else { return 0 };
    let depth = note_depth(listener, sk, 0);
    if depth > accept_limit(sk) {
        add(&raw mut listener.overflow_ack, 1);
        refuse(id, sk, stage::ACK, peer_of(req), payload_of(skb));
    }
    0
}

/// proto: 5.10, 6.1.176, 6.12.107, 6.18.15 net/ipv4/tcp_ipv4.c: struct sock *tcp_v4_syn_recv_sock(
///     const struct sock *sk, struct sk_buff *skb, struct request_sock *req, struct dst_entry *dst,
///     struct request_sock *req_unhash, bool *own_req)
#[fexit(function = "tcp_v4_syn_recv_sock")]
fn final_ack_v4_6(ctx: FExitContext) -> i32 {
    final_ack(ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(6), false)
}

/// proto: 5.10, 6.1.176, 6.12.107, 6.18.15 net/ipv6/tcp_ipv6.c: struct sock *tcp_v6_syn_recv_sock(
///     const struct sock *sk, struct sk_buff *skb, struct request_sock *req, struct dst_entry *dst,
///     struct request_sock *req_unhash, bool *own_req)
#[fexit(function = "tcp_v6_syn_recv_sock")]
fn final_ack_v6_6(ctx: FExitContext) -> i32 {
    final_ack(ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(6), true)
}

/// Final ACK on kernels whose function has a seventh argument, so that its result is in another
/// slot. Stable updates brought it to older series, too.
/// proto: 6.1.192, 6.12.118, 6.18.44..7.3 net/ipv4/tcp_ipv4.c: struct sock *tcp_v4_syn_recv_sock(
///     const struct sock *sk, struct sk_buff *skb, struct request_sock *req, struct dst_entry *dst,
///     struct request_sock *req_unhash, bool *own_req,
///     void (*opt_child_init)(struct sock *newsk, const struct sock *sk))
#[fexit(function = "tcp_v4_syn_recv_sock")]
fn final_ack_v4_7(ctx: FExitContext) -> i32 {
    final_ack(ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(7), false)
}

/// proto: 6.1.192, 6.12.118, 6.18.44..7.3 net/ipv6/tcp_ipv6.c: struct sock *tcp_v6_syn_recv_sock(
///     const struct sock *sk, struct sk_buff *skb, struct request_sock *req, struct dst_entry *dst,
///     struct request_sock *req_unhash, bool *own_req,
///     void (*opt_child_init)(struct sock *newsk, const struct sock *sk))
#[fexit(function = "tcp_v6_syn_recv_sock")]
fn final_ack_v6_7(ctx: FExitContext) -> i32 {
    final_ack(ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(7), true)
}

/// `sk_drops` of the listener when this CPU began to check a final ACK.
#[btf_map]
static DROPS_BEFORE: PerCpuArray<u32, 1> = PerCpuArray::new();

/// Segment for a connection in the SYN queue.
/// proto: 5.10..6.12 net/ipv4/tcp_minisocks.c: struct sock *tcp_check_req(struct sock *sk,
///     struct sk_buff *skb, struct request_sock *req, bool fastopen, bool *req_stolen)
#[fentry(function = "tcp_check_req")]
fn check_req(ctx: FEntryContext) -> i32 {
    let sk: *const c_void = ctx.arg(0);
    let drops = read!(sk, sk_drops as u32);
    if let Some(mut before) = DROPS_BEFORE.find(0) {
        *before = drops;
    }
    0
}

/// Final ACK ignored for want of room: no child, a full queue, and a drop counted in between. Other
/// segments that yield no child (a SYN sent again, a bare ACK under TCP_DEFER_ACCEPT) count their
/// drop later, or none.
/// proto: 5.10..6.12 net/ipv4/tcp_minisocks.c: struct sock *tcp_check_req(struct sock *sk,
///     struct sk_buff *skb, struct request_sock *req, bool fastopen, bool *req_stolen)
#[fexit(function = "tcp_check_req")]
fn check_req_done(ctx: FExitContext) -> i32 {
    let (sk, skb, req): (*const c_void, *const c_void, *const c_void) =
        (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    let Some(before) = DROPS_BEFORE.get(0).copied() else { return 0 };
    if read!(sk, sk_drops as u32) == before {
        return 0;
    }
    const AF_INET6: u16 = 10;
    final_ack(sk, skb, req, ctx.arg(5), read!(req, skc_family as u16) == AF_INET6)
}

/// Final ACK to a syncookie up to 6.7, which `tcp_check_req` does not see. Without a child the
/// request is freed by now, so that the sender is read from the packet.
/// proto: 5.10..6.1 net/ipv4/syncookies.c: struct sock *tcp_get_cookie_sock(struct sock *sk,
///     struct sk_buff *skb, struct request_sock *req, struct dst_entry *dst, u32 tsoff)
#[fexit(function = "tcp_get_cookie_sock")]
fn cookie_child(ctx: FExitContext) -> i32 {
    let sk: *const c_void = ctx.arg(0);
    if ctx.arg::<u64>(5) != 0 {
        return 0;
    }
    let Some((id, mut listener)) = listener_at(sk) else { return 0 };
    if note_depth(listener, sk, 0) > accept_limit(sk) {
        add(&raw mut listener.overflow_ack, 1);
        let skb = ctx.arg(1);
        refuse(id, sk, stage::ACK, sender_of(skb), payload_of(skb));
    }
    0
}

/// Packet dropped with a reason. From 6.18 on the fourth argument is the listener, and the reason
/// names an overflow at the final ACK. A SYN dropped for a full queue does not come here: those are
/// the rest of `sk_drops`.
/// proto: 6.18..7.0 include/trace/events/skb.h: void trace_kfree_skb(struct sk_buff *skb,
///     void *location, enum skb_drop_reason reason, struct sock *rx_sk)
/// proto: 7.2..7.3 include/trace/events/skb.h: void trace_kfree_skb(struct sk_buff *skb,
///     void *location, enum skb_drop_reason reason, const struct sock *rx_sk)
#[btf_tracepoint(function = "kfree_skb")]
fn drop_reason(ctx: BtfTracePointContext) -> i32 {
    let reason = ctx.arg::<u32>(2);
    let overflow = reason == config!(drop_listen_overflow);
    let (no_child, other) =
        (reason == config!(drop_no_socket), reason == config!(drop_not_specified));
    if !overflow && !no_child && !other {
        return 0;
    }
    let (skb, sk): (*const c_void, *const c_void) = (ctx.arg(0), ctx.arg(3));
    // The verifier wants to see this, though no null is in the map.
    if sk.is_null() {
        return 0;
    }
    let Some((id, mut listener)) = listener_at(sk) else { return 0 };
    explain(listener, skb, overflow, no_child);
    let depth = note_depth(listener, sk, 0);
    // A client that was answered by a syncookie has no request: its ACK, and all that it sends
    // after that, is refused here (`cookie_v4_check`). The reason is one of any failure; somebody
    // may have accepted in between.
    if other || no_child && depth < accept_limit(sk) {
        return 0;
    }
    add(&raw mut listener.overflow_ack, 1);
    refuse(id, sk, stage::ACK, sender_of(skb), payload_of(skb));
    0
}

/// Counts what a dropped packet has added to `sk_drops`: 1 for the child that there was no room for
/// (`tcp_listendrop`), and where a request took the packet 1 for each of its segments
/// (`sk_drops_skbadd` in `tcp_v4_rcv`).
#[inline(always)]
fn explain(mut listener: Live<Listener>, skb: *const c_void, overflow: bool, no_child: bool) {
    if config!(counts_drops) == 0 {
        return;
    }
    let mut drops = (overflow | no_child) as u64;
    if !no_child {
        drops += segments_of(skb) as u64;
    }
    add(&raw mut listener.explained, drops);
}

/// Normal way into the accept queue.
/// proto: 5.10..7.3 net/ipv4/inet_connection_sock.c: struct sock *inet_csk_complete_hashdance(
///     struct sock *sk, struct sock *child, struct request_sock *req, bool own_req)
#[fexit(function = "inet_csk_complete_hashdance")]
fn hashdance(ctx: FExitContext) -> i32 {
    let (sk, child): (*const c_void, *mut c_void) = (ctx.arg(0), ctx.arg(1));
    if ctx.arg::<u64>(4) == 0 {
        return 0;
    }
    let Some(listener) = listener_at(sk) else { return 0 };
    decided!("inet_csk_complete_hashdance", child, "queued");
    enqueue(listener, child, cookie_of(child), 0);
    0
}

/// Way into the accept queue for TCP Fast Open and syncookies; on 5.10 for all connections.
/// proto: 5.10..7.3 net/ipv4/inet_connection_sock.c: struct sock *inet_csk_reqsk_queue_add(
///     struct sock *sk, struct request_sock *req, struct sock *child)
#[fentry(function = "inet_csk_reqsk_queue_add")]
fn queue_add(ctx: FEntryContext) -> i32 {
    let (sk, child): (*const c_void, *mut c_void) = (ctx.arg(0), ctx.arg(2));
    let Some(listener) = listener_at(sk) else { return 0 };
    answered();
    decided!("inet_csk_reqsk_queue_add", child, "queued");
    enqueue(listener, child, cookie_of(child), 1);
    0
}

/// The request whose SYN-ACK this CPU sent last: stacked devices show one packet several times.
#[btf_map]
static LAST_ANSWERED: PerCpuArray<[u64; 2], 1> = PerCpuArray::new();

/// SYN-ACK that leaves: the SYN that it answers arrived just now. The tracepoint sees every packet
/// of the machine, so that it is attached only when SYNs are asked for one by one.
/// proto: 5.10..7.3 include/trace/events/net.h: void trace_net_dev_queue(struct sk_buff *skb)
#[btf_tracepoint(function = "net_dev_queue")]
fn synack(ctx: BtfTracePointContext) -> i32 {
    let skb: *const c_void = ctx.arg(0);
    let req = read!(skb, skb_sk as u64) as *const c_void;
    if req.is_null() || read!(req, skc_state as u8) != TCP_NEW_SYN_RECV {
        return 0;
    }
    let sk = read!(req, skc_listener as u64) as *const c_void;
    let Some((id, listener)) = listener_at(sk) else { return 0 };
    if repeated(req) {
        return 0;
    }
    note_depth(listener, sk, 0);
    emit(&abi::Syn {
        kind: abi::SYN,
        tfo_bytes: u32::MAX,
        ts_ns: now(),
        listener: id,
        peer: peer_of(req),
        depth: accept_depth(sk),
        syn_depth: syn_depth(sk),
    });
    0
}

/// Tells a SYN-ACK on another device, or sent again: `snt_synack` keeps the time of the first, and
/// the shortest time to the second is 200 ms (`TCP_RTO_MIN`).
#[inline(always)]
fn repeated(req: *const c_void) -> bool {
    const AGAIN_US: u64 = 100_000;
    let first_us = read!(req, snt_synack as u64);
    if first_us != 0 && now() / 1_000 > first_us + AGAIN_US {
        return true;
    }
    let Some(mut last) = LAST_ANSWERED.find(0) else { return false };
    // The address alone would not do: the next request may lie where the last one lay.
    let this = [req as u64, first_us];
    let same = *last == this;
    *last = this;
    same
}

/// SYN-ACK sent again. `num_retrans` is still the count before this one.
/// proto: 5.10..7.3 include/trace/events/tcp.h: void trace_tcp_retransmit_synack(
///     const struct sock *sk, const struct request_sock *req)
#[btf_tracepoint(function = "tcp_retransmit_synack")]
fn retransmit_synack(ctx: BtfTracePointContext) -> i32 {
    let (sk, req): (*const c_void, *const c_void) = (ctx.arg(0), ctx.arg(1));
    let Some((id, mut listener)) = listener_at(sk) else { return 0 };
    add(&raw mut listener.synack_retransmits, 1);
    if read!(req, req_acked as u8) & config!(acked_bit) != 0 {
        add(&raw mut listener.synack_acked, 1);
    }
    let is_full = note_depth(listener, sk, 0) > accept_limit(sk);
    let ignored = is_full && answered_in_vain(sk, req);
    if ignored || config!(events) != 0 {
        emit(&abi::Retransmit {
            kind: abi::RETRANSMIT,
            before: read!(req, req_num_retrans as u8) as u32,
            ts_ns: now(),
            listener: id,
            peer: peer_of(req),
            first_us: read!(req, snt_synack as u64),
            ignored: ignored as u32,
            _pad: 0,
        });
    }
    0
}

/// The peer has answered the SYN-ACK, and the answer was ignored though nothing had to be waited
/// for: only a full accept queue does that (`tcp_check_req`, 5.10 to 7.3).
#[inline(always)]
fn answered_in_vain(sk: *const c_void, req: *const c_void) -> bool {
    read!(req, req_acked as u8) & config!(acked_bit) != 0 && read!(sk, defer_accept as u8) == 0
}

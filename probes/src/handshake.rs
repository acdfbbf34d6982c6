//! From SYN to accept queue: SYN queue, syncookies, overflow at both stages, and the moment of queueing.

use core::ffi::c_void;

use aya_ebpf::{
    btf_maps::PerCpuArray,
    macros::{btf_map, btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use backscope_abi as abi;
use backscope_abi::{Connection, Endpoint, Listener, Queued, counter, stage};

use crate::{
    close::destroyed,
    connection::connection_of,
    kernel::{accept_depth, accept_limit, config, now, payload_of, peer_of, read, sender_of, syn_depth},
    maps::{LISTENERS, QUEUED, add, cookie_of, count, emit, enqueue, listener_at, marked, note_depth, rested_since},
};

/// The SYN that this CPU is working on: a CPU handles one at a time, since the stack does it with softirqs off.
#[repr(C)]
struct InHand {
    /// Id of the listener; 0 for a SYN to an unwatched one.
    listener: u64,
    /// The kernel answered it: by a request in the SYN queue, by a cookie, or by a child (TCP Fast Open).
    answered: u32,
    /// The accept queue was full when it came.
    overflow: u32,
}

#[btf_map]
static IN_HAND: PerCpuArray<InHand, 1> = PerCpuArray::new();

#[inline(always)]
fn in_hand() -> Option<*mut InHand> {
    IN_HAND.get_ptr_mut(0)
}

#[inline(always)]
fn refuse(id: u64, sk: *const c_void, stage: u32, peer: Endpoint) {
    emit(&abi::Overflow {
        kind: abi::OVERFLOW,
        stage,
        ts_ns: now(),
        listener: id,
        peer,
        depth: accept_depth(sk),
        limit: accept_limit(sk),
        syn_depth: syn_depth(sk),
        _pad: 0,
    });
}

/// `tcp_conn_request(rsk_ops, af_ops, sk, skb)`: a SYN reached the listener `sk`, already the winner of its
/// SO_REUSEPORT group.
#[fentry(function = "tcp_conn_request")]
fn conn_request(ctx: FEntryContext) -> i32 {
    let sk: *const c_void = ctx.arg(2);
    let Some(hand) = in_hand() else { return 0 };
    let Some((id, listener)) = listener_at(sk) else {
        // SAFETY: this CPU's own slot.
        unsafe { (*hand).listener = 0 };
        return 0;
    };
    let overflow = arrived(sk, id, listener, ctx.arg(3));
    // SAFETY: this CPU's own slot.
    unsafe {
        (*hand).listener = id;
        (*hand).answered = 0;
        (*hand).overflow = overflow as u32;
    }
    0
}

#[inline(always)]
fn arrived(sk: *const c_void, id: u64, listener: *mut Listener, skb: *const c_void) -> bool {
    // SAFETY: a live map value.
    add(unsafe { &raw mut (*listener).syns }, 1);
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
    // SAFETY: a live map value.
    add(unsafe { &raw mut (*listener).overflow_syn }, 1);
    refuse(id, sk, stage::SYN, sender_of(skb));
    true
}

/// The SYN queue is full and syncookies are off: `tcp_conn_request` drops the SYN before it looks at the accept queue,
/// and does not count it as a listen overflow (`net/ipv4/tcp_input.c`, 5.10 to 7.3).
#[inline(always)]
fn full_without_cookies(sk: *const c_void) -> bool {
    let net = read!(sk, skc_net as u64) as *const c_void;
    read!(net, net_syncookies as u8) == 0 && syn_depth(sk) > accept_limit(sk)
}

/// End of the SYN's treatment: not answered and no overflow means that it was dropped for want of room in the SYN
/// queue, of memory or of a route. The function itself always returns 0.
#[fexit(function = "tcp_conn_request")]
fn conn_request_done(ctx: FExitContext) -> i32 {
    let Some(hand) = in_hand() else { return 0 };
    // SAFETY: this CPU's own slot.
    let (id, settled) = unsafe { ((*hand).listener, (*hand).answered | (*hand).overflow) };
    if id == 0 || settled != 0 {
        return 0;
    }
    if let Some(listener) = LISTENERS.get_ptr_mut(id) {
        // SAFETY: a live map value.
        add(unsafe { &raw mut (*listener).syn_dropped }, 1);
        refuse(id, ctx.arg(2), stage::SYN_QUEUE, Endpoint::default());
    }
    0
}

#[inline(always)]
fn answered() {
    if let Some(hand) = in_hand() {
        // SAFETY: this CPU's own slot.
        unsafe { (*hand).answered = 1 };
    }
}

/// `inet_csk_reqsk_queue_hash_add(sk, req, …)`: the request is in the SYN queue.
#[fentry(function = "inet_csk_reqsk_queue_hash_add")]
fn syn_queued(_ctx: FEntryContext) -> i32 {
    answered();
    0
}

#[inline(always)]
fn cookie_sent() -> i32 {
    answered();
    let Some(hand) = in_hand() else { return 0 };
    // SAFETY: this CPU's own slot.
    if let Some(listener) = LISTENERS.get_ptr_mut(unsafe { (*hand).listener }) {
        // SAFETY: a live map value.
        add(unsafe { &raw mut (*listener).cookies_sent }, 1);
    }
    0
}

/// `cookie_v4_init_sequence` is called for a SYN that is answered by a syncookie, and for nothing else.
#[fentry(function = "cookie_v4_init_sequence")]
fn cookie_v4(_ctx: FEntryContext) -> i32 {
    cookie_sent()
}

/// The same for IPv6.
#[fentry(function = "cookie_v6_init_sequence")]
fn cookie_v6(_ctx: FEntryContext) -> i32 {
    cookie_sent()
}

/// `tcp_v{4,6}_syn_recv_sock(sk, skb, req, …)` returned no child while the queue was full: the final ACK is ignored.
#[inline(always)]
fn final_ack(sk: *const c_void, req: *const c_void, child: u64, v6: bool) -> i32 {
    const AF_INET6: u16 = 10;
    // The IPv6 function calls the IPv4 one for IPv4-mapped peers, which has then reported it.
    if child != 0 || v6 != (read!(req, skc_family as u16) == AF_INET6) {
        return 0;
    }
    let Some((id, listener)) = listener_at(sk) else { return 0 };
    let depth = note_depth(listener, sk, 0);
    if depth > accept_limit(sk) {
        // SAFETY: a live map value.
        add(unsafe { &raw mut (*listener).overflow_ack }, 1);
        refuse(id, sk, stage::ACK, peer_of(req));
    }
    0
}

#[fexit(function = "tcp_v4_syn_recv_sock")]
fn final_ack_v4_6(ctx: FExitContext) -> i32 {
    final_ack(ctx.arg(0), ctx.arg(2), ctx.arg(6), false)
}

#[fexit(function = "tcp_v6_syn_recv_sock")]
fn final_ack_v6_6(ctx: FExitContext) -> i32 {
    final_ack(ctx.arg(0), ctx.arg(2), ctx.arg(6), true)
}

/// From some 6.18 on the function has a seventh argument, and so its result another slot.
#[fexit(function = "tcp_v4_syn_recv_sock")]
fn final_ack_v4_7(ctx: FExitContext) -> i32 {
    final_ack(ctx.arg(0), ctx.arg(2), ctx.arg(7), false)
}

#[fexit(function = "tcp_v6_syn_recv_sock")]
fn final_ack_v6_7(ctx: FExitContext) -> i32 {
    final_ack(ctx.arg(0), ctx.arg(2), ctx.arg(7), true)
}

/// `sk_drops` of the listener when this CPU began to check a final ACK.
#[btf_map]
static DROPS_BEFORE: PerCpuArray<u32, 1> = PerCpuArray::new();

/// `tcp_check_req(sk, skb, req, fastopen, req_stolen)`: a segment for a connection in the SYN queue.
#[fentry(function = "tcp_check_req")]
fn check_req(ctx: FEntryContext) -> i32 {
    let sk: *const c_void = ctx.arg(0);
    let drops = read!(sk, sk_drops as u32);
    if let Some(before) = DROPS_BEFORE.get_ptr_mut(0) {
        // SAFETY: this CPU's own slot.
        unsafe { *before = drops };
    }
    0
}

/// No child, a full queue, and a drop counted in between: the final ACK was ignored for want of room. Other segments
/// that yield no child (a SYN sent again, a bare ACK under TCP_DEFER_ACCEPT) count their drop later, or none.
#[fexit(function = "tcp_check_req")]
fn check_req_done(ctx: FExitContext) -> i32 {
    let (sk, req): (*const c_void, *const c_void) = (ctx.arg(0), ctx.arg(2));
    let Some(before) = DROPS_BEFORE.get(0).copied() else { return 0 };
    if read!(sk, sk_drops as u32) == before {
        return 0;
    }
    const AF_INET6: u16 = 10;
    final_ack(sk, req, ctx.arg(5), read!(req, skc_family as u16) == AF_INET6)
}

/// `kfree_skb(skb, location, reason, rx_sk)`: from 6.18 on the reason tells an overflow at the final ACK, and the
/// fourth argument is the listener.
#[btf_tracepoint(function = "kfree_skb")]
fn drop_reason(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<u32>(2) != config!(drop_listen_overflow) {
        return 0;
    }
    let (skb, sk): (*const c_void, *const c_void) = (ctx.arg(0), ctx.arg(3));
    // The verifier wants to see this, though no null is in the map.
    if sk.is_null() {
        return 0;
    }
    let Some((id, listener)) = listener_at(sk) else { return 0 };
    // SAFETY: a live map value.
    add(unsafe { &raw mut (*listener).overflow_ack }, 1);
    note_depth(listener, sk, 0);
    refuse(id, sk, stage::ACK, sender_of(skb));
    0
}

/// `inet_csk_complete_hashdance(sk, child, req, own_req)` → child: the normal way into the accept queue.
#[fexit(function = "inet_csk_complete_hashdance")]
fn hashdance(ctx: FExitContext) -> i32 {
    let (sk, child): (*const c_void, *mut c_void) = (ctx.arg(0), ctx.arg(1));
    if ctx.arg::<u64>(4) == 0 {
        return 0;
    }
    let Some(listener) = listener_at(sk) else { return 0 };
    enqueue(listener, child, core::ptr::null_mut(), cookie_of(child), 0);
    0
}

/// `inet_csk_reqsk_queue_add(sk, req, child)`: the way in for TCP Fast Open and for syncookies; on 5.10 for all.
#[fentry(function = "inet_csk_reqsk_queue_add")]
fn queue_add(ctx: FEntryContext) -> i32 {
    let (sk, child): (*const c_void, *mut c_void) = (ctx.arg(0), ctx.arg(2));
    let Some(listener) = listener_at(sk) else { return 0 };
    answered();
    enqueue(listener, child, core::ptr::null_mut(), cookie_of(child), 1);
    0
}

/// The request whose SYN-ACK this CPU sent last: stacked devices show one packet several times.
#[btf_map]
static LAST_ANSWERED: PerCpuArray<[u64; 2], 1> = PerCpuArray::new();

/// `net_dev_queue(skb)` with a SYN-ACK's request socket: the SYN that it answers arrived just now. Sees every packet of
/// the machine, so that it is attached only when SYNs are asked for one by one.
#[btf_tracepoint(function = "net_dev_queue")]
fn synack(ctx: BtfTracePointContext) -> i32 {
    const TCP_NEW_SYN_RECV: u8 = 12;
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

/// The same SYN-ACK on another device, or sent again: `snt_synack` keeps the time of the first, and the shortest time to
/// the second is 200 ms (`TCP_RTO_MIN`).
#[inline(always)]
fn repeated(req: *const c_void) -> bool {
    const AGAIN_US: u64 = 100_000;
    let first_us = read!(req, snt_synack as u64);
    if first_us != 0 && now() / 1_000 > first_us + AGAIN_US {
        return true;
    }
    let Some(last) = LAST_ANSWERED.get_ptr_mut(0) else { return false };
    // The address alone would not do: the next request may lie where the last one lay.
    let this = [req as u64, first_us];
    // SAFETY: this CPU's own slot.
    unsafe {
        let same = *last == this;
        *last = this;
        same
    }
}

/// `tcp_retransmit_synack(sk, req)`: `num_retrans` is still the count before this one.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
fn retransmit_synack(ctx: BtfTracePointContext) -> i32 {
    let (sk, req): (*const c_void, *const c_void) = (ctx.arg(0), ctx.arg(1));
    let Some((id, listener)) = listener_at(sk) else { return 0 };
    // SAFETY: a live map value.
    add(unsafe { &raw mut (*listener).synack_retransmits }, 1);
    note_depth(listener, sk, 0);
    if config!(events) != 0 {
        emit(&abi::Retransmit {
            kind: abi::RETRANSMIT,
            before: read!(req, req_num_retrans as u8) as u32,
            ts_ns: now(),
            listener: id,
            peer: peer_of(req),
        });
    }
    0
}

/// `tcp_destroy_sock(sk)`: if the connection is still in a queue, nobody will accept it any more.
#[btf_tracepoint(function = "tcp_destroy_sock")]
fn destroy(ctx: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    let connection = if config!(exchanges) != 0 { connection_of(sk) } else { core::ptr::null_mut() };
    let mut queued = Queued::default();
    if may_wait(sk, connection) {
        // SAFETY: the reference is copied at once.
        if let Some(known) = unsafe { QUEUED.get(sk as u64) } {
            queued = *known;
        }
    }
    if !connection.is_null() {
        destroyed(sk, connection, queued.listener == 0);
    }
    if queued.listener == 0 {
        return 0;
    }
    let _ = QUEUED.remove(sk as u64);
    if rested_since(queued.queued_ns) {
        // It may have been accepted by a call that nothing showed.
        count(counter::LEFT_UNSEEN);
    } else if let Some(listener) = LISTENERS.get_ptr_mut(queued.listener) {
        // SAFETY: a live map value.
        add(unsafe { &raw mut (*listener).abandoned }, 1);
    }
    0
}

/// False of a socket that is in no watched accept queue, as far as what it carries tells. `connection` is that with
/// exchanges.
#[inline(always)]
fn may_wait(sk: *mut c_void, connection: *const Connection) -> bool {
    if config!(exchanges) != 0 && config!(socket_storage) != 0 {
        // Only what was accepted is used.
        // SAFETY: checked for null; the value lives as long as the socket.
        return !connection.is_null() && unsafe { (*connection).tgid } == 0;
    }
    config!(queued_by_state) == 0 || marked(sk).is_some()
}

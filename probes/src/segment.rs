//! Segments that leave, ACKs that come, and the windows in them, each by itself: only with
//! `--detail events`.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use backscope_abi::tcp_state::{
    TCP_CLOSING, TCP_FIN_WAIT1, TCP_LAST_ACK, TCP_SYN_RECV, TCP_SYN_SENT,
};
use backscope_abi::{Connection, event_kind, side};

use crate::{
    connection::connection_of,
    event::report,
    kernel::{load, now, offset, read, read_at},
    live::Live,
    tcp::{reached, tcp_of},
};

const FLAG_FIN: u8 = 0x01;
const FLAG_SYN: u8 = 0x02;
const FLAG_RST: u8 = 0x04;
const FLAG_ACK: u8 = 0x10;

/// The numbers of a segment that leaves.
struct Segment {
    bytes: u32,
    seq: u32,
    ack_seq: u32,
    flags: u8,
}

/// A segment leaves: `snd_nxt` has not moved yet (`tcp_event_new_data_sent`).
#[inline(always)]
fn leaves(connection: Live<Connection>, snd_nxt: u32, segment: Segment) {
    let Segment { bytes, seq, ack_seq, flags } = segment;
    let counts = bytes != 0 || flags & (FLAG_SYN | FLAG_FIN) != 0;
    let again = counts && !reached(seq, snd_nxt);
    report(
        connection,
        event_kind::SEGMENT,
        now(),
        0,
        [flags, again as u8, 0],
        [bytes, seq, ack_seq],
    )
}

/// Segment of a connection, sent for the first time or again.
/// proto: 5.10..7.3 net/ipv4/tcp_output.c: int __tcp_transmit_skb(struct sock *sk,
///     struct sk_buff *skb, int clone_it, gfp_t gfp_mask, u32 rcv_nxt)
#[fentry(function = "__tcp_transmit_skb")]
fn segment(ctx: FEntryContext) -> i32 {
    let (sk, skb): (*mut c_void, *const c_void) = (ctx.arg(0), ctx.arg(1));
    let Some(connection) = connection_of(sk) else { return 0 };
    let cb = skb.wrapping_byte_add(offset!(skb_cb) as usize);
    let segment = Segment {
        bytes: read!(skb, skb_len as u32),
        seq: read!(cb, cb_seq as u32),
        ack_seq: ctx.arg(4),
        flags: read!(cb, cb_tcp_flags as u8),
    };
    leaves(connection, read!(sk, snd_nxt as u32), segment);
    0
}

/// Segment that has left: the window that it announced is in the socket.
/// proto: 5.10..7.3 net/ipv4/tcp_output.c: int __tcp_transmit_skb(struct sock *sk,
///     struct sk_buff *skb, int clone_it, gfp_t gfp_mask, u32 rcv_nxt)
#[fexit(function = "__tcp_transmit_skb")]
fn segment_sent(ctx: FExitContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    if let Some(connection) = connection_of(sk) {
        window(connection, side::LOCAL, read!(sk, rcv_wnd as u32), now());
    }
    0
}

/// Segment as a packet at a device. Of stacked devices the first is the one that the socket's route
/// names.
/// proto: 5.10..7.3 include/trace/events/net.h: void trace_net_dev_queue(struct sk_buff *skb)
#[btf_tracepoint(function = "net_dev_queue")]
fn segment_queued(ctx: BtfTracePointContext) -> i32 {
    let skb: *const c_void = ctx.arg(0);
    let sk = load!(skb, skb_sk as u64) as *mut c_void;
    if sk.is_null() {
        return 0;
    }
    let Some(connection) = connection_of(sk) else { return 0 };
    let route = read!(sk, sk_dst_cache as u64) as *const c_void;
    if !route.is_null() && read!(route, dst_dev as u64) != read!(skb, skb_dev as u64) {
        return 0;
    }
    let head = read!(skb, skb_head as u64);
    let tcp = head.wrapping_add(read!(skb, skb_transport_header as u16) as u64) as *const c_void;
    // Within a tunnel it may be another header. The local port is no proof: a reset leaves when it
    // has been given back.
    if read_at::<u16>(tcp, 2) != read!(sk, skc_dport as u16) {
        return 0;
    }
    let before = (tcp as u64).wrapping_sub(read!(skb, skb_data as u64)) as u32;
    let header = (read_at::<u8>(tcp, 12) >> 4) as u32 * 4;
    let segment = Segment {
        bytes: read!(skb, skb_len as u32).wrapping_sub(before).wrapping_sub(header),
        seq: u32::from_be(read_at::<u32>(tcp, 4)),
        ack_seq: u32::from_be(read_at::<u32>(tcp, 8)),
        flags: read_at::<u8>(tcp, 13),
    };
    leaves(connection, read!(sk, snd_nxt as u32), segment);
    window(connection, side::LOCAL, read!(sk, rcv_wnd as u32), now());

    0
}

/// A receive window was announced.
#[inline(always)]
fn window(mut connection: Live<Connection>, whose: u8, bytes: u32, ts_ns: u64) {
    let bit = 1 << whose;
    let is_shut = bytes == 0;
    if is_shut != (connection.shut_or_untold & bit != 0) {
        connection.shut_or_untold ^= bit;
        report(connection, event_kind::WINDOW, ts_ns, 0, [whose, is_shut as u8, 0], [bytes, 0, 0]);
    }
}

/// A segment came, and the socket has not processed its acknowledgement yet.
#[inline(always)]
fn acknowledges(sk: *mut c_void, skb: *const c_void) {
    let Some(connection) = connection_of(sk) else { return };
    let tp = tcp_of(sk);
    if tp.is_null() {
        return;
    }
    let state = load!(tp, skc_state as u8);
    let cb = skb.wrapping_byte_add(offset!(skb_cb) as usize);
    let flags = read!(cb, cb_tcp_flags as u8);
    if state == TCP_SYN_SENT || state == TCP_SYN_RECV || flags & (FLAG_RST | FLAG_ACK) != FLAG_ACK {
        return;
    }
    let ack = read!(cb, cb_ack_seq as u32);
    let (una, nxt) = (load!(tp, snd_una as u32), load!(tp, snd_nxt as u32));
    if !reached(nxt, ack) {
        return;
    }
    let mut acked = if reached(ack, una) { ack.wrapping_sub(una) } else { 0 };
    let finished = state == TCP_FIN_WAIT1 || state == TCP_CLOSING || state == TCP_LAST_ACK;
    if acked != 0 && finished && ack == load!(tp, write_seq as u32) {
        // The FIN's own number.
        acked -= 1;
    }
    let tcp =
        read!(skb, skb_head as u64).wrapping_add(read!(skb, skb_transport_header as u16) as u64);
    let scale = load!(tp, snd_wscale as u8) & 15;
    let bytes = (u16::from_be(read_at::<u16>(tcp as *const c_void, 14)) as u32) << scale;
    let ts_ns = now();
    let is_bare = read!(cb, cb_seq as u32) == read!(cb, cb_end_seq as u32);
    if acked != 0 || is_bare {
        let left = nxt.wrapping_sub(if reached(ack, una) { ack } else { una });
        report(connection, event_kind::ACK, ts_ns, 0, [0; 3], [acked, bytes, left]);
    }
    if reached(ack, una) {
        window(connection, side::PEER, bytes, ts_ns);
    }
}

/// Acknowledgement in a segment, in any state.
/// proto: 5.10..7.3 net/ipv4/tcp_input.c: int tcp_ack(struct sock *sk, const struct sk_buff *skb,
///     int flag)
#[fentry(function = "tcp_ack")]
fn ack(ctx: FEntryContext) -> i32 {
    acknowledges(ctx.arg(0), ctx.arg(1));
    0
}

/// Segment that comes to an established connection.
/// proto: 5.10..6.12 include/trace/events/tcp.h: void trace_tcp_probe(struct sock *sk,
///     struct sk_buff *skb)
/// proto: 6.18..7.3 include/trace/events/tcp.h: void trace_tcp_probe(struct sock *sk,
///     const struct sk_buff *skb)
#[btf_tracepoint(function = "tcp_probe")]
fn ack_established(ctx: BtfTracePointContext) -> i32 {
    acknowledges(ctx.arg(0), ctx.arg(1));
    0
}

//! UDP sockets: datagrams arrive, wait, are read and written.
//!
//! The number of arrivals follows from the lengths of the kernel's two queues and the reads seen,
//! so that no arrival has to be seen itself. A probe that finds the queue longer than known stamps
//! the difference. A hook that fires at the arrival makes that the time of arrival, others a time
//! by which it was.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::HashMap,
    helpers::generated,
    macros::{btf_map, fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use backscope_abi as abi;
use backscope_abi::{Datagram, counter};

use crate::{
    flow,
    id::{cookie_of, id_of},
    kernel::{config, current, load, local_of, now, peer_of, read},
    latency::{Queue, note_queue, note_read, settle_doubt},
    live::{Find, Live},
    maps::{add, count},
    target::is_wanted,
};

/// UDP sockets by the key that [`known`] takes. What ended stays until the agent has read it.
#[btf_map]
static DATAGRAMS: HashMap<
    u64,
    Datagram,
    { abi::MAX_DATAGRAMS as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

/// The value that a socket starts from: in `.rodata`, since the stack has no room for it.
static BLANK: Datagram = Datagram::BLANK;

const IPPROTO_UDP: u16 = 17;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const RCV_SHUTDOWN: u8 = 1;

/// Finds the figures of a watched socket. `sk` must be a pointer that the verifier knows as a
/// socket.
#[inline(always)]
fn known(sk: *const c_void) -> Option<Live<Datagram>> {
    let key = if config!(socket_cookie) != 0 { load!(sk, skc_cookie as u64) } else { sk as u64 };
    // Nobody asked for its cookie yet, we neither.
    if key == 0 {
        return None;
    }
    DATAGRAMS.find(key)
}

/// With pauses no UDP socket is watched: how long a datagram waits follows from every read.
#[inline(always)]
pub(crate) fn watches_datagrams() -> bool {
    config!(has_pauses) == 0
}

#[inline(always)]
fn is_udp(sk: *const c_void) -> bool {
    watches_datagrams() && load!(sk, sk_protocol as u16) == IPPROTO_UDP
}

/// Finds the figures of a socket that is read or written, and watches it from now on if a watched
/// process uses it.
#[inline(always)]
fn used(sk: *mut c_void) -> Option<Live<Datagram>> {
    match known(sk) {
        Some(datagram) => Some(datagram),
        None => adopt(sk),
    }
}

/// Watches a socket if a watched process uses it. Not inlined: its stack would come on top of that
/// of a program whose stack is nearly full.
#[inline(never)]
fn adopt(sk: *mut c_void) -> Option<Live<Datagram>> {
    let family = load!(sk as *const c_void, skc_family as u16);
    let tgid = (current() >> 32) as u32;
    if family != AF_INET && family != AF_INET6 || !is_wanted(sk, tgid) {
        return None;
    }
    let id = cookie_of(sk);
    let key = if config!(socket_cookie) != 0 { id } else { sk as u64 };
    let mut datagram = watch(sk, key, id, Queue::of(sk), tgid)?;
    // SAFETY: the helper fills a member of a live map value.
    unsafe { generated::bpf_get_current_comm((&raw mut datagram.comm).cast(), 16) };
    Some(datagram)
}

/// Watches a socket from now on; `None` when there is no room.
#[inline(always)]
fn watch(sk: *const c_void, key: u64, id: u64, queue: Queue, tgid: u32) -> Option<Live<Datagram>> {
    let _ = DATAGRAMS.insert(key, &BLANK, BPF_NOEXIST.into());
    let Some(mut datagram) = DATAGRAMS.find(key) else {
        count(counter::DATAGRAMS_FULL);
        return None;
    };
    let ts_ns = now();
    // The agent passes over it until `since_ns` is set.
    datagram.sock = id;
    datagram.drops_base = queue.drops;
    datagram.tgid = tgid;
    describe(datagram, sk);
    note_queue(datagram, queue, ts_ns, false);
    datagram.since_ns = ts_ns;
    Some(datagram)
}

#[inline(always)]
fn describe(mut datagram: Live<Datagram>, sk: *const c_void) {
    datagram.local = local_of(sk);
    datagram.peer = peer_of(sk);
    datagram.buffer = read!(sk, sk_rcvbuf as u32);
}

/// A socket that is no watched connection has something new to read.
#[inline(always)]
pub(crate) fn arrived(sk: *mut c_void) {
    if !is_udp(sk) {
        return;
    }
    if let Some(mut datagram) = known(sk) {
        let ts_ns = now();
        note_queue(datagram, Queue::of(sk), ts_ns, true);
        datagram.active_ns = ts_ns;
    }
}

/// A read of such a socket returned, and took what it returned.
#[inline(always)]
pub(crate) fn read(sk: *mut c_void, result: i32) {
    if !is_udp(sk) {
        return;
    }
    let Some(mut datagram) = used(sk) else { return };
    // Nothing comes from a socket that was shut down for reading, and still that is no error.
    if result < 0
        || result == 0 && load!(sk as *const c_void, sk_shutdown as u8) & RCV_SHUTDOWN != 0
    {
        return;
    }
    let ts_ns = now();
    let queue = Queue::of(sk);
    settle_doubt(datagram, queue.waiting);
    note_read(datagram, ts_ns);
    add(&raw mut datagram.read, 1);
    add(&raw mut datagram.read_bytes, result as u64);
    if result > 0 && flow::may_capture(datagram) {
        flow::capture(datagram, 0, result as u32);
    }
    datagram.read_ns = ts_ns;
    datagram.active_ns = ts_ns;
    datagram.reader = current();
    note_queue(datagram, queue, ts_ns, false);
}

/// A write to such a socket returned.
#[inline(always)]
pub(crate) fn wrote(sk: *mut c_void, result: i32) {
    if !is_udp(sk) {
        return;
    }
    let Some(mut datagram) = used(sk) else { return };
    if result < 0 {
        return;
    }
    add(&raw mut datagram.written, 1);
    add(&raw mut datagram.written_bytes, result as u64);
    if result > 0 && flow::may_capture(datagram) {
        flow::capture(datagram, 1, result as u32);
    }
}

/// The key of a UDP socket that a process holds, watched from now on if it was not; its figures are
/// brought up to date. `None` when there is no room. With `typed` the verifier knows `sk` as a
/// socket.
#[inline(always)]
pub(crate) fn held(sk: *mut c_void, typed: bool, tgid: u32, comm: [u8; 16]) -> Option<u64> {
    let queue = if typed { Queue::of(sk) } else { Queue::at(sk) };
    let (id, key) = if config!(socket_cookie) == 0 {
        (id_of(sk), sk as u64)
    } else {
        // The agent asks for the cookies of sockets that no program may ask about.
        let cookie = if typed { cookie_of(sk) } else { read!(sk, skc_cookie as u64) };
        if cookie == 0 {
            return None;
        }
        (cookie, cookie)
    };
    let mut datagram = match DATAGRAMS.find(key) {
        Some(datagram) => datagram,
        None => watch(sk, key, id, queue, tgid)?,
    };
    if datagram.comm[0] == 0 {
        datagram.comm = comm;
    }
    describe(datagram, sk);
    note_queue(datagram, queue, now(), false);
    Some(key)
}

/// Datagram about to enter the receive queue. Its size can be read only here: once it is in the
/// queue, a reader may have freed it.
/// proto: 5.10..7.3 net/ipv4/udp.c: int __udp_enqueue_schedule_skb(struct sock *sk,
///     struct sk_buff *skb)
#[fentry(function = "__udp_enqueue_schedule_skb")]
fn datagram_in(ctx: FEntryContext) -> i32 {
    if let Some(mut datagram) = known(ctx.arg(0)) {
        let size = load!(ctx.arg::<*const c_void>(1), skb_len as u32);
        add(&raw mut datagram.bytes_in, size as u64);
    }
    0
}

/// Datagram that did not enter the receive queue after all: the function returned an error, and
/// left the datagram to its caller.
/// proto: 5.10..7.3 net/ipv4/udp.c: int __udp_enqueue_schedule_skb(struct sock *sk,
///     struct sk_buff *skb)
#[fexit(function = "__udp_enqueue_schedule_skb")]
fn datagram_refused(ctx: FExitContext) -> i32 {
    if ctx.arg::<i32>(2) >= 0 {
        return 0;
    }
    if let Some(mut datagram) = known(ctx.arg(0)) {
        let size = load!(ctx.arg::<*const c_void>(1), skb_len as u32);
        add(&raw mut datagram.bytes_in, (size as u64).wrapping_neg());
    }
    0
}

/// A socket goes. Where its key is its address, another socket may have that before the agent reads
/// the figures: they move to its id as their key.
#[inline(always)]
fn gone(sk: *const c_void) {
    let Some(datagram) = DATAGRAMS.find(sk as u64) else { return };
    let kept = DATAGRAMS.insert(datagram.sock, &*datagram, BPF_NOEXIST.into());
    if kept.is_err() {
        count(counter::DATAGRAMS_FULL);
    }
    let _ = DATAGRAMS.remove(sk as u64);
}

/// Close of an IPv4 socket's last file.
/// proto: 5.10..7.3 net/ipv4/udp.c: void udp_destroy_sock(struct sock *sk)
#[fentry(function = "udp_destroy_sock")]
fn datagram_gone_v4(ctx: FEntryContext) -> i32 {
    gone(ctx.arg(0));
    0
}

/// Close of an IPv6 socket's last file.
/// proto: 5.10..7.3 net/ipv6/udp.c: void udpv6_destroy_sock(struct sock *sk)
#[fentry(function = "udpv6_destroy_sock")]
fn datagram_gone_v6(ctx: FEntryContext) -> i32 {
    gone(ctx.arg(0));
    0
}

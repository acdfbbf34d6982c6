//! UDP sockets: datagrams arrive, wait, are read and written.
//!
//! How many arrived follows from the lengths of the kernel's two queues and the reads seen, so that nothing has to be
//! seen of each arrival. Whoever looks at the queue and finds it longer than known leaves a mark: what was not there
//! before is there now. A hook that fires at the arrival makes that the time of arrival, others a time by which it was.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::HashMap,
    helpers::generated,
    macros::{btf_map, fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use backscope_abi as abi;
use backscope_abi::{Datagram, MARK_LATE, MARK_NUMBER_BITS, MARK_TIME_SHIFT, MARK_UNIT_SHIFT, MARKS, counter};

use crate::{
    kernel::{config, current, load, local_of, now, peer_of, read},
    maps::{PERIOD, add, cookie_of, count, wanted},
};

/// UDP sockets by [`key_of`]. What ended stays until the agent has read it.
#[btf_map]
static DATAGRAMS: HashMap<u64, Datagram, { abi::MAX_DATAGRAMS as usize }, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// What a socket starts from: in `.rodata`, since the stack has no room for it.
static BLANK: Datagram = Datagram::BLANK;

const IPPROTO_UDP: u16 = 17;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const RCV_SHUTDOWN: u8 = 1;
/// A read that is on its way has rarely been so for this long, ns.
const DOUBT_NS: u64 = 10_000_000;
/// And never for this long.
const SETTLED_NS: u64 = 1_000_000_000;
const NUMBERS: u64 = (1 << MARK_NUMBER_BITS) - 1;

/// The queue of a socket at one moment.
#[derive(Clone, Copy)]
struct Queue {
    /// Datagrams in it.
    waiting: u32,
    /// Bytes, with the kernel's overhead.
    bytes: u32,
    /// Datagrams dropped so far.
    drops: u32,
}

impl Queue {
    /// Of a socket that the verifier knows.
    #[inline(always)]
    fn of(sk: *const c_void) -> Self {
        let counters = load!(sk, sk_drop_counters as u64) as *const c_void;
        let drops = if counters.is_null() {
            load!(sk, sk_drops as u32)
        } else {
            load!(counters, drops0 as u32).wrapping_add(load!(counters, drops1 as u32))
        };
        // In this order: what readers take over between the two is then counted late rather than twice.
        let taken_over = read!(sk, udp_reader_qlen as u32);
        let waiting = taken_over.wrapping_add(load!(sk, sk_receive_qlen as u32));
        Self { waiting, bytes: load!(sk, sk_rmem_alloc as u32), drops }
    }

    /// Of any socket. Kernels whose iterators know sockets by address only have one drop counter.
    #[inline(always)]
    fn at(sk: *const c_void) -> Self {
        let waiting = read!(sk, udp_reader_qlen as u32).wrapping_add(read!(sk, sk_receive_qlen as u32));
        Self { waiting, bytes: read!(sk, sk_rmem_alloc as u32), drops: read!(sk, sk_drops as u32) }
    }
}

/// The socket's figures, null if it is not watched. `sk` must be a pointer that the verifier knows as a socket.
#[inline(always)]
fn known(sk: *const c_void) -> *mut Datagram {
    let key = if config!(socket_cookie) != 0 { load!(sk, skc_cookie as u64) } else { sk as u64 };
    // Nobody asked for its cookie yet, we neither.
    if key == 0 {
        return core::ptr::null_mut();
    }
    DATAGRAMS.get_ptr_mut(key).unwrap_or(core::ptr::null_mut())
}

#[inline(always)]
fn is_udp(sk: *const c_void) -> bool {
    load!(sk, sk_protocol as u16) == IPPROTO_UDP
}

/// The same, watched from now on if a watched process uses it.
#[inline(always)]
fn used(sk: *mut c_void) -> *mut Datagram {
    let datagram = known(sk);
    if datagram.is_null() { adopt(sk) } else { datagram }
}

/// Not inlined: its stack would come on top of that of a program whose stack is nearly full.
#[inline(never)]
fn adopt(sk: *mut c_void) -> *mut Datagram {
    let family = load!(sk as *const c_void, skc_family as u16);
    let tgid = (current() >> 32) as u32;
    if family != AF_INET && family != AF_INET6 || !wanted(sk, tgid) {
        return core::ptr::null_mut();
    }
    let id = cookie_of(sk);
    let key = if config!(socket_cookie) != 0 { id } else { sk as u64 };
    let datagram = watch(sk, key, id, Queue::of(sk), tgid);
    if !datagram.is_null() {
        // SAFETY: checked for null; the helper fills a member of a live map value.
        unsafe { generated::bpf_get_current_comm((&raw mut (*datagram).comm).cast(), 16) };
    }
    datagram
}

/// Watches a socket from now on; null when there is no room.
#[inline(always)]
fn watch(sk: *const c_void, key: u64, id: u64, queue: Queue, tgid: u32) -> *mut Datagram {
    let _ = DATAGRAMS.insert(key, &BLANK, BPF_NOEXIST.into());
    let Some(datagram) = DATAGRAMS.get_ptr_mut(key) else {
        count(counter::DATAGRAMS_FULL);
        return core::ptr::null_mut();
    };
    let ts_ns = now();
    // SAFETY: a live map value; the agent passes over it until `since_ns` is set.
    unsafe {
        (*datagram).sock = id;
        (*datagram).drops_base = queue.drops;
        (*datagram).tgid = tgid;
        describe(datagram, sk);
        look(datagram, queue, ts_ns, false);
        (*datagram).since_ns = ts_ns;
    }
    datagram
}

/// # Safety
/// `datagram` must point to a live map value.
#[inline(always)]
unsafe fn describe(datagram: *mut Datagram, sk: *const c_void) {
    // SAFETY: promised by the caller.
    unsafe {
        (*datagram).local = local_of(sk);
        (*datagram).peer = peer_of(sk);
        (*datagram).buffer = read!(sk, sk_rcvbuf as u32);
    }
}

/// Takes in what the queue shows now; with `arrival` a datagram entered it just now.
///
/// # Safety
/// `datagram` must point to a live map value.
#[inline(always)]
unsafe fn look(datagram: *mut Datagram, queue: Queue, ts_ns: u64, arrival: bool) {
    // SAFETY: promised by the caller.
    unsafe {
        (*datagram).drops = queue.drops;
        (*datagram).queued = queue.bytes;
        (*datagram).waiting = queue.waiting;
        let mut gone = (*datagram).read + (*datagram).vanished;
        if arrival && queue.waiting == 1 && (*datagram).noted > gone && ts_ns > (*datagram).active_ns + DOUBT_NS {
            // The queue was empty: what is missing is being read, or has left it unseen.
            if ts_ns > (*datagram).active_ns + SETTLED_NS {
                (*datagram).vanished += (*datagram).noted - gone;
                gone = (*datagram).noted;
            } else {
                (*datagram).doubt_ns = ts_ns;
            }
        }
        let fresh = (gone + queue.waiting as u64).wrapping_sub((*datagram).noted) as i64;
        if fresh > 0 {
            (*datagram).noted += fresh as u64;
            mark(datagram, ts_ns, !arrival || fresh > 1);
        }
        let period = PERIOD.get(0).copied().unwrap_or_default();
        if period & 1 == 0 {
            raise(datagram, 0, period, queue.bytes, 0);
        } else {
            raise(datagram, 1, period, queue.bytes, 0);
        }
    }
}

/// Notes that everything noted so far is there at `ts_ns`; `late` if some of it came before.
///
/// # Safety
/// `datagram` must point to a live map value.
#[inline(always)]
unsafe fn mark(datagram: *mut Datagram, ts_ns: u64, late: bool) {
    // SAFETY: promised by the caller; slots are masked to the ring.
    unsafe {
        let mut late = late;
        let mut tail = (*datagram).tail;
        if tail.wrapping_sub((*datagram).head) >= MARKS {
            // No room: it goes in with the newest, all of which were there by now.
            tail = tail.wrapping_sub(1);
            late = true;
        }
        let number = (*datagram).noted & NUMBERS;
        let value = (ts_ns >> MARK_UNIT_SHIFT) << MARK_TIME_SHIFT | if late { MARK_LATE } else { 0 } | number;
        *slot(datagram, tail) = value;
        (*datagram).tail = tail.wrapping_add(1);
    }
}

/// # Safety
/// `datagram` must point to a live map value.
#[inline(always)]
unsafe fn slot(datagram: *mut Datagram, at: u32) -> *mut u64 {
    // SAFETY: promised by the caller; the index is masked to the ring.
    unsafe { (&raw mut (*datagram).marks).cast::<u64>().add((at & (MARKS - 1)) as usize) }
}

/// True if the mark is of datagrams before this one.
#[inline(always)]
fn is_before(mark: u64, number: u64) -> bool {
    const HALF: u64 = 1 << (MARK_NUMBER_BITS - 1);
    (mark & NUMBERS).wrapping_sub(number) & NUMBERS >= HALF
}

/// A read shows which it was when a datagram came while the one before was missing: if that one is still in the queue,
/// this is the read of the one before; if the queue is empty, the one before will never be read.
///
/// # Safety
/// `datagram` must point to a live map value.
#[inline(always)]
unsafe fn settle_doubt(datagram: *mut Datagram, waiting: u32) {
    // SAFETY: promised by the caller.
    unsafe {
        let came_ns = (*datagram).doubt_ns;
        if came_ns == 0 {
            return;
        }
        (*datagram).doubt_ns = 0;
        let gone = (*datagram).read + (*datagram).vanished;
        if waiting == 0 && (*datagram).noted > gone {
            (*datagram).vanished += (*datagram).noted - gone;
            (*datagram).noted += 1;
            mark(datagram, came_ns, false);
        } else if (*datagram).noted == gone + 1 && waiting == 1 {
            (*datagram).noted += 1;
            mark(datagram, came_ns, false);
        }
    }
}

/// The next datagram was read: how long it waited goes into the histogram, if its arrival was noted.
///
/// # Safety
/// `datagram` must point to a live map value.
#[inline(always)]
unsafe fn taken(datagram: *mut Datagram, ts_ns: u64) {
    // SAFETY: promised by the caller; indices are bounded.
    unsafe {
        let number = ((*datagram).read + (*datagram).vanished + 1) & NUMBERS;
        let mut head = (*datagram).head;
        // One step a datagram is enough, unless readers raced.
        if head != (*datagram).tail && is_before(*slot(datagram, head), number) {
            head = head.wrapping_add(1);
            if head != (*datagram).tail && is_before(*slot(datagram, head), number) {
                head = head.wrapping_add(1);
            }
            (*datagram).head = head;
        }
        if head == (*datagram).tail {
            return;
        }
        let mark = *slot(datagram, head);
        if is_before(mark, number) {
            return;
        }
        let came_ns = (mark >> MARK_TIME_SHIFT) << MARK_UNIT_SHIFT;
        let waited_ns = if ts_ns > came_ns { ts_ns - came_ns } else { 0 };
        if mark & MARK_LATE != 0 {
            add(&raw mut (*datagram).at_least, 1);
        }
        // The verifier has to see the bound, which the compiler would prove and leave away.
        let bucket = abi::wait_bucket(waited_ns / 1_000) as u32;
        let bucket = (&raw const bucket).read_volatile() as usize & (abi::WAIT_BUCKETS - 1);
        *(&raw mut (*datagram).waits).cast::<u32>().add(bucket) += 1;
        if waited_ns > (*datagram).longest_ns {
            (*datagram).longest_ns = waited_ns;
        }
        let period = PERIOD.get(0).copied().unwrap_or_default();
        if period & 1 == 0 {
            raise(datagram, 0, period, 0, waited_ns);
        } else {
            raise(datagram, 1, period, 0, waited_ns);
        }
    }
}

/// # Safety
/// `datagram` must point to a live map value, `slot` must be 0 or 1.
#[inline(always)]
unsafe fn raise(datagram: *mut Datagram, slot: usize, period: u32, bytes: u32, waited_ns: u64) {
    // SAFETY: promised by the caller; constant slots, so no bounds check remains.
    unsafe {
        let peak = (&raw mut (*datagram).peak).cast::<u32>().add(slot);
        let longest = (&raw mut (*datagram).longest_in_ns).cast::<u64>().add(slot);
        let tag = (&raw mut (*datagram).period).cast::<u32>().add(slot);
        if *tag != period.wrapping_add(1) {
            *tag = period.wrapping_add(1);
            *peak = 0;
            *longest = 0;
        }
        if bytes > *peak {
            *peak = bytes;
        }
        if waited_ns > *longest {
            *longest = waited_ns;
        }
    }
}

/// A socket that is no watched connection has something new to read.
#[inline(always)]
pub(crate) fn arrived(sk: *mut c_void) {
    if !is_udp(sk) {
        return;
    }
    let datagram = known(sk);
    if !datagram.is_null() {
        // SAFETY: checked for null; a live map value.
        unsafe {
            let ts_ns = now();
            look(datagram, Queue::of(sk), ts_ns, true);
            (*datagram).active_ns = ts_ns;
        }
    }
}

/// A read of such a socket returned, and took what it returned.
#[inline(always)]
pub(crate) fn read(sk: *mut c_void, result: i32) {
    if !is_udp(sk) {
        return;
    }
    let datagram = used(sk);
    // Nothing comes from a socket that was shut down for reading, and still that is no error.
    if datagram.is_null()
        || result < 0
        || result == 0 && load!(sk as *const c_void, sk_shutdown as u8) & RCV_SHUTDOWN != 0
    {
        return;
    }
    let ts_ns = now();
    // SAFETY: checked for null; a live map value.
    unsafe {
        let queue = Queue::of(sk);
        settle_doubt(datagram, queue.waiting);
        taken(datagram, ts_ns);
        add(&raw mut (*datagram).read, 1);
        add(&raw mut (*datagram).read_bytes, result as u64);
        (*datagram).read_ns = ts_ns;
        (*datagram).active_ns = ts_ns;
        (*datagram).reader = current();
        look(datagram, queue, ts_ns, false);
    }
}

/// A write to such a socket returned.
#[inline(always)]
pub(crate) fn wrote(sk: *mut c_void, result: i32) {
    if !is_udp(sk) {
        return;
    }
    let datagram = used(sk);
    if datagram.is_null() || result < 0 {
        return;
    }
    // SAFETY: checked for null; a live map value.
    unsafe {
        add(&raw mut (*datagram).written, 1);
        add(&raw mut (*datagram).written_bytes, result as u64);
    }
}

/// The key of a UDP socket that a process holds, watched from now on if it was not; its figures are brought up to date.
/// `None` when there is no room. With `typed` the verifier knows `sk` as a socket.
#[inline(always)]
pub(crate) fn held(sk: *mut c_void, typed: bool, tgid: u32, comm: [u8; 16]) -> Option<u64> {
    let queue = if typed { Queue::of(sk) } else { Queue::at(sk) };
    let id = cookie_of(sk);
    let key = if config!(socket_cookie) != 0 { id } else { sk as u64 };
    let datagram = match DATAGRAMS.get_ptr_mut(key) {
        Some(datagram) => datagram,
        None => watch(sk, key, id, queue, tgid),
    };
    if datagram.is_null() {
        return None;
    }
    // SAFETY: checked for null; a live map value.
    unsafe {
        if (*datagram).comm[0] == 0 {
            (*datagram).comm = comm;
        }
        describe(datagram, sk);
        look(datagram, queue, now(), false);
    }
    Some(key)
}

/// `__udp_enqueue_schedule_skb(sk, skb)`: a datagram is about to enter the receive queue. Its size is to be had here
/// only: once it is in, a reader may have freed it.
#[fentry(function = "__udp_enqueue_schedule_skb")]
fn datagram_in(ctx: FEntryContext) -> i32 {
    let datagram = known(ctx.arg(0));
    if !datagram.is_null() {
        let size = load!(ctx.arg::<*const c_void>(1), skb_len as u32);
        // SAFETY: checked for null; a live map value.
        add(unsafe { &raw mut (*datagram).bytes_in }, size as u64);
    }
    0
}

/// `__udp_enqueue_schedule_skb(sk, skb)` → 0, or an error when it did not: then it is still there.
#[fexit(function = "__udp_enqueue_schedule_skb")]
fn datagram_refused(ctx: FExitContext) -> i32 {
    if ctx.arg::<i32>(2) >= 0 {
        return 0;
    }
    let datagram = known(ctx.arg(0));
    if !datagram.is_null() {
        let size = load!(ctx.arg::<*const c_void>(1), skb_len as u32);
        // SAFETY: checked for null; a live map value.
        add(unsafe { &raw mut (*datagram).bytes_in }, (size as u64).wrapping_neg());
    }
    0
}

//! The maps, and the few operations on them that every life stage shares.

use core::{
    ffi::c_void,
    intrinsics::{AtomicOrdering, atomic_xadd},
};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST, BPF_RB_NO_WAKEUP},
    btf_maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
    helpers::generated,
    macros::btf_map,
};
use backscope_abi as abi;
use backscope_abi::{Call, Fail, FailKey, Listener, Queued, counter, resting, role};

use crate::connection::{carried, carry, discard, open, set_up};
use crate::kernel::{accept_queue, config, now, read, syn_depth};
use crate::storage::{BPF_F_CLONE, SocketStorage};

#[btf_map]
pub(crate) static EVENTS: RingBuf<u64, { abi::RING_BYTES as usize }> = RingBuf::new();
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<u64, { counter::ALL as usize }> = PerCpuArray::new();
/// Number of the refresh period, counted by the agent.
#[btf_map]
pub(crate) static PERIOD: Array<u32, 1> = Array::new();

/// One of [`abi::resting`].
#[btf_map]
static RESTING: Array<u64, 1> = Array::new();

/// Watched processes.
#[btf_map]
pub(crate) static TARGETS: HashMap<u32, u8, { abi::MAX_TARGETS as usize }> = HashMap::new();
/// Ports that watched listeners listen on: a connection found open there was accepted.
#[btf_map]
static SERVED: HashMap<u16, u8, { abi::MAX_LISTENERS as usize }, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();
/// Watched ports.
#[btf_map]
pub(crate) static PORTS: HashMap<u16, u8, { abi::MAX_PORTS as usize }> = HashMap::new();

/// Id of a watched listener, by the address of its `struct sock`.
#[btf_map]
pub(crate) static LISTENER_OF: HashMap<u64, u64, { abi::MAX_LISTENERS as usize }> = HashMap::new();
/// State and totals of a listener, by id. Closed ones stay until the agent has read them.
#[btf_map]
pub(crate) static LISTENERS: HashMap<u64, Listener, { abi::MAX_LISTENERS as usize }> =
    HashMap::new();
/// Connections in accept queues.
#[btf_map]
pub(crate) static QUEUED: HashMap<u64, Queued, { abi::MAX_QUEUED as usize }> = HashMap::new();
/// Threads inside accept, and blank entries of those that were. Least recently used, since an end
/// may go unseen.
#[btf_map]
pub(crate) static CALLS: LruHashMap<u64, Call, { abi::MAX_CALLS as usize }> = LruHashMap::new();
/// How often `accept` failed on watched listeners, and how. Least recently used, so that old errors
/// give way.
#[btf_map]
static FAILED: LruHashMap<FailKey, Fail, { abi::MAX_FAILS as usize }> = LruHashMap::new();
/// Backlog that a thread is asking for in `listen(2)`. Least recently used for the same reason.
#[btf_map]
pub(crate) static ASKED: LruHashMap<u64, i32, 1024> = LruHashMap::new();

/// The id of the listener: children inherit it, already in softirq. With exchanges they inherit it
/// with the value of [`carry`]'s storage instead.
#[btf_map]
static LISTENER_MARK: SocketStorage<u64, { BPF_F_NO_PREALLOC as usize | BPF_F_CLONE }> =
    SocketStorage::new();

/// Marks a listener, so that its children carry its id. `sk` must be a pointer that the verifier
/// knows as a socket.
#[inline(always)]
pub(crate) fn mark(sk: *mut c_void, id: u64) {
    if config!(exchanges) != 0 {
        return carry(sk, id);
    }
    let storage = LISTENER_MARK.get(sk, 1);
    if !storage.is_null() {
        // SAFETY: checked for null; the storage lives as long as the socket, which the caller
        // holds.
        unsafe { *storage = id };
    }
}

/// The id of the listener that `sk` is or was just cloned from, and with exchanges what it carries.
/// `sk` must be a pointer that the verifier knows as a socket.
#[inline(always)]
pub(crate) fn marked(sk: *mut c_void) -> Option<(u64, *mut abi::Connection)> {
    if config!(exchanges) != 0 {
        let value = carried(sk);
        // SAFETY: checked for null.
        return if value.is_null() {
            None
        } else {
            Some((unsafe { (*value).exchange.sock }, value))
        };
    }
    let storage = LISTENER_MARK.get(sk, 0);
    // SAFETY: checked for null.
    if storage.is_null() { None } else { Some((unsafe { *storage }, core::ptr::null_mut())) }
}

/// Adds to a total that several CPUs write.
#[inline(always)]
pub(crate) fn add(total: *mut u64, n: u64) {
    // SAFETY: the pointer is into a map value, aligned, and valid for the run of the program.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(total, n) };
}

/// Counts in this CPU's slot of `COUNTERS`.
#[inline(always)]
pub(crate) fn count(index: u32) {
    if let Some(slot) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: this CPU's own slot.
        unsafe { *slot += 1 };
    }
}

/// Hands a record to the agent, without waking it: it drains the ring by timer.
#[inline(always)]
pub(crate) fn emit<T: Copy + 'static>(record: &T) {
    emit_with(|place: *mut T| {
        // SAFETY: `place` is memory of the ring for exactly this type.
        unsafe { place.write(*record) };
    });
}

/// The same for a record too large for the stack: `fill` must write every field of it in place.
#[inline(always)]
pub(crate) fn emit_with<T: 'static>(fill: impl FnOnce(*mut T)) {
    count(counter::SEEN);
    if !reserve(fill) {
        count(counter::RING_FULL);
    }
}

/// Puts a record into the ring, counted or not by the caller; false if it has no room.
#[inline(always)]
pub(crate) fn reserve<T: 'static>(fill: impl FnOnce(*mut T)) -> bool {
    let Some(mut entry) = EVENTS.reserve_untyped::<T>(0) else { return false };
    fill(entry.as_mut_ptr());
    entry.submit(BPF_RB_NO_WAKEUP.into());
    true
}

/// True while the hooks of accept are not attached.
#[inline(always)]
pub(crate) fn rests() -> bool {
    matches!(RESTING.get(0), Some(&resting::RESTING | &resting::WANTED))
}

/// True if the hooks of accept were not attached at this time, or are not now.
#[inline(always)]
pub(crate) fn rested_since(ts_ns: u64) -> bool {
    rests() || RESTING.get(0).is_some_and(|attached_ns| ts_ns < *attached_ns)
}

/// Wants the hooks of accept back, if they rest.
#[inline(always)]
pub(crate) fn rouse() {
    if let Some(state) = RESTING.get_ptr_mut(0) {
        // SAFETY: a live map value; the agent, too, writes it at once.
        unsafe {
            if state.read_volatile() == resting::RESTING {
                state.write_volatile(resting::WANTED);
            }
        }
    }
}

/// Counts a call of `accept` on a listener that failed: no record each, since a server may try
/// again for ever.
#[inline(always)]
pub(crate) fn count_failure(listener: u64, errno: u32, thread: u64) {
    let key = FailKey { listener, errno, _pad: 0 };
    match FAILED.get_ptr_mut(key) {
        // SAFETY: a live map value; which of two threads is named does not matter.
        Some(fail) => unsafe {
            add(&raw mut (*fail).count, 1);
            (*fail).thread = thread;
        },
        None => {
            let _ = FAILED.insert(key, Fail { count: 1, first_ns: now(), thread }, 0);
        }
    }
}

/// The id of the watched listener at this address.
#[inline(always)]
pub(crate) fn listener_id(sk: *const c_void) -> Option<u64> {
    // SAFETY: the reference is copied at once.
    unsafe { LISTENER_OF.get(sk as u64) }.copied()
}

/// The watched listener at this address.
#[inline(always)]
pub(crate) fn listener_at(sk: *const c_void) -> Option<(u64, *mut Listener)> {
    let id = listener_id(sk)?;
    Some((id, LISTENERS.get_ptr_mut(id)?))
}

/// Brings depth, limit and peaks of a listener up to date, and returns the depth. `joining`
/// connections are on their way into the queue, and the socket does not count them yet.
#[inline(always)]
pub(crate) fn note_depth(listener: *mut Listener, sk: *const c_void, joining: u32) -> u32 {
    note_change(listener, sk, joining, 0, false)
}

/// The same; `left` connections were in the queue until just now. With `always` drops are looked at
/// in any case.
#[inline(always)]
pub(crate) fn note_change(
    listener: *mut Listener,
    sk: *const c_void,
    joining: u32,
    left: u32,
    always: bool,
) -> u32 {
    let [queued, limit] = accept_queue(sk);
    let depth = queued + joining;
    let period = PERIOD.get(0).copied().unwrap_or_default();
    let syn = syn_depth(sk);
    // SAFETY: a live map value.
    if config!(counts_drops) != 0
        && (always || unsafe { may_refuse(listener, queued + left, depth, limit, syn) })
    {
        note_drops(listener, sk, queued + left, limit, syn);
    }
    // SAFETY: the pointer is to a map value; a torn update by another CPU is corrected at the next
    // event.
    unsafe {
        (*listener).depth = depth;
        (*listener).limit = limit;
        (*listener).syn_depth = syn;
        if period & 1 == 0 {
            raise(listener, 0, period, depth, syn);
        } else {
            raise(listener, 1, period, depth, syn);
        }
    }
    depth
}

/// Whether a SYN may have been refused since the event before, or may be until the next one. If
/// not, what dropped meanwhile is of another kind, and there is time to read how much it is.
///
/// # Safety
/// `listener` must point to a live map value.
#[inline(always)]
unsafe fn may_refuse(
    listener: *const Listener,
    queued: u32,
    depth: u32,
    limit: u32,
    syn: u32,
) -> bool {
    // SAFETY: promised by the caller.
    let (old_depth, old_limit, old_syn) =
        unsafe { ((*listener).depth, (*listener).limit, (*listener).syn_depth) };
    queued > limit || depth > limit || old_depth > old_limit || syn | old_syn != 0 || limit == 0
}

/// Tells what `sk_drops` has grown by since it was read before: a SYN can have been refused only
/// while a queue was full. Depths change at events only, so that what the last one left and this
/// one found is what was between; and as long as neither could be full it need not be read. To be
/// called before the listener has the new depth.
#[inline(always)]
fn note_drops(listener: *mut Listener, sk: *const c_void, queued: u32, limit: u32, syn: u32) {
    let drops = read!(sk, sk_drops as u32);
    // SAFETY: a live map value. Two CPUs that come here at once may count a packet twice; the agent
    // bounds the sum.
    unsafe {
        let unexplained = drops.wrapping_sub((*listener).explained as u32);
        let grown = unexplained.wrapping_sub((*listener).unexplained) as i32;
        if grown == 0 {
            return;
        }
        (*listener).unexplained = unexplained;
        if queued > limit || (*listener).depth > (*listener).limit {
            add(&raw mut (*listener).drops_full, grown as i64 as u64);
        } else if refuses_half_open(sk, syn, limit)
            || refuses_half_open(sk, (*listener).syn_depth, limit)
        {
            add(&raw mut (*listener).drops_syn_full, grown as i64 as u64);
        }
    }
}

/// With so many requests in the SYN queue a SYN may be dropped, whatever room the accept queue has:
/// syncookies are off, and the queue is at its limit or at three quarters of `tcp_max_syn_backlog`
/// (`tcp_conn_request`, 5.10 to 7.3).
#[inline(always)]
fn refuses_half_open(sk: *const c_void, syn: u32, limit: u32) -> bool {
    let net = read!(sk, skc_net as u64) as *const c_void;
    if read!(net, net_syncookies as u8) != 0 {
        return false;
    }
    let most = read!(net, net_max_syn_backlog as u32);
    syn >= limit || syn >= most - most / 4
}

/// # Safety
/// `listener` must point to a live map value, `slot` must be 0 or 1.
#[inline(always)]
unsafe fn raise(listener: *mut Listener, slot: usize, period: u32, depth: u32, syn: u32) {
    // SAFETY: promised by the caller; constant slots, so no bounds check remains.
    unsafe {
        let peak = (&raw mut (*listener).peak).cast::<u32>().add(slot);
        let syn_peak = (&raw mut (*listener).syn_peak).cast::<u32>().add(slot);
        let tag = (&raw mut (*listener).peak_epoch).cast::<u32>().add(slot);
        if *tag != period {
            *tag = period;
            *peak = depth;
            *syn_peak = syn;
        } else {
            *peak = if depth > *peak { depth } else { *peak };
            *syn_peak = if syn > *syn_peak { syn } else { *syn_peak };
        }
    }
}

/// An id for a socket: its cookie if somebody asked for one, else one of our own (top bit set),
/// unique for a run.
#[inline(always)]
pub(crate) fn id_of(sk: *const c_void) -> u64 {
    let cookie = read!(sk, skc_cookie as u64);
    if cookie != 0 { cookie } else { own_id() }
}

/// An id of our own: the time and the processor, with the top bit set.
#[inline(always)]
pub(crate) fn own_id() -> u64 {
    // SAFETY: no arguments, no preconditions.
    let cpu = unsafe { generated::bpf_get_smp_processor_id() } as u64;
    1 << 63 | (now() << 10 & !(1 << 63)) | (cpu & 1023)
}

/// As [`id_of`], but asks the kernel for a cookie where it lets us. `sk` must be a pointer that the
/// verifier knows as a socket.
#[inline(always)]
pub(crate) fn cookie_of(sk: *mut c_void) -> u64 {
    if config!(socket_cookie) != 0 {
        // SAFETY: the helper accepts any socket pointer that the verifier accepts.
        return unsafe { generated::bpf_get_socket_cookie(sk) };
    }
    id_of(sk)
}

/// Notes that `child` is in the accept queue of a listener, or about to join it (see
/// [`note_depth`]). `carried` is what the child inherited, if it did.
#[inline(always)]
pub(crate) fn enqueue(
    (id, listener): (u64, *mut Listener),
    child: *mut c_void,
    carried: *mut abi::Connection,
    sock: u64,
    joining: u32,
) {
    const EEXIST: i32 = -17;
    let entry = Queued { listener: id, queued_ns: now(), sock, gone: 0 };
    match QUEUED.insert(child as u64, entry, BPF_NOEXIST.into()) {
        Ok(()) => {}
        // 5.10 comes here twice for one connection: once inside the hash dance, once at its end.
        Err(EEXIST) => return,
        Err(_) => count(counter::QUEUED_FULL),
    }
    rouse();
    // SAFETY: a live map value.
    let listener_sk = unsafe {
        add(&raw mut (*listener).queued, 1);
        (*listener).sk as *const c_void
    };
    note_depth(listener, listener_sk, joining);
    if config!(exchanges) == 0 {
        return;
    }
    if !carried.is_null() {
        set_up(carried, sock, role::SERVER, 0, 0);
    } else if open(child, sock, role::SERVER, 0, 0).is_null() && config!(socket_storage) != 0 {
        // By what it carries its end would be noticed.
        let _ = QUEUED.remove(child as u64);
    }
}

/// A child turns out to have joined no queue: nothing is known of it any more. `sk` must be a
/// pointer that the verifier knows as a socket.
#[inline(always)]
pub(crate) fn leave(sk: *mut c_void) {
    // SAFETY: the reference is copied at once.
    let Some(queued) = unsafe { QUEUED.get(sk as u64) }.copied() else { return };
    let _ = QUEUED.remove(sk as u64);
    if let Some(listener) = LISTENERS.get_ptr_mut(queued.listener) {
        // SAFETY: a live map value.
        add(unsafe { &raw mut (*listener).queued }, u64::MAX);
    }
    if config!(exchanges) != 0 {
        discard(sk);
    }
}

/// True if a process is watched.
#[inline(always)]
pub(crate) fn is_target(tgid: u32) -> bool {
    if tgid == config!(agent) {
        return false;
    }
    // SAFETY: only presence counts.
    config!(all) != 0 || unsafe { TARGETS.get(tgid) }.is_some()
}

/// True if a listener is to be watched when `tgid` holds it.
#[inline(always)]
pub(crate) fn wanted(sk: *const c_void, tgid: u32) -> bool {
    if is_target(tgid) {
        return true;
    }
    let port = read!(sk, skc_num as u16);
    // SAFETY: only presence counts.
    config!(by_port) != 0 && unsafe { PORTS.get(port) }.is_some()
}

/// What a listener starts from: in `.rodata`, since the stack has no room for it.
static BLANK: Listener = Listener::BLANK;

/// True if a watched listener listens on this port.
#[inline(always)]
pub(crate) fn is_served(port: u16) -> bool {
    // SAFETY: only presence counts.
    unsafe { SERVED.get(port) }.is_some()
}

/// Starts watching a listener.
#[inline(always)]
pub(crate) fn watch(sk: *const c_void, id: u64, tgid: u32, comm: [u8; 16], backlog: i32) -> bool {
    let since_ns = now();
    if let Some(listener) = LISTENERS.get_ptr_mut(id) {
        // It had stopped listening, and the agent has not read its last figures yet: they go on.
        // SAFETY: a live map value.
        unsafe { (*listener).closed_ns = 0 };
        return LISTENER_OF.insert(sk as u64, id, 0).is_ok();
    }
    if LISTENERS.insert(id, &BLANK, BPF_NOEXIST.into()).is_err()
        || LISTENER_OF.insert(sk as u64, id, 0).is_err()
    {
        count(counter::LISTENERS_FULL);
        return false;
    }
    let Some(listener) = LISTENERS.get_ptr_mut(id) else { return false };
    let net = read!(sk, skc_net as u64) as *const c_void;
    let drops = read!(sk, sk_drops as u32);
    let netns = read!(net, net_inum as u32);
    // SAFETY: a live map value; the agent passes over it until `since_ns` is set.
    unsafe {
        (*listener).local = crate::kernel::local_of(sk);
        (*listener).sk = sk as u64;
        (*listener).drops = drops;
        (*listener).drops_base = drops;
        (*listener).unexplained = drops;
        (*listener).netns_cookie = read!(net, net_cookie as u64);
        (*listener).backlog = backlog;
        (*listener).tgid = tgid;
        (*listener).netns = netns;
        (*listener).comm = comm;
        (*listener).since_ns = since_ns;
    }
    let _ = SERVED.insert(read!(sk, skc_num as u16), 1, 0);
    note_depth(listener, sk, 0);
    emit(&abi::Closed { kind: abi::LISTENER, _pad: 0, ts_ns: since_ns, listener: id });
    true
}

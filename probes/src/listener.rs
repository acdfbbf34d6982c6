//! Watched listeners: finding one, its depths, limits and drops, and its beginning.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_NOEXIST;
use backscope_abi as abi;
use backscope_abi::{Fail, FailKey, Listener, counter};

use crate::{
    kernel::{accept_queue, config, local_of, now, read, syn_depth},
    maps::{FAILED, LISTENER_OF, LISTENERS, PERIOD, SERVED, add, count, emit},
};

/// What a listener starts from: in `.rodata`, since the stack has no room for it.
static BLANK: Listener = Listener::BLANK;

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
        (*listener).local = local_of(sk);
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

//! Watched listeners: finding one, its depths, limits and drops, and its beginning.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_NOEXIST;
use backscope_abi as abi;
use backscope_abi::{Fail, FailKey, Listener, counter};

use crate::{
    kernel::{accept_queue, config, local_of, now, read, syn_depth},
    live::{Find, Live},
    maps::{FAILED, LEFT_OUT, LISTENER_OF, LISTENERS, PERIOD, add, count, emit},
    target::serve,
};

/// The value that a listener starts from: in `.rodata`, since the stack has no room for it.
static BLANK: Listener = Listener::BLANK;

/// The id of the watched listener at this address.
#[inline(always)]
pub(crate) fn listener_id(sk: *const c_void) -> Option<u64> {
    let id = LISTENER_OF.find(sk as u64)?;
    Some(*id)
}

/// The watched listener at this address.
#[inline(always)]
pub(crate) fn listener_at(sk: *const c_void) -> Option<(u64, Live<Listener>)> {
    let id = listener_id(sk)?;
    Some((id, LISTENERS.find(id)?))
}

/// Starts watching a listener.
#[inline(always)]
pub(crate) fn watch(sk: *const c_void, id: u64, tgid: u32, comm: [u8; 16], backlog: i32) {
    let since_ns = now();
    if let Some(mut listener) = LISTENERS.find(id) {
        // It had stopped listening, and the agent has not read its last figures yet: they go on.
        listener.closed_ns = 0;
        let _ = LISTENER_OF.insert(sk as u64, id, 0);
        return;
    }
    if LISTENERS.insert(id, &BLANK, BPF_NOEXIST.into()).is_err()
        || LISTENER_OF.insert(sk as u64, id, 0).is_err()
    {
        note_left_out(id);
        return;
    }
    let Some(mut listener) = LISTENERS.find(id) else { return };
    let net = read!(sk, skc_net as u64) as *const c_void;
    let drops = read!(sk, sk_drops as u32);
    let netns = read!(net, net_inum as u32);
    // The agent passes over it until `since_ns` is set.
    listener.local = local_of(sk);
    listener.sk = sk as u64;
    listener.drops = drops;
    listener.drops_base = drops;
    listener.unexplained = drops;
    listener.netns_cookie = read!(net, net_cookie as u64);
    listener.backlog = backlog;
    listener.tgid = tgid;
    listener.netns = netns;
    listener.comm = comm;
    listener.since_ns = since_ns;
    serve(read!(sk, skc_num as u16));
    note_depth(listener, sk, 0);
    emit(&abi::Closed { kind: abi::LISTENER, _pad: 0, ts_ns: since_ns, listener: id });
}

/// Counts a listener that found no room, once: it is met again at each scan.
#[inline(always)]
fn note_left_out(id: u64) {
    const EEXIST: i32 = -17;
    if !matches!(LEFT_OUT.insert(id, 1, BPF_NOEXIST.into()), Err(EEXIST)) {
        count(counter::LISTENERS_FULL);
    }
}

/// Brings depth, limit and peaks of a listener up to date, and returns the depth. `joining`
/// connections are on their way into the queue, and the socket does not count them yet.
#[inline(always)]
pub(crate) fn note_depth(listener: Live<Listener>, sk: *const c_void, joining: u32) -> u32 {
    note_change(listener, sk, joining, 0, false)
}

/// Brings a listener up to date as [`note_depth`] does; `left` connections were in the queue until
/// just now. With `always` drops are counted in any case.
#[inline(always)]
pub(crate) fn note_change(
    mut listener: Live<Listener>,
    sk: *const c_void,
    joining: u32,
    left: u32,
    always: bool,
) -> u32 {
    let [queued, limit] = accept_queue(sk);
    let depth = queued + joining;
    let period = PERIOD.get(0).copied().unwrap_or_default();
    let syn = syn_depth(sk);
    if config!(counts_drops) != 0
        && (always || may_refuse(listener, queued + left, depth, limit, syn))
    {
        note_drops(listener, sk, queued + left, limit, syn);
    }
    // A torn update by another CPU is corrected at the next event.
    listener.depth = depth;
    listener.limit = limit;
    listener.syn_depth = syn;
    // One that was full is so no more after an accept.
    let most = if queued + left > limit { queued + left } else { depth };
    if period & 1 == 0 {
        raise(listener, 0, period, most, syn);
    } else {
        raise(listener, 1, period, most, syn);
    }
    depth
}

/// Tells whether a SYN may have been refused since the event before, or may be until the next one.
/// If not, what dropped meanwhile is of another kind, and there is time to read how much it is.
#[inline(always)]
fn may_refuse(listener: Live<Listener>, queued: u32, depth: u32, limit: u32, syn: u32) -> bool {
    let (old_depth, old_limit, old_syn) = (listener.depth, listener.limit, listener.syn_depth);
    queued > limit || depth > limit || old_depth > old_limit || syn | old_syn != 0 || limit == 0
}

/// Counts the growth of `sk_drops` since it was read before: a SYN can have been refused only
/// while a queue was full. Depths change at events only, so that what the last one left and this
/// one found is what was between; and as long as neither could be full it need not be read. To be
/// called before the listener has the new depth.
#[inline(always)]
fn note_drops(mut listener: Live<Listener>, sk: *const c_void, queued: u32, limit: u32, syn: u32) {
    let drops = read!(sk, sk_drops as u32);
    // Two CPUs that come here at once may count a packet twice; the agent bounds the sum.
    let unexplained = drops.wrapping_sub(listener.explained as u32);
    let grown = unexplained.wrapping_sub(listener.unexplained) as i32;
    if grown == 0 {
        return;
    }
    listener.unexplained = unexplained;
    if queued > limit || listener.depth > listener.limit {
        add(&raw mut listener.drops_full, grown as i64 as u64);
    } else if refuses_half_open(sk, syn, limit) || refuses_half_open(sk, listener.syn_depth, limit)
    {
        add(&raw mut listener.drops_syn_full, grown as i64 as u64);
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

/// Raises the peaks of a refresh period. `slot` must be a constant, so that no bounds check
/// remains.
#[inline(always)]
fn raise(mut listener: Live<Listener>, slot: usize, period: u32, depth: u32, syn: u32) {
    if listener.peak_epoch[slot] != period {
        listener.peak_epoch[slot] = period;
        listener.peak[slot] = depth;
        listener.syn_peak[slot] = syn;
    } else {
        let peak = listener.peak[slot];
        listener.peak[slot] = if depth > peak { depth } else { peak };
        let syn_peak = listener.syn_peak[slot];
        listener.syn_peak[slot] = if syn > syn_peak { syn } else { syn_peak };
    }
}

/// Counts a call of `accept` on a listener that failed: no record each, since a server may try
/// again for ever.
#[inline(always)]
pub(crate) fn count_failure(listener: u64, errno: u32, thread: u64) {
    let key = FailKey { listener, errno, _pad: 0 };
    match FAILED.find(key) {
        Some(mut fail) => {
            add(&raw mut fail.count, 1);
            // Which of two threads is named does not matter.
            fail.thread = thread;
        }
        None => {
            let _ = FAILED.insert(key, Fail { count: 1, first_ns: now(), thread }, 0);
        }
    }
}

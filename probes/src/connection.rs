//! What is kept of a connection: where it lies, how an exchange begins and ends, what the socket's own stamps tell.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP},
    btf_maps::HashMap,
    helpers::generated,
    macros::btf_map,
};
use backscope_abi as abi;
use backscope_abi::{Connection, Exchange, ThreadUse, counter, hold, progress, role};

use crate::{
    accept::first_used,
    brief, idle,
    kernel::{config, load},
    maps::{EVENTS, count},
    moment,
    storage::{BPF_F_CLONE, SocketStorage, carries_nothing},
    threads,
};

/// Connections by their socket. The storage goes with the socket. A listener's children inherit its value, in softirq
/// already: one allocation serves as mark and as connection.
#[btf_map]
pub(crate) static CONNECTION: SocketStorage<Connection, { BPF_F_NO_PREALLOC as usize | BPF_F_CLONE }> =
    SocketStorage::new();
/// The same by address, where tracing programs may not use socket storage.
#[btf_map]
static CONNECTIONS: HashMap<u64, Connection, { abi::MAX_CONNECTIONS as usize }, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// What a connection starts from: in `.rodata`, since the stack has no room for it.
pub(crate) static BLANK: Connection = Connection::BLANK;

/// The connection of this socket, null if it is not watched. `sk` must be a pointer that the verifier knows as a socket.
#[inline(always)]
pub(crate) fn connection_of(sk: *mut c_void) -> *mut Connection {
    find(sk, true)
}

/// The same, but null as well of a connection that is idle, which stays so.
#[inline(always)]
pub(crate) fn awake(sk: *mut c_void) -> *mut Connection {
    find(sk, false)
}

#[inline(always)]
fn find(sk: *mut c_void, grows: bool) -> *mut Connection {
    if config!(socket_storage) == 0 {
        return CONNECTIONS.get_ptr_mut(sk as u64).unwrap_or(core::ptr::null_mut());
    }
    if carries_nothing(sk) {
        return core::ptr::null_mut();
    }
    let value = CONNECTION.find(sk);
    if value.is_null() {
        return if grows && config!(shrinks) != 0 { idle::grow(sk) } else { value };
    }
    // SAFETY: checked for null; the value lives as long as the socket.
    if unsafe { (*value).exchange.role } == role::LISTENER {
        return core::ptr::null_mut();
    }
    value
}

/// Makes a listener carry its id. Its children inherit that.
#[inline(always)]
pub(crate) fn carry(sk: *mut c_void, id: u64) {
    let value = CONNECTION.get(sk, 1);
    if value.is_null() {
        return;
    }
    // SAFETY: checked for null; the value lives as long as the socket, which the caller holds.
    unsafe {
        // It may have been a connection before.
        *value = BLANK;
        (*value).exchange.sock = id;
        (*value).exchange.role = role::LISTENER;
    }
}

/// What a listener carries, or a child of it that is not set up; null of any other socket.
#[inline(always)]
pub(crate) fn carried(sk: *mut c_void) -> *mut Connection {
    let value = CONNECTION.get(sk, 0);
    // SAFETY: checked for null; the value lives as long as the socket.
    if value.is_null() || unsafe { (*value).exchange.role } != role::LISTENER {
        return core::ptr::null_mut();
    }
    value
}

/// Watches a connection from now on; null for want of memory.
#[inline(always)]
pub(crate) fn open(sk: *mut c_void, sock: u64, role: u8, midway: u8, tgid: u32) -> *mut Connection {
    let connection = if config!(socket_storage) != 0 {
        CONNECTION.get(sk, 1)
    } else {
        let _ = CONNECTIONS.insert(sk as u64, &BLANK, 0);
        connection_of(sk)
    };
    if connection.is_null() {
        count(counter::CONNECTIONS_FULL);
        return connection;
    }
    set_up(connection, sock, role, midway, tgid);
    connection
}

/// Makes a connection of a value that is blank but for what a listener writes.
#[inline(always)]
pub(crate) fn set_up(connection: *mut Connection, sock: u64, role: u8, midway: u8, tgid: u32) {
    // SAFETY: the value lives as long as the socket, which the caller holds.
    unsafe {
        (*connection).tgid = tgid;
        (*connection).midway = midway;
        let exchange = &raw mut (*connection).exchange;
        (*exchange).kind = abi::EXCHANGE;
        (*exchange).seq = 1;
        (*exchange).sock = sock;
        (*exchange).role = role;
        (*exchange).midway = midway;
        (*exchange).holding = hold::NONE;
    }
    count(counter::OPENED);
}

/// Forgets a connection whose socket goes.
#[inline(always)]
pub(crate) fn forget(sk: *mut c_void) {
    if config!(socket_storage) == 0 {
        let _ = CONNECTIONS.remove(sk as u64);
    }
}

/// The TCP socket that `sk` is, as one whose members can be loaded; null if it is none.
#[inline(always)]
pub(crate) fn tcp_of(sk: *mut c_void) -> *const c_void {
    // SAFETY: the helper looks at the socket before it casts.
    unsafe { generated::bpf_skc_to_tcp_sock(sk) as *const c_void }
}

/// Notes the thread of the first read or the first write of an exchange.
///
/// # Safety
/// `connection` and `slot` must point into the same live map value.
#[inline(always)]
pub(crate) unsafe fn note_user(connection: *mut Connection, sk: *const c_void, slot: *mut ThreadUse, ts_ns: u64) {
    // SAFETY: promised by the caller.
    unsafe {
        threads::note(slot, ts_ns);
        if (*connection).tgid == 0 {
            (*connection).tgid = (*slot).tgid;
            first_used(sk, ts_ns);
        }
    }
}

/// Whether sequence number `a` is at or behind `b`.
#[inline(always)]
pub(crate) fn reached(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 >= 0
}

/// Ends the hold that lasts, if its bytes have been sent meanwhile. When that was the socket's own stamps tell: of what
/// was acknowledged last, when it had been sent; of what is in flight, when the last segment left.
///
/// # Safety
/// `connection` must point to a live map value.
#[inline(always)]
pub(crate) unsafe fn settle_hold(connection: *mut Connection, tp: *const c_void, ts_ns: u64) {
    // SAFETY: promised by the caller.
    unsafe {
        let exchange = &raw mut (*connection).exchange;
        let reason = (*exchange).holding;
        if reason == hold::NONE || !reached(load!(tp, snd_nxt as u32), (*connection).hold_seq) {
            return;
        }
        let sent_ns = if reached(load!(tp, snd_una as u32), (*connection).hold_seq) {
            load!(tp, first_tx_mstamp as u64) * 1_000
        } else {
            load!(tp, tcp_wstamp_ns as u64)
        };
        let since_ns = (*exchange).holding_since_ns;
        let until_ns = if sent_ns < since_ns || sent_ns > ts_ns { ts_ns } else { sent_ns };
        let held_ns = until_ns - since_ns;
        let at = if reason < hold::PACING { reason } else { hold::PACING } as usize;
        (*exchange).held_ns[at] += held_ns;
        (*exchange).held[at] += 1;
        (*exchange).sent_ns = until_ns;
        (*exchange).holding = hold::NONE;
        moment::release(connection, reason, until_ns, held_ns);
        if held_ns > (*connection).longest_hold_ns {
            (*connection).longest_hold_ns = held_ns;
            (*exchange).held_sizes = (*connection).hold_sizes;
        }
    }
}

/// Notes when the last byte was acknowledged, if it has been: the time of the newest ACK that delivered something. It
/// stands until something is sent again.
///
/// # Safety
/// `connection` must point to a live map value.
#[inline(always)]
pub(crate) unsafe fn settle_ack(connection: *mut Connection, tp: *const c_void) {
    // SAFETY: promised by the caller.
    unsafe {
        let exchange = &raw mut (*connection).exchange;
        if (*exchange).writes == 0 || (*exchange).acked_ns != 0 {
            return;
        }
        // A FIN that was sent counts as a byte that was written.
        if load!(tp, snd_una as u32) == load!(tp, write_seq as u32) {
            (*exchange).acked_ns = load!(tp, delivered_mstamp as u64) * 1_000;
            if (*exchange).sent_ns == 0 {
                (*exchange).sent_ns = load!(tp, first_tx_mstamp as u64) * 1_000;
            }
        }
    }
}

/// Bulk transfers are those that the peer's window can hold up.
pub(crate) const BULK: u64 = 16_384;

/// What the kernel has counted of a socket's sending so far, in jiffies (`tcp_chrono_set`).
pub(crate) struct Sending {
    /// Something was out, or waited to be.
    pub(crate) busy: u32,
    /// Of that: the peer's window, or the room in the send buffer, limited it.
    pub(crate) limited: u32,
    /// Something is out now.
    pub(crate) is_busy: bool,
}

#[inline(always)]
pub(crate) fn sending(tp: *const c_void) -> Sending {
    const UNSPECIFIED: u8 = 0;
    const RWND_LIMITED: u8 = 2;
    let stats = load!(tp, chrono_stat as [u32; 3]);
    let mut limited = stats[1].wrapping_add(stats[2]);
    let mut busy = limited.wrapping_add(stats[0]);
    let kind = load!(tp, chrono_type as u8) & 3;
    if kind != UNSPECIFIED {
        // SAFETY: no arguments, no preconditions.
        let now = unsafe { generated::bpf_jiffies64() } as u32;
        let running = now.wrapping_sub(load!(tp, chrono_start as u32));
        busy = busy.wrapping_add(running);
        if kind >= RWND_LIMITED {
            limited = limited.wrapping_add(running);
        }
    }
    Sending { busy, limited, is_busy: kind != UNSPECIFIED }
}

/// Fills in what is read from the socket when an exchange is sent or shown.
///
/// # Safety
/// `connection` must point to a live map value.
#[inline(always)]
pub(crate) unsafe fn bring_up_to_date(connection: *mut Connection, tp: *const c_void, ts_ns: u64) {
    // SAFETY: promised by the caller.
    unsafe {
        settle_hold(connection, tp, ts_ns);
        settle_ack(connection, tp);
        let exchange = &raw mut (*connection).exchange;
        let (una, nxt, end) = (load!(tp, snd_una as u32), load!(tp, snd_nxt as u32), load!(tp, write_seq as u32));
        (*exchange).ts_ns = ts_ns;
        (*exchange).unsent = end.wrapping_sub(nxt);
        // Once the last byte was acknowledged, what is in flight belongs to the exchange that this one is followed by.
        (*exchange).unacked = if (*exchange).acked_ns == 0 { nxt.wrapping_sub(una) } else { 0 };
        (*exchange).unread = load!(tp, rcv_nxt as u32).wrapping_sub(load!(tp, copied_seq as u32));
        (*exchange).min_rtt_us = load!(tp, rtt_min as [u32; 2])[1];
        if (*exchange).bytes_out >= BULK || (*connection).blocked_since_ns != 0 {
            (*exchange).window_jiffies = sending(tp).limited.wrapping_sub((*connection).window_base);
        }
    }
}

/// Hands the exchange to the agent as it stands. True if a [`abi::Brief`] told all of it.
///
/// # Safety
/// `connection` must point to a live map value.
#[inline(always)]
unsafe fn emit(connection: *mut Connection) -> bool {
    count(counter::SEEN);
    // SAFETY: promised by the caller.
    unsafe {
        let exchange = &raw const (*connection).exchange;
        let ring_bytes = config!(ring_bytes) as u64;
        let waiting = generated::bpf_ringbuf_query((&raw const EVENTS).cast_mut().cast(), BPF_RB_AVAIL_DATA.into());
        let begin_ns = if (*exchange).in_first_ns != 0 { (*exchange).in_first_ns } else { (*exchange).out_first_ns };
        if waiting > ring_bytes / 4 * 3 {
            count(counter::SHED);
            return false;
        }
        if waiting > ring_bytes / 2 && (*exchange).ts_ns - begin_ns < abi::BRIEF_NS {
            count(counter::SHED_BRIEF);
            return false;
        }
    }
    // SAFETY: promised by the caller.
    if unsafe { brief::emit(&raw const (*connection).exchange) } {
        return true;
    }
    // SAFETY: promised by the caller; the record is a part of the value, initialised in full.
    let status = unsafe {
        generated::bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            (&raw mut (*connection).exchange).cast(),
            size_of::<Exchange>() as u64,
            BPF_RB_NO_WAKEUP.into(),
        )
    };
    if status != 0 {
        count(counter::RING_FULL);
    }
    false
}

/// The exchange is over: sends it, and begins the next. A function of its own for the room on the stack: before 6.13 a
/// program and what it calls share 512 bytes.
///
/// # Safety
/// `connection` must point to a live map value.
#[inline(never)]
pub(crate) unsafe fn finish(connection: *mut Connection, tp: *const c_void, ts_ns: u64, how: u8) {
    // SAFETY: promised by the caller.
    unsafe {
        let exchange = &raw mut (*connection).exchange;
        // What came when the connection was idle, and was never read, makes no exchange.
        let came = (*exchange).in_first_ns != 0 && (*exchange).seq == 1;
        if (*exchange).reads == 0 && (*exchange).writes == 0 && !came {
            return;
        }
        bring_up_to_date(connection, tp, ts_ns);
        (*exchange).progress = how;
        (*connection).bytes_in += (*exchange).bytes_in;
        (*connection).bytes_out += (*exchange).bytes_out;
        let is_brief = emit(connection);
        if how == progress::CLOSED {
            return;
        }
        let sending = sending(tp);
        (*connection).window_base = sending.limited;
        (*connection).busy_base = if sending.is_busy { u32::MAX } else { sending.busy };
        let (seq, sock, role) = ((*exchange).seq + 1, (*exchange).sock, (*exchange).role);
        let (acks, ack_ns, ack_us) = ((*exchange).delayed_acks, (*exchange).delayed_ack_ns, (*exchange).delayed_ack_us);
        let words = exchange.cast::<u64>();
        if is_brief {
            core::ptr::write_bytes(words, 0, brief::TOLD / 8);
        } else {
            core::ptr::write_bytes(words, 0, size_of::<Exchange>() / 8);
        }
        (*exchange).kind = abi::EXCHANGE;
        (*exchange).seq = seq;
        (*exchange).sock = sock;
        (*exchange).role = role;
        (*exchange).holding = hold::NONE;
        (*exchange).delayed_acks = acks;
        (*exchange).delayed_ack_ns = ack_ns;
        (*exchange).delayed_ack_us = ack_us;
        (*connection).longest_hold_ns = 0;
    }
}

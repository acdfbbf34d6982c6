//! What is kept of a connection: where it lies, how an exchange begins and ends, what the socket's
//! own stamps tell.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP},
    btf_maps::HashMap,
    helpers::generated,
    macros::btf_map,
};
use backscope_abi as abi;
use backscope_abi::{Connection, Exchange, ThreadUse, counter, flag, hold, progress, role};

use crate::{
    accept::first_used,
    brief,
    hold::settle_hold,
    idle,
    kernel::{config, load},
    maps::{EVENTS, count},
    storage::{BPF_F_CLONE, SocketStorage, carries_nothing},
    threads,
};

/// Connections by their socket. The storage goes with the socket. A listener's children inherit its
/// value, in softirq already: one allocation serves as mark and as connection.
#[btf_map]
pub(crate) static CONNECTION: SocketStorage<
    Connection,
    { BPF_F_NO_PREALLOC as usize | BPF_F_CLONE },
> = SocketStorage::new();
/// The same by address, where tracing programs may not use socket storage.
#[btf_map]
static CONNECTIONS: HashMap<
    u64,
    Connection,
    { abi::MAX_CONNECTIONS as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

/// What a connection starts from: in `.rodata`, since the stack has no room for it.
pub(crate) static BLANK: Connection = Connection::BLANK;

/// The connection of this socket, null if it is not watched. `sk` must be a pointer that the
/// verifier knows as a socket.
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

/// Forgets what turns out to be no connection of its own. `sk` must be a pointer that the verifier
/// knows as a socket.
#[inline(always)]
pub(crate) fn discard(sk: *mut c_void) {
    if config!(socket_storage) == 0 {
        let _ = CONNECTIONS.remove(sk as u64);
    } else {
        let value = CONNECTION.get(sk, 0);
        if !value.is_null() {
            // What carries nothing is looked at no more.
            CONNECTION.remove(sk);
        }
    }
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
pub(crate) unsafe fn note_user(
    connection: *mut Connection,
    sk: *const c_void,
    slot: *mut ThreadUse,
    ts_ns: u64,
) {
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

/// Bytes that can be read. The peer's FIN has a number, too, until the application has read the
/// end; once it is in, nothing comes behind it (`tcp_fin`, 5.10 to 7.3).
#[inline(always)]
pub(crate) fn unread(tp: *const c_void) -> u32 {
    const TCP_ESTABLISHED: u8 = 1;
    const TCP_TIME_WAIT: u8 = 6;
    const TCP_CLOSE: u8 = 7;
    const TCP_CLOSE_WAIT: u8 = 8;
    const TCP_LAST_ACK: u8 = 9;
    const TCP_CLOSING: u8 = 11;
    let unread = load!(tp, rcv_nxt as u32).wrapping_sub(load!(tp, copied_seq as u32));
    if unread == 0 {
        return 0;
    }
    let state = load!(tp, skc_state as u8);
    if state == TCP_ESTABLISHED {
        return unread;
    }
    let ended = match state {
        TCP_TIME_WAIT | TCP_CLOSE_WAIT | TCP_LAST_ACK | TCP_CLOSING => true,
        // Closed by the FINs of both ends, unless there is an error.
        TCP_CLOSE => load!(tp, sk_err as u32) == 0,
        _ => false,
    };
    unread - ended as u32
}

/// Notes when the last byte was acknowledged, if it has been: the time of the newest ACK that
/// delivered something. It stands until something is sent again.
///
/// # Safety
/// `connection` must point to a live map value.
#[inline(always)]
pub(crate) unsafe fn settle_ack(connection: *mut Connection, tp: *const c_void) {
    // SAFETY: promised by the caller.
    unsafe {
        let exchange = &raw const (*connection).exchange;
        if (*exchange).writes != 0 && (*exchange).acked_ns == 0 {
            settle_ack_of(connection, tp, load!(tp, snd_una as u32), load!(tp, write_seq as u32));
        }
    }
}

/// The same of an exchange that has writes, with what is acknowledged and what is written.
///
/// # Safety
/// `connection` must point to a live map value.
#[inline(always)]
unsafe fn settle_ack_of(connection: *mut Connection, tp: *const c_void, una: u32, end: u32) {
    // SAFETY: promised by the caller.
    unsafe {
        let exchange = &raw mut (*connection).exchange;
        // A FIN that was sent counts as a byte that was written.
        if una == end && (*exchange).acked_ns == 0 {
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
    /// Of that: the peer's window limited it.
    pub(crate) window: u32,
    /// Something is out now.
    pub(crate) is_busy: bool,
}

#[inline(always)]
pub(crate) fn sending(tp: *const c_void) -> Sending {
    const UNSPECIFIED: u8 = 0;
    const RWND_LIMITED: u8 = 2;
    let [only_busy, mut window, by_buffer] = load!(tp, chrono_stat as [u32; 3]);
    let mut busy = only_busy.wrapping_add(window).wrapping_add(by_buffer);
    let kind = load!(tp, chrono_type as u8) & 3;
    if kind != UNSPECIFIED {
        // SAFETY: no arguments, no preconditions.
        let now = unsafe { generated::bpf_jiffies64() } as u32;
        let running = now.wrapping_sub(load!(tp, chrono_start as u32));
        busy = busy.wrapping_add(running);
        if kind == RWND_LIMITED {
            window = window.wrapping_add(running);
        }
    }
    Sending { busy, window, is_busy: kind != UNSPECIFIED }
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
        let exchange = &raw mut (*connection).exchange;
        let (una, nxt, end) =
            (load!(tp, snd_una as u32), load!(tp, snd_nxt as u32), load!(tp, write_seq as u32));
        if (*exchange).writes != 0 {
            settle_ack_of(connection, tp, una, end);
        }
        (*exchange).ts_ns = ts_ns;
        (*exchange).unsent = end.wrapping_sub(nxt);
        // Once the last byte was acknowledged, what is in flight belongs to the exchange that this
        // one is followed by.
        (*exchange).unacked = if (*exchange).acked_ns == 0 { nxt.wrapping_sub(una) } else { 0 };
        (*exchange).unread = unread(tp);
        if (*exchange).gone != 0 && (*exchange).unread != 0 {
            // There was a FIN before the RST.
            (*exchange).unread -= 1;
        }
        (*exchange).flags &= !flag::LEFT;
        // Who left nothing behind cleared the stamp, and what came since has set it anew.
        let (since_ns, newest_ns) = ((*connection).unread_since_ns, (*connection).arrival_ns);
        let read_ns = (*exchange).read_last_ns;
        if since_ns != 0 && since_ns < read_ns && newest_ns <= read_ns && (*exchange).unread != 0 {
            (*exchange).flags |= flag::LEFT;
        }
        (*exchange).min_rtt_us = load!(tp, rtt_min as [u32; 2])[1];
        if (*exchange).bytes_out >= BULK || (*connection).blocked_since_ns != 0 {
            (*exchange).window_jiffies = sending(tp).window.wrapping_sub((*connection).window_base);
        }
        if (*exchange).retransmits != 0 {
            (*exchange).spurious =
                (load!(tp, dsack_dups as u32) as u8).wrapping_sub((*exchange).dsack_base);
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
        let waiting = generated::bpf_ringbuf_query(
            (&raw const EVENTS).cast_mut().cast(),
            BPF_RB_AVAIL_DATA.into(),
        );
        let begin_ns = if (*exchange).in_first_ns != 0 {
            (*exchange).in_first_ns
        } else {
            (*exchange).out_first_ns
        };
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

/// The exchange is over: sends it, and begins the next. A function of its own for the room on the
/// stack: before 6.13 a program and what it calls share 512 bytes.
///
/// # Safety
/// `connection` must point to a live map value.
#[inline(never)]
pub(crate) unsafe fn finish(connection: *mut Connection, tp: *const c_void, ts_ns: u64, how: u8) {
    // SAFETY: promised by the caller.
    unsafe {
        let exchange = &raw mut (*connection).exchange;
        // Where no byte came and none was written, there is no exchange.
        if (*exchange).in_first_ns == 0 && (*exchange).writes == 0 {
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
        (*connection).window_base = sending.window;
        (*connection).busy_base = sending.busy;
        let sent_ns =
            if (*exchange).sent_ns != 0 { (*exchange).sent_ns } else { (*exchange).out_last_ns };
        let sent = (sent_ns / abi::SENT_UNIT_NS) as u32;
        let sent_before = if sent != 0 { sent } else { (*exchange).sent_before };
        let (seq, sock, role, fin_by) =
            ((*exchange).seq + 1, (*exchange).sock, (*exchange).role, (*exchange).fin_by);
        let words = exchange.cast::<u64>();
        if is_brief {
            // What lasts lies behind that.
            core::ptr::write_bytes(words, 0, brief::TOLD / 8);
        } else {
            let (acks, ack_ns) = ((*exchange).delayed_acks, (*exchange).delayed_ack_ns);
            let ack_us = (*exchange).delayed_ack_us;
            let (fin_how, fin_ns) = ((*exchange).fin_how, (*exchange).fin_ns);
            core::ptr::write_bytes(words, 0, size_of::<Exchange>() / 8);
            (*exchange).delayed_acks = acks;
            (*exchange).delayed_ack_ns = ack_ns;
            (*exchange).delayed_ack_us = ack_us;
            (*exchange).fin_how = fin_how;
            (*exchange).fin_ns = fin_ns;
        }
        (*exchange).kind = abi::EXCHANGE;
        (*exchange).seq = seq;
        (*exchange).sock = sock;
        (*exchange).role = role;
        (*exchange).fin_by = fin_by;
        (*exchange).holding = hold::NONE;
        (*exchange).midway = 0;
        (*exchange).sent_before = sent_before;
        (*exchange).was_busy = sending.is_busy as u8;
        (*connection).longest_hold_ns = 0;
    }
}

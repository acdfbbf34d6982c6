//! Connections in accept queues: they join, leave without being accepted, and lose their peers.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_NOEXIST;
use backscope_abi as abi;
use backscope_abi::errno::{ECONNRESET, EEXIST, negative};
use backscope_abi::tcp_state::{TCP_CLOSE, TCP_CLOSE_WAIT};
use backscope_abi::{Connection, Listener, Queued, counter};

use crate::{
    connection::{born, discard},
    era::is_pause,
    kernel::{accept_queue, config, load, now, port_of},
    listener::note_depth,
    live::{Find, Live},
    maps::{LISTENERS, QUEUED, add, count},
    suspend::{is_rush, is_rush_since, resume},
    target::is_served,
    tcp::tcp_of,
};

/// Reads what is known of a connection in a queue; blank if it is not seen in one.
#[inline(always)]
pub(crate) fn queued(child: *const c_void) -> Queued {
    if let Some(known) = QUEUED.find(child as u64) { *known } else { Queued::default() }
}

/// Notes that `child` is in the accept queue of a listener, or about to join it (see
/// [`note_depth`]).
#[inline(always)]
pub(crate) fn enqueue(
    (id, mut listener): (u64, Live<Listener>),
    child: *mut c_void,
    sock: u64,
    joining: u32,
) {
    if is_rush() {
        add(&raw mut listener.queued, 1);
        let sk = listener.sk as *const c_void;
        let [depth, limit] = accept_queue(sk);
        if depth + joining > limit {
            // From now on SYNs are refused.
            note_depth(listener, sk, joining);
        }
        return begin(child, sock, id);
    }
    let entry = Queued { listener: id, queued_ns: now(), sock, gone: 0 };
    match QUEUED.insert(child as u64, entry, BPF_NOEXIST.into()) {
        Ok(()) => {}
        Err(error) if error == negative(EEXIST) => {
            // 5.10 comes here twice for one connection: once inside the hash dance, once at its end.
            let is_known = QUEUED.find(child as u64).is_some_and(|known| known.sock == sock);
            if config!(socket_cookie) == 0 || is_known {
                return;
            }
            // Left behind by a socket at this address: the kernel skipped the probe at its end.
            let _ = QUEUED.insert(child as u64, entry, 0);
        }
        Err(_) => count(counter::QUEUED_FULL),
    }
    resume();
    add(&raw mut listener.queued, 1);
    note_depth(listener, listener.sk as *const c_void, joining);
    begin(child, sock, 0);
}

/// `listener` is 0 unless it came in a rush.
#[inline(always)]
fn begin(child: *mut c_void, sock: u64, listener: u64) {
    if config!(exchanges) != 0 && !is_pause() {
        born(child, sock, listener);
    }
}

/// A child turns out to have joined no queue: nothing is known of it any more. `sk` must be a
/// pointer that the verifier knows as a socket.
#[inline(always)]
pub(crate) fn leave(sk: *mut c_void) {
    if let Some(queued) = QUEUED.find(sk as u64) {
        let listener = queued.listener;
        let _ = QUEUED.remove(sk as u64);
        if let Some(mut listener) = LISTENERS.find(listener) {
            add(&raw mut listener.queued, u64::MAX);
        }
    } else if !is_rush() {
        return;
    }
    if config!(exchanges) != 0 {
        discard(sk);
    }
}

/// The peer closes or resets a connection. If that is in an accept queue still, it did not wait to
/// be served.
#[inline(always)]
pub(crate) fn peer_left(sk: *mut c_void, connection: Option<Live<Connection>>, new: u8) {
    let reset = new == TCP_CLOSE;
    if !reset && new != TCP_CLOSE_WAIT
        || reset && load!(sk as *const c_void, sk_err as u32) != ECONNRESET
    {
        return;
    }
    if !may_wait(sk, connection) {
        return;
    }
    let Some(mut queued) = QUEUED.find(sk as u64) else { return };
    let Some(mut listener) = LISTENERS.find(queued.listener) else { return };
    // A listener that closes ends its connections itself.
    if queued.gone != 0 || listener.closed_ns != 0 || has_file(sk) {
        return;
    }
    queued.gone = 1;
    add(if reset { &raw mut listener.peer_reset } else { &raw mut listener.peer_closed }, 1);
    let waited_ns = now().wrapping_sub(queued.queued_ns);
    if waited_ns >= abi::LATE_NS {
        add(&raw mut listener.left_late, 1);
        add(&raw mut listener.left_late_ns, waited_ns);
    }
}

/// True of a connection that was accepted: `sock_graft` gives it the socket of the application's
/// descriptor (5.10 to 7.3). Nothing may have shown the call: that of a 32-bit program, or one whose
/// probe the kernel skipped.
#[inline(always)]
fn has_file(sk: *mut c_void) -> bool {
    load!(sk as *const c_void, sk_socket as u64) != 0
}

/// True of a connection that was queued in this rush, or read from in it.
#[inline(always)]
pub(crate) fn came_in_rush(sk: *mut c_void) -> bool {
    if !is_rush() {
        return false;
    }
    let tp = tcp_of(sk);
    !tp.is_null() && is_rush_since(load!(tp, rcvq_time as u64) * 1_000)
}

/// False of a socket that is in no watched accept queue, as far as its port tells, or that somebody
/// has used: only what was accepted is. `connection` is that with exchanges.
#[inline(always)]
pub(crate) fn may_wait(sk: *mut c_void, connection: Option<Live<Connection>>) -> bool {
    if let Some(connection) = connection {
        return connection.tgid == 0;
    }
    is_served(port_of(sk)) && !came_in_rush(sk)
}

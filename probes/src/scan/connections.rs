//! Connections that are open: those that nobody knew, and what goes on on them.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{btf_maps::Array, helpers::generated, macros::btf_map};
use backscope_abi as abi;
use backscope_abi::tcp_state::{TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_SENT};
use backscope_abi::{Connection, role};

use super::{typed, write};
use crate::{
    accept::tell_kept,
    ack::{left_late, settle_delayed_ack},
    close::is_next_unread,
    connection::{by_address, find_active, find_by_number, open, open_by_number},
    era::at_present_by,
    exchange::refresh_from_socket,
    id::{cookie_of, id_of},
    idle::{self, compact, is_idle},
    kernel::{IPPROTO_MPTCP, config, jiffies, load, local_of, now, peer_of, read, sock_of_socket},
    live::{Find, Live},
    maps::CONNECTION,
    target::{is_served, is_target, is_wanted},
    tcp::tcp_of,
    thinning,
};

/// Shows that a connection is there; false if there is no room for that. It need not be a watched
/// one: the agent knows which are. Of Multipath TCP no file leads to the connection, and the agent
/// is told that it cannot count. A function of its own for the room on the stack.
#[inline(never)]
pub(super) fn held(seq: *mut c_void, sk: *const c_void, file: *mut c_void, tgid: u32) -> bool {
    let mut sock = 0;
    if config!(typed_files) == 0 {
        if sock_of_socket(file) != sk {
            return !is_target(tgid) || write_held(seq, abi::CANNOT_COUNT);
        }
        sock = match find_by_number(sk) {
            Some(connection) => connection.exchange.sock,
            None => read!(sk, skc_cookie as u64),
        };
    } else {
        let typed = typed(file);
        if typed.is_null() {
            return true;
        }
        if load!(typed as *const c_void, sk_protocol as u16) == IPPROTO_MPTCP {
            return !is_target(tgid) || write_held(seq, abi::CANNOT_COUNT);
        }
        if let Some(connection) = CONNECTION.get(typed, 0) {
            sock = connection.exchange.sock;
        }
        if sock == 0 {
            sock = idle::sock_of(typed);
        }
        if sock == 0
            && let Some(connection) = by_address(typed)
        {
            sock = connection.exchange.sock;
        }
        if sock == 0 {
            // There was no memory for its state, but its accept was told.
            sock = load!(typed as *const c_void, skc_cookie as u64);
        }
    }
    sock == 0 || write_held(seq, sock)
}

#[inline(always)]
fn write_held(seq: *mut c_void, sock: u64) -> bool {
    write(seq, &abi::ScanHeld { tag: abi::SCAN_HELD, _pad: 0, sock })
}

#[inline(always)]
pub(super) fn connection(seq: *mut c_void, sk: *const c_void, file: *mut c_void, tgid: u32) {
    let state = read!(sk, skc_state as u8);
    if state == TCP_LISTEN {
        return;
    }
    let is_new = state != TCP_CLOSE && state != TCP_SYN_SENT && is_wanted(sk, tgid);
    if config!(typed_files) == 0 {
        return by_number(seq, sk, file, tgid, is_new);
    }
    let typed = typed(file);
    if typed.is_null() {
        return;
    }
    let tp = tcp_of(typed);
    if tp.is_null() {
        return;
    }
    let known = find_active(typed);
    let mut connection;
    if let Some(known) = known {
        connection = known;
    } else {
        if !is_new || config!(compacts_idle) != 0 && is_idle(typed) {
            return;
        }
        let Some(opened) = open(typed, cookie_of(typed), role_of(sk), 1, tgid) else { return };
        connection = opened;
    }
    if is_news(connection, tp) {
        if !show(seq, connection, sk, tp, tgid) {
            connection.shown_seq = 0;
        }
    } else if config!(compacts_idle) != 0 {
        compact_if_idle(seq, typed, tp, connection);
    }
}

/// The side that a connection which was found open is on.
#[inline(always)]
fn role_of(sk: *const c_void) -> u8 {
    if is_served(read!(sk, skc_num as u16)) { role::SERVER } else { role::CLIENT }
}

/// A copy of the socket that the scan is at, where the verifier knows none behind a file: what reads
/// a socket can read this. Scans run one at a time.
#[btf_map]
static SOCKET: Array<[u8; SOCKET_BYTES], 1> = Array::new();

/// More than `struct tcp_sock` takes (some 2,300 bytes in 6.18).
const SOCKET_BYTES: usize = 4_096;

/// Copies a TCP socket; null if it cannot be read.
#[inline(always)]
fn copy_of(sk: *const c_void) -> *const c_void {
    let Some(copy) = SOCKET.find(0) else { return core::ptr::null() };
    let (to, bytes) = (copy.as_ptr().cast::<c_void>(), config!(tcp_sock_bytes) as u32);
    if bytes == 0 || bytes as usize > SOCKET_BYTES {
        return core::ptr::null();
    }
    // SAFETY: as many bytes as there is room for.
    if unsafe { generated::bpf_probe_read_kernel(to, bytes, sk) } != 0 {
        return core::ptr::null();
    }
    to
}

/// As [`connection`], where the verifier knows no socket behind a file. A function of its own for
/// the room on the stack.
#[inline(never)]
fn by_number(seq: *mut c_void, sk: *const c_void, file: *mut c_void, tgid: u32, is_new: bool) {
    // Of Multipath TCP no file leads to the connection.
    if sock_of_socket(file) != sk {
        return;
    }
    let tp = copy_of(sk);
    if tp.is_null() {
        return;
    }
    let mut connection;
    if let Some(known) = find_by_number(sk) {
        connection = at_present_by(tp, known);
    } else {
        if !is_new {
            return;
        }
        let Some(opened) = open_by_number(sk, id_of(sk), role_of(sk), 1, tgid) else { return };
        connection = opened;
    }
    if is_news(connection, tp) && !show(seq, connection, sk, tp, tgid) {
        connection.shown_seq = 0;
    }
}

/// Compacts a connection of which nothing is new, if it is idle. A function of its own for the room
/// on the stack.
#[inline(never)]
fn compact_if_idle(
    seq: *mut c_void,
    sk: *mut c_void,
    tp: *const c_void,
    connection: Live<Connection>,
) {
    compact(sk, tp, connection, || write(seq, connection.exchange().as_ptr()));
}

/// Brings a connection up to date that is doing something, or whose last exchange was not shown as
/// complete yet. False of any other. A function of its own for the room on the stack.
#[inline(never)]
fn is_news(mut connection: Live<Connection>, tp: *const c_void) -> bool {
    let exchange = connection.exchange();
    let idle = exchange.in_first_ns == 0 && exchange.writes == 0;
    // A request that was acknowledged is not answered yet.
    let answered = exchange.role == role::SERVER || exchange.reads != 0;
    let over = idle || answered && exchange.acked_ns != 0 && connection.unread_since_ns == 0;
    let known = over && load!(tp, skc_state as u8) == TCP_ESTABLISHED;
    if known && connection.shown_seq == exchange.seq && left_late(connection, tp) == 0 {
        return false;
    }
    let ts_ns = now();
    settle_delayed_ack(connection, tp, ts_ns);
    if known && connection.shown_seq == exchange.seq {
        return false;
    }
    refresh_from_socket(connection, tp, ts_ns);
    if idle || answered && exchange.acked_ns != 0 && exchange.unread == 0 {
        connection.shown_seq = exchange.seq;
    }
    true
}

/// Shows a connection; false if there is no room for it, and the iterator comes back to it. A
/// function of its own for the same reason.
#[inline(never)]
fn show(
    seq: *mut c_void,
    connection: Live<Connection>,
    sk: *const c_void,
    tp: *const c_void,
    tgid: u32,
) -> bool {
    tell_kept(connection, sk);
    let exchange = connection.exchange();
    let mut active_ns = connection.arrival_ns;
    if exchange.out_last_ns > active_ns {
        active_ns = exchange.out_last_ns;
    }
    if exchange.read_last_ns > active_ns {
        active_ns = exchange.read_last_ns;
    }
    if exchange.fin_ns > active_ns {
        active_ns = exchange.fin_ns;
    }
    let state = load!(tp, skc_state as u8);
    let since_ns =
        if state == TCP_SYN_SENT { connection.empty_since_ns } else { connection.exchange.fin_ns };
    if active_ns == 0 {
        active_ns = came_ns(tp);
    }
    let window_end = load!(tp, rcv_wup as u32).wrapping_add(load!(tp, rcv_wnd as u32));
    let window = window_end.wrapping_sub(load!(tp, rcv_nxt as u32)) as i32;
    let mut head = MaybeUninit::<abi::ScanConnection>::uninit();
    let at = head.as_mut_ptr();
    // SAFETY: a local; every field is written, and the padding at its end, too: older verifiers let
    // no byte out that nothing wrote.
    unsafe {
        at.cast::<u64>().add(size_of::<abi::ScanConnection>() / 8 - 1).write(0);
        (*at).tag = abi::SCAN_CONNECTION;
        (*at).tgid = tgid;
        (*at).state = state;
        (*at).peer_window_zero = (load!(tp, snd_wnd as u32) == 0) as u8;
        (*at).window_zero = (window <= 0) as u8;
        (*at).preexisting = connection.preexisting;
        (*at).again = if state == TCP_SYN_SENT { load!(tp, total_retrans as u32) as u8 } else { 0 };
        (*at).untold = thinning::untold(connection);
        (*at)._pad = [0; 2];
        let next = is_next_unread(connection, tp);
        (*at).next_since_ns = if next { connection.unread_since_ns } else { 0 };
        (*at).next_newest_ns = if next { connection.arrival_ns } else { 0 };
        (*at).active_ns = active_ns;
        (*at).since_ns = since_ns;
        ends(sk, &raw mut (*at).local, &raw mut (*at).peer);
    }
    write(seq, at) && write(seq, exchange.as_ptr())
}

/// The two ends of a socket. A function of its own for the same reason.
///
/// # Safety
/// Both must point to room for an endpoint.
#[inline(never)]
unsafe fn ends(sk: *const c_void, local: *mut abi::Endpoint, peer: *mut abi::Endpoint) {
    // SAFETY: promised by the caller.
    unsafe {
        local.write(local_of(sk));
        peer.write(peer_of(sk));
    }
}

/// Time at which the newest segment came, by the socket's own stamp: to a tick, and from before the
/// watch, too.
#[inline(always)]
fn came_ns(tp: *const c_void) -> u64 {
    let now_jiffies = jiffies();
    let age_ns =
        now_jiffies.wrapping_sub(load!(tp, rcv_tstamp as u32)) as u64 * config!(tick_ns) as u64;
    now().saturating_sub(age_ns)
}

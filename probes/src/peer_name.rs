//! Accept told by the request for the peer's name that it makes, while its own hooks are suspended.

use core::ffi::c_void;

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use backscope_abi::{Call, Queued, counter};

use crate::{
    accept::{accepted_as, call_of, established_ns},
    connection::find_by_number,
    id::id_of,
    kernel::{
        IPPROTO_MPTCP, config, current, file_of_fd, now, number_of, read, sock_of_socket,
        tcp_behind,
    },
    listener::listener_id,
    maps::{QUEUED, count},
    queue::queued,
    suspend::{is_rush, is_rush_since, is_suspended},
    syscall::Syscall,
    target::is_served,
    unstated::taken_unseen,
};

/// Handles a request for a peer's name. Accept makes one between taking the connection and
/// installing its descriptor (`do_accept`, `inet_getname`: 5.8 to 7.3). While the hooks of accept
/// are suspended this reports the connection; while they are not, it is counted that it would have.
#[inline(always)]
fn named(ctx: &SockAddrContext) -> i32 {
    const ALLOWED: i32 = 1;
    // SAFETY: the kernel's own context; the member is the socket in every program of this kind.
    let (protocol, sk) =
        unsafe { ((*ctx.sock_addr).protocol, (*ctx.sock_addr).__bindgen_anon_1.sk) };
    // The verifier lets nobody reckon with a socket in these programs; with a number it does.
    let mut child = number_of(sk.cast()) as *const c_void;
    if protocol == IPPROTO_MPTCP as u32 {
        child = tcp_behind(child);
    }
    if is_rush() {
        taken(child);
        return ALLOWED;
    }
    let queued = queued(child);
    if queued.listener == 0 {
        if is_suspended() {
            // It was queued in a rush that ends, or the kernel skipped the probe at its birth.
            let _ = call_of(current(), |_| true);
            taken(child);
        }
        return ALLOWED;
    }
    if accept_call().is_none() {
        return ALLOWED;
    }
    if !is_suspended() {
        count(counter::NAMED);
        return ALLOWED;
    }
    let thread = current();
    let mut call = call_of(thread, |_| true);
    // What was noted before the hooks were suspended may be of an earlier call.
    if call.listener != queued.listener {
        call = Call::default();
    }
    let _ = QUEUED.remove(child as u64);
    accepted_as(child, queued, thread, call, -1, now(), false, None);
    ALLOWED
}

/// The call of accept that the current thread is in, if it is in one.
#[inline(always)]
fn accept_call() -> Option<Syscall> {
    Syscall::current().filter(|call| call.is_accept())
}

/// A peer's name is asked for, and nothing is known of its connection in a queue: if it is by accept
/// on a watched listener, `child` is the application's. A function of its own for the room on the
/// stack.
#[inline(never)]
fn taken(child: *const c_void) {
    let Some(call) = accept_call() else { return };
    let thread = current();
    let mut queued = Queued { queued_ns: established_ns(child), ..Queued::default() };
    let mut known = if config!(exchanges) != 0 { find_by_number(child) } else { None };
    if let Some(connection) = known {
        queued.sock = connection.exchange.sock;
        queued.listener = connection.listener;
    }
    if queued.listener == 0 {
        if !is_served(read!(child, skc_num as u16)) {
            return;
        }
        // The call names the listener.
        let file = file_of_fd(call.first() as u32);
        let Some(id) = listener_id(tcp_behind(sock_of_socket(file))) else { return };
        queued.listener = id;
        if !is_rush_since(queued.queued_ns) {
            let _ = QUEUED.remove(child as u64);
        }
    }
    if let Some(mut connection) = known {
        connection.tgid = (thread >> 32) as u32;
    } else {
        queued.sock = id_of(child);
        known = taken_unseen(child, queued.sock, thread);
    }
    accepted_as(child, queued, thread, Call::default(), -1, now(), false, known);
}

/// proto: 5.10..7.3 net/ipv4/af_inet.c: int inet_getname(struct socket *sock,
///     struct sockaddr *uaddr, int peer)
#[cgroup_sock_addr(getpeername4)]
fn peer_name_v4(ctx: SockAddrContext) -> i32 {
    named(&ctx)
}

/// proto: 5.10..7.3 net/ipv6/af_inet6.c: int inet6_getname(struct socket *sock,
///     struct sockaddr *uaddr, int peer)
#[cgroup_sock_addr(getpeername6)]
fn peer_name_v6(ctx: SockAddrContext) -> i32 {
    named(&ctx)
}

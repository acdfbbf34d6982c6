//! Listening begins, its backlog changes, it ends.

use core::ffi::c_void;

use aya_ebpf::{
    btf_maps::LruHashMap,
    macros::{btf_map, btf_tracepoint, fentry, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, TracePointContext},
};
use backscope_abi as abi;
use backscope_abi::tcp_state::{
    TCP_CLOSE, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_LISTEN, TCP_SYN_RECV,
    TCP_SYN_SENT,
};

use crate::{
    close::state_changed,
    connect::SHUT,
    id::{cookie_of, own_id},
    kernel::{
        IPPROTO_MPTCP, comm, config, current, file_of_fd, joined, load, now, number_of, offset,
        port_of, read, sock_of_file,
    },
    listener::{listener_at, listener_id, note_depth, watch},
    live::Find,
    maps::{ASKED, LISTENER_OF, QUEUED, add},
    queue::{came_in_rush, enqueue, leave, peer_left},
    suspend::{is_rush, resume},
    syscall::Syscall,
    target::{is_served, is_wanted},
    tcp::tcp_of,
};

/// State change of a socket. LISTEN begins and ends in process context, a child appears in softirq.
/// proto: 5.10..7.3 include/trace/events/sock.h: void trace_inet_sock_set_state(
///     const struct sock *sk, const int oldstate, const int newstate)
#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state(ctx: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    let (old, new) = (ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8);
    if !matters(new) {
        return 0;
    }
    // A Multipath TCP socket copies the states of its first subflow, which comes here itself.
    if load!(sk as *const c_void, sk_protocol as u16) == IPPROTO_MPTCP {
        return 0;
    }
    if old == TCP_SYN_RECV && new == TCP_ESTABLISHED && is_served(port_of(sk)) && joins(sk) {
        // Nobody will accept it.
        leave(sk);
    } else if new == TCP_LISTEN {
        begin(sk);
    } else if old == TCP_LISTEN && new == TCP_CLOSE {
        end(sk, 0);
    } else if old == TCP_LISTEN && new == TCP_SYN_RECV {
        if config!(queued_by_state) != 0 {
            decided!("inet_sock_set_state", sk, "a child is about to be queued");
            child(sk);
        }
    } else if config!(exchanges) != 0 {
        state_changed(sk, old, new);
    } else {
        peer_left(sk, None, new);
    }
    0
}

/// Whether anything is done when a socket comes to this state.
#[inline(always)]
fn matters(new: u8) -> bool {
    const FOR_EXCHANGES: u32 = 1 << TCP_SYN_SENT | 1 << TCP_FIN_WAIT1;
    const ALWAYS: u32 = 1 << TCP_ESTABLISHED
        | 1 << TCP_SYN_RECV
        | 1 << TCP_CLOSE
        | 1 << TCP_CLOSE_WAIT
        | 1 << TCP_LISTEN;
    let state = 1 << (new & 31);
    ALWAYS & state != 0
        || FOR_EXCHANGES & state != 0 && config!(exchanges) != 0
        || config!(events) != 0
}

/// True of a subflow that joins a Multipath TCP connection; of any other child, that takes no read.
#[inline(always)]
fn joins(sk: *mut c_void) -> bool {
    let tp = tcp_of(sk);
    !tp.is_null() && load!(tp, icsk_ulp_data as u64) != 0 && joined(sk)
}

/// Listening begins. A function of its own for the room on the stack.
#[inline(never)]
fn begin(sk: *mut c_void) {
    let thread = current();
    let tgid = (thread >> 32) as u32;
    if !is_wanted(sk, tgid) {
        return;
    }
    resume();
    let backlog = asked_for(thread);
    let id = cookie_of(sk);
    watch(sk, id, tgid, comm(), backlog);
}

/// A listener ends. `dropped` connections in its queue have ended before it.
#[inline(always)]
fn end(sk: *const c_void, dropped: u64) {
    let Some((id, mut listener)) = listener_at(sk) else { return };
    let ts_ns = now();
    let drops = read!(sk, sk_drops as u32);
    // The queue is emptied after this (`inet_csk_listen_stop`): until now it was as deep as ever.
    let depth = note_depth(listener, sk, 0);
    if is_rush() {
        // What is in it is not known one by one.
        let waited = depth as u64 + dropped;
        add(&raw mut listener.abandoned, waited);
        add(&raw mut listener.cut, waited);
    }
    listener.drops = drops;
    listener.closed_ns = ts_ns;
    listener.depth = 0;
    listener.syn_depth = 0;

    let _ = LISTENER_OF.remove(sk as u64);
    crate::maps::emit(&abi::Closed { kind: abi::CLOSED, _pad: 0, ts_ns, listener: id });
}

/// Connections that a thread has dropped from the queue of a listener that it ends, and when it
/// dropped the last one, ns.
#[btf_map]
static DROPPED: LruHashMap<u64, [u64; 2], 256> = LruHashMap::new();

/// A socket goes while no state change is seen. A listener's end shows by that, and so does that of
/// each connection in its queue, just before it and in the same thread (`inet_csk_listen_stop`, 5.10
/// to 7.3). False of a socket that may have been queued before the rush. A function of its own for
/// the room on the stack.
#[inline(never)]
pub(crate) fn ends_unseen(sk: *mut c_void) -> bool {
    /// More than the kernel takes from one to the next.
    const MEANWHILE_NS: u64 = 1_000_000_000;
    // `tcp_disconnect`, which ends those in the queue, clears what every other end sets.
    let is_shut = load!(sk as *const c_void, sk_shutdown as u8) & SHUT != 0;
    if is_shut && came_in_rush(sk) {
        return true;
    }
    if !is_served(port_of(sk)) {
        return false;
    }
    let is_listener = listener_id(sk).is_some();
    if is_shut && !is_listener {
        return false;
    }
    let (thread, ts_ns) = (current(), now());
    let mut dropped = 0;
    if let Some(entry) = DROPPED.find(thread)
        && ts_ns - entry[1] < MEANWHILE_NS
    {
        dropped = entry[0];
    }
    if is_listener {
        let _ = DROPPED.remove(thread);
        end(sk, dropped);
    } else {
        let _ = DROPPED.insert(thread, [dropped + 1, ts_ns], 0);
        let _ = QUEUED.remove(sk as u64);
    }
    true
}

/// A child was cloned from a listener: in the next microseconds it enters the accept queue
/// (`tcp_v4_syn_recv_sock` made sure that there is room, 5.10 to 7.3), and the listener's depth
/// grows by one. A function of its own for the room on the stack.
#[inline(never)]
fn child(sk: *mut c_void) {
    if !is_served(port_of(sk)) {
        return;
    }
    let tp = tcp_of(sk);
    if tp.is_null() {
        return;
    }
    let Some((id, listener)) = listener_at(parent_of(tp)) else { return };
    if listener.closed_ns != 0 {
        return;
    }
    if config!(exchanges) == 0 && is_rush() {
        // Nobody asks for its id before it is accepted.
        return enqueue((id, listener), sk, 0, 1);
    }
    // Up to some 6.12 `inet_csk_clone_lock` changes the state before it clears the cookie that came
    // with the clone, or that is asked for now. If the listener has none, as that of Multipath TCP,
    // it cannot be told whether it has done so.
    let cloned = load!(sk as *const c_void, skc_cookie as u64);
    let is_cleared = cloned != read!(listener.sk, skc_cookie as u64);
    enqueue((id, listener), sk, if is_cleared { cookie_of(sk) } else { own_id() }, 1);
}

/// The listener that a child was just cloned from. The head of a list has its own address in it
/// while the list is empty, as that of a listener's unacknowledged segments always is, and the clone
/// is still an exact copy: `inet_csk_clone_lock` changes the state before `tcp_create_openreq_child`
/// gives the child a list of its own (5.10 to 7.3).
#[inline(always)]
fn parent_of(child: *const c_void) -> *const c_void {
    let head = number_of(load!(child, tsorted_sent_queue as u64) as *const c_void);
    head.wrapping_sub(offset!(tsorted_sent_queue) as u64) as *const c_void
}

/// The backlog that the current thread asks for; -1 if that is not known. Its registers have it
/// inside `listen(2)`: what was noted may be of an earlier call, if the hook of this one is
/// suspended.
#[inline(always)]
fn asked_for(thread: u64) -> i32 {
    if let Some(call) = Syscall::current()
        && call.is_listen()
    {
        return call.second() as i32;
    }
    match ASKED.find(thread) {
        Some(backlog) => *backlog,
        None => -1,
    }
}

/// `listen(2)` was called: the only place where the backlog asked for can be seen, before somaxconn
/// clamps it.
#[inline(always)]
fn asked(fd: u32, backlog: i32) {
    let thread = current();
    let sk = sock_of_file(file_of_fd(fd));
    match listener_at(sk) {
        // A second listen() on a listener changes its backlog and no state.
        Some((_, mut listener)) => listener.backlog = backlog,
        None if is_wanted(sk, (thread >> 32) as u32) => {
            let _ = ASKED.insert(thread, backlog, 0);
        }
        None => {}
    }
}

/// proto: 5.10..7.3 net/socket.c: int __sys_listen(int fd, int backlog)
#[fentry(function = "__sys_listen")]
fn listen_call(ctx: FEntryContext) -> i32 {
    asked(ctx.arg::<u32>(0), ctx.arg::<i32>(1));
    0
}

/// proto: 6.1..6.12 net/socket.c: SYSCALL_DEFINE2(listen, int, fd, int, backlog)
#[tracepoint(category = "syscalls", name = "sys_enter_listen")]
fn sys_enter_listen(ctx: TracePointContext) -> u32 {
    asked(crate::accept::syscall_arg(&ctx, 0) as u32, crate::accept::syscall_arg(&ctx, 1) as i32);
    0
}

//! Listening begins, its backlog changes, it ends.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, TracePointContext},
};
use backscope_abi as abi;
use backscope_abi::Listener;
use backscope_abi::tcp_state::{
    TCP_CLOSE, TCP_CLOSE_WAIT, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_LISTEN, TCP_SYN_RECV,
    TCP_SYN_SENT,
};

use crate::{
    close::state_changed,
    id::{cookie_of, own_id},
    kernel::{
        IPPROTO_MPTCP, comm, config, current, file_of_fd, joined, load, now, parent_subflow,
        port_of, read, sock_of_file,
    },
    listener::{
        forget_address, is_at_its_address, listener_at, listener_by_address, listener_id,
        note_depth, shares_address, watch,
    },
    live::{Find, Live},
    maps::{ASKED, LISTENER_OF, LISTENERS, add},
    payload::{register, registers},
    queue::{enqueue, leave, peer_left},
    suspend::{is_rush, resume},
    tag::{listener_tag, set_listener_tag},
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
        end(sk);
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

#[inline(always)]
fn begin(sk: *mut c_void) {
    let thread = current();
    let tgid = (thread >> 32) as u32;
    if !is_wanted(sk, tgid) {
        return;
    }
    resume();
    let backlog = asked_for(thread);
    let id = cookie_of(sk);
    if watch(sk, id, tgid, comm(), backlog)
        && config!(queued_by_state) != 0
        && !is_at_its_address(sk, id)
    {
        set_listener_tag(sk, id);
    }
}

#[inline(always)]
fn end(sk: *const c_void) {
    let Some((id, mut listener)) = listener_at(sk) else { return };
    let ts_ns = now();
    let drops = read!(sk, sk_drops as u32);
    // The queue is emptied after this (`inet_csk_listen_stop`): until now it was as deep as ever.
    let depth = note_depth(listener, sk, 0);
    if is_rush() {
        // What is in it is not known one by one.
        add(&raw mut listener.abandoned, depth as u64);
        add(&raw mut listener.cut, depth as u64);
    }
    listener.drops = drops;
    listener.closed_ns = ts_ns;
    listener.depth = 0;
    listener.syn_depth = 0;

    let _ = LISTENER_OF.remove(sk as u64);
    forget_address(sk, id);
    crate::maps::emit(&abi::Closed { kind: abi::CLOSED, _pad: 0, ts_ns, listener: id });
}

/// A child was cloned from a listener: in the next microseconds it enters the accept queue
/// (`tcp_v4_syn_recv_sock` made sure that there is room, 5.10 to 7.3), and the listener's depth
/// grows by one.
#[inline(always)]
fn child(sk: *mut c_void) {
    if !is_served(port_of(sk)) {
        return;
    }
    let (mut id, mut inherited) = (0, None);
    if let Some(tag) = listener_tag(sk) {
        (id, inherited) = tag;
    }
    let mut by_address = false;
    if id == 0 {
        id = listener_by_address(sk);
        by_address = id != 0;
    }
    if id == 0 {
        // No file leads to the subflow that listens, so that it has a tag only if its
        // beginning was seen.
        let parent = parent_subflow(sk);
        if !parent.is_null()
            && let Some(known) = listener_id(parent)
        {
            id = known;
        }
    }
    let Some(listener) = listening(id) else { return };
    let parent = listener.sk;
    let is_rush = is_rush();
    // The next scan tags it.
    if by_address && !is_rush && shares_address(parent as *const c_void) {
        return;
    }
    if is_rush && config!(exchanges) == 0 {
        // Nobody asks for its id before it is accepted.
        return enqueue((id, listener), sk, inherited, 0, 1);
    }
    // Up to some 6.12 `inet_csk_clone_lock` changes the state before it clears the cookie that came
    // with the clone.
    let cloned = load!(sk as *const c_void, skc_cookie as u64);
    let is_parents = cloned != 0 && cloned == read!(parent, skc_cookie as u64);
    enqueue((id, listener), sk, inherited, if is_parents { own_id() } else { cookie_of(sk) }, 1);
}

/// A listener, while it listens.
#[inline(always)]
fn listening(id: u64) -> Option<Live<Listener>> {
    let listener = LISTENERS.find(id)?;
    if listener.closed_ns == 0 { Some(listener) } else { None }
}

/// The backlog that the current thread asks for; -1 if that is not known. Its registers have it
/// inside `listen(2)`: what was noted may be of an earlier call, if the hook of this one is
/// suspended.
#[inline(always)]
fn asked_for(thread: u64) -> i32 {
    const LISTEN: u64 = 50;
    let registers = registers();
    if !registers.is_null() && register!(registers, regs_call) == LISTEN {
        return register!(registers, regs_second) as i32;
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

//! Listening begins, its backlog changes, it ends.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, TracePointContext},
};
use backscope_abi as abi;
use backscope_abi::Listener;

use crate::{
    close::state_changed,
    first::registers,
    kernel::{comm, config, current, file_of_fd, load, now, read, sock_of_file},
    maps::{
        ASKED, LISTENER_OF, LISTENERS, cookie_of, enqueue, listener_at, mark, marked, own_id, rouse, wanted, watch,
    },
};

const TCP_SYN_RECV: i32 = 3;
const TCP_CLOSE: i32 = 7;
const TCP_LISTEN: i32 = 10;

/// `inet_sock_set_state(sk, old, new)`: LISTEN begins and ends in process context, a child appears in softirq.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn set_state(ctx: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    if new == TCP_LISTEN {
        begin(sk);
    } else if old == TCP_LISTEN && new == TCP_CLOSE {
        end(sk);
    } else if old == TCP_LISTEN && new == TCP_SYN_RECV {
        if config!(queued_by_state) != 0 {
            child(sk);
        }
    } else if config!(exchanges) != 0 {
        state_changed(sk, old, new);
    }
    0
}

#[inline(always)]
fn begin(sk: *mut c_void) {
    let thread = current();
    let tgid = (thread >> 32) as u32;
    if !wanted(sk, tgid) {
        return;
    }
    rouse();
    let backlog = asked_for(thread);
    let id = cookie_of(sk);
    if watch(sk, id, tgid, comm(), backlog) && config!(queued_by_state) != 0 {
        mark(sk, id);
    }
}

#[inline(always)]
fn end(sk: *const c_void) {
    let Some((id, listener)) = listener_at(sk) else { return };
    let ts_ns = now();
    let drops = read!(sk, sk_drops as u32);
    // SAFETY: a live map value.
    unsafe {
        (*listener).drops = drops;
        (*listener).closed_ns = ts_ns;
        (*listener).depth = 0;
        (*listener).syn_depth = 0;
    }
    let _ = LISTENER_OF.remove(sk as u64);
    crate::maps::emit(&abi::Closed { kind: abi::CLOSED, _pad: 0, ts_ns, listener: id });
}

/// A child was cloned from a marked listener: in the next microseconds it enters the accept queue
/// (`tcp_v4_syn_recv_sock` made sure that there is room, 5.10 to 7.3), and the listener's depth grows by one.
#[inline(always)]
fn child(sk: *mut c_void) {
    let Some((id, carried)) = marked(sk) else { return };
    let Some(listener) = listening(id) else { return };
    // Up to some 6.12 `inet_csk_clone_lock` changes the state before it clears the cookie that came with the clone.
    let cookie = if load!(sk as *const c_void, skc_cookie as u64) == id { own_id() } else { cookie_of(sk) };
    enqueue((id, listener), sk, carried, cookie, 1);
}

/// A listener, while it listens.
#[inline(always)]
fn listening(id: u64) -> Option<*mut Listener> {
    let listener = LISTENERS.get_ptr_mut(id)?;
    // SAFETY: a live map value.
    if unsafe { (*listener).closed_ns } == 0 { Some(listener) } else { None }
}

/// The backlog that the current thread asks for; -1 if that is not known. Its registers have it inside `listen(2)`: what was
/// noted may be of an earlier call, if that of this one rests.
#[inline(always)]
fn asked_for(thread: u64) -> i32 {
    const LISTEN: u64 = 50;
    let registers = registers();
    if !registers.is_null() && read!(registers, regs_call as u64) == LISTEN {
        return read!(registers, regs_second as u64) as i32;
    }
    // SAFETY: the reference is copied at once.
    unsafe { ASKED.get(thread) }.copied().unwrap_or(-1)
}

/// `listen(2)` was called: the only place where the backlog asked for can be seen, before somaxconn clamps it.
#[inline(always)]
fn asked(fd: u32, backlog: i32) {
    let thread = current();
    let sk = sock_of_file(file_of_fd(fd));
    match listener_at(sk) {
        // A second listen() on a listener changes its backlog and no state.
        // SAFETY: a live map value.
        Some((_, listener)) => unsafe { (*listener).backlog = backlog },
        None if wanted(sk, (thread >> 32) as u32) => {
            let _ = ASKED.insert(thread, backlog, 0);
        }
        None => {}
    }
}

#[fentry(function = "__sys_listen")]
fn listen_call(ctx: FEntryContext) -> i32 {
    asked(ctx.arg::<u32>(0), ctx.arg::<i32>(1));
    0
}

#[tracepoint(category = "syscalls", name = "sys_enter_listen")]
fn sys_enter_listen(ctx: TracePointContext) -> u32 {
    asked(crate::accept::syscall_arg(&ctx, 0) as u32, crate::accept::syscall_arg(&ctx, 1) as i32);
    0
}

//! The tracepoint tier: the system calls accept and accept4.

use aya_ebpf::{EbpfContext, macros::tracepoint, programs::TracePointContext};
use backscope_abi::counter;

use super::{
    accepted_as,
    call::{call_of, enter, leave_empty},
};
use crate::{
    kernel::{config, current, file_of_fd, now, sock_of_socket, tcp_behind},
    maps::{QUEUED, count},
    queue::queued,
    suspend::is_rush,
    target::is_target,
};

/// Argument `n` of a system call, in a `sys_enter_*` tracepoint.
#[inline(always)]
pub(crate) fn syscall_arg(ctx: &TracePointContext, n: usize) -> u64 {
    // SAFETY: within the context of every sys_enter tracepoint: 16 bytes of header, then six
    // arguments.
    unsafe { ctx.as_ptr().byte_add(16 + 8 * n).cast::<u64>().read() }
}

#[inline(always)]
fn returned(result: i64) {
    // The other hook has told of it.
    if is_rush() {
        return;
    }
    let thread = current();
    if result < 0 {
        leave_empty(thread, result);
        return;
    }
    let call = call_of(thread, |_| true);
    // It may have been inside since before the attach. That is checked for targets alone, since it
    // costs too much for all.
    if call.listener == 0 && config!(by_port) == 0 && !is_target((thread >> 32) as u32) {
        return;
    }
    let ts_ns = now();
    let mut child = sock_of_socket(file_of_fd(result as u32));
    let mut known = queued(child);
    if known.listener == 0 {
        // A Multipath TCP socket stands for its first subflow; and it may be no socket of TCP.
        child = tcp_behind(child);
        known = queued(child);
    }
    let _ = QUEUED.remove(child as u64);
    if !child.is_null()
        && accepted_as(child, known, thread, call, result as i32, ts_ns, false, None)
    {
        decided!("sys_exit_accept", child, "accepted");
        count(counter::RETURNED);
    }
}

/// proto: 6.1..6.12 net/socket.c: SYSCALL_DEFINE3(accept, int, fd, struct sockaddr __user *,
///     upeer_sockaddr, int __user *, upeer_addrlen)
#[tracepoint(category = "syscalls", name = "sys_enter_accept")]
fn sys_enter_accept(ctx: TracePointContext) -> u32 {
    enter(file_of_fd(syscall_arg(&ctx, 0) as u32));
    0
}

/// proto: 6.1..6.12 net/socket.c: SYSCALL_DEFINE4(accept4, int, fd, struct sockaddr __user *,
///     upeer_sockaddr, int __user *, upeer_addrlen, int, flags)
#[tracepoint(category = "syscalls", name = "sys_enter_accept4")]
fn sys_enter_accept4(ctx: TracePointContext) -> u32 {
    enter(file_of_fd(syscall_arg(&ctx, 0) as u32));
    0
}

/// proto: 6.1..6.12 net/socket.c: SYSCALL_DEFINE3(accept, int, fd, struct sockaddr __user *,
///     upeer_sockaddr, int __user *, upeer_addrlen)
#[tracepoint(category = "syscalls", name = "sys_exit_accept")]
fn sys_exit_accept(ctx: TracePointContext) -> u32 {
    returned(syscall_arg(&ctx, 0) as i64);
    0
}

/// proto: 6.1..6.12 net/socket.c: SYSCALL_DEFINE4(accept4, int, fd, struct sockaddr __user *,
///     upeer_sockaddr, int __user *, upeer_addrlen, int, flags)
#[tracepoint(category = "syscalls", name = "sys_exit_accept4")]
fn sys_exit_accept4(ctx: TracePointContext) -> u32 {
    returned(syscall_arg(&ctx, 0) as i64);
    0
}

//! The full tier: functions that every way of accept goes through.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};
use backscope_abi::Call;
use backscope_abi::errno::{EMFILE, negative};

use super::{
    accepted,
    call::{call_of, enter, failed_on, failed_with, leave_empty},
};
use crate::{
    kernel::{current, file_of_fd, now, sock_of_file},
    live::Find,
    maps::CALLS,
};

/// Common path of accept, accept4 and io_uring.
/// proto: 5.10..6.1 net/socket.c: struct file *do_accept(struct file *file, unsigned file_flags,
///     struct sockaddr __user *upeer_sockaddr, int __user *upeer_addrlen, int flags)
/// proto: 6.12..7.3 net/socket.c: struct file *do_accept(struct file *file,
///     struct proto_accept_arg *arg, struct sockaddr __user *upeer_sockaddr,
///     int __user *upeer_addrlen, int flags)
#[fentry(function = "do_accept")]
fn do_accept(ctx: FEntryContext) -> i32 {
    let thread = current();
    let call = call_of(thread, |call| call.file != 0);
    if call.file != 0 {
        // The one before went to an io_uring direct descriptor, which no fd_install follows.
        accepted(
            sock_of_file(call.file as *const c_void),
            thread,
            call,
            -1,
            call.returned_ns,
            false,
        );
    }
    enter(ctx.arg(0));
    0
}

/// proto: 5.10..6.1 net/socket.c: struct file *do_accept(struct file *file, unsigned file_flags,
///     struct sockaddr __user *upeer_sockaddr, int __user *upeer_addrlen, int flags)
/// proto: 6.12..7.3 net/socket.c: struct file *do_accept(struct file *file,
///     struct proto_accept_arg *arg, struct sockaddr __user *upeer_sockaddr,
///     int __user *upeer_addrlen, int flags)
#[fexit(function = "do_accept")]
fn do_accept_done(ctx: FExitContext) -> i32 {
    let thread = current();
    let file: i64 = ctx.arg(5);
    if (-4095..=0).contains(&file) {
        leave_empty(thread, file);
    } else if let Some(mut call) = CALLS.find(thread) {
        if call.sk != 0 {
            call.file = file as u64;
            call.returned_ns = now();
        }
    }
    0
}

/// Failure for want of a descriptor: the kernel reserves one before it calls `do_accept`
/// (`__sys_accept4_file`, 5.10 to 7.3).
/// proto: 5.10..7.3 net/socket.c: int __sys_accept4(int fd, struct sockaddr __user *upeer_sockaddr,
///     int __user *upeer_addrlen, int flags)
#[fexit(function = "__sys_accept4")]
fn accept_call_done(ctx: FExitContext) -> i32 {
    if ctx.arg::<i32>(4) == negative(EMFILE) {
        failed_on(file_of_fd(ctx.arg::<u32>(0)), failed_with(EMFILE));
    }
    0
}

/// Last step of accept, which makes the descriptor the application's. It also serves a thread that
/// was inside accept at the attach: an fexit does not see a call that began before it was attached.
/// proto: 5.10..7.3 fs/file.c: void fd_install(unsigned int fd, struct file *file)
#[fentry(function = "fd_install")]
fn fd_install(ctx: FEntryContext) -> i32 {
    let (fd, file): (i32, *const c_void) = (ctx.arg(0), ctx.arg(1));
    let thread = current();
    // A call without a beginning was noted by the agent at the attach; no fexit sees its end.
    let ends =
        |call: &Call| call.file == file as u64 || (call.listener != 0 && call.entered_ns == 0);
    let mut call = call_of(thread, ends);
    if !ends(&call) {
        call = Call::default();
    }
    let child = sock_of_file(file);
    if !child.is_null() {
        decided!("fd_install", child, "a socket got its descriptor");
        accepted(child, thread, call, fd, now(), false);
    }
    0
}

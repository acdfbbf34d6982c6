//! The application takes a connection: who, when it asked, when it got it, and how long the connection had waited.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    helpers::generated,
    macros::{btf_tracepoint, fentry, fexit, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, TracePointContext},
};
use backscope_abi as abi;
use backscope_abi::{Call, Queued};

use crate::{
    kernel::{accept_depth, comm, current, file_of_fd, local_of, now, peer_of, read, read_at, sock_of_file},
    maps::{CALLS, LISTENERS, QUEUED, add, emit, id_of, is_target, listener_at, note_depth},
};

const TCP_LISTEN: u8 = 10;
const EAGAIN: i64 = -11;

/// A thread asks for a connection.
#[inline(always)]
fn enter(sk: *const c_void) {
    if sk.is_null() {
        return;
    }
    let thread = current();
    let Some((id, _)) = listener_at(sk) else {
        let tgid = (thread >> 32) as u32;
        if is_target(tgid) && read!(sk, skc_state as u8) == TCP_LISTEN {
            // It came to the target by a way that shows no event, such as SCM_RIGHTS.
            emit(&abi::Adopt { kind: abi::ADOPT, tgid, ts_ns: now() });
        }
        return;
    };
    let call = Call { entered_ns: now(), listener: id, sk: sk as u64, file: 0, returned_ns: 0 };
    let _ = CALLS.insert(thread, call, 0);
}

/// The call ended without a connection.
#[inline(always)]
fn leave_empty(thread: u64, result: i64) {
    // SAFETY: the reference is copied at once.
    let Some(call) = unsafe { CALLS.get(thread) }.copied() else { return };
    let _ = CALLS.remove(thread);
    if result != EAGAIN {
        return;
    }
    if let Some(listener) = LISTENERS.get_ptr_mut(call.listener) {
        // SAFETY: a live map value.
        add(unsafe { &raw mut (*listener).eagain }, 1);
    }
}

/// The connection `child` is the application's now. `call` is `None` when it began before the attach, or could not be
/// seen (io_uring on the tracepoint tier); then the connection is ours only if we saw it queued.
#[inline(always)]
fn accepted(child: *const c_void, call: Option<Call>, fd: i32, ts_ns: u64) {
    // SAFETY: the reference is copied at once.
    let known = unsafe { QUEUED.get(child as u64) }.copied();
    let (entered_ns, id) = match (call, known) {
        (Some(call), _) => (call.entered_ns, call.listener),
        (None, Some(queued)) => (0, queued.listener),
        (None, None) => return,
    };
    let _ = QUEUED.remove(child as u64);
    let depth = match LISTENERS.get_ptr_mut(id) {
        Some(listener) => {
            // SAFETY: a live map value.
            let sk = unsafe {
                add(&raw mut (*listener).accepted, 1);
                (*listener).sk as *const c_void
            };
            let depth = accept_depth(sk);
            note_depth(listener, sk, depth);
            depth
        }
        None => 0,
    };
    let queued = known.unwrap_or(Queued { sock: id_of(child), ..Queued::default() });
    let age_jiffies = if queued.queued_ns == 0 { age(child) } else { 0 };
    let thread = current();
    emit(&abi::Accept {
        kind: abi::ACCEPT,
        fd,
        ts_ns,
        entered_ns,
        queued_ns: queued.queued_ns,
        age_jiffies,
        _pad: 0,
        listener: id,
        sock: queued.sock,
        local: local_of(child),
        peer: peer_of(child),
        tgid: (thread >> 32) as u32,
        tid: thread as u32,
        srtt_us: read!(child, srtt_us as u32),
        depth,
        comm: comm(),
    });
}

/// Jiffies since a connection was born: `tcp_create_openreq_child` sets `lsndtime` to the jiffies of that moment, and it
/// stays until data are sent, which nobody can do before accept (5.10 to 7.3).
#[inline(always)]
fn age(child: *const c_void) -> u32 {
    // SAFETY: no arguments, no preconditions.
    let jiffies = unsafe { generated::bpf_jiffies64() } as u32;
    jiffies.wrapping_sub(read!(child, lsndtime as u32))
}

/// `do_accept(file, …)` is behind accept, accept4 and io_uring alike (5.10 to 7.3).
#[fentry(function = "do_accept")]
fn do_accept(ctx: FEntryContext) -> i32 {
    let thread = current();
    // SAFETY: the reference is copied at once.
    if let Some(call) = unsafe { CALLS.get(thread) }.copied()
        && call.file != 0
    {
        // The one before went to an io_uring direct descriptor, which no fd_install follows.
        accepted(sock_of_file(call.file as *const c_void), Some(call), -1, call.returned_ns);
        let _ = CALLS.remove(thread);
    }
    enter(sock_of_file(ctx.arg::<*const c_void>(0)));
    0
}

#[fexit(function = "do_accept")]
fn do_accept_done(ctx: FExitContext) -> i32 {
    let thread = current();
    let file: i64 = ctx.arg(5);
    if (-4095..=0).contains(&file) {
        leave_empty(thread, file);
    } else if let Some(call) = CALLS.get_ptr_mut(thread) {
        // SAFETY: a live map value that only this thread writes.
        unsafe {
            (*call).file = file as u64;
            (*call).returned_ns = now();
        }
    }
    0
}

/// `fd_install(fd, file)`: the last step of accept, which makes the descriptor the application's. It also serves the
/// thread that was inside accept at the attach: an fexit does not see a call that began before it was attached.
#[fentry(function = "fd_install")]
fn fd_install(ctx: FEntryContext) -> i32 {
    let (fd, file): (i32, *const c_void) = (ctx.arg(0), ctx.arg(1));
    let thread = current();
    // SAFETY: the reference is copied at once.
    let call = unsafe { CALLS.get(thread) }.copied();
    match call {
        Some(call) if call.file == file as u64 => {
            let _ = CALLS.remove(thread);
            accepted(sock_of_file(file), Some(call), fd, now());
        }
        _ => {
            let child = sock_of_file(file);
            if !child.is_null() {
                accepted(child, None, fd, now());
            }
        }
    }
    0
}

/// Argument `n` of a system call, in a `sys_enter_*` tracepoint.
#[inline(always)]
pub(crate) fn syscall_arg(ctx: &TracePointContext, n: usize) -> u64 {
    // SAFETY: within the context of every sys_enter tracepoint: 16 bytes of header, then six arguments.
    unsafe { ctx.as_ptr().byte_add(16 + 8 * n).cast::<u64>().read() }
}

#[inline(always)]
fn returned(result: i64) {
    let thread = current();
    if result < 0 {
        leave_empty(thread, result);
        return;
    }
    // SAFETY: the reference is copied at once.
    let call = unsafe { CALLS.get(thread) }.copied();
    let _ = CALLS.remove(thread);
    let ts_ns = now();
    let child = sock_of_file(file_of_fd(result as u32));
    if !child.is_null() {
        accepted(child, call, result as i32, ts_ns);
    }
}

#[tracepoint(category = "syscalls", name = "sys_enter_accept")]
fn sys_enter_accept(ctx: TracePointContext) -> u32 {
    enter(sock_of_file(file_of_fd(syscall_arg(&ctx, 0) as u32)));
    0
}

#[tracepoint(category = "syscalls", name = "sys_enter_accept4")]
fn sys_enter_accept4(ctx: TracePointContext) -> u32 {
    enter(sock_of_file(file_of_fd(syscall_arg(&ctx, 0) as u32)));
    0
}

#[tracepoint(category = "syscalls", name = "sys_exit_accept")]
fn sys_exit_accept(ctx: TracePointContext) -> u32 {
    returned(syscall_arg(&ctx, 0) as i64);
    0
}

#[tracepoint(category = "syscalls", name = "sys_exit_accept4")]
fn sys_exit_accept4(ctx: TracePointContext) -> u32 {
    returned(syscall_arg(&ctx, 0) as i64);
    0
}

/// A completion of the current process's io_uring: it accepted something if its result is the descriptor of a
/// connection that we saw queued.
#[inline(always)]
fn completed(result: i32) {
    if result < 0 || !is_target((current() >> 32) as u32) {
        return;
    }
    let ts_ns = now();
    let child = sock_of_file(file_of_fd(result as u32));
    if !child.is_null() {
        accepted(child, None, result, ts_ns);
    }
}

/// `io_uring_complete(ctx, req, user_data, res, …)`, 6.0 to 6.14.
#[btf_tracepoint(function = "io_uring_complete")]
fn io_uring_complete_res(ctx: BtfTracePointContext) -> i32 {
    completed(ctx.arg(3));
    0
}

/// `io_uring_complete(ctx, req, cqe)`, from 6.15 on; `struct io_uring_cqe` has its result at byte 8.
#[btf_tracepoint(function = "io_uring_complete")]
fn io_uring_complete_cqe(ctx: BtfTracePointContext) -> i32 {
    completed(read_at::<i32>(ctx.arg::<*const c_void>(2), 8));
    0
}

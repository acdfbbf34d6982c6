//! Accept: the thread that takes a connection, when it asked and got it, and how long the
//! connection had waited.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    bindings::BPF_RB_NO_WAKEUP,
    macros::{btf_tracepoint, fentry, fexit, tracepoint},
    programs::{BtfTracePointContext, FEntryContext, FExitContext, TracePointContext},
};
use backscope_abi as abi;
use backscope_abi::errno::{EAGAIN, ECANCELED, EINTR, EMFILE, negative};
use backscope_abi::tcp_state::TCP_LISTEN;
use backscope_abi::{Call, Queued, counter};

use crate::{
    connection::find_by_number,
    id::id_of,
    kernel::{
        Head, comm, config, current, file_of_fd, jiffies, now, read, read_at, sock_of_file,
        sock_of_socket, tcp_behind, write_ends,
    },
    listener::{count_failure, listener_id, note_change},
    live::{Find, Live},
    maps::{CALLS, EVENTS, LISTENERS, QUEUED, add, count, emit},
    queue::queued,
    suspend::{is_rush, was_stateless},
    target::is_target,
    unstated::taken_unseen,
};

const _: () = assert!(size_of::<Head>() <= size_of::<abi::Accept>());

/// Results of a call that a signal interrupted, before the kernel restarts it: `ERESTARTSYS` to
/// `ERESTART_RESTARTBLOCK`.
const RESTARTS: core::ops::RangeInclusive<i64> = -516..=-512;

/// The result of a call that failed with this error.
///
/// Results are compared as they are: that of `do_accept` is a pointer to the verifier, which before
/// 7.x allows no arithmetic on it.
const fn failed_with(errno: u32) -> i64 {
    negative(errno) as i64
}

/// A thread asks for a connection. Every thread of the machine that does comes here: the first
/// lookup sends the unwatched away.
#[inline(always)]
fn enter(file: *const c_void) {
    let thread = current();
    let tgid = (thread >> 32) as u32;
    let mut sk = sock_of_socket(file);
    let mut known = listener_id(sk);
    if known.is_none() && (config!(by_port) != 0 || is_target(tgid)) {
        // A Multipath TCP socket stands for its first subflow.
        sk = tcp_behind(sk);
        known = listener_id(sk);
    }
    match known {
        Some(id) => begin_call(thread, id, sk),
        None if is_target(tgid) && read!(sk, skc_state as u8) == TCP_LISTEN => {
            // It came to the target by a way that shows no event, such as SCM_RIGHTS. When the call
            // returns it may be known.
            emit(&abi::Adopt { kind: abi::ADOPT, tgid, ts_ns: now() });
            begin_call(thread, 0, sk);
        }
        None => {}
    }
}

/// Notes a call. The entry of the thread's call before, which only this thread writes, is used
/// again: that costs a third of removing and inserting it.
#[inline(always)]
fn begin_call(thread: u64, listener: u64, sk: *const c_void) {
    let call = Call { entered_ns: now(), listener, sk: sk as u64, file: 0, returned_ns: 0 };
    match CALLS.find(thread) {
        Some(mut entry) => *entry = call,
        None => {
            let _ = CALLS.insert(thread, call, 0);
        }
    }
}

/// The call that this thread is in, blank if none is known; without a listener if that is not
/// watched. If `ends` says so of it, it is over.
#[inline(always)]
pub(crate) fn call_of(thread: u64, ends: impl FnOnce(&Call) -> bool) -> Call {
    let Some(mut entry) = CALLS.find(thread) else { return Call::default() };
    let mut call = *entry;
    if call.listener == 0
        && call.sk != 0
        && let Some(id) = listener_id(call.sk as *const c_void)
    {
        call.listener = id;
    }
    if ends(&call) {
        *entry = Call::default();
    }
    call
}

/// The call ended without a connection.
#[inline(always)]
fn leave_empty(thread: u64, result: i64) {
    let call = call_of(thread, |_| true);
    if call.listener != 0 {
        without_connection(call.listener, thread, result);
    }
}

/// Counts a call on a listener that gave no connection: there was none, or it failed. To be
/// interrupted is no failure, nor is the end of the listener itself.
#[inline(always)]
fn without_connection(id: u64, thread: u64, result: i64) {
    if result == failed_with(EINTR)
        || result == failed_with(ECANCELED)
        || RESTARTS.contains(&result)
    {
        return;
    }
    let Some(mut listener) = LISTENERS.find(id) else { return };
    if result == failed_with(EAGAIN) {
        add(&raw mut listener.eagain, 1);
    } else if listener.closed_ns == 0 {
        count_failure(id, result.unsigned_abs() as u32, thread);
    }
}

/// Counts a call that gave no connection, on a listener whose file is known.
#[inline(always)]
fn failed_on(file: *const c_void, result: i64) {
    if let Some(id) = listener_id(sock_of_file(file)) {
        without_connection(id, current(), result);
    }
}

/// The connection `child` is the application's now. `call` is blank when it began before the
/// attach, or could not be seen (io_uring on the tracepoint tier); then the connection is ours only
/// if we saw it queued.
///
/// Blank values instead of `Option`: for the payload of a `None` the compiler may read stack that
/// was never written, which kernels before 6.3 refuse.
///
/// True if it was seen queued.
#[inline(always)]
fn accepted(
    child: *const c_void,
    thread: u64,
    call: Call,
    fd: i32,
    ts_ns: u64,
    late: bool,
) -> bool {
    let queued = queued(child);
    let _ = QUEUED.remove(child as u64);
    accepted_as(child, queued, thread, call, fd, ts_ns, late)
}

/// Reports an accepted connection, with what is known of its time in the queue. The caller forgets
/// that it was there.
#[inline(always)]
pub(crate) fn accepted_as(
    child: *const c_void,
    mut queued: Queued,
    thread: u64,
    call: Call,
    fd: i32,
    ts_ns: u64,
    late: bool,
) -> bool {
    let id = if call.listener != 0 { call.listener } else { queued.listener };
    if id == 0 {
        return false;
    }
    let seen_queued = queued.listener != 0;
    if !seen_queued && was_stateless(established_ns(child)) && find_by_number(child).is_none() {
        // No state change was seen when it was queued.
        queued.sock = id_of(child);
        taken_unseen(child, queued.sock, thread);
    }
    let mut depth = 0;
    if let Some(mut listener) = LISTENERS.find(id) {
        add(&raw mut listener.accepted, 1);
        depth = note_change(listener, listener.sk as *const c_void, 0, 1, false);
    }
    let mut age_jiffies = 0;
    if queued.queued_ns == 0 {
        if queued.sock == 0 {
            queued.sock = id_of(child);
        }
        queued.queued_ns = established_ns(child);
        if queued.queued_ns == 0 {
            age_jiffies = age(child);
        }
    }
    let srtt = read!(child, srtt_us as u32);
    count(counter::SEEN);
    // No closure: the compiler leaves one of this size out of line, where its captures take the
    // caller's stack.
    let Some(mut entry) = EVENTS.reserve_untyped::<abi::Accept>(0) else {
        count(counter::RING_FULL);
        return seen_queued;
    };
    // SAFETY: memory of the ring for one record, every field of which is written here.
    let mut record: Live<abi::Accept> = unsafe { Live::from_ptr(entry.as_mut_ptr()) };
    let head = record.as_ptr().cast();
    // SAFETY: the record is long enough to read the socket to, and filled only then: the stack is
    // short.
    unsafe { write_ends(child, head, &raw mut record.local, &raw mut record.peer) };
    record.kind = abi::ACCEPT;
    record.fd = fd;
    record.ts_ns = ts_ns;
    record.entered_ns = call.entered_ns;
    record.queued_ns = queued.queued_ns;
    record.age_jiffies = age_jiffies;
    record.late = late as u32;
    record.listener = id;
    record.sock = queued.sock;
    record.tgid = (thread >> 32) as u32;
    record.tid = thread as u32;
    record.srtt_us = srtt;
    record.depth = depth;
    record.comm = comm();
    entry.submit(BPF_RB_NO_WAKEUP.into());
    seen_queued
}

/// The application reads or writes for the first time. If the connection is still taken for queued,
/// the kernel skipped the probe at accept's return, since it had preempted another run of it on
/// this processor (`recursion_misses`). A function of its own for the room on the stack.
#[inline(never)]
pub(crate) fn first_used(child: *const c_void, ts_ns: u64) {
    if QUEUED.find(child as u64).is_some() {
        accepted(child, current(), Call::default(), -1, ts_ns, true);
    }
}

/// Time at which a connection was established, to a microsecond, or 0: the final ACK had just put it
/// into the accept queue. `tcp_init_buffer_space` notes it when the child handles that ACK, and the
/// first read notes another, which nobody can make before accept (5.10 to 7.3). A child by TCP Fast
/// Open has read no clock yet.
#[inline(always)]
pub(crate) fn established_ns(child: *const c_void) -> u64 {
    read!(child, rcvq_time as u64) * 1_000
}

/// Jiffies since a connection was born: `tcp_create_openreq_child` sets `lsndtime` to the jiffies
/// of that moment, and it stays until data are sent, which nobody can do before accept (5.10 to
/// 7.3).
#[inline(always)]
fn age(child: *const c_void) -> u32 {
    jiffies().wrapping_sub(read!(child, lsndtime as u32))
}

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

/// Failure of io_uring's accept for want of a descriptor, which it reserves first, too (5.11 to
/// 7.3).
/// proto: 6.1..7.3 io_uring/net.c: int io_accept(struct io_kiocb *req, unsigned int issue_flags)
#[fexit(function = "io_accept")]
fn uring_accept_done(ctx: FExitContext) -> i32 {
    if ctx.arg::<i32>(2) == negative(EMFILE) {
        let file = read!(ctx.arg::<*const c_void>(0), uring_file as u64);
        failed_on(file as *const c_void, failed_with(EMFILE));
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
    if !child.is_null() && accepted_as(child, known, thread, call, result as i32, ts_ns, false) {
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

/// A completion of the current process's io_uring: it accepted something if its result is the
/// descriptor of a connection that we saw queued.
#[inline(always)]
fn completed(req: *const c_void, result: i32) {
    const ACCEPT: u8 = 13;
    if result < 0 {
        // Of further completions of one request it is not said whose they are; they tell of no
        // error.
        if !req.is_null() && read!(req, uring_opcode as u8) == ACCEPT {
            failed_on(read!(req, uring_file as u64) as *const c_void, result.into());
        }
        return;
    }
    let thread = current();
    if !is_target((thread >> 32) as u32) {
        return;
    }
    let ts_ns = now();
    let child = sock_of_file(file_of_fd(result as u32));
    if !child.is_null() {
        accepted(child, thread, Call::default(), result, ts_ns, false);
    }
}

/// Completion of an io_uring request, from 6.0 to 6.14.
/// proto: 6.1..6.12 include/trace/events/io_uring.h: void trace_io_uring_complete(void *ctx,
///     void *req, u64 user_data, int res, unsigned int cflags, u64 extra1, u64 extra2)
#[btf_tracepoint(function = "io_uring_complete")]
fn io_uring_complete_res(ctx: BtfTracePointContext) -> i32 {
    completed(ctx.arg(1), ctx.arg(3));
    0
}

/// Completion of an io_uring request, from 6.15 on. `struct io_uring_cqe` has its result at byte 8.
/// proto: 6.18..7.3 include/trace/events/io_uring.h: void trace_io_uring_complete(
///     struct io_ring_ctx *ctx, void *req, struct io_uring_cqe *cqe)
#[btf_tracepoint(function = "io_uring_complete")]
fn io_uring_complete_cqe(ctx: BtfTracePointContext) -> i32 {
    completed(ctx.arg(1), read_at::<i32>(ctx.arg::<*const c_void>(2), 8));
    0
}

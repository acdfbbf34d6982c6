//! io_uring: accepts that complete in a ring, and those that fail for want of a descriptor.

use core::ffi::c_void;

use aya_ebpf::{
    macros::{btf_tracepoint, fexit},
    programs::{BtfTracePointContext, FExitContext},
};
use backscope_abi::Call;
use backscope_abi::errno::{EMFILE, negative};

use super::{
    accepted,
    call::{failed_on, failed_with},
};
use crate::{
    kernel::{current, file_of_fd, now, read, read_at, sock_of_file},
    target::is_target,
};

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

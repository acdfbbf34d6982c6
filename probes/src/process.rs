//! Which processes are watched: children follow their parents, images match by name, the dead are
//! forgotten.

use core::ffi::c_void;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use backscope_abi as abi;
use backscope_abi::{counter, process};

use crate::{
    kernel::{config, current, now, read},
    maps::{CALLS, TARGETS, count, emit},
};

#[inline(always)]
fn report(task: *const c_void, what: u32, parent: u32) {
    let tgid = read!(task, task_tgid as u32);
    let comm = read!(task, task_comm as [u8; 16]);
    emit(&abi::Process { kind: abi::PROCESS, what, ts_ns: now(), tgid, parent, comm });
}

#[inline(always)]
fn target(tgid: u32) -> bool {
    // SAFETY: only presence counts.
    unsafe { TARGETS.get(tgid) }.is_some()
}

/// `sched_process_fork(parent, child)`.
#[btf_tracepoint(function = "sched_process_fork")]
fn fork(ctx: BtfTracePointContext) -> i32 {
    if config!(follow) == 0 {
        return 0;
    }
    let (parent, child): (*const c_void, *const c_void) = (ctx.arg(0), ctx.arg(1));
    let parent_tgid = read!(parent, task_tgid as u32);
    if !target(parent_tgid) {
        return 0;
    }
    let tgid = read!(child, task_tgid as u32);
    if tgid == parent_tgid {
        return 0;
    }
    if TARGETS.insert(tgid, 1, 0).is_err() {
        count(counter::TARGETS_FULL);
        return 0;
    }
    report(child, process::FORK, parent_tgid);
    0
}

/// `sched_process_exec(task, old_pid, bprm)`: the new image has its name already.
#[btf_tracepoint(function = "sched_process_exec")]
fn exec(ctx: BtfTracePointContext) -> i32 {
    let task: *const c_void = ctx.arg(0);
    let tgid = read!(task, task_tgid as u32);
    if config!(by_comm) != 0
        && tgid != config!(agent)
        && named(task)
        && TARGETS.insert(tgid, 1, 0).is_err()
    {
        count(counter::TARGETS_FULL);
    }
    if target(tgid) {
        report(task, process::EXEC, 0);
    }
    0
}

#[inline(always)]
fn named(task: *const c_void) -> bool {
    let comm = read!(task, task_comm as [u8; 16]);
    let wanted = config!(comm);
    u128::from_ne_bytes(comm) == u128::from_ne_bytes(wanted)
}

/// `sched_process_exit(task)`: the current thread. The process ends with its last one.
#[btf_tracepoint(function = "sched_process_exit")]
fn exit(ctx: BtfTracePointContext) -> i32 {
    let task: *const c_void = ctx.arg(0);
    let tgid = read!(task, task_tgid as u32);
    if !target(tgid) {
        return 0;
    }
    let _ = CALLS.remove(current());
    let signal = read!(task, task_signal as u64) as *const c_void;
    if read!(signal, signal_live as u32) != 0 {
        return 0;
    }
    let _ = TARGETS.remove(tgid);
    report(task, process::EXIT, 0);
    0
}

//! Which processes are watched: children follow their parents, images match by name, the dead are
//! forgotten.

use core::ffi::c_void;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use backscope_abi as abi;
use backscope_abi::{counter, process};

use crate::{
    kernel::{config, current, now, offset, read},
    live::Find,
    maps::{CALLS, TARGETS, count, emit},
};

#[inline(always)]
fn report(task: *const c_void, what: u32, parent: u32, status: u32) {
    let tgid = read!(task, task_tgid as u32);
    let comm = read!(task, task_comm as [u8; 16]);
    emit(&abi::Process {
        kind: abi::PROCESS,
        what,
        ts_ns: now(),
        tgid,
        parent,
        status,
        _pad: 0,
        comm,
    });
}

#[inline(always)]
fn target(tgid: u32) -> bool {
    TARGETS.find(tgid).is_some()
}

/// New process of a target.
/// proto: 5.10..7.3 include/trace/events/sched.h: void trace_sched_process_fork(
///     struct task_struct *parent, struct task_struct *child)
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
    report(child, process::FORK, parent_tgid, process::NO_STATUS);
    0
}

/// New image of a process, which has its name already.
/// proto: 5.10..7.3 include/trace/events/sched.h: void trace_sched_process_exec(
///     struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)
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
        report(task, process::EXEC, 0, process::NO_STATUS);
    }
    0
}

#[inline(always)]
fn named(task: *const c_void) -> bool {
    let comm = read!(task, task_comm as [u8; 16]);
    let wanted = config!(comm);
    u128::from_ne_bytes(comm) == u128::from_ne_bytes(wanted)
}

/// Flag of `signal_struct.flags`: the whole process exits (`include/linux/sched/signal.h`).
const SIGNAL_GROUP_EXIT: u32 = 4;

/// Returns the wait status of a process whose last thread ends, as its parent will read it: that of
/// the whole where it exits as a whole, otherwise that of its first thread.
#[inline(always)]
fn status(task: *const c_void, signal: *const c_void) -> u32 {
    let places = [
        offset!(signal_flags),
        offset!(signal_group_exit_code),
        offset!(task_group_leader),
        offset!(task_exit_code),
    ];
    if places.contains(&abi::ABSENT) {
        return process::NO_STATUS;
    }
    if read!(signal, signal_flags as u32) & SIGNAL_GROUP_EXIT != 0 {
        return read!(signal, signal_group_exit_code as u32);
    }
    let leader = read!(task, task_group_leader as u64) as *const c_void;
    read!(leader, task_exit_code as u32)
}

/// End of the current thread. The process ends with its last one.
/// proto: 5.10..6.12 include/trace/events/sched.h: void trace_sched_process_exit(
///     struct task_struct *p)
/// proto: 6.18..7.3 include/trace/events/sched.h: void trace_sched_process_exit(
///     struct task_struct *p, bool group_dead)
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
    report(task, process::EXIT, 0, status(task, signal));
    0
}

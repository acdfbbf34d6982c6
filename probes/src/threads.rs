//! Scheduling of threads between the calls that the probes see.

use core::ffi::c_void;

use aya_ebpf::{btf_maps::Array, helpers::generated, macros::btf_map};
use backscope_abi as abi;
use backscope_abi::{SchedDelta, Thread};

use crate::{
    kernel::{config, current, load, read},
    live::{Find, Live},
};

/// Threads by set. Of three threads in one, the one whose call was longest ago has to go: a thread
/// may end unseen. Finding it in a hash table would take longer than all else that is done with it.
#[btf_map]
static THREADS: Array<[Thread; 2], { abi::THREAD_SETS as usize }> = Array::new();

/// Notes how the current thread spent the time since its call before.
#[inline(always)]
pub(crate) fn note(slot: &mut SchedDelta, ts_ns: u64) {
    let (tgid, tid, run_delay_ns, cpu_ns) = if config!(sock_from_file) != 0 {
        // SAFETY: no arguments, no preconditions. The verifier knows this pointer, so that loads
        // need no helper.
        let task = unsafe { generated::bpf_get_current_task_btf() } as *const c_void;
        let (tgid, tid) = (load!(task, task_tgid as u32), load!(task, task_pid as u32));
        (tgid, tid, load!(task, task_run_delay as u64), load!(task, task_cpu as u64))
    } else {
        let id = current();
        // SAFETY: no arguments, no preconditions.
        let task = unsafe { generated::bpf_get_current_task() } as *const c_void;
        (
            (id >> 32) as u32,
            id as u32,
            read!(task, task_run_delay as u64),
            read!(task, task_cpu as u64),
        )
    };
    slot.tgid = tgid;
    slot.tid = tid;
    let Some(mut set) = THREADS.find(tid % abi::THREAD_SETS) else { return };
    let place = place_of(tid, set);
    let before = set[place];
    // A thread of that id may have ended, and its totals were more.
    if owner(&before) == tid as u64
        && cpu_ns >= before.cpu_ns
        && run_delay_ns >= before.run_delay_ns
    {
        slot.since_ns = before.ts_ns;
        slot.run_delay_ns = run_delay_ns - before.run_delay_ns;
        slot.cpu_ns = cpu_ns - before.cpu_ns;
    }
    let tag = tid as u64 ^ ts_ns ^ run_delay_ns ^ cpu_ns;
    set[place] = Thread { tag, ts_ns, run_delay_ns, cpu_ns };
}

/// Thread that these totals belong to.
#[inline(always)]
fn owner(thread: &Thread) -> u64 {
    thread.tag ^ thread.ts_ns ^ thread.run_delay_ns ^ thread.cpu_ns
}

/// Finds the thread's place in its set: the one that is its own, else the one that was used longest
/// ago.
#[inline(always)]
fn place_of(tid: u32, set: Live<[Thread; 2]>) -> usize {
    let is_second = owner(&set[1]) == tid as u64
        || (owner(&set[0]) != tid as u64 && set[1].ts_ns < set[0].ts_ns);
    is_second as usize
}

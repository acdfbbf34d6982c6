//! Threads that were inside accept before the probes were: their call began unseen, but `/proc`
//! shows where they are.

use std::collections::BTreeSet;

use backscope_abi as abi;

use super::{proc_syscall::WaitingCall, scan::Descriptors};
use crate::sensor::{maps::Maps, procfs};

/// Most threads that are looked at, so that very many do not hold up the attach. Of the others it
/// is not known that they block.
const MAX_THREADS: usize = 4_096;

/// Notes every thread that is blocked in accept on one of these listeners. It takes the right to
/// trace the process; without it nothing is noted.
pub(in crate::sensor) fn note_pending_accepts(listeners: &Descriptors, maps: &mut Maps) {
    let pids: BTreeSet<u32> = listeners.keys().map(|(pid, _)| *pid).collect();
    let mut threads = 0;
    for pid in pids {
        for tid in procfs::threads(pid) {
            if threads == MAX_THREADS {
                return;
            }
            threads += 1;
            note(pid, tid, listeners, maps);
        }
    }
}

fn note(pid: u32, tid: u32, listeners: &Descriptors, maps: &mut Maps) {
    let Some(fd) = accepting_on(pid, tid) else { return };
    let Some(listener) = listeners.get(&(pid, fd)) else { return };
    let call = abi::Call { entered_ns: 0, listener: *listener, ..abi::Call::default() };
    maps.note_call(pid, tid, call);
    if accepting_on(pid, tid) != Some(fd) {
        // It returned in this very moment, perhaps before the note.
        maps.forget_call(pid, tid);
    }
}

/// The descriptor that a thread waits on in accept.
fn accepting_on(pid: u32, tid: u32) -> Option<u32> {
    WaitingCall::of(pid, tid)?.accepting_on()
}

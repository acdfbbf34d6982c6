//! Processes that the caller could trace.

use rustix::{
    fs::{CWD, readlinkat},
    thread::CapabilitySet,
};

use super::{Caller, caller, in_force};

/// True if the caller may watch this process: all of them, or those that they could trace without
/// the capabilities of this program's file.
///
/// The kernel decides: it shows a process's namespaces to whoever may trace it
/// (`PTRACE_MODE_READ_FSCREDS` in ptrace(2)), so to the same user and group in every respect, if
/// the process has not more capabilities, and is not one that hides its memory.
pub fn may_trace(pid: u32) -> bool {
    if caller() != Caller::Anybody {
        return true;
    }
    let _without = in_force(CapabilitySet::empty());
    readlinkat(CWD, format!("/proc/{pid}/ns/user"), Vec::new()).is_ok()
}

//! Threads of watched processes.

use serde::{Deserialize, Serialize};

use super::SockId;
use crate::text::Untrusted;

/// The thing that a thread waits for in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WaitKind {
    /// A connection, in `accept`.
    Accept,
    /// One descriptor: a read, a write, a `poll` of a single one.
    Descriptor,
    /// Events of a set that the kernel keeps: `epoll_wait`, `io_uring_enter`.
    Events,
    /// Any of several descriptors, named in the call: `poll`, `select`.
    Several,
    /// A lock or a condition (`futex`).
    Lock,
    /// Anything else.
    Other,
}

/// A thread of a watched process at one refresh. Figures are totals since the thread began, except
/// the counts, which run since the attach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadSample {
    /// Process.
    pub pid: u32,
    /// The process that made its process.
    pub parent: u32,
    /// Thread.
    pub tid: u32,
    /// Command name.
    pub comm: Untrusted,
    /// On a CPU, ns (`/proc/PID/task/TID/schedstat`).
    pub cpu_ns: u64,
    /// Runnable without a CPU, ns.
    pub run_delay_ns: u64,
    /// Times that it was put on a CPU.
    pub runs: u64,
    /// Its beginning, right to a tick of 10 ms.
    pub started_ns: u64,
    /// The thing that it waits for; `None` while it runs, or if that was not read.
    pub sleep: Option<WaitKind>,
    /// Reads that took bytes.
    pub reads: u64,
    /// Writes that took bytes.
    pub writes: u64,
}

/// A thread that waits in `epoll_wait` for a listener, perhaps among other things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// The listener.
    pub listener: SockId,
    /// The epoll instance's descriptor.
    pub epoll: u32,
    /// It was registered with `EPOLLEXCLUSIVE`: a connection wakes one such waiter, not all.
    pub exclusive: bool,
    /// Times that the thread went to sleep of its own accord, since it began
    /// (`voluntary_ctxt_switches`).
    pub switches: u64,
}

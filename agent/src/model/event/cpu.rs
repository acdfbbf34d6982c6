//! Use of the processors: quotas of cgroups, stopped processes, and the number of threads that want
//! to run.

use crate::text::Untrusted;
use serde::{Deserialize, Serialize};

/// Quotas and stops that keep watched processes off the processors. A refresh has all of them. In
/// between there is an event whenever a quota has throttled a thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuState {
    /// Time at which it was read.
    pub ts_ns: u64,
    /// Cgroups with a quota that watched processes are in, directly or by an ancestor; their
    /// numbers and places stay the same from one full telling to the next.
    pub limits: Vec<CpuLimit>,
    /// Facts that only a refresh has.
    pub refresh: Option<CpuRefresh>,
}

/// A cgroup with a quota.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuLimit {
    /// Its path, without control characters; empty between refreshes.
    pub path: Untrusted,
    /// Time that its threads may run in each period, all together.
    pub quota_us: u64,
    /// Length of a period.
    pub period_us: u64,
    /// Periods that passed with threads that wanted to run (`nr_periods`).
    pub periods: u64,
    /// Periods in which the quota was used up (`nr_throttled`).
    pub throttled: u64,
    /// Time for which threads were kept off processors by it, ns: over all processors. Each wait is
    /// added at its end.
    pub throttled_ns: u64,
    /// Watched processes in it; empty between refreshes.
    pub pids: Vec<u32>,
}

/// State of the processors at a refresh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuRefresh {
    /// Processors of the machine; `None` if that could not be read.
    pub cpus: Option<u32>,
    /// Threads of the machine that run or want to at that time, without the one that reads this;
    /// `None` if that could not be read.
    pub runnable: Option<u32>,
    /// Watched processes that are stopped (state `T`: SIGSTOP, or a debugger).
    pub stopped: Vec<u32>,
}

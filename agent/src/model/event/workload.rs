//! The cgroup, container, pod and unit that a process is in.

use serde::{Deserialize, Serialize};

use crate::model::workload::Workload;

/// Place of a process among cgroups, containers, pods and units: when it is first met, and when
/// that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessWorkload {
    /// The time at which it was read.
    pub ts_ns: u64,
    /// The process.
    pub pid: u32,
    /// Its place.
    pub workload: Workload,
}

//! Knowledge of the kernel and of the chosen hooks. Without it a 0 in a record means nothing.

use crate::{
    model::Tier,
    sensor::attach::{Chosen, Signal},
};

/// Facts of this kernel that its records rest on.
#[derive(Clone, Copy, Debug)]
pub(in crate::sensor) struct Capabilities {
    /// The length of a jiffy.
    pub(in crate::sensor) tick_ns: u64,
    /// Delayed ACKs are seen: a count of 0 means none.
    pub(in crate::sensor) sees_delayed_acks: bool,
}

/// Facts that are needed to read a record of the ring.
#[derive(Clone, Copy, Debug)]
pub(in crate::sensor) struct DecodeContext {
    pub(super) capabilities: Capabilities,
    /// Waits of reads for data are seen.
    pub(super) blocked_reads: bool,
    /// Waits of writes for room are seen.
    pub(super) blocked_writes: bool,
    /// TIME_WAIT has a hook of its own.
    pub(super) time_wait: bool,
}

impl DecodeContext {
    pub(in crate::sensor) fn new(chosen: &Chosen, capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            blocked_reads: chosen.has(Signal::ReadBlocked),
            blocked_writes: chosen.has(Signal::WriteBlocked),
            time_wait: chosen.sees(Signal::TimeWait, Tier::Full),
        }
    }
}

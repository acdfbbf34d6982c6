//! The clocks of the kernel's figures.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Now, ns of `CLOCK_MONOTONIC`: the clock of every event.
pub fn now_ns() -> u64 {
    to_ns(clock_gettime(ClockId::Monotonic))
}

/// Time that the machine slept, ns: beginnings of threads are given by a clock that counts it, too.
pub(super) fn slept_ns() -> u64 {
    to_ns(clock_gettime(ClockId::Boottime)).saturating_sub(now_ns())
}

/// CPU time of the agent, ns.
pub(super) fn own_cpu_ns() -> u64 {
    to_ns(clock_gettime(ClockId::ProcessCPUTime))
}

fn to_ns(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

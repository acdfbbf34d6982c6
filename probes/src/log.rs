//! Log lines for developers: a hook, a socket, and what was decided of it. They are there with the
//! feature `log` alone (`cargo xtask probes --log`); without it nothing of them is left.

/// Logs a decision. A function of its own for the room on the stack.
#[cfg(feature = "log")]
#[inline(never)]
pub(crate) fn decided(hook: &'static str, sk: u64, decision: &'static str) {
    aya_log_ebpf::debug!((), "{} sock {:x}: {}", hook, sk, decision);
}

/// Logs what a hook decided of a socket.
#[cfg(feature = "log")]
macro_rules! decided {
    ($hook:literal, $sk:expr, $decision:literal) => {
        $crate::log::decided($hook, $sk as u64, $decision)
    };
}
#[cfg(not(feature = "log"))]
macro_rules! decided {
    ($hook:literal, $sk:expr, $decision:literal) => {};
}

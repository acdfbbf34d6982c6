//! Errors of the sensor.

use thiserror::Error;

use crate::kernel::btf::BtfError;

/// A reason why watching could not begin.
#[derive(Debug, Error)]
pub enum SensorError {
    /// A privilege or a kernel feature is missing.
    #[error("{0}")]
    Blocked(String),
    /// The kernel's types cannot be read.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// There are not enough descriptors.
    #[error(
        "backscope needs more than the {limit} open files that it may have (RLIMIT_NOFILE): raise \
         the limit, by `ulimit -n 1024` in the shell that starts it, or LimitNOFILE= in its unit"
    )]
    Files {
        /// The limit.
        limit: u64,
    },
    /// The kernel's types cannot be read by the loader.
    #[error("the kernel's type information cannot be used: {0}")]
    Types(String),
    /// A structure member that everything rests on is missing.
    #[error("this kernel's structures have no member for {0}; backscope does not know this kernel")]
    NoMember(&'static str),
    /// The object does not load.
    #[error("the kernel refused backscope's maps: {0}")]
    Object(String),
    /// A signal that everything rests on has no hook.
    #[error("this kernel offers no way to see the signal '{signal}' ({reason})")]
    Required {
        /// The signal.
        signal: &'static str,
        /// The kernel's reason.
        reason: String,
    },
    /// The kernel loads a program but does not attach it.
    #[error("the kernel refused to attach {hooks} for the signal '{signal}': {reason}")]
    Attach {
        /// The signal.
        signal: &'static str,
        /// The hooks of the choice.
        hooks: String,
        /// The kernel's reason.
        reason: String,
        /// The error's number, if the kernel gave one.
        errno: Option<i32>,
    },
    /// The full tier was asked for by name and cannot be had.
    #[error("--tier full is not available on this kernel: {0}")]
    NoFullTier(String),
    /// The probes' own log cannot be had.
    #[error(
        "the probes have no log ({0}); `cargo xtask probes --log` builds an object that has one"
    )]
    ProbeLog(String),
    /// Core dumps of this process cannot be forbidden.
    #[error("cannot forbid core dumps, which may have payload: {0}")]
    CoreDumps(String),
    /// A map operation failed.
    #[error("map {map}: {reason}")]
    Map {
        /// The map.
        map: &'static str,
        /// The reason.
        reason: String,
    },
}

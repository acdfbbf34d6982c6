//! The two kinds of kernels, by what they let us hook.

use std::fmt;

use serde::Serialize;

/// Kinds of hooks that the kernel allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Tracepoints, system call tracepoints and iterators alone.
    Tracepoint,
    /// fentry and fexit on functions, too.
    Full,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tracepoint => "tracepoint",
            Self::Full => "full",
        })
    }
}

//! Setup of a watch, for front-ends and recordings.

use std::collections::BTreeMap;

use crate::text::Untrusted;
use serde::{Deserialize, Serialize};

/// Setup of a watch, as it is told before anything else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Time of the attach, ns of `CLOCK_MONOTONIC`.
    pub ts_ns: u64,
    /// Kernel release.
    pub kernel: Untrusted,
    /// "full" or "tracepoint".
    pub tier: Untrusted,
    /// The hook of each signal; `None` where there is none.
    pub hooks: BTreeMap<Untrusted, Option<Untrusted>>,
    /// The targets, in words.
    pub targets: Vec<Untrusted>,
    /// Duration of the attach, µs.
    pub attach_us: u64,
    /// Sentences on signals that this kernel does not show, with the reason.
    pub gaps: Vec<Untrusted>,
    /// Rights that the watch kept; `None` where that is not known. A recording has it behind its
    /// header.
    #[serde(skip)]
    pub sandbox: Option<Sandbox>,
}

/// Rights that a watch kept once it was attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sandbox {
    /// Capabilities that it kept.
    pub capabilities: Vec<String>,
    /// `true` if no exec can give it others.
    pub no_new_privs: bool,
    /// `true` if a filter refuses the system calls that it does not need.
    pub seccomp: bool,
    /// Version of Landlock's interface; `null` where it is not in force.
    pub landlock: Option<u32>,
    /// Sentences on what is missing, with the reason.
    pub gaps: Vec<String>,
}

//! The body of `attached`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{Attached, Sandbox};
use crate::text::Untrusted;

/// The hooks are attached: once, first.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AttachedBody<'a> {
    /// Release of the kernel.
    kernel: &'a Untrusted,
    /// Tier of the hooks.
    #[cfg_attr(test, schemars(extend("enum" = ["full", "tracepoint"])))]
    tier: &'a Untrusted,
    /// Hooks by the signal that they serve; `null` where no hook does.
    hooks: &'a BTreeMap<Untrusted, Option<Untrusted>>,
    /// Processes, ports and names that are watched.
    targets: &'a [Untrusted],
    /// Time that the attach took.
    attach_us: u64,
    /// Sentences on what this kernel does not show; absent if there are none.
    #[serde(skip_serializing_if = "<[Untrusted]>::is_empty")]
    gaps: &'a [Untrusted],
    /// Rights that the watch kept after the attach; `null` where that is not known.
    sandbox: Option<&'a Sandbox>,
}

impl<'a> From<&'a Attached> for AttachedBody<'a> {
    fn from(attached: &'a Attached) -> Self {
        Self {
            kernel: &attached.kernel,
            tier: &attached.tier,
            hooks: &attached.hooks,
            targets: &attached.targets,
            attach_us: attached.attach_us,
            gaps: &attached.gaps,
            sandbox: attached.sandbox.as_ref(),
        }
    }
}

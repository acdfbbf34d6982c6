//! The body of `process`.

use serde::Serialize;

use crate::model::event::{Process, ProcessChange, WaitStatus};
use crate::text::Untrusted;

/// A watched process began, executed a program or ended: with `--detail events`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ProcessBody<'a> {
    /// The process.
    pid: u32,
    /// Its name.
    comm: &'a Untrusted,
    /// Change that it went through.
    #[cfg_attr(test, schemars(extend("enum" = ["forked", "executed", "exited"])))]
    change: &'static str,
    /// Exit status of one that ended; absent of other changes, and where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_status: Option<u32>,
    /// Signal that ended it; likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<String>,
    /// Process that forked it; absent of other changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u32>,
}

impl<'a> From<&'a Process> for ProcessBody<'a> {
    fn from(process: &'a Process) -> Self {
        let (change, parent) = match process.change {
            ProcessChange::Forked { parent } => ("forked", Some(parent)),
            ProcessChange::Executed => ("executed", None),
            ProcessChange::Exited | ProcessChange::ExitedWith { .. } => ("exited", None),
        };
        let status = process.change.status();
        Self {
            pid: process.pid,
            comm: &process.comm,
            change,
            exit_status: status.and_then(WaitStatus::code),
            signal: status.and_then(WaitStatus::signal),
            parent,
        }
    }
}

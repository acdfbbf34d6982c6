//! What a flight recorder is asked for.

use std::{path::PathBuf, time::Duration};

use crate::model::{
    finding_kinds,
    snapshot::{Finding, Severity},
};

/// A finding that a file is to be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// One of this kind.
    Kind(&'static str),
    /// One of this severity or a graver one.
    From(Severity),
}

impl Trigger {
    pub(super) fn wants(&self, finding: &Finding) -> bool {
        match self {
            Self::Kind(kind) => finding.kind == *kind,
            Self::From(severity) => finding.severity >= *severity,
        }
    }
}

impl std::str::FromStr for Trigger {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "info" => return Ok(Self::From(Severity::Info)),
            "warning" => return Ok(Self::From(Severity::Warning)),
            "critical" => return Ok(Self::From(Severity::Critical)),
            _ => {}
        }
        let mut kinds = finding_kinds();
        match kinds.iter().find(|kind| **kind == text) {
            Some(kind) => Ok(Self::Kind(kind)),
            None => {
                kinds.sort_unstable();
                Err(format!(
                    "neither a severity (info, warning, critical) nor a kind of finding ({})",
                    kinds.join(", ")
                ))
            }
        }
    }
}

/// Options of a flight recorder.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where its files go.
    pub(crate) folder: PathBuf,
    /// Their names begin so.
    pub(crate) stem: String,
    /// The last of a watch is kept for so long.
    pub(crate) keep: Option<Duration>,
    /// All files together may have so many bytes.
    pub(crate) max_size: Option<u64>,
    /// Findings that a file is made of.
    pub(crate) triggers: Vec<Trigger>,
    /// Time before and after such a finding.
    pub(crate) around: Duration,
}

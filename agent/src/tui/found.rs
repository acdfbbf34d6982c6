//! The list of findings: those that stand, and those that have ended.

use std::cmp::Reverse;

use crate::model::event::SockId;
use crate::model::snapshot::{Finding, Snapshot};

/// A row of the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    /// The finding.
    pub(super) finding: &'a Finding,
    /// It has ended.
    pub(super) is_past: bool,
}

impl Found<'_> {
    /// Returns what stays the same from one snapshot to the next: it may end, or come back.
    pub(super) fn id(&self) -> (&'static str, SockId) {
        (self.finding.kind, self.finding.sock)
    }

    /// Returns for how long it has stood in all, ns.
    pub(super) fn stood_ns(&self, snapshot: &Snapshot) -> u64 {
        let stood = &self.finding.stood;
        // The newest stretch goes on, also in a pause in which nobody could tell.
        let more_ns = if self.is_past || snapshot.pause_since_ns.is_some() {
            0
        } else {
            snapshot.now_ns.saturating_sub(stood.until_ns())
        };
        stood.total_ns.saturating_add(more_ns)
    }
}

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum By {
    /// Those that stand, then those that have ended, each as in the snapshot.
    #[default]
    Standing,
    /// Time that it stood, the longest first.
    Stood,
    /// Severity, the gravest first.
    Severity,
    /// When it was last there, the newest first.
    Newest,
}

/// The order of the list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FoundOrder {
    by: By,
    pub(super) reversed: bool,
}

impl FoundOrder {
    /// Tells whether what a finding explains is right below it.
    pub(super) fn has_causes_first(self) -> bool {
        self.by == By::Standing && !self.reversed
    }

    /// Sorts by the next thing.
    pub(super) fn sort_next(&mut self) {
        self.by = match self.by {
            By::Standing => By::Stood,
            By::Stood => By::Severity,
            By::Severity => By::Newest,
            By::Newest => By::Standing,
        };
        self.reversed = false;
    }

    /// Turns the order round.
    pub(super) fn reverse(&mut self) {
        self.reversed = !self.reversed;
    }

    /// Returns the name of the order.
    pub(super) fn name(self) -> &'static str {
        match self.by {
            By::Standing => "standing first",
            By::Stood => "time held",
            By::Severity => "severity",
            By::Newest => "newest",
        }
    }

    /// Returns the rows.
    pub(super) fn rows(self, snapshot: &Snapshot) -> Vec<Found<'_>> {
        let standing = snapshot.findings.iter().map(|finding| Found { finding, is_past: false });
        let past = snapshot.past_findings.iter().map(|finding| Found { finding, is_past: true });
        let mut rows: Vec<_> = standing.chain(past).collect();
        match self.by {
            By::Standing => {}
            By::Stood => rows.sort_by_key(|found| Reverse(found.stood_ns(snapshot))),
            By::Severity => rows.sort_by_key(|found| Reverse(found.finding.severity)),
            By::Newest => rows.sort_by_key(|found| Reverse(found.finding.stood.until_ns())),
        }
        if self.reversed {
            rows.reverse();
        }
        rows
    }
}

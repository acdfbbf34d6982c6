//! The findings that have ended.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::snapshot::Finding;
use crate::model::stats::Scope;

/// Findings that have ended and are kept, by subject and kind. When there are more, the mildest gives
/// way, and among equals the one that ended first.
pub(in crate::model) const MAX_PAST: usize = 256;

/// The findings that have ended. One that comes back leaves, and its next end is told with its
/// earlier times: there is one for each subject and kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    ended: BTreeMap<(Scope, &'static str), Finding>,
    gave_way: u64,
}

impl Past {
    /// Takes out what is known of a finding that comes back.
    pub(super) fn take(&mut self, key: (Scope, &'static str)) -> Option<Finding> {
        self.ended.remove(&key)
    }

    /// Returns what is known of a finding that has ended.
    pub(super) fn get(&self, key: (Scope, &'static str)) -> Option<&Finding> {
        self.ended.get(&key)
    }

    /// Keeps a finding that has ended.
    pub(super) fn keep(&mut self, key: (Scope, &'static str), finding: Finding) {
        self.ended.insert(key, finding);
        if self.ended.len() <= MAX_PAST {
            return;
        }
        let least = |(_, finding): &(&_, &Finding)| (finding.severity, finding.stood.until_ns());
        if let Some((&key, _)) = self.ended.iter().min_by_key(least) {
            self.ended.remove(&key);
            self.gave_way += 1;
        }
    }

    /// Lists them, worst first, then the one that ended last.
    pub(super) fn view(&self) -> Vec<Finding> {
        let mut view: Vec<_> = self.ended.values().cloned().collect();
        view.sort_by_key(|finding| {
            (Reverse(finding.severity), Reverse(finding.stood.until_ns()), finding.sock)
        });
        view
    }

    /// Number of those that gave way.
    pub(super) fn gave_way(&self) -> u64 {
        self.gave_way
    }
}

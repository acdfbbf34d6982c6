//! Cgroups that are watched: whoever is in them now.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    hierarchy::{Hierarchies, Members},
    path::CgroupPath,
};
use crate::{sensor::clock::CpuTimer, text::Untrusted};

/// Time for which a watch goes on when the last cgroup is gone: a unit or container that is started
/// again has the same one.
const ENDS_AFTER: Duration = Duration::from_secs(10);
/// Time between two readings, in times of what the last one cost.
const READ_SHARE: u32 = 100;
/// Cost of a reading from which on the next is put off.
const COSTS_MUCH: Duration = Duration::from_millis(5);

/// One target that is cgroups: a cgroup, container, pod or unit.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Description: "container web (3f2a9c…)".
    pub(super) words: Untrusted,
    /// Its cgroups; more than one of a template's instances.
    pub(super) cgroups: Vec<CgroupPath>,
}

/// The cgroups that are watched.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    pub(super) all: Vec<Group>,
    pub(super) hierarchies: Hierarchies,
    /// Processes at the last reading.
    members: Members,
    /// Descriptions of those that were gone then.
    gone: Vec<Untrusted>,
    /// Since when all are gone.
    all_gone: Option<Instant>,
    next: Option<Instant>,
}

impl Groups {
    /// True if no cgroup is watched.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Descriptions, one for each target.
    pub fn words(&self) -> impl Iterator<Item = &Untrusted> {
        self.all.iter().map(|group| &group.words)
    }

    /// Processes that were in them at the last reading.
    pub fn pids(&self) -> &BTreeSet<u32> {
        &self.members.pids
    }

    /// Number of processes in them that this PID namespace does not show.
    pub fn hidden(&self) -> usize {
        self.members.hidden
    }

    /// Descriptions of those that are gone.
    pub fn gone(&self) -> &[Untrusted] {
        &self.gone
    }

    /// True once all of them have been gone for a while.
    pub(in crate::sensor) fn are_over(&self) -> bool {
        self.all_gone.is_some_and(|since| since.elapsed() >= ENDS_AFTER)
    }

    /// Reads who is in them, unless the last reading was long and not long ago. Returns whether it
    /// has read.
    pub(in crate::sensor) fn read(&mut self) -> bool {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        let timer = CpuTimer::begin();
        self.members = Members::default();
        self.gone.clear();
        for group in &self.all {
            let mut is_there = false;
            for cgroup in &group.cgroups {
                let Members { pids, hidden, is_there: this_is } = self.hierarchies.members(cgroup);
                self.members.pids.extend(pids);
                self.members.hidden += hidden;
                is_there |= this_is;
            }
            if !is_there {
                self.gone.push(group.words.clone());
            }
        }
        self.members.pids.remove(&std::process::id());
        let are_all = self.gone.len() == self.all.len() && !self.all.is_empty();
        self.all_gone = if are_all { self.all_gone.or(Some(now)) } else { None };
        let cost = timer.elapsed();
        self.next = if cost > COSTS_MUCH { Some(now + cost * READ_SHARE) } else { None };
        true
    }
}

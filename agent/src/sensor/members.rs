//! Who is in the watched cgroups, and to which container, pod and unit processes belong: at each
//! refresh.

use std::collections::BTreeSet;

use super::{Sensor, workload::Groups};
use crate::{
    model::event::{Event, Sample},
    privileges,
};

impl Sensor {
    /// Finds out who has come into the watched cgroups, and who has left them.
    pub(super) fn join_groups(&mut self) {
        if self.targets.groups.is_empty() {
            return;
        }
        // Read before: a child that comes meanwhile is not taken for one that has left.
        let watched: BTreeSet<u32> = self.maps.targets().into_iter().collect();
        if !self.targets.groups.read() {
            return;
        }
        let members = self.targets.groups.pids();
        for &pid in members.difference(&watched) {
            let may = !self.targets.traceable_only || privileges::may_trace(pid);
            if may && !self.maps.has_no_room_for(pid) {
                self.maps.note_target(pid);
            }
        }
        if self.targets.only_groups() {
            for pid in watched.difference(members) {
                self.maps.forget_target(*pid);
            }
        }
    }

    /// Finds the workloads of everybody whom a sample tells of.
    pub(super) fn sample_workloads(&mut self, sample: &Sample) {
        let mut pids: BTreeSet<u32> = self.maps.targets().into_iter().collect();
        for listener in &sample.listeners {
            pids.insert(listener.pid);
        }
        pids.extend(sample.unix.iter().map(|listener| listener.pid));
        pids.extend(sample.threads.iter().map(|thread| thread.pid));
        for process in self.workloads.refresh(pids.into_iter()) {
            self.found.push(Event::Workload(process));
        }
    }

    /// Cgroups that are watched.
    pub fn groups(&self) -> &Groups {
        &self.targets.groups
    }
}

//! What is there already when a watch begins.

use std::collections::BTreeSet;

use super::{
    Sensor, Signal, now_ns,
    sample::{ALL_STATES, Closing},
    targets,
};
use crate::model::event::Sample;

impl Sensor {
    /// Finds processes, listeners and connections that are there already.
    pub(super) fn find_existing(&mut self) {
        self.settle_targets();
        let (sees_ends, typed_files) =
            (self.loaded.chosen.has(Signal::ConnectionEnd), self.loaded.chosen.typed_files);
        if sees_ends || !typed_files {
            self.closing = Closing::open(&self.maps.targets());
        }
        if !typed_files {
            self.closing.give_cookies(libc::IPPROTO_TCP, ALL_STATES);
        }
        self.scan();
        self.sampler.begin(&mut self.maps);
        // Connections that are open already are watched from here on.
        let mut first = Sample { ts_ns: now_ns(), ..Sample::default() };
        self.sample_connections(&mut first);
        while self.scan_on(&mut first) {
            first.connections.clear();
        }
        if !sees_ends {
            self.closing = Closing::default();
        }
    }

    /// Catches up with what happened between looking for the targets and seeing forks and exits: a
    /// child that came would be missed, a process that ended would be watched for ever.
    fn settle_targets(&mut self) {
        // A child that came unseen may have forked while we looked, but not much deeper.
        const ROUNDS: usize = 8;
        for _ in 0..ROUNDS {
            self.targets.resolve_running();
            let known: BTreeSet<u32> = self.maps.targets().into_iter().collect();
            let mut late: Vec<u32> = self.targets.every_process().collect();
            late.retain(|pid| !known.contains(pid) && !self.maps.has_no_room_for(*pid));
            if late.is_empty() {
                break;
            }
            for pid in late {
                self.maps.note_target(pid);
            }
        }
        for pid in self.maps.targets() {
            if !targets::exists(pid) || !self.targets.is_still(pid) {
                self.maps.forget_target(pid);
            }
        }
    }
}

//! Ends of the processes that were named as targets, and how they ended.

use std::{collections::HashSet, ffi::OsStr, os::unix::ffi::OsStrExt};

use super::Targets;
use crate::{
    model::event::{EndedProcess, Process, ProcessChange},
    text::Untrusted,
};

/// Most processes that have come to have the name that is watched, and whose end is told.
const MAX_NAMED: usize = 4_096;

/// Targets that have ended since they were asked for last.
#[derive(Debug, Default)]
pub(super) struct Ends {
    new: Vec<EndedProcess>,
    /// Of the processes that were named one by one: those whose end was told.
    told: HashSet<u32>,
    /// Processes that have taken the name that is watched.
    named: HashSet<u32>,
    /// The newest process to end, whoever it was.
    last: Option<EndedProcess>,
}

impl Ends {
    /// Takes note of a change of a watched process.
    pub(super) fn note(&mut self, process: &Process, targets: &Targets) {
        let pid = process.pid;
        if process.change == ProcessChange::Executed
            && targets
                .comm
                .as_ref()
                .is_some_and(|name| process.comm == Untrusted::from(OsStr::from_bytes(name)))
            && self.named.len() < MAX_NAMED
        {
            self.named.insert(pid);
        }
        if !process.change.is_end() {
            return;
        }
        let ended = EndedProcess {
            ts_ns: process.ts_ns,
            pid,
            comm: process.comm.clone(),
            status: process.change.status(),
        };
        let by_name =
            targets.comm.is_some() && (targets.named.contains(&pid) || self.named.remove(&pid));
        if by_name || targets.pids.contains(&pid) && self.told.insert(pid) {
            self.new.push(ended.clone());
        }
        self.last = Some(ended);
    }

    /// Returns true if this process was named, and its end was told.
    pub(super) fn know(&self, pid: u32) -> bool {
        self.told.contains(&pid)
    }

    /// Returns the targets that have ended since the last call.
    pub(super) fn take(&mut self) -> Vec<EndedProcess> {
        std::mem::take(&mut self.new)
    }

    /// Returns the same once nobody is left: with those whose end was not seen, and if no process
    /// was named with the last of all.
    pub(super) fn take_all(&mut self, targets: &Targets, now_ns: u64) -> Vec<EndedProcess> {
        let mut ended = self.take();
        for &pid in &targets.pids {
            if self.told.insert(pid) {
                let comm = Untrusted::default();
                ended.push(EndedProcess { ts_ns: now_ns, pid, comm, status: None });
            }
        }
        if targets.pids.is_empty() && targets.comm.is_none() {
            ended.extend(self.last.take());
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::WaitStatus;

    fn end(pid: u32, comm: &str) -> Process {
        let change = ProcessChange::ExitedWith { status: WaitStatus(9) };
        Process { ts_ns: 7, pid, comm: comm.into(), change }
    }

    fn pids(ended: &[EndedProcess]) -> Vec<u32> {
        ended.iter().map(|ended| ended.pid).collect()
    }

    #[test]
    fn a_child_that_ends_is_no_target_that_ends() {
        let targets = Targets { pids: vec![1, 2, 3], follow: true, ..Targets::default() };
        let mut ends = Ends::default();
        for process in [end(1, "a"), end(50, "child"), end(2, "b")] {
            ends.note(&process, &targets);
        }
        let ended = ends.take();
        assert_eq!(pids(&ended), [1, 2]);
        assert_eq!(ended[0].status, Some(WaitStatus(9)));
        assert_eq!(pids(&ends.take()), [0; 0], "once");
        let last = ends.take_all(&targets, 9);
        assert_eq!((pids(&last), last[0].status), (vec![3], None), "its end was not seen");
        assert_eq!(pids(&ends.take_all(&targets, 9)), [0; 0]);
    }

    #[test]
    fn a_name_is_that_of_whoever_has_it_and_no_child_of_theirs() {
        let targets =
            Targets { comm: Some(b"web".to_vec()), named: vec![10], ..Targets::default() };
        let mut ends = Ends::default();
        let executed = Process { change: ProcessChange::Executed, ..end(11, "web") };
        ends.note(&executed, &targets);
        for pid in [10, 11, 12] {
            ends.note(&end(pid, "web"), &targets);
        }
        assert_eq!(pids(&ends.take()), [10, 11]);
    }

    #[test]
    fn of_a_cgroup_the_last_is_told() {
        let (targets, mut ends) = (Targets::default(), Ends::default());
        ends.note(&end(5, "a"), &targets);
        ends.note(&end(6, "b"), &targets);
        assert_eq!(pids(&ends.take()), [0; 0]);
        assert_eq!(pids(&ends.take_all(&targets, 9)), [6]);
    }
}

//! The targets that have ended, for whoever is shown the run.

use super::event::{EndedProcess, TargetEnd};

/// Most ends that are kept one by one: the newest. They are all counted.
const MAX_ENDED: usize = 64;

/// Targets that have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The processes, oldest first; the newest 64.
    pub processes: Vec<EndedProcess>,
    /// Number of all of them.
    pub count: u64,
    /// Since when nobody is left to watch, ns of `CLOCK_MONOTONIC`; `None` while somebody is.
    pub over_ns: Option<u64>,
}

impl Ended {
    /// Takes further ends.
    pub(super) fn take(&mut self, end: &TargetEnd) {
        self.count = self.count.saturating_add(end.processes.len() as u64);
        self.processes.extend(end.processes.iter().cloned());
        let beyond = self.processes.len().saturating_sub(MAX_ENDED);
        self.processes.drain(..beyond);
        self.over_ns = if end.over { Some(end.ts_ns) } else { None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_kept_up_to_a_number_and_all_counted() {
        let mut ended = Ended::default();
        for pid in 0..100 {
            let process = EndedProcess { ts_ns: 5, pid, comm: "a".into(), status: None };
            ended.take(&TargetEnd { ts_ns: 5, processes: vec![process], over: pid == 99 });
        }
        assert_eq!((ended.count, ended.processes.len()), (100, MAX_ENDED));
        assert_eq!(ended.processes.last().map(|process| process.pid), Some(99));
        assert_eq!(ended.over_ns, Some(5));
    }
}

//! Finds the workload of a process.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;

use super::{
    path::{self, CgroupPath},
    roots,
    runtime::{Files, Known},
};
use crate::{
    bounded::Bounded,
    model::{
        event::ProcessWorkload,
        workload::{Container, Pod, Workload},
    },
    sensor::{clock::now_ns, procfs},
};

/// Most processes whose workloads are known.
const MAX_PROCESSES: usize = 16_384;
/// Most cgroups whose workloads are known.
const MAX_CGROUPS: usize = 4_096;
/// Processes that are looked at again at one refresh.
const MOST_AGAIN: usize = 128;
/// Most processes that are looked at for the first time between two refreshes.
const MOST_NEW: usize = 512;
/// Time after which a name that no file told is looked for again: the file may be written after the
/// container has begun.
const AGAIN: Duration = Duration::from_secs(5);

/// Workloads of the processes that were met.
#[derive(Debug)]
pub(in crate::sensor) struct Places {
    roots: Vec<Files>,
    /// The text of `/proc/PID/cgroup` of each process.
    processes: Bounded<u32, Arc<[u8]>>,
    /// The workload of each such text.
    workloads: FxHashMap<Arc<[u8]>, Found>,
    /// First looks since the last refresh.
    new: usize,
    /// The process after which the next refresh goes on to look.
    next: u32,
}

#[derive(Debug)]
struct Found {
    workload: Workload,
    /// When a name that is missing is looked for again.
    again: Option<Instant>,
}

impl Places {
    pub(in crate::sensor) fn new() -> Self {
        Self {
            roots: roots(),
            processes: Bounded::new(MAX_PROCESSES),
            workloads: FxHashMap::default(),
            new: 0,
            next: 0,
        }
    }

    /// Returns the workload of a process that is met for the first time.
    pub(in crate::sensor) fn met(&mut self, pid: u32) -> Option<ProcessWorkload> {
        if self.processes.contains(pid) || self.new >= MOST_NEW {
            return None;
        }
        self.new += 1;
        self.look(pid)
    }

    /// Returns the workload of a new child. One that has ended already is where its parent is: the
    /// kernel begins it there.
    pub(in crate::sensor) fn forked(&mut self, pid: u32, parent: u32) -> Option<ProcessWorkload> {
        // Another process may have had the number.
        self.processes.remove(pid);
        if let Some(found) = self.met(pid) {
            return Some(found);
        }
        let text = self.processes.get(parent)?.clone();
        let workload = self.workloads.get(&text)?.workload.clone();
        Some(ProcessWorkload { ts_ns: now_ns(), pid, workload })
    }

    /// Looks at these processes at a refresh: at new ones, and at some of the others once more.
    /// Returns the workloads that are new or have changed.
    pub(in crate::sensor) fn refresh(
        &mut self,
        pids: impl Iterator<Item = u32>,
    ) -> Vec<ProcessWorkload> {
        self.new = 0;
        if self.workloads.len() > MAX_CGROUPS {
            self.workloads.clear();
        }
        let mut changes = Vec::new();
        let mut known = BTreeMap::new();
        for pid in pids {
            if self.processes.contains(pid) {
                known.insert(pid, ());
            } else {
                changes.extend(self.met(pid));
            }
        }
        let in_turn = known.range(self.next..).chain(known.range(..self.next));
        let in_turn: Vec<u32> = in_turn.map(|(pid, ())| *pid).take(MOST_AGAIN).collect();
        for pid in &in_turn {
            changes.extend(self.look(*pid));
        }
        self.next = in_turn.last().map_or(0, |last| last.saturating_add(1));
        changes
    }

    /// Looks at a process. Returns its workload if that is not the one that it was.
    fn look(&mut self, pid: u32) -> Option<ProcessWorkload> {
        let text = procfs::cgroups(pid);
        if text.is_empty() {
            return None;
        }
        let text: Arc<[u8]> = text.into();
        let is_same = self.processes.get(pid) == Some(&text);
        let now = Instant::now();
        let is_due = match self.workloads.get(&text) {
            Some(found) => found.again.is_some_and(|again| again <= now),
            None => true,
        };
        if is_same && !is_due {
            return None;
        }
        if is_due {
            let workload = find(&text, &self.roots);
            let again = if is_complete(&workload) { None } else { Some(now + AGAIN) };
            let before = self.workloads.insert(text.clone(), Found { workload, again });
            let after = self.workloads.get(&text)?;
            if is_same && before.is_some_and(|before| before.workload == after.workload) {
                return None;
            }
        }
        let workload = self.workloads.get(&text)?.workload.clone();
        if !is_same {
            self.processes.insert(pid, text);
        }
        Some(ProcessWorkload { ts_ns: now_ns(), pid, workload })
    }
}

/// Returns whether all names are known that there are.
fn is_complete(workload: &Workload) -> bool {
    let has_name = workload.container.as_ref().is_none_or(|container| container.name.is_some());
    let has_pod = workload.pod.as_ref().is_none_or(|pod| pod.name.is_some());
    has_name && has_pod
}

/// Finds the workload by the text of `/proc/PID/cgroup`.
pub(super) fn find(text: &[u8], roots: &[Files]) -> Workload {
    let paths = path::parse(text);
    let Some(main) = path::main_path(&paths) else { return Workload::default() };
    let mut workload = Workload { cgroup: Some(main.text().into()), ..Workload::default() };
    workload.unit = paths.iter().find_map(CgroupPath::unit).map(Into::into);
    let uid = paths.iter().find_map(CgroupPath::pod);
    let mut known = Known::default();
    if let Some(container) = paths.iter().find_map(CgroupPath::container) {
        let found = roots.iter().find_map(|files| files.container(&container.id));
        known = found.unwrap_or_default();
        workload.container = Some(Container {
            id: container.id.into(),
            name: known.name.map(Into::into),
            runtime: known.runtime.or(container.runtime).map(Into::into),
        });
    }
    let of_uid = |uid: &String| roots.iter().find_map(|files| files.pod(uid));
    let pod = known.pod.or_else(|| uid.as_ref().and_then(of_uid));
    if uid.is_some() || pod.is_some() {
        let (mut namespace, mut name, mut known_uid) = (None, None, None);
        if let Some(pod) = pod {
            (namespace, name, known_uid) = (Some(pod.namespace), Some(pod.name), pod.uid);
        }
        workload.pod = Some(Pod {
            namespace: namespace.map(Into::into),
            name: name.map(Into::into),
            uid: uid.or(known_uid).map(Into::into),
        });
    }
    workload
}

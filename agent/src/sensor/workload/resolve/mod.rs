//! From a name on the command line to the cgroups that it means.

mod cgroup;
pub(super) mod container;
pub(super) mod pod;
pub(super) mod unit;

use std::{collections::BTreeSet, path::PathBuf};

use thiserror::Error;

use self::{
    cgroup::cgroup,
    container::{container, without_cgroup},
    pod::pod,
    unit::unit,
};
use super::{
    groups::{Group, Groups},
    hierarchy::Hierarchies,
    lacks_files,
    path::{self, CgroupPath},
    roots,
    runtime::{Known, KnownPod, Unreadable},
};
use crate::{
    sensor::procfs,
    text::{Untrusted, count},
};

/// Fewest characters of a container's id that are taken for one.
const LEAST_ID: usize = 12;
/// Most names that an error lists.
const MAX_LISTED: usize = 8;
/// Names on the command line.
#[derive(Clone, Debug, Default)]
pub struct GroupNames {
    /// Paths of cgroups.
    pub cgroups: Vec<PathBuf>,
    /// Ids or names of containers.
    pub containers: Vec<String>,
    /// `NAMESPACE/NAME` of pods.
    pub pods: Vec<String>,
    /// Units of systemd.
    pub units: Vec<String>,
}

/// What the names mean.
#[derive(Debug, Default)]
pub struct ResolvedGroups {
    /// Their cgroups.
    pub groups: Groups,
    /// First processes of containers that have no cgroup of their own.
    pub pids: Vec<u32>,
    /// Sentences for the user.
    pub notices: Vec<Untrusted>,
}

/// A reason why a name means no cgroup, or not one.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum GroupError {
    /// Nothing has that name.
    #[error("there is no {kind} {name} here. {found}")]
    None {
        /// "container" and so on.
        kind: &'static str,
        /// The name.
        name: String,
        /// What there is, and what to do.
        found: String,
    },
    /// Something has the name, and no process of it runs.
    #[error("no process of {kind} {name} runs here: {found}")]
    Idle {
        /// "container" and so on.
        kind: &'static str,
        /// The name.
        name: String,
        /// What is known of it, and what to do.
        found: String,
    },
    /// More than one has the name.
    #[error("{kind} {name} may be one of {count}: {found}. {hint}")]
    Ambiguous {
        /// "container" and so on.
        kind: &'static str,
        /// The name.
        name: String,
        /// Number of those that have it.
        count: usize,
        /// Which they are.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// It cannot be a name.
    #[error("{0}")]
    Unusable(String),
}

/// What processes run in, by the names that [`resolve_groups`] takes.
#[derive(Debug, Default)]
pub struct NamesInUse {
    /// Paths of cgroups.
    pub cgroups: BTreeSet<String>,
    /// Ids of containers.
    pub containers: BTreeSet<String>,
    /// Units of systemd.
    pub units: BTreeSet<String>,
}

impl NamesInUse {
    /// Reads the cgroups of all processes.
    pub fn now() -> Self {
        let mut names = Self::default();
        for cgroup in Seen::now().cgroups {
            names.units.extend(cgroup.unit());
            names.containers.extend(cgroup.containers().into_iter().map(|name| name.id));
            names.cgroups.insert(cgroup.text());
        }
        names
    }
}

/// What can be seen of the machine.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The cgroups of every process, each once.
    pub(super) cgroups: BTreeSet<CgroupPath>,
    /// Sentences on what is hidden from here.
    pub(super) lacks: Vec<String>,
}

impl Seen {
    fn now() -> Self {
        let mut seen = Self { lacks: lacks(), ..Self::default() };
        for pid in procfs::processes() {
            seen.cgroups.extend(path::parse(&procfs::cgroups(pid)));
        }
        seen
    }

    /// Returns the cgroups that `part` finds on the way to those of processes, in the first
    /// hierarchy that has any.
    fn find<T: Ord>(
        &self,
        mut part: impl FnMut(&CgroupPath) -> Vec<(CgroupPath, T)>,
    ) -> BTreeSet<(CgroupPath, T)> {
        let mut found = BTreeSet::new();
        let mut by_rank: Vec<&CgroupPath> = self.cgroups.iter().collect();
        by_rank.sort_by_key(|cgroup| {
            (path::rank(cgroup.hierarchy.as_deref()), cgroup.hierarchy.clone())
        });
        for cgroup in by_rank {
            for (one, more) in part(cgroup) {
                let first: Option<&(CgroupPath, T)> = found.iter().next();
                if first.is_none_or(|(first, _)| first.hierarchy == one.hierarchy) {
                    found.insert((one, more));
                }
            }
        }
        found
    }

    fn find_cgroups(&self, part: impl Fn(&CgroupPath) -> Option<CgroupPath>) -> Vec<CgroupPath> {
        let found = self.find(|cgroup| part(cgroup).map(|one| (one, ())).into_iter().collect());
        found.into_iter().map(|(cgroup, ())| cgroup).collect()
    }

    /// Ends an error: what cannot be seen from here.
    fn hint(&self, unreadable: &Unreadable, advice: &str) -> String {
        let mut sentences = vec![advice.to_owned()];
        sentences.extend(self.lacks.iter().cloned());
        if !unreadable.is_empty() {
            let listed = unreadable.iter().map(|folder| folder.display().to_string());
            let listed: Vec<String> = listed.take(MAX_LISTED).collect();
            sentences.push(format!("Not readable: {} (root may read it)", listed.join(", ")));
        }
        sentences.join(". ")
    }
}

/// Sentences on what this process cannot see of the host.
pub(super) fn lacks() -> Vec<String> {
    let mut lacks = Vec::new();
    if !procfs::sees_all_processes() {
        lacks.push(
            "backscope is in a PID namespace of its own and sees only the processes in it: start \
             its container with the host's (hostPID: true, --pid=host)"
                .to_owned(),
        );
    }
    if !procfs::sees_all_cgroups() {
        lacks.push(
            "backscope is in a cgroup namespace of its own: paths begin at its own cgroup, and \
             those outside with /.."
                .to_owned(),
        );
    }
    lacks
}

/// Finds the cgroups that these names mean.
///
/// # Errors
/// A name means nothing that runs here, or more than one thing.
pub fn resolve_groups(names: &GroupNames) -> Result<ResolvedGroups, GroupError> {
    let mut resolved = ResolvedGroups::default();
    if names.cgroups.is_empty()
        && names.containers.is_empty()
        && names.pods.is_empty()
        && names.units.is_empty()
    {
        return Ok(resolved);
    }
    resolved.groups.hierarchies = Hierarchies::open();
    let mut seen = Seen::now();
    if !names.containers.is_empty() || !names.pods.is_empty() {
        seen.lacks.extend(lacks_files());
    }
    let mut add = |words: String, cgroups| {
        resolved.groups.all.push(Group { words: words.into(), cgroups });
    };
    for path in &names.cgroups {
        let cgroup = cgroup(&resolved.groups.hierarchies, &seen, path)?;
        add(format!("cgroup {}", cgroup.text()), vec![cgroup]);
    }
    for name in &names.units {
        let (unit, cgroups) = unit(&seen, name)?;
        add(format!("unit {unit}"), cgroups);
    }
    if !names.pods.is_empty() {
        let (pods, containers, unreadable) = known_pods();
        for name in &names.pods {
            add(format!("pod {name}"), pod(&seen, &pods, &containers, &unreadable, name)?);
        }
    }
    if !names.containers.is_empty() {
        let (known, unreadable) = known_containers();
        for name in &names.containers {
            let container = container(&seen, &known, &unreadable, name, procfs::exists)?;
            let words = container.words();
            if container.cgroups.is_empty() {
                resolved.notices.push(without_cgroup(&container));
                resolved.pids.extend(container.known.pid);
            } else {
                resolved.groups.all.push(Group { words: words.into(), cgroups: container.cgroups });
            }
        }
    }
    resolved.groups.read();
    resolved.notices.extend(notices(&resolved.groups, &seen));
    Ok(resolved)
}

/// Notices on what cannot be seen of the watched cgroups.
fn notices(groups: &Groups, seen: &Seen) -> Vec<Untrusted> {
    let mut notices = Vec::new();
    if groups.hidden() > 0 {
        let lack = seen.lacks.first().cloned().unwrap_or_default();
        notices.push(
            format!("{} processes in it have no id here. {lack}", count(groups.hidden() as u64))
                .into(),
        );
    }
    let cgroups = || groups.all.iter().flat_map(|group| &group.cgroups);
    let by_processes = |cgroup: &CgroupPath| {
        cgroup.is_outside() || !groups.hierarchies.has_files(cgroup.hierarchy.as_deref())
    };
    if cgroups().any(by_processes) {
        notices.push(
            "the files of the cgroup cannot be reached from here: whoever is in it is found by \
             /proc/PID/cgroup of every process, which costs more"
                .into(),
        );
    }
    notices
}

fn known_containers() -> (Vec<Known>, Unreadable) {
    let (mut known, mut unreadable) = (Vec::new(), Vec::new());
    for files in roots() {
        let (mut more, mut not) = files.containers();
        known.append(&mut more);
        unreadable.append(&mut not);
    }
    (known, unreadable)
}

fn known_pods() -> (Vec<KnownPod>, Vec<Known>, Unreadable) {
    let mut pods = Vec::new();
    let (containers, mut unreadable) = known_containers();
    for files in roots() {
        let (mut more, mut not) = files.pods();
        pods.append(&mut more);
        unreadable.append(&mut not);
    }
    unreadable.sort();
    unreadable.dedup();
    (pods, containers, unreadable)
}

/// Lists some names.
fn list(names: &[String]) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(MAX_LISTED);
    names.truncate(MAX_LISTED);
    let listed = names.join(", ");
    if more > 0 { format!("{listed} and {more} more") } else { listed }
}

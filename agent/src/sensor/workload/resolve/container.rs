//! `--container`.

use std::collections::BTreeMap;

use super::{GroupError, LEAST_ID, Seen, list};
use crate::{
    sensor::{
        procfs,
        workload::{
            path::CgroupPath,
            runtime::{Known, Unreadable},
        },
    },
    text::Untrusted,
};

/// A container that was found.
#[derive(Debug)]
pub(in super::super) struct FoundContainer {
    pub(in super::super) known: Known,
    /// None if it has none of its own, and the first process is known.
    pub(in super::super) cgroups: Vec<CgroupPath>,
}

impl FoundContainer {
    pub(super) fn words(&self) -> String {
        format!("container {}", described(&self.known))
    }
}

/// `web (3f2a9c112233)`, in a pod `shop/cart-0/web (3f2a9c112233)`.
fn described(known: &Known) -> String {
    let id: String = known.id.chars().take(LEAST_ID).collect();
    let name = match (&known.pod, &known.name) {
        (Some(pod), Some(name)) => format!("{}/{}/{name}", pod.namespace, pod.name),
        (Some(pod), None) => format!("{}/{}", pod.namespace, pod.name),
        (None, Some(name)) => name.clone(),
        (None, None) => return id,
    };
    if name == known.id { name } else { format!("{name} ({id})") }
}

/// Finds a container by its id, the beginning of it, or its name.
pub(in super::super) fn container(
    seen: &Seen,
    known: &[Known],
    unreadable: &Unreadable,
    word: &str,
    runs: impl Fn(u32) -> bool,
) -> Result<FoundContainer, GroupError> {
    let mut all: BTreeMap<String, Known> = BTreeMap::new();
    for known in known {
        all.entry(known.id.clone()).or_insert_with(|| known.clone());
    }
    let mut cgroups: BTreeMap<String, Vec<CgroupPath>> = BTreeMap::new();
    for name in seen.cgroups.iter().flat_map(CgroupPath::containers) {
        if !cgroups.contains_key(&name.id) {
            let found = seen.find_cgroups(|cgroup| cgroup.of_container(&name.id));
            cgroups.insert(name.id.clone(), found);
        }
        let known = all.entry(name.id.clone()).or_default();
        known.id = name.id;
        known.runtime = known.runtime.or(name.runtime);
    }
    let is_id = word.len() >= LEAST_ID && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_meant = |one: &&Known| {
        one.id == word || is_id && one.id.starts_with(word) || one.name.as_deref() == Some(word)
    };
    let is_running = |one: &Known| cgroups.contains_key(&one.id) || one.pid.is_some_and(&runs);
    let mut meant: Vec<&Known> = all.values().filter(is_meant).collect();
    if meant.len() > 1 && meant.iter().any(|one| is_running(one)) {
        // Those that were there before have the same name.
        meant.retain(|one| is_running(one));
    }
    let kind = "container";
    let name = word.to_owned();
    match meant[..] {
        [] => {
            let running: Vec<String> =
                all.values().filter(|one| is_running(one)).map(described).collect();
            let found = match &running[..] {
                [] => "No container runs that can be seen".to_owned(),
                running => format!("Running: {}", list(running)),
            };
            let advice = "Give the id in full, its first 12 characters or more, or the name";
            let found = format!("{found}. {}", seen.hint(unreadable, advice));
            Err(GroupError::None { kind, name, found })
        }
        [one] if !is_running(one) => {
            let found = format!(
                "the files of {} have {}, but no cgroup of a process is its own. Start it, or \
                 watch by --port what will listen",
                one.runtime.unwrap_or("its runtime"),
                described(one)
            );
            Err(GroupError::Idle { kind, name, found: seen.hint(unreadable, &found) })
        }
        [one] => {
            let cgroups = cgroups.remove(&one.id).unwrap_or_default();
            Ok(FoundContainer { known: one.clone(), cgroups })
        }
        _ => {
            let all: Vec<String> = meant.iter().map(|one| described(one)).collect();
            let hint = "Name it by its id, or its pod by --pod";
            Err(GroupError::Ambiguous { kind, name, count: all.len(), found: list(&all), hint })
        }
    }
}

/// A notice that only processes can be watched.
pub(super) fn without_cgroup(container: &FoundContainer) -> Untrusted {
    let pid = container.known.pid.unwrap_or_default();
    let comm = procfs::comm(pid).unwrap_or_default();
    compose!(
        "{} has no cgroup of its own; its runtime's file says that its first process is {} {pid}: \
         that one is watched, with its children",
        Untrusted::from(container.words()),
        comm
    )
}

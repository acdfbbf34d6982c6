//! `--pod`.

use std::collections::BTreeSet;

use super::{GroupError, Seen, list};
use crate::sensor::workload::{
    path::CgroupPath,
    runtime::{Known, KnownPod, Unreadable},
};

/// Finds the cgroups of a pod.
pub(in super::super) fn pod(
    seen: &Seen,
    pods: &[KnownPod],
    containers: &[Known],
    unreadable: &Unreadable,
    word: &str,
) -> Result<Vec<CgroupPath>, GroupError> {
    let kind = "pod";
    let name = word.to_owned();
    let Some((namespace, pod)) = word.split_once('/') else {
        let message = format!("--pod {word}: it takes NAMESPACE/NAME, such as default/{word}");
        return Err(GroupError::Unusable(message));
    };
    let is_meant = |one: &KnownPod| one.namespace == namespace && one.name == pod;
    let mut uids: BTreeSet<String> =
        pods.iter().filter(|one| is_meant(one)).filter_map(|one| one.uid.clone()).collect();
    for container in containers {
        // The names of logs have no uid, the cgroups have.
        if container.pod.as_ref().is_some_and(is_meant) {
            let mut cgroups = seen.cgroups.iter();
            let of_it = cgroups.find(|cgroup| cgroup.of_container(&container.id).is_some());
            uids.extend(of_it.and_then(CgroupPath::pod));
        }
    }
    let mut running = Vec::new();
    for uid in &uids {
        let cgroups = seen.find_cgroups(|cgroup| cgroup.of_pod(uid));
        if !cgroups.is_empty() {
            running.push((uid, cgroups));
        }
    }
    match &mut running[..] {
        [(_, cgroups)] => Ok(std::mem::take(cgroups)),
        [] if uids.is_empty() => {
            let known: Vec<String> =
                pods.iter().map(|one| format!("{}/{}", one.namespace, one.name)).collect();
            let found = match &known[..] {
                [] => "No file tells of a pod (/var/log/pods, /run/containerd)".to_owned(),
                known => format!("Pods of this node: {}", list(known)),
            };
            let advice = "It may be on another node: `kubectl get pod -o wide` says which";
            let found = format!("{found}. {}", seen.hint(unreadable, advice));
            Err(GroupError::None { kind, name, found })
        }
        [] => {
            let uids: Vec<String> = uids.into_iter().collect();
            let found = format!(
                "files tell of it (uid {}), but there is no cgroup of it with a process: it has \
                 gone, or has not started. `kubectl get pod -o wide` says where it is",
                list(&uids)
            );
            Err(GroupError::Idle { kind, name, found: seen.hint(unreadable, &found) })
        }
        several => {
            let all: Vec<String> = several
                .iter()
                .flat_map(|(_, cgroups)| cgroups.iter().map(CgroupPath::text))
                .collect();
            let hint = "Name the cgroup of one by --cgroup";
            Err(GroupError::Ambiguous { kind, name, count: all.len(), found: list(&all), hint })
        }
    }
}

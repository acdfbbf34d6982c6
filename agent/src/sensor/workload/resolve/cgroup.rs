//! `--cgroup`.

use std::path::Path;

use super::{GroupError, Seen, list};
use crate::sensor::workload::{hierarchy::Hierarchies, path::CgroupPath};

/// Finds a cgroup by its path.
pub(super) fn cgroup(
    hierarchies: &Hierarchies,
    seen: &Seen,
    path: &Path,
) -> Result<CgroupPath, GroupError> {
    let text = path.display().to_string();
    let inner = text.trim_start_matches("/..");
    if text.is_empty() || inner.split('/').any(|part| part == "..") {
        let message = format!("--cgroup {text}: name it as /proc/PID/cgroup does, without `..`");
        return Err(GroupError::Unusable(message));
    }
    let mut first = None;
    for cgroup in hierarchies.meant_by(path) {
        let members = hierarchies.members(&cgroup);
        if members.is_there && !members.pids.is_empty() {
            return Ok(cgroup);
        }
        if members.is_there {
            first = first.or(Some(cgroup));
        }
    }
    first.ok_or_else(|| {
        let name = text.rsplit('/').next().unwrap_or_default();
        let similar = |cgroup: &CgroupPath| cgroup.text().split('/').any(|part| part == name);
        let similar: Vec<String> =
            seen.cgroups.iter().filter(|one| similar(one)).map(CgroupPath::text).collect();
        let found = match &similar[..] {
            [] => String::new(),
            similar => format!("Processes are in {}. ", list(similar)),
        };
        let advice = "`cat /proc/PID/cgroup` shows the path of a process's cgroup, and \
                      `systemd-cgls` all of them";
        let found = format!("{found}{}", seen.hint(&Vec::new(), advice));
        GroupError::None { kind: "cgroup", name: text.clone(), found }
    })
}

//! Cgroups, containers, pods and units: whom a name on the command line means, and what a process
//! belongs to.
//!
//! - `path.rs` reads the names in `/proc/PID/cgroup`.
//! - `runtime/` reads the names of containers and pods in files of their runtimes.
//! - `hierarchy.rs` finds the files of cgroups, and the processes of one.
//! - `resolve.rs` finds the cgroups of a target, `groups.rs` holds those that are watched.
//! - `places.rs` finds the workload of a process.

mod groups;
mod hierarchy;
mod path;
mod places;
mod resolve;
mod runtime;
#[cfg(test)]
mod tests;

use std::{fs, path::Path};

/// Finds a workload, and reads bytes as the files of each runtime.
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::sensor) fn fuzzed(cgroup: &[u8], file: &[u8]) {
    let found = places::find(cgroup, &[]);
    for path in path::parse(cgroup) {
        for container in path.containers() {
            assert!(path.of_container(&container.id).is_some_and(|one| one.holds(&path)));
        }
        if let Some(pod) = path.pod() {
            assert!(path.of_pod(&pod).is_some_and(|one| one.holds(&path)));
        }
        path.of_unit(|_| true);
    }
    let _ = found.label();
    runtime::fuzzed(file);
}

pub(in crate::sensor) use self::places::Places as WorkloadPlaces;
pub use self::{
    groups::Groups,
    resolve::{GroupError, GroupNames, NamesInUse, ResolvedGroups, resolve_groups},
};
use runtime::Files;

use super::procfs;

/// The host's root, as the first process of its PID namespace has it.
const HOST: &str = "/proc/1/root";

/// A sentence on what a container does not show of the host's files, if this is one.
fn lacks_files() -> Option<String> {
    let is_container = !procfs::sees_all_cgroups()
        || ["/.dockerenv", "/run/.containerenv"].iter().any(|file| Path::new(file).exists())
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if !is_container || fs::metadata(HOST).is_ok() {
        return None;
    }
    Some(format!(
        "backscope is in a container and cannot read the host's files by {HOST}: mount the folders \
         of the runtime into it, read-only and in their own places (docs/containers.md lists them)"
    ))
}

/// Returns the roots below which runtimes' files may be: our own and, in a container with the
/// host's PID namespace, the host's.
fn roots() -> Vec<Files> {
    let mut roots = vec![Files::below(Path::new("/"))];
    let own = fs::read_link("/proc/self/ns/mnt").ok();
    let first = fs::read_link("/proc/1/ns/mnt").ok();
    if first.is_some() && own != first && fs::metadata(HOST).is_ok() {
        roots.push(Files::below(Path::new(HOST)));
    }
    roots
}

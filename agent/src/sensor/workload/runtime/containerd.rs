//! Containerd: a bundle for each task.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Files, Known, OciConfig, Unreadable, named, names_in, pod_in, read_json};

/// Folders of containerd's tasks: its own, and those of distributions of Kubernetes.
const TASKS: [&str; 4] = [
    "run/containerd/io.containerd.runtime.v2.task",
    "run/k3s/containerd/io.containerd.runtime.v2.task",
    "run/k0s/containerd/io.containerd.runtime.v2.task",
    "var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task",
];
/// Namespace of docker's containers in containerd, whose names docker itself has.
const MOBY: &str = "moby";
const RUNTIME: &str = "containerd";

impl Files {
    /// Returns the folders of containerd's tasks with their namespaces.
    pub(super) fn task_folders(&self, unreadable: &mut Unreadable) -> Vec<(PathBuf, String)> {
        let mut folders = Vec::new();
        for tasks in TASKS {
            let tasks = self.at(tasks);
            for namespace in names_in(&tasks, unreadable) {
                if namespace != MOBY {
                    folders.push((tasks.join(&namespace), namespace));
                }
            }
        }
        folders
    }
}

/// Reads the bundle of one of containerd's tasks.
pub(super) fn task(folder: &Path, namespace: &str, id: &str) -> Option<Known> {
    let bundle = folder.join(id);
    let OciConfig { annotations } = read_json(&bundle.join("config.json"))?;
    let names = ["io.kubernetes.cri.container-name", "nerdctl/name"];
    let name = names.iter().find_map(|name| annotations.get(*name)).and_then(|name| named(name));
    let pid = fs::read_to_string(bundle.join("init.pid")).unwrap_or_default();
    // A container that was made by hand has its name for an id.
    let is_named = id.len() != 64 && namespace != "k8s.io";
    let name = name.or_else(|| if is_named { named(id) } else { None });
    Some(Known {
        id: id.to_owned(),
        name,
        runtime: Some(RUNTIME),
        pod: pod_in(&annotations),
        pid: pid.trim().parse().ok(),
    })
}

//! Names of containers and pods, in the files of their runtimes. No runtime is talked to.
//!
//! | runtime | file | names |
//! |---|---|---|
//! | docker | `/var/lib/docker/containers/ID/config.v2.json` | container; pod by its labels |
//! | podman, CRI-O | `/var/lib/containers/storage/DRIVER-containers/containers.json`, a user's below `~/.local/share` | container; pod by its metadata |
//! | containerd | `/run/containerd/io.containerd.runtime.v2.task/NAMESPACE/ID/config.json` (k3s: below `/run/k3s`) | container and pod by annotations |
//! | CRI-O | `/run/containers/storage/DRIVER-containers/ID/userdata/config.json` | container and pod by annotations |
//! | kubelet | `/var/log/pods/NAMESPACE_NAME_UID`, `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log` | pod, container |

mod containerd;
mod docker;
mod kubelet;
mod storage;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use containerd::task;
use docker::docker;
use kubelet::{logged_container, logged_pod};
use storage::stored;

/// Most bytes that are read of a file.
const MAX_BYTES: u64 = 16 * 1_024 * 1_024;
/// Most entries that are looked at in a folder.
const MAX_ENTRIES: usize = 16_384;
/// Facts of a container that a file tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sensor) struct Known {
    pub(in crate::sensor) id: String,
    pub(in crate::sensor) name: Option<String>,
    pub(in crate::sensor) runtime: Option<&'static str>,
    pub(in crate::sensor) pod: Option<KnownPod>,
    /// Its first process, if a file tells it.
    pub(in crate::sensor) pid: Option<u32>,
}

/// Facts of a pod that a file tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sensor) struct KnownPod {
    pub(in crate::sensor) namespace: String,
    pub(in crate::sensor) name: String,
    pub(in crate::sensor) uid: Option<String>,
}

/// The runtimes' files below a folder: `/`, or the host's root as it is seen from a container.
#[derive(Clone, Debug)]
pub(in crate::sensor) struct Files {
    root: PathBuf,
    /// Homes of users, who may have containers of their own.
    homes: Vec<PathBuf>,
}

/// Folders that are there and could not be read.
pub(in crate::sensor) type Unreadable = Vec<PathBuf>;

#[derive(Deserialize)]
struct OciConfig {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Files {
    pub(in crate::sensor) fn below(root: &Path) -> Self {
        let mut homes = Vec::new();
        let users = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
        for line in users.lines().take(MAX_ENTRIES) {
            if let Some(home) = line.split(':').nth(5)
                && home.len() > 1
                && !homes.contains(&PathBuf::from(home))
            {
                homes.push(PathBuf::from(home));
            }
        }
        Self { root: root.to_owned(), homes }
    }

    /// Returns a path of the host as it is reached from here.
    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Returns every container that a file tells of, and the folders that could not be read.
    pub(in crate::sensor) fn containers(&self) -> (Vec<Known>, Unreadable) {
        let (mut all, mut unreadable) = (Vec::new(), Vec::new());
        for folder in self.docker_folders() {
            for id in names_in(&folder, &mut unreadable) {
                all.extend(docker(&folder.join(id).join("config.v2.json")));
            }
        }
        for (graph, run) in self.storages() {
            all.extend(stored(&graph, &run, &mut unreadable));
        }
        for (folder, namespace) in self.task_folders(&mut unreadable) {
            for id in names_in(&folder, &mut unreadable) {
                all.extend(task(&folder, &namespace, &id));
            }
        }
        for name in names_in(&self.at("var/log/containers"), &mut unreadable) {
            all.extend(logged_container(&name));
        }
        unreadable.dedup();
        (merged(all), unreadable)
    }

    /// Returns every pod that a file tells of, and the folders that could not be read.
    pub(in crate::sensor) fn pods(&self) -> (Vec<KnownPod>, Unreadable) {
        let (containers, mut unreadable) = self.containers();
        let mut pods: Vec<KnownPod> = Vec::new();
        for name in names_in(&self.at("var/log/pods"), &mut unreadable) {
            pods.extend(logged_pod(&name));
        }
        pods.extend(containers.into_iter().filter_map(|container| container.pod));
        pods.sort_by(|one, other| {
            (&one.namespace, &one.name, &one.uid).cmp(&(&other.namespace, &other.name, &other.uid))
        });
        pods.dedup();
        (pods, unreadable)
    }

    /// Returns what files tell of one container.
    pub(in crate::sensor) fn container(&self, id: &str) -> Option<Known> {
        let ignored = &mut Vec::new();
        let mut found = Vec::new();
        for folder in self.docker_folders() {
            found.extend(docker(&folder.join(id).join("config.v2.json")));
        }
        if found.is_empty() {
            for (folder, namespace) in self.task_folders(ignored) {
                found.extend(task(&folder, &namespace, id));
            }
        }
        if found.is_empty() {
            for (graph, run) in self.storages() {
                let known = stored(&graph, &run, ignored);
                found.extend(known.into_iter().filter(|known| known.id == id));
            }
        }
        if found.is_empty() {
            for name in names_in(&self.at("var/log/containers"), ignored) {
                found.extend(logged_container(&name).filter(|known| known.id == id));
            }
        }
        merged(found).into_iter().next()
    }

    /// Returns what files tell of the pod with this uid.
    pub(in crate::sensor) fn pod(&self, uid: &str) -> Option<KnownPod> {
        let names = names_in(&self.at("var/log/pods"), &mut Vec::new());
        names.iter().filter_map(|name| logged_pod(name)).find(|pod| pod.uid.as_deref() == Some(uid))
    }
}

/// Reads bytes as the files of each runtime, and their text as the names of logs.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzzed(bytes: &[u8]) {
    docker::parsed(bytes);
    storage::parsed(bytes);
    let text = String::from_utf8_lossy(bytes);
    logged_container(&text);
    logged_pod(&text);
    if let Ok(OciConfig { annotations }) = serde_json::from_slice(bytes) {
        pod_in(&annotations);
    }
}

/// Puts together what several files tell of one container.
fn merged(all: Vec<Known>) -> Vec<Known> {
    let mut by_id: BTreeMap<String, Known> = BTreeMap::new();
    for Known { id, name, runtime, pod, pid } in all {
        let known = by_id.entry(id.clone()).or_default();
        known.id = id;
        known.name = known.name.take().or(name);
        known.runtime = known.runtime.or(runtime);
        known.pod = match (known.pod.take(), pod) {
            (Some(one), Some(other)) if one.uid.is_none() => Some(other),
            (one, other) => one.or(other),
        };
        known.pid = known.pid.or(pid);
    }
    by_id.into_values().collect()
}

/// The pod in labels of docker, annotations of CRI-O, and annotations of containerd.
fn pod_in(labels: &BTreeMap<String, String>) -> Option<KnownPod> {
    let first = |names: [&str; 2]| names.iter().find_map(|name| labels.get(*name)).cloned();
    Some(KnownPod {
        namespace: first(["io.kubernetes.pod.namespace", "io.kubernetes.cri.sandbox-namespace"])?,
        name: first(["io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name"])?,
        uid: first(["io.kubernetes.pod.uid", "io.kubernetes.cri.sandbox-uid"]),
    })
}

fn named(name: &str) -> Option<String> {
    if name.is_empty() { None } else { Some(name.to_owned()) }
}

fn is_there(folder: &Path) -> bool {
    match fs::metadata(folder) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// Returns the names in a folder that are text. Notes the folder if it may not be read.
fn names_in(folder: &Path, unreadable: &mut Unreadable) -> Vec<String> {
    let mut names = Vec::new();
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries.flatten().take(MAX_ENTRIES) {
                names.extend(entry.file_name().into_string());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unreadable.push(folder.to_owned());
        }
        Err(_) => {}
    }
    names.sort();
    names
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file; `None` if it is not there, or not as it should be: it may be written just now.
fn read_json<T: DeserializeOwned>(file: &Path) -> Option<T> {
    serde_json::from_slice(&read(file).ok()?).ok()
}

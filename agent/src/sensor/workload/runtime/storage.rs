//! The storage that podman and CRI-O share: lists of containers, and the state of each.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    Files, Known, KnownPod, MAX_ENTRIES, OciConfig, Unreadable, is_there, named, pod_in, read,
    read_json,
};

/// Drivers of the storage that podman and CRI-O share.
const DRIVERS: [&str; 5] = ["overlay", "vfs", "btrfs", "zfs", "aufs"];
const PODMAN: &str = "podman";
const CRIO: &str = "cri-o";

#[derive(Deserialize)]
struct Stored {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    /// JSON once more.
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct StoredMetadata {
    name: String,
    metadata_name: String,
    pod_name: String,
    pod: bool,
}

impl Files {
    /// Returns the folders of containers in the storages, each with that of their state.
    pub(super) fn storages(&self) -> Vec<(PathBuf, PathBuf)> {
        let mut roots =
            vec![(self.at("var/lib/containers/storage"), self.at("run/containers/storage"))];
        if let Ok(text) = read(&self.at("etc/containers/storage.conf")) {
            let text = String::from_utf8_lossy(&text);
            let graph = setting(&text, "graphroot").unwrap_or("/var/lib/containers/storage");
            let run = setting(&text, "runroot").unwrap_or("/run/containers/storage");
            roots.push((self.at(graph), self.at(run)));
        }
        for home in &self.homes {
            let graph = self.at(home).join(".local/share/containers/storage");
            // The state of a user's containers is not looked for: it is below /run/user/UID.
            // That of another user who may have none is not told to be unreadable.
            if graph.is_dir() {
                roots.push((graph.clone(), graph));
            }
        }
        let mut folders = Vec::new();
        for (graph, run) in roots {
            for driver in DRIVERS {
                let name = format!("{driver}-containers");
                let both = (graph.join(&name), run.join(&name));
                if (is_there(&both.0) || is_there(&both.1)) && !folders.contains(&both) {
                    folders.push(both);
                }
            }
        }
        folders
    }
}

/// Reads the lists of containers of a storage, and of each its state.
pub(super) fn stored(graph: &Path, run: &Path, unreadable: &mut Unreadable) -> Vec<Known> {
    let mut found = Vec::new();
    let mut lists = vec![graph.join("containers.json"), graph.join("volatile-containers.json")];
    if run != graph {
        lists.push(run.join("volatile-containers.json"));
    }
    for list in lists {
        let bytes = match read(&list) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() == io::ErrorKind::PermissionDenied {
                    unreadable.push(graph.to_owned());
                }
                continue;
            }
        };
        for mut known in parsed(&bytes) {
            let state = run.join(&known.id).join("userdata");
            if let Ok(pid) = fs::read_to_string(state.join("pidfile")) {
                known.pid = pid.trim().parse().ok();
            }
            if let Some(OciConfig { annotations }) = read_json(&state.join("config.json")) {
                let pod = pod_in(&annotations);
                if let Some(name) = annotations.get("io.kubernetes.container.name") {
                    known.name = named(name);
                }
                known.pod = pod.or(known.pod);
            }
            found.push(known);
        }
    }
    found
}

/// Returns the containers of a list; none if it is not as it should be.
pub(super) fn parsed(bytes: &[u8]) -> Vec<Known> {
    let containers: Vec<Stored> = serde_json::from_slice(bytes).unwrap_or_default();
    containers.into_iter().take(MAX_ENTRIES).map(stored_one).collect()
}

/// CRI-O's metadata have a pod, podman's do not. Names of CRI-O are `k8s_CONTAINER_POD_NAMESPACE_UID_N`,
/// where the container of a pod's own is `POD`, and those of its pods `k8s_POD_NAMESPACE_UID_N`.
fn stored_one(container: Stored) -> Known {
    let metadata: StoredMetadata = serde_json::from_str(&container.metadata).unwrap_or_default();
    let own_name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
    if metadata.pod_name.is_empty() {
        let name = named(&own_name).or_else(|| named(&metadata.name));
        return Known { id: container.id, name, runtime: Some(PODMAN), ..Known::default() };
    }
    let parts: Vec<&str> = own_name.split('_').collect();
    let pod_parts: Vec<&str> = metadata.pod_name.split('_').collect();
    let pod = |name: &str, namespace: &str, uid: &str| KnownPod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: named(uid),
    };
    let (is_own, pod) = match (&parts[..], &pod_parts[..]) {
        (["k8s", container, name, namespace, uid, _], _) => {
            (*container == "POD", Some(pod(name, namespace, uid)))
        }
        (_, ["k8s", name, namespace, uid, _]) => (metadata.pod, Some(pod(name, namespace, uid))),
        _ => (metadata.pod, None),
    };
    let name = if is_own { None } else { named(&metadata.metadata_name) };
    Known { id: container.id, name, runtime: Some(CRIO), pod, pid: None }
}

/// `name = "value"` of a file in TOML: the storage's has no more than that of it.
fn setting<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=')
            && key.trim() == name
        {
            return Some(value.trim().trim_matches('"')).filter(|value| !value.is_empty());
        }
    }
    None
}

//! Docker: a file for each container.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Files, Known, is_there, named, pod_in, read, read_json};

const RUNTIME: &str = "docker";

#[derive(Deserialize)]
struct DockerFile {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "State", default)]
    state: DockerState,
    #[serde(rename = "Config", default)]
    config: DockerConfig,
}

#[derive(Default, Deserialize)]
struct DockerState {
    #[serde(rename = "Pid", default)]
    pid: u32,
}

#[derive(Default, Deserialize)]
struct DockerConfig {
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct DockerDaemon {
    #[serde(rename = "data-root")]
    data_root: Option<PathBuf>,
}

impl Files {
    pub(super) fn docker_folders(&self) -> Vec<PathBuf> {
        let mut roots = vec![self.at("var/lib/docker")];
        if let Some(DockerDaemon { data_root: Some(root) }) =
            read_json(&self.at("etc/docker/daemon.json"))
        {
            roots.push(self.at(root));
        }
        roots.push(self.at("var/snap/docker/common/var-lib-docker"));
        let mut folders: Vec<PathBuf> =
            roots.into_iter().map(|root| root.join("containers")).collect();
        folders.retain(|folder| is_there(folder));
        for home in &self.homes {
            let folder = self.at(home).join(".local/share/docker/containers");
            // That of another user who may have none is not told to be unreadable.
            if folder.is_dir() {
                folders.push(folder);
            }
        }
        folders.dedup();
        folders
    }
}

/// Reads `config.v2.json` of docker.
pub(super) fn docker(file: &Path) -> Option<Known> {
    parsed(&read(file).ok()?)
}

/// Returns what the file's bytes tell; `None` if they are not as they should be.
pub(super) fn parsed(bytes: &[u8]) -> Option<Known> {
    let DockerFile { id, name, state, config } = serde_json::from_slice(bytes).ok()?;
    let labels = config.labels.unwrap_or_default();
    let name = name.strip_prefix('/').unwrap_or(&name).to_owned();
    let pid = if state.pid == 0 { None } else { Some(state.pid) };
    Some(Known { id, name: named(&name), runtime: Some(RUNTIME), pod: pod_in(&labels), pid })
}

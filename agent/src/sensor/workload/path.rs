//! The names in `/proc/PID/cgroup`: by them a process's container, pod and unit are known.
//!
//! Runtimes and systemd name cgroups after what is in them:
//!
//! | who | path |
//! |---|---|
//! | docker | `/docker/ID`, `/system.slice/docker-ID.scope` |
//! | podman | `/machine.slice/libpod-ID.scope/container`, `/libpod_parent/libpod-ID` |
//! | kubelet | `/kubepods/burstable/podUID/ID`, `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope` (or `crio-ID.scope`) |
//! | systemd | `/system.slice/nginx.service`, `/user.slice/user-1000.slice/user@1000.service/app.slice/web.service` |

use crate::sensor::procfs;

/// Characters of a container's id.
const ID_LENGTH: usize = 64;
/// Suffixes of units of systemd that have cgroups, but for slices.
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];
/// Suffix of the units that other units are in.
const SLICE: &str = ".slice";

/// A cgroup in a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::sensor) struct CgroupPath {
    /// Names of the hierarchy's controllers, or its own (`name=systemd`); `None` in version 2.
    pub(in crate::sensor) hierarchy: Option<String>,
    /// Bytes: a folder may have any name. Begins with `/`; with `/..` if it is outside of our own
    /// cgroup namespace.
    pub(in crate::sensor) path: Vec<u8>,
}

/// A container, by the name of its cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sensor) struct ContainerName {
    pub(in crate::sensor) id: String,
    pub(in crate::sensor) runtime: Option<&'static str>,
}

impl CgroupPath {
    /// Returns the names of the folders.
    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.path.split(|byte| *byte == b'/').skip(1).filter(|part| !part.is_empty())
    }

    /// Returns the names that are text.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.parts().map(|part| str::from_utf8(part).unwrap_or_default())
    }

    /// Returns true if it is outside of our own cgroup namespace.
    pub(in crate::sensor) fn is_outside(&self) -> bool {
        self.parts().any(|part| part == b"..")
    }

    fn is_root(&self) -> bool {
        self.path == b"/"
    }

    /// Returns true if `other` is this cgroup or below it.
    pub(in crate::sensor) fn holds(&self, other: &Self) -> bool {
        if self.hierarchy != other.hierarchy {
            return false;
        }
        let Some(rest) = other.path.strip_prefix(&*self.path) else { return false };
        self.is_root() || rest.is_empty() || rest.starts_with(b"/")
    }

    /// Returns the cgroup on the way to this one whose name is the last that this is true of.
    fn up_to_last(&self, is_wanted: impl Fn(&str) -> bool) -> Option<Self> {
        let end = self.names().enumerate().filter(|(_, name)| is_wanted(name)).last()?.0 + 1;
        Some(self.first(end))
    }

    /// Returns the cgroup that so many folders lead to.
    fn first(&self, count: usize) -> Self {
        let mut path = Vec::new();
        for part in self.parts().take(count) {
            path.push(b'/');
            path.extend(part);
        }
        Self { hierarchy: self.hierarchy.clone(), path }
    }

    /// Returns the innermost container that this is in.
    pub(in crate::sensor) fn container(&self) -> Option<ContainerName> {
        let (mut found, mut before) = (None, "");
        for name in self.names() {
            found = container_of(name, before).or(found);
            before = name;
        }
        found
    }

    /// Returns the cgroup of the container with this id, if this is in it.
    pub(in crate::sensor) fn of_container(&self, id: &str) -> Option<Self> {
        self.up_to_last(|name| container_of(name, "").is_some_and(|one| one.id == id))
    }

    /// Returns every container that this is in, the outermost first.
    pub(in crate::sensor) fn containers(&self) -> Vec<ContainerName> {
        let (mut found, mut before) = (Vec::new(), "");
        for name in self.names() {
            found.extend(container_of(name, before));
            before = name;
        }
        found
    }

    /// Returns the uid of the innermost pod that this is in.
    pub(in crate::sensor) fn pod(&self) -> Option<String> {
        if !self.names().any(|name| name.contains("kubepods")) {
            return None;
        }
        self.names().filter_map(pod_of).last()
    }

    /// Returns the cgroup of the pod with this uid, if this is in it.
    pub(in crate::sensor) fn of_pod(&self, uid: &str) -> Option<Self> {
        self.up_to_last(|name| pod_of(name).as_deref() == Some(uid))
    }

    /// Returns the unit that this belongs to: of the system's manager or, below `user@UID.service`,
    /// of the user's, as systemd tells it (`cg_path_get_unit`). Slices only hold units.
    pub(in crate::sensor) fn unit(&self) -> Option<String> {
        let mut names = self.names().map(unescaped).skip_while(|name| skipped(name));
        let unit = names.next().filter(|name| is_unit(name))?;
        if unit.starts_with("user@") {
            let of_user = names.find(|name| !name.ends_with(SLICE));
            if let Some(of_user) = of_user.filter(|name| is_unit(name)) {
                return Some(of_user.to_owned());
            }
        }
        Some(unit.to_owned())
    }

    /// Returns the cgroup of each unit that is called so and that this is in, and whether it is the
    /// system manager's own.
    pub(in crate::sensor) fn of_unit(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<(Self, bool)> {
        let mut found = Vec::new();
        let mut is_systems = true;
        for (place, name) in self.names().enumerate() {
            let name = unescaped(name);
            if is_wanted(name) {
                found.push((self.first(place + 1), is_systems));
            }
            is_systems &= skipped(name);
        }
        found
    }

    /// Returns the path for people to read.
    pub(in crate::sensor) fn text(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }
}

/// Folders above the units: slices, and the way to a namespace that is not ours.
fn skipped(name: &str) -> bool {
    name.ends_with(SLICE) || name == ".."
}

fn is_unit(name: &str) -> bool {
    UNITS.iter().any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
}

/// systemd puts a `_` before names that the kernel could take for files of its own (`cg_escape`).
fn unescaped(name: &str) -> &str {
    name.strip_prefix('_').unwrap_or(name)
}

/// Returns the unit that a word means: `nginx` is `nginx.service`.
pub(in crate::sensor) fn unit_name(word: &str) -> String {
    if is_unit(word) || word.ends_with(SLICE) { word.to_owned() } else { format!("{word}.service") }
}

/// Returns true if this is the name of a template, `web@.service`, and the unit one of its
/// instances.
pub(in crate::sensor) fn is_instance(template: &str, unit: &str) -> bool {
    let Some((prefix, suffix)) = template.split_once("@.") else { return false };
    let Some((name, rest)) = unit.split_once('@') else { return false };
    name == prefix && rest.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1)
}

/// `ID`, `docker-ID.scope`, and `SLICE:cri-containerd:ID` where the runtime and its cgroup driver
/// do not fit. What watches a container for its runtime (`libpod-conmon-ID.scope`) is none.
fn container_of(name: &str, parent: &str) -> Option<ContainerName> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let (prefix, id) = match name.len().checked_sub(ID_LENGTH)? {
        0 => ("", name),
        at => name.split_at_checked(at)?,
    };
    if !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let prefix = match prefix.strip_suffix([':', '-']) {
        Some(prefix) => prefix.rsplit(':').next()?,
        None if prefix.is_empty() => parent,
        None => return None,
    };
    if prefix.ends_with("conmon") {
        return None;
    }
    let runtime = match prefix {
        "docker" => Some("docker"),
        "libpod" | "libpod-payload" | "libpod_parent" => Some("podman"),
        "cri-containerd" | "nerdctl" => Some("containerd"),
        "crio" => Some("cri-o"),
        _ => None,
    };
    Some(ContainerName { id: id.to_owned(), runtime })
}

/// `podUID` or `kubepods-burstable-podUID.slice`, whose uid has `_` in place of `-`. The uid of a
/// static pod is a hash.
fn pod_of(name: &str) -> Option<String> {
    let name = name.split(':').next()?;
    let name = name.strip_suffix(SLICE).unwrap_or(name);
    let (before, uid) = name.rsplit_once("pod")?;
    if !before.is_empty() && !before.ends_with('-') {
        return None;
    }
    let uid = uid.replace('_', "-");
    let groups: Vec<usize> = uid.split('-').map(str::len).collect();
    let is_uid = groups == [8, 4, 4, 4, 12] || groups == [32];
    let is_hex = uid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if is_uid && is_hex { Some(uid) } else { None }
}

/// Returns the cgroups of a process, by `/proc/PID/cgroup`: `ID:CONTROLLERS:PATH` a line.
pub(in crate::sensor) fn parse(text: &[u8]) -> Vec<CgroupPath> {
    let mut paths = Vec::new();
    for (controllers, path) in procfs::cgroup_lines(text) {
        // Of a cgroup that is gone, whose last processes have not ended.
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        if path.starts_with(b"/") {
            let hierarchy =
                if controllers.is_empty() { None } else { Some(controllers.to_owned()) };
            let whole = CgroupPath { hierarchy, path: path.to_owned() };
            // Without empty names, which no folder has.
            let path = if whole.is_root() { whole } else { whole.first(usize::MAX) };
            paths.extend(Some(path).filter(|path| !path.path.is_empty()));
        }
    }
    paths.sort_by_key(|path| rank(path.hierarchy.as_deref()));
    paths
}

/// Order of the hierarchies: systemd has all processes in those of version 2 and of its own.
pub(in crate::sensor) fn rank(hierarchy: Option<&str>) -> u8 {
    match hierarchy {
        None => 0,
        Some("name=systemd") => 1,
        Some(_) => 2,
    }
}

/// Returns the path that stands for a process: that of its container, or the first that is not the
/// root.
pub(in crate::sensor) fn main_path(paths: &[CgroupPath]) -> Option<&CgroupPath> {
    let in_container = paths.iter().find(|path| path.container().is_some());
    let below = || paths.iter().find(|path| !path.is_root());
    in_container.or_else(below).or_else(|| paths.first())
}

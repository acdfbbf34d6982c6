//! Where the cgroups' files are: where somebody mounted them, or in a mount of our own.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{Dir, Mode, OFlags, openat},
    io::Errno,
};

use super::path::{self, CgroupPath};
use crate::sensor::{attach::sys, procfs};

/// Most cgroups whose processes are read.
const MAX_CGROUPS: usize = 8_192;
/// Deepest cgroup below one that was asked for.
const MAX_DEPTH: usize = 64;

/// A hierarchy's place among the files.
#[derive(Clone, Debug)]
struct Root {
    folder: Arc<OwnedFd>,
    /// Where it is mounted; `None` of a mount of our own.
    mounted: Option<Vec<u8>>,
}

/// The hierarchies of cgroups that this process is in.
#[derive(Clone, Debug, Default)]
pub(in crate::sensor) struct Hierarchies {
    /// Each with its files; `None` where they cannot be reached.
    roots: BTreeMap<Option<String>, Option<Root>>,
}

/// Processes of cgroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sensor) struct Members {
    pub(in crate::sensor) pids: BTreeSet<u32>,
    /// Processes that this PID namespace does not show.
    pub(in crate::sensor) hidden: usize,
    /// The cgroup is there.
    pub(in crate::sensor) is_there: bool,
}

impl Hierarchies {
    /// Opens them. Where nobody mounted them, that takes CAP_SYS_ADMIN.
    pub(in crate::sensor) fn open() -> Self {
        let mut roots = BTreeMap::new();
        for CgroupPath { hierarchy, .. } in path::parse(&procfs::cgroups(std::process::id())) {
            let mut root = None;
            for mounted in procfs::cgroup_mounts(hierarchy.as_deref()) {
                if let Ok(folder) = open_folder(rustix::fs::CWD, &mounted) {
                    root = Some(Root { folder: Arc::new(folder), mounted: Some(mounted) });
                    break;
                }
            }
            let root = root.or_else(|| {
                let folder = match &hierarchy {
                    None => sys::own_cgroups(),
                    Some(controllers) => sys::own_hierarchy(controllers),
                };
                Some(Root { folder: Arc::new(folder.ok()?), mounted: None })
            });
            roots.insert(hierarchy, root);
        }
        Self { roots }
    }

    /// Returns the hierarchies, those first in which systemd has every process.
    pub(in crate::sensor) fn names(&self) -> Vec<Option<String>> {
        let mut names: Vec<Option<String>> = self.roots.keys().cloned().collect();
        names.sort_by_key(|name| path::rank(name.as_deref()));
        names
    }

    /// Returns true if the files of a hierarchy can be read.
    pub(in crate::sensor) fn has_files(&self, hierarchy: Option<&str>) -> bool {
        self.root(hierarchy).is_some()
    }

    fn root(&self, hierarchy: Option<&str>) -> Option<&Root> {
        self.roots.get(&hierarchy.map(str::to_owned))?.as_ref()
    }

    /// Returns the cgroups that a path may mean: a folder below the place where a hierarchy is
    /// mounted, or a path as `/proc/PID/cgroup` has it, in any hierarchy.
    pub(in crate::sensor) fn meant_by(&self, path: &Path) -> Vec<CgroupPath> {
        let bytes = path.as_os_str().as_bytes();
        let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
        for hierarchy in self.names() {
            if let Some(Root { mounted: Some(mounted), .. }) = self.root(hierarchy.as_deref())
                && let Some(rest) = bytes.strip_prefix(&**mounted)
                && (rest.is_empty() || rest.starts_with(b"/"))
            {
                let path = if rest.is_empty() { b"/".to_vec() } else { rest.to_vec() };
                return vec![CgroupPath { hierarchy, path }];
            }
        }
        let mut path = bytes.to_vec();
        if !path.starts_with(b"/") {
            path.insert(0, b'/');
        }
        let mut meant = Vec::new();
        for hierarchy in self.names() {
            meant.push(CgroupPath { hierarchy, path: path.clone() });
        }
        meant
    }

    /// Reads the processes of a cgroup and of those below it: from its files, or where there are
    /// none from every process's own.
    pub(in crate::sensor) fn members(&self, cgroup: &CgroupPath) -> Members {
        match self.root(cgroup.hierarchy.as_deref()) {
            Some(root) if !cgroup.is_outside() => members_by_files(root, cgroup),
            _ => members_by_processes(cgroup),
        }
    }
}

fn members_by_processes(cgroup: &CgroupPath) -> Members {
    let mut members = Members::default();
    for pid in procfs::processes() {
        if path::parse(&procfs::cgroups(pid)).iter().any(|path| cgroup.holds(path)) {
            members.pids.insert(pid);
        }
    }
    // An empty one cannot be told from one that is not there.
    members.is_there = !members.pids.is_empty();
    members
}

fn members_by_files(root: &Root, cgroup: &CgroupPath) -> Members {
    let mut members = Members::default();
    let relative = cgroup.path.strip_prefix(b"/").unwrap_or(&cgroup.path);
    let relative = if relative.is_empty() { b"." } else { relative };
    let Ok(folder) = open_folder(root.folder.as_fd(), relative) else { return members };
    members.is_there = true;
    let mut folders = vec![(folder, 0)];
    let mut read = 0;
    while let Some((folder, depth)) = folders.pop() {
        read += 1;
        read_processes(&folder, &mut members);
        if depth >= MAX_DEPTH || read + folders.len() >= MAX_CGROUPS {
            continue;
        }
        let Ok(entries) = Dir::read_from(&folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_bytes();
            if entry.file_type().is_dir()
                && !matches!(name, b"." | b"..")
                && let Ok(below) = open_folder(folder.as_fd(), name)
            {
                folders.push((below, depth + 1));
            }
        }
    }
    members
}

/// Reads the processes of one cgroup. In a threaded one only threads have places, and the file of
/// processes cannot be read.
fn read_processes(folder: &OwnedFd, members: &mut Members) {
    let of_processes = match read_file(folder, "cgroup.procs") {
        Ok(text) => (text, false),
        Err(Errno::OPNOTSUPP) => (read_file(folder, "cgroup.threads").unwrap_or_default(), true),
        Err(_) => return,
    };
    let (text, are_threads) = of_processes;
    for id in text.lines().filter_map(|line| line.parse::<u32>().ok()) {
        match id {
            0 => members.hidden += 1,
            thread if are_threads => members.pids.extend(procfs::thread_group(thread)),
            pid => drop(members.pids.insert(pid)),
        }
    }
}

fn read_file(folder: &OwnedFd, name: &str) -> rustix::io::Result<String> {
    let file = openat(folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = String::new();
    match File::from(file).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

fn open_folder(at: impl AsFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(at, OsStr::from_bytes(path), flags, Mode::empty())
}

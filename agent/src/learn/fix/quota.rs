//! A cgroup for the server of an exercise, in which it can have a quota of processor time.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// Places where cgroups are mounted: v2, v2 beside v1, v1.
const ROOTS: [&str; 5] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup/cpu",
    "/sys/fs/cgroup/cpu,cpuacct",
    "/sys/fs/cgroup/cpuacct,cpu",
];
/// Time that a group's processes have to be gone before it is removed.
const PATIENCE: Duration = Duration::from_secs(1);

/// A group of its own, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Group(PathBuf);

impl Group {
    /// Makes one.
    ///
    /// # Errors
    /// There is no hierarchy with the controller of processor time that may be written to.
    pub(super) fn make() -> io::Result<Self> {
        let mut refused = None;
        for root in ROOTS.map(Path::new) {
            if !root.join("cgroup.procs").exists() {
                continue;
            }
            let second = root.join("cgroup.controllers").exists();
            if second {
                // Already so on most machines; whether it is now is seen below.
                let _ = fs::write(root.join("cgroup.subtree_control"), "+cpu");
            }
            let path = root.join(format!("backscope-exercise-{}", std::process::id()));
            if let Err(error) = fs::create_dir(&path) {
                refused = Some(error);
                continue;
            }
            let group = Self(path);
            let limit = if second { "cpu.max" } else { "cpu.cfs_quota_us" };
            if group.0.join(limit).exists() {
                return Ok(group);
            }
        }
        Err(refused.unwrap_or_else(|| {
            io::Error::other("no cgroup hierarchy with the controller `cpu` is mounted")
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that was killed leaves its group a moment later.
        let step = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        while fs::remove_dir(&self.0).is_err() && waited < PATIENCE {
            thread::sleep(step);
            waited += step;
        }
    }
}

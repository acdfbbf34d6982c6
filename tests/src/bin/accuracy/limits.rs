//! Limits a server from outside: stops it, keeps it from processors, takes descriptors away.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use backscope_tests::harness::Skip;

use crate::processes::tree;

/// Threads that compute on processor 0, to which the whole server is pinned. They end with the
/// guard.
pub(crate) struct Crowd(Arc<AtomicBool>);

impl Crowd {
    /// Pins a server to processor 0, with so many computing threads beside it.
    pub(crate) fn beside(root: u32, threads: usize) -> anyhow::Result<Self> {
        for pid in tree(root) {
            for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
                pin(task.file_name().to_string_lossy().parse()?).context("sched_setaffinity")?;
            }
        }
        let ends = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let ends = Arc::clone(&ends);
            thread::spawn(move || {
                // If it cannot be pinned it only computes elsewhere.
                let _ = pin(0);
                while !ends.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Ok(Self(ends))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Pins a thread (0: the calling one) to processor 0.
fn pin(tid: i32) -> io::Result<()> {
    // SAFETY: cpu_set_t is plain data for which all zeroes is valid, and the call reads one of that
    // size.
    let status = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(tid, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A cgroup with a quota of processor time. The guard removes it, and has to outlive the server.
pub(crate) struct Quota(PathBuf);

impl Quota {
    /// Limits the server and its descendants to so much of each period.
    pub(crate) fn on(root: u32, quota_us: u64, period_us: u64) -> anyhow::Result<Self> {
        let name = format!("backscope-accuracy-{}-{root}", std::process::id());
        let (v1, v2) = (Path::new("/sys/fs/cgroup/cpu"), Path::new("/sys/fs/cgroup"));
        let quota = if v1.join("cpu.cfs_quota_us").exists() || v1.join("tasks").exists() {
            let quota = Self(v1.join(name));
            fs::create_dir(&quota.0)?;
            fs::write(quota.0.join("cpu.cfs_period_us"), period_us.to_string())?;
            fs::write(quota.0.join("cpu.cfs_quota_us"), quota_us.to_string())?;
            quota
        } else if fs::read_to_string(v2.join("cgroup.controllers"))
            .is_ok_and(|text| text.contains("cpu"))
        {
            // The controller may be on already, or not be available.
            let _ = fs::write(v2.join("cgroup.subtree_control"), "+cpu");
            let quota = Self(v2.join(name));
            fs::create_dir(&quota.0)?;
            fs::write(quota.0.join("cpu.max"), format!("{quota_us} {period_us}"))?;
            quota
        } else {
            return Err(Skip(
                "no cgroup with a quota of processor time can be made here".to_owned(),
            )
            .into());
        };
        for pid in tree(root) {
            match fs::write(quota.0.join("cgroup.procs"), pid.to_string()) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                written => written?,
            }
        }
        Ok(quota)
    }

    /// Returns the time for which its members were throttled so far, µs.
    pub(crate) fn throttled_us(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(self.0.join("cpu.stat"))?;
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
        };
        let ns = field("throttled_time ").map(|ns| ns / 1_000);
        ns.or_else(|| field("throttled_usec ")).context("cpu.stat says nothing of throttled time")
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Moves the server to the parent group. A group with members cannot be removed.
        let members = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        let above = self.0.parent().map(|parent| parent.join("cgroup.procs"));
        for pid in members.lines() {
            let _ = above.as_ref().map(|above| fs::write(above, pid));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// Limits every process of a server to so many descriptors beyond those that are open, until the
/// guard is dropped.
pub(crate) struct FewDescriptors(Vec<(u32, libc::rlimit)>);

impl FewDescriptors {
    pub(crate) fn for_all(root: u32, more: u64) -> anyhow::Result<Self> {
        let mut kept = Vec::new();
        for pid in tree(root) {
            let open = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
            let open = open.filter_map(|fd| fd.file_name().to_str()?.parse().ok()).collect();
            let most = limit_for(&open, more);
            let lower = || {
                let old = limit(pid, None)?;
                limit(pid, Some(libc::rlimit { rlim_cur: most, rlim_max: old.rlim_max }))
            };
            // The limits of another user's process need a privilege.
            let old = lower().map_err(|error| {
                Skip(format!("its limit of descriptors cannot be set: {error}"))
            })?;
            kept.push((pid, old));
        }
        ensure!(!kept.is_empty(), "the server has no process");
        Ok(Self(kept))
    }
}

impl Drop for FewDescriptors {
    fn drop(&mut self) {
        for (pid, old) in &self.0 {
            // It may have ended.
            let _ = limit(*pid, Some(*old));
        }
    }
}

/// Returns the limit that leaves so many descriptors free.
fn limit_for(open: &BTreeSet<u64>, free: u64) -> u64 {
    let mut places = (0..).filter(|fd| !open.contains(fd));
    places.nth(free as usize).unwrap_or(0)
}

/// Sets the limit of open descriptors, and returns the one before.
fn limit(pid: u32, new: Option<libc::rlimit>) -> io::Result<libc::rlimit> {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both pointers are null or to an rlimit of ours.
    let status =
        unsafe { libc::prlimit(pid as libc::pid_t, libc::RLIMIT_NOFILE, new, &raw mut old) };
    if status == 0 { Ok(old) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::limit_for;

    #[test]
    fn gaps_between_descriptors_are_free() {
        assert_eq!(limit_for(&[0, 1, 2, 5].into(), 2), 6);
        assert_eq!(limit_for(&[0, 1, 2, 251].into(), 3), 6);
        assert_eq!(limit_for(&[].into(), 0), 0);
    }
}

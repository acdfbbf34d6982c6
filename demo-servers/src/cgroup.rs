//! A cgroup for a server's processes, so that they have a quota, or count as one among others.

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Period of a quota: the kernel's default.
const PERIOD: Duration = Duration::from_millis(100);
/// Time for which the processes of a group that ends may take to leave it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The version of a machine's cgroups that has the processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A cgroup for the time of processors. It is removed once all processes have ended that were forked
/// after it was made, and the one that made it.
pub(crate) struct CpuGroup {
    path: PathBuf,
    version: Version,
    /// Held until the process ends; so do its children, which inherit it.
    _alive: PipeWriter,
}

impl CpuGroup {
    /// Makes one of this name. To be called while the process has one thread.
    ///
    /// # Errors
    /// The machine has no cgroups for processors, or this process may make none.
    pub(crate) fn make(name: &str) -> anyhow::Result<Self> {
        let (root, version) = root(Path::new("/sys/fs/cgroup"))?;
        let path = root.join(format!("backscope-{name}-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| {
            format!("cannot make the cgroup {}: it takes root, and a machine's own", path.display())
        })?;
        let (gone, alive) = io::pipe()?;
        remove_at_the_end(gone, &alive, &path)?;
        Ok(Self { path, version, _alive: alive })
    }

    /// Puts the calling process into it, and what it forks from now on.
    pub(crate) fn enter(&self) -> anyhow::Result<()> {
        // 0 is whoever writes it.
        self.write("cgroup.procs", "0")
    }

    /// Lets its processes have so much processor time in each [`PERIOD`].
    pub(crate) fn limit(&self, quota: Duration) -> anyhow::Result<()> {
        let (quota, period) = (quota.as_micros(), PERIOD.as_micros());
        match self.version {
            Version::Two => self.write("cpu.max", &format!("{quota} {period}")),
            Version::One => {
                self.write("cpu.cfs_period_us", &period.to_string())?;
                self.write("cpu.cfs_quota_us", &quota.to_string())
            }
        }
    }

    /// Returns in how many periods the quota was used up, and for how long its processes did not run
    /// for that, ns; zeroes where the kernel does not say.
    pub(crate) fn throttled(&self) -> [u64; 2] {
        let text = fs::read_to_string(self.path.join("cpu.stat")).unwrap_or_default();
        throttled(&text)
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path.join(file);
        fs::write(&path, text).with_context(|| format!("writing {text} to {}", path.display()))
    }
}

/// Periods and time, ns, of a file cpu.stat. Version 1 has `throttled_time`, in ns, version 2
/// `throttled_usec`.
fn throttled(stat: &str) -> [u64; 2] {
    let figure = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|figure| figure.trim().parse::<u64>().ok())
    };
    let ns = match figure("throttled_usec") {
        Some(us) => us.saturating_mul(1_000),
        None => figure("throttled_time").unwrap_or(0),
    };
    [figure("nr_throttled").unwrap_or(0), ns]
}

/// Finds where groups for processors are made below the folder of all cgroups.
fn root(all: &Path) -> anyhow::Result<(PathBuf, Version)> {
    for name in ["cpu", "cpu,cpuacct"] {
        let root = all.join(name);
        if root.join("cpu.shares").exists() {
            return Ok((root, Version::One));
        }
    }
    let control = all.join("cgroup.subtree_control");
    match fs::read_to_string(&control) {
        Ok(controllers) if controllers.split_whitespace().any(|name| name == "cpu") => {}
        Ok(_) => fs::write(&control, "+cpu").with_context(|| {
            format!("cannot switch cgroups for processors on in {}", all.display())
        })?,
        Err(error) => bail!("there are no cgroups for processors in {}: {error}", all.display()),
    }
    Ok((all.to_owned(), Version::Two))
}

/// Forks a process that waits until nobody has the other end of the pipe, and removes the folder.
fn remove_at_the_end(mut gone: PipeReader, alive: &PipeWriter, path: &Path) -> anyhow::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the process has one thread, so the child may run any code.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()).context("fork"),
        0 => {}
        _ => return Ok(()),
    }
    crate::naming::name_thread("cgroup-remover");
    // SAFETY: a session of its own, without the signals of the terminal; and it holds nothing open
    // of what others wait for the end of.
    unsafe {
        libc::setsid();
        for descriptor in [0, 1, 2, alive.as_raw_fd()] {
            libc::close(descriptor);
        }
    }
    let _ = gone.read(&mut [0]);
    let end = Instant::now() + PATIENCE;
    // Whoever has closed the pipe is about to leave the group.
    while fs::remove_dir(path).is_err() && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    std::process::exit(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_count_throttling() {
        let two = "usage_usec 9\nnr_periods 5\nnr_throttled 4\nthrottled_usec 320\n";
        assert_eq!(throttled(two), [4, 320_000]);
        assert_eq!(throttled("nr_periods 5\nnr_throttled 4\nthrottled_time 77\n"), [4, 77]);
        assert_eq!(throttled(""), [0, 0]);
    }

    #[test]
    fn both_versions_are_found() {
        let folder = std::env::temp_dir().join(format!("backscope-cgroup-{}", std::process::id()));
        fs::create_dir_all(folder.join("cpu")).unwrap();
        let missing = root(&folder).unwrap_err().to_string();
        assert!(missing.contains("no cgroups for processors"), "{missing}");
        fs::write(folder.join("cgroup.subtree_control"), "memory\n").unwrap();
        assert_eq!(root(&folder).unwrap(), (folder.clone(), Version::Two));
        let switched = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap();
        assert_eq!(switched, "+cpu");
        fs::write(folder.join("cpu/cpu.shares"), "1024\n").unwrap();
        assert_eq!(root(&folder).unwrap(), (folder.join("cpu"), Version::One));
        fs::remove_dir_all(&folder).unwrap();
    }
}

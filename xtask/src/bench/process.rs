//! Measures the processor time and the memory of a process.

use std::fs;
use std::io;

use anyhow::{Context, Result};

pub(super) const MIB: f64 = 1024.0 * 1024.0;

/// Returns the processor time of a process so far, µs: of all its threads, including those that
/// have ended.
pub(super) fn cpu_us(pid: u32) -> Result<f64> {
    let mut clock = 0;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both pointers are to variables of ours.
    let status = unsafe {
        match libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) {
            0 => libc::clock_gettime(clock, &raw mut now),
            error => error,
        }
    };
    match status {
        0 => Ok(now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3),
        -1 => Err(io::Error::last_os_error()).context("a process has ended"),
        error => Err(io::Error::from_raw_os_error(error)).context("a process has ended"),
    }
}

/// Returns a process and all that it and its children have started.
pub(super) fn tree(pid: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(process) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        // It may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
        parents.extend(parent(&stat).map(|parent| (process, parent)));
    }
    Ok(descendants(pid, &parents))
}

/// Returns the parent in a line of `/proc/PID/stat`. The name before it may contain anything.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Returns a process and its descendants, from pairs of a process and its parent.
fn descendants(pid: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let (mut found, mut at) = (vec![pid], 0);
    while let Some(&of) = found.get(at) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

/// Processor time of every process that was started by this one and has ended, µs.
pub(super) fn children_cpu_us() -> f64 {
    // SAFETY: rusage is plain data for which all zeroes is valid, and the pointer is to one of
    // ours.
    let children = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let us = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    us(children.ru_utime) + us(children.ru_stime)
}

/// Returns a figure of `/proc/PID/status` that is in kB, in bytes: `VmRSS`, `RssAnon`.
pub(super) fn memory(pid: u32, name: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).context("a process has ended")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kb = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .with_context(|| format!("status has no {name}"))?;
    Ok(kb.parse::<f64>()? * 1024.0)
}

/// Returns the part of a process's resident memory that belongs to BPF maps, bytes: the ring
/// buffer, each page of which is mapped twice.
pub(super) fn mapped_maps(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).context("a process has ended")?;
    let (mut bytes, mut is_map) = (0.0, false);
    for line in text.lines() {
        if let Some(kb) = line.strip_prefix("Rss:") {
            let kb: f64 = kb.trim().trim_end_matches(" kB").parse().context("smaps")?;
            bytes += if is_map { kb * 1024.0 } else { 0.0 };
        } else if line.split(' ').next().is_some_and(|range| range.contains('-')) {
            is_map = line.ends_with("bpf-map");
        }
    }
    Ok(bytes)
}

/// Lifts the soft limit of open files to the hard one.
pub(super) fn allow_open_files() -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both pointers are to an rlimit of ours.
    let status = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error()).context("cannot lift the limit of open files")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_children_belong_to_it() {
        assert_eq!(parent("12 (a) b (c)) S 7 12 12 0"), Some(7));
        assert_eq!(descendants(1, &[(3, 2), (2, 1), (9, 8), (4, 3)]), [1, 2, 3, 4]);
        assert!(tree(std::process::id()).is_ok_and(|tree| tree[0] == std::process::id()));
    }
}

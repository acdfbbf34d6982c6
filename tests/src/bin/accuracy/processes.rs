//! The processes of a server: its first process and all descendants.

use std::collections::BTreeSet;
use std::ffi::c_int;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use backscope_tests::harness::signal;

/// Returns a process and its descendants.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut found = BTreeSet::from([root]);
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, parent(pid)?))
        })
        .collect();
    loop {
        let known = found.len();
        found.extend(
            parents
                .iter()
                .filter(|(_, parent)| found.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if found.len() == known {
            return found.into_iter().collect();
        }
    }
}

/// Returns the processor time of all of them so far, by the kernel's count, µs.
pub(crate) fn cpu_us(root: u32) -> u64 {
    let tasks = tree(root).into_iter().flat_map(|pid| {
        fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|task| task.path())
    });
    let ns = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    ns.sum::<u64>() / 1_000
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets, and may contain any character.
    stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A stopped server. It continues when the guard is dropped.
pub(crate) struct Stopped(Vec<u32>);

impl Stopped {
    /// Stops all of its processes.
    pub(crate) fn all(root: u32) -> Self {
        let pids = tree(root);
        each(&pids, libc::SIGSTOP);
        // A thread stops only when it next handles signals. Until then it may still serve.
        let deadline = Instant::now() + Duration::from_secs(1);
        while !pids.iter().all(|pid| is_stopped(*pid)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        Self(pids)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        each(&self.0, libc::SIGCONT);
    }
}

/// Whether every thread of the process is stopped, or gone.
fn is_stopped(pid: u32) -> bool {
    let states =
        fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().filter_map(
            |task| {
                let stat = fs::read_to_string(task.path().join("stat")).ok()?;
                stat.rsplit_once(") ")?.1.chars().next()
            },
        );
    states.into_iter().all(|state| matches!(state, 'T' | 't' | 'Z' | 'X'))
}

fn each(pids: &[u32], number: c_int) {
    pids.iter().for_each(|pid| signal(*pid, number));
}

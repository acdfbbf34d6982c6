//! Limits of processes and of the network namespace that so many connections need.

use std::io;

use anyhow::{Context, ensure};
use backscope_tests::harness::net;

/// Connections that stay, in one process at each end: nearly every system lets one open so many
/// files, and one address has so many ports.
pub(crate) const A_PROCESS: usize = 10_000;

/// Raises the limits for so many connections that stay.
pub(crate) fn raise(idle: usize) -> anyhow::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a limit of ours.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error()).context("getrlimit");
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error()).context("setrlimit");
    }
    let needed = A_PROCESS as u64 + 1_000;
    ensure!(limit.rlim_max >= needed, "a process may open {} files", limit.rlim_max);
    net::set("core/somaxconn", 65_535)?;
    net::set("ipv4/ip_local_port_range", "1024 65000")?;
    let memory = available_kb()?;
    // Two sockets, two descriptors and their inodes for each connection.
    let needed = idle as u64 * 10;
    ensure!(memory > needed, "{idle} connections need {needed} kB, and {memory} kB are available");
    Ok(())
}

fn available_kb() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).context("/proc/meminfo has no MemAvailable")
}

//! The memory of another process: how much it is, and what is in it, which is of every mapping that
//! can be read, whether the process wrote it or shares it with the kernel.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::Context;

/// Size of a page, bytes. The kernel chooses it.
fn page_size() -> u64 {
    // SAFETY: a call without memory of ours, for what every kernel tells.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.cast_unsigned()
}

/// Returns what a process has in memory, bytes.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).context("reading statm")?;
    Ok(statm.split(' ').nth(1).context("no statm")?.parse::<u64>()? * page_size())
}

/// Returns the mappings that have these bytes, each with how many times.
pub fn copies(pid: u32, needle: &[u8]) -> anyhow::Result<Vec<(String, usize)>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).context("reading maps")?;
    let memory = File::open(format!("/proc/{pid}/mem")).context("opening mem")?;
    let mut copies = Vec::new();
    for line in maps.lines() {
        let range = line.split_whitespace().next().unwrap_or_default();
        let (from, to) = range.split_once('-').context("a mapping")?;
        let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
        let found = occurrences(&contents(&memory, from, to), needle);
        if found > 0 {
            copies.push((line.to_owned(), found));
        }
    }
    Ok(copies)
}

/// Reads a mapping, page by page where parts of it cannot be read: those count as zeros.
fn contents(memory: &File, from: u64, to: u64) -> Vec<u8> {
    let page_size = page_size();
    // The kernel's own page at the end of the address space is no memory.
    let Ok(length) = usize::try_from(to - from) else { return Vec::new() };
    if from > i64::MAX as u64 {
        return Vec::new();
    }
    let mut bytes = vec![0; length];
    if memory.read_exact_at(&mut bytes, from).is_err() {
        for (at, page) in
            (from..).step_by(page_size as usize).zip(bytes.chunks_mut(page_size as usize))
        {
            let _ = memory.read_exact_at(page, at);
        }
    }
    bytes
}

fn occurrences(bytes: &[u8], needle: &[u8]) -> usize {
    let first = needle[0];
    let mut found = 0;
    for (at, byte) in bytes.iter().enumerate() {
        found += usize::from(*byte == first && bytes[at..].starts_with(needle));
    }
    found
}

/// Lifts the limit on a process's core dumps, and returns what it was.
pub fn lift_core_limit(pid: u32) -> io::Result<u64> {
    let new = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a plain system call that reads the one and writes the other.
    match unsafe { libc::prlimit(pid.cast_signed(), libc::RLIMIT_CORE, &new, &mut old) } {
        0 => Ok(old.rlim_cur),
        _ => Err(io::Error::last_os_error()),
    }
}

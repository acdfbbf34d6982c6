//! Memory that a server has before it forks or starts threads, and what becomes of it.

use std::fs;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

use clap::Args;

use crate::sock::announce;

/// Knobs of the server's memory.
#[derive(Args, Clone, Debug, Default)]
pub struct MemoryOptions {
    /// MB of memory that the server has written to before it listens
    #[arg(long, default_value_t = 0, value_name = "MB")]
    pub heap: u16,
    /// Write to all of it again for each connection
    #[arg(long, requires = "heap")]
    pub write_heap: bool,
    /// Print what each connection's thread or process cost: `started us=N`, the processor time that
    /// it took to start it, and `memory PID rss_kb=N own_kb=N`, what it has
    #[arg(long)]
    pub trace_memory: bool,
}

/// The memory.
pub(super) struct Heap<'a> {
    pages: Vec<&'a AtomicU8>,
    options: &'a MemoryOptions,
}

impl<'a> Heap<'a> {
    /// Takes the memory and writes to every page of it.
    pub(super) fn take(options: &'a MemoryOptions) -> io::Result<Self> {
        let heap = Self { pages: pages(usize::from(options.heap) * 1_000_000)?, options };
        heap.write();
        Ok(heap)
    }

    fn write(&self) {
        for page in &self.pages {
            page.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What a connection's thread or process does first.
    pub(super) fn use_for_connection(&self) {
        if self.options.write_heap {
            self.write();
        }
        if self.options.trace_memory
            && let Ok(text) = fs::read_to_string("/proc/self/smaps_rollup")
        {
            let (rss, own) = memory(&text);
            let pid = std::process::id();
            announce(format_args!("memory {pid} rss_kb={rss} own_kb={own}"));
        }
    }

    /// Starts a thread or process, and says what that took.
    pub(super) fn started<T>(&self, start: impl FnOnce() -> T) -> T {
        use crate::sock::clock_ns;
        let before = clock_ns(libc::CLOCK_THREAD_CPUTIME_ID);
        let own = std::process::id();
        let started = start();
        // A forked child comes back, too, and has no time of its own yet.
        if self.options.trace_memory && std::process::id() == own {
            let spent_ns = clock_ns(libc::CLOCK_THREAD_CPUTIME_ID).saturating_sub(before);
            announce(format_args!("started us={}", spent_ns.div_ceil(1_000)));
        }
        started
    }
}

/// Size of a page, which the kernel chooses: 4 KB on x86-64, up to 64 KB on arm64.
fn page_size() -> usize {
    // SAFETY: a call without memory of ours.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Maps as many small pages as there are in so many bytes; huge ones would be copied, and counted,
/// by 2 MB.
fn pages<'a>(bytes: usize) -> io::Result<Vec<&'a AtomicU8>> {
    let size = page_size();
    let count = bytes / size;
    if count == 0 {
        return Ok(Vec::new());
    }
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice, without a file.
    let begin = unsafe { libc::mmap(ptr::null_mut(), count * size, protection, flags, -1, 0) };
    if begin == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the address and the length are those of the mapping. A kernel without huge pages
    // refuses, and has small ones.
    unsafe { libc::madvise(begin, count * size, libc::MADV_NOHUGEPAGE) };
    // SAFETY: the mapping is never removed, is as long as all pages, and holds bytes that are
    // touched as atomics alone.
    Ok((0..count)
        .map(|page| unsafe { AtomicU8::from_ptr(begin.cast::<u8>().add(page * size)) })
        .collect())
}

/// What smaps_rollup says: what is in memory, and what of it no other process has, both in kB.
fn memory(rollup: &str) -> (u64, u64) {
    let sum = |names: &[&str]| -> u64 {
        let of_line = |line: &str| {
            let (name, rest) = line.split_once(':')?;
            names.contains(&name).then(|| rest.split_whitespace().next()?.parse::<u64>().ok())?
        };
        rollup.lines().filter_map(of_line).sum()
    };
    (sum(&["Rss"]), sum(&["Private_Clean", "Private_Dirty"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollup() {
        let text = "55d0-7ffe ---p 00000000 00:00 0  [rollup]\nRss:  884 kB\nPss:  385 kB\n\
                    Shared_Clean: 600 kB\nPrivate_Clean:  4 kB\nPrivate_Dirty:  72 kB\n";
        assert_eq!(memory(text), (884, 76));
    }

    #[test]
    fn the_memory_is_there() {
        let before = memory(&fs::read_to_string("/proc/self/smaps_rollup").unwrap());
        let options = MemoryOptions { heap: 8, ..MemoryOptions::default() };
        let heap = Heap::take(&options).unwrap();
        let after = memory(&fs::read_to_string("/proc/self/smaps_rollup").unwrap());
        assert_eq!(heap.pages.len(), 8_000_000 / page_size());
        assert!(after.1 >= before.1 + 6_000, "{before:?} {after:?}");
    }
}

//! How `accept` failed on listeners, and the limits that it met: a process's descriptors, the
//! machine's open files.

use std::{collections::HashMap, fs, os::unix::fs::MetadataExt};

use backscope_abi::{Fail, FailKey};

use crate::model::event::{AcceptFails, SockId, Used};

/// The errors by listener, and what was seen of the limits.
#[derive(Debug, Default)]
pub(super) struct Fails {
    known: HashMap<FailKey, AcceptFails>,
}

impl Fails {
    /// Takes the totals of all listeners. Limits are read anew where an error has come since the
    /// last time.
    pub(super) fn update(&mut self, totals: Vec<(FailKey, Fail)>) {
        self.known.retain(|key, _| totals.iter().any(|(other, _)| other == key));
        for (key, fail) in totals {
            let before = self.known.get(&key);
            if before.is_some_and(|before| before.count == fail.count) {
                continue;
            }
            let (pid, tid) = ((fail.thread >> 32) as u32, fail.thread as u32);
            let errno = i32::try_from(key.errno).unwrap_or_default();
            let used = match errno {
                libc::EMFILE => descriptors(pid),
                libc::ENFILE => open_files(),
                _ => None,
            };
            // What was read of a process that has ended meanwhile still says why.
            let used = used.or_else(|| before.and_then(|before| before.used));
            let fails = AcceptFails {
                errno: key.errno,
                count: fail.count,
                first_ns: fail.first_ns,
                pid,
                tid,
                used,
            };
            self.known.insert(key, fails);
        }
    }

    /// Those of a listener, most first.
    pub(super) fn of(&self, listener: SockId) -> Vec<AcceptFails> {
        let own = self.known.iter().filter(|(key, _)| key.listener == listener);
        let mut fails: Vec<_> = own.map(|(_, fails)| fails.clone()).collect();
        fails.sort_by_key(|fails| (std::cmp::Reverse(fails.count), fails.errno));
        fails
    }
}

/// Descriptors that a process has, and its limit (`RLIMIT_NOFILE`).
fn descriptors(pid: u32) -> Option<Used> {
    let limit = parse_limit(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)?;
    let folder = format!("/proc/{pid}/fd");
    // From 6.2 on the size of this folder is the number of its entries (`proc_fd_getattr`).
    let size = fs::metadata(&folder).ok()?.size();
    if size > 0 && size <= limit {
        return Some(Used { open: size, limit });
    }
    // The limit is on the number of a new one. A process may have some beyond it, inherited or from
    // before the limit was lowered, and these take none of its places.
    let numbers = fs::read_dir(&folder).ok()?.filter_map(|entry| number_of(&entry.ok()?));
    let open = numbers.filter(|number| *number < limit).count() as u64;
    Some(Used { open, limit })
}

/// The number of the descriptor that an entry of `/proc/PID/fd` stands for.
fn number_of(entry: &fs::DirEntry) -> Option<u64> {
    entry.file_name().to_str()?.parse().ok()
}

/// The soft limit: "Max open files            1024                 524288               files".
fn parse_limit(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Open files of the machine, and the limit on them.
fn open_files() -> Option<Used> {
    parse_open_files(&fs::read_to_string("/proc/sys/fs/file-nr").ok()?)
}

/// "1984  0  9223372036854775807": open, free (always 0), most.
fn parse_open_files(text: &str) -> Option<Used> {
    let mut figures = text.split_whitespace().map(str::parse);
    let (open, _, limit) = (figures.next()?.ok()?, figures.next()?, figures.next()?.ok()?);
    Some(Used { open, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             7725                 7725                 processes \n\
                    Max open files            30                   524288               files     \n";
        assert_eq!(parse_limit(text), Some(30));
        assert_eq!(parse_limit(&text.replace("30 ", "unlimited ")), None);
        assert_eq!(
            parse_open_files("1984\t0\t9223372036854775807\n"),
            Some(Used { open: 1984, limit: i64::MAX as u64 })
        );
        let own = descriptors(std::process::id()).expect("this process has descriptors");
        assert!(own.open >= 3 && own.open <= own.limit, "{own:?}");
    }

    #[test]
    fn a_listener_has_its_own_errors_most_first() {
        let mut fails = Fails::default();
        let key = |listener, errno: i32| FailKey { listener, errno: errno as u32, _pad: 0 };
        let fail = |count| Fail { count, first_ns: 5, thread: 7 << 32 | 8 };
        fails.update(vec![
            (key(1, libc::ENOMEM), fail(2)),
            (key(1, libc::EPERM), fail(9)),
            (key(2, libc::EPERM), fail(1)),
        ]);
        let own: Vec<_> =
            fails.of(1).iter().map(|own| (own.errno as i32, own.count, own.pid, own.tid)).collect();
        assert_eq!(own, [(libc::EPERM, 9, 7, 8), (libc::ENOMEM, 2, 7, 8)]);
        fails.update(vec![]);
        assert!(fails.of(1).is_empty());
    }
}

//! Failures of `accept` on listeners, and the limits that it met: a process's descriptors, the
//! machine's open files.

use std::{cmp::Reverse, collections::HashMap};

use backscope_abi::{Fail, FailKey};

use crate::{
    model::event::{AcceptFails, SockId},
    sensor::procfs,
};

/// Failures by listener and error, with the limits as they were read.
#[derive(Debug, Default)]
pub(super) struct Fails {
    known: HashMap<FailKey, AcceptFails>,
}

impl Fails {
    /// Takes the totals of all listeners. Reads the limit again for each error that has come since
    /// the last time.
    pub(super) fn update(&mut self, totals: Vec<(FailKey, Fail)>) {
        self.known.retain(|key, _| totals.iter().any(|(other, _)| other == key));
        for (key, fail) in totals {
            let mut used_before = None;
            if let Some(before) = self.known.get(&key) {
                if before.count == fail.count {
                    continue;
                }
                used_before = before.used;
            }
            let (pid, tid) = ((fail.thread >> 32) as u32, fail.thread as u32);
            let used = match i32::try_from(key.errno) {
                Ok(libc::EMFILE) => procfs::descriptors_used(pid),
                Ok(libc::ENFILE) => procfs::open_files(),
                _ => None,
            };
            let fails = AcceptFails {
                errno: key.errno,
                count: fail.count,
                first_ns: fail.first_ns,
                pid,
                tid,
                // The process may have ended meanwhile. Its limit, read before, still says why.
                used: used.or(used_before),
            };
            self.known.insert(key, fails);
        }
    }

    /// Returns the errors of a listener, the most frequent first.
    pub(super) fn of(&self, listener: SockId) -> Vec<AcceptFails> {
        let mut own = Vec::new();
        for (key, fails) in &self.known {
            if key.listener == listener {
                own.push(fails.clone());
            }
        }
        own.sort_by_key(|fails| (Reverse(fails.count), fails.errno));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

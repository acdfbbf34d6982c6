//! Listeners that epoll instances watch, from `/proc/PID/fdinfo`. It takes the right to trace the
//! process; without it nothing is known.

use std::collections::HashMap;

use super::scan::Descriptors;
use crate::{
    model::event::SockId,
    sensor::procfs::{self, EpollTargets},
};

/// Refreshes for which an epoll instance is not read again.
const GOOD_FOR: u32 = 8;
/// Epoll instances remembered; beyond that they are read each time.
const MAX_EPOLLS: usize = 1_024;
/// Descriptors of a process that are searched for epoll instances. A process with more counts as
/// not known.
const MAX_FILES: usize = 4_096;

/// A listener that an epoll instance watches, and whether with `EPOLLEXCLUSIVE`.
type Watched = (SockId, bool);

/// The listeners that epoll instances watch.
#[derive(Debug, Default)]
pub(super) struct Epolls {
    /// By process and descriptor, with the refresh at which it was read.
    known: HashMap<(u32, u32), (u32, Vec<Watched>)>,
    refresh: u32,
}

impl Epolls {
    /// Begins a new refresh.
    pub(super) fn refresh(&mut self) {
        self.refresh = self.refresh.wrapping_add(1);
        let now = self.refresh;
        self.known.retain(|_, (read, _)| now.wrapping_sub(*read) < GOOD_FOR);
    }

    /// Returns the listeners that this instance watches.
    pub(super) fn watched(
        &mut self,
        pid: u32,
        epoll: u32,
        listeners: &Descriptors,
    ) -> Vec<Watched> {
        if let Some((_, watched)) = self.known.get(&(pid, epoll)) {
            return watched.clone();
        }
        let targets = procfs::epoll_targets(pid, epoll).unwrap_or_default();
        let watched = watched_of(&targets, pid, listeners);
        if self.known.len() < MAX_EPOLLS {
            self.known.insert((pid, epoll), (self.refresh, watched.clone()));
        }
        watched
    }
}

fn watched_of(epoll: &EpollTargets, pid: u32, listeners: &Descriptors) -> Vec<Watched> {
    let mut watched = Vec::new();
    for (fd, events) in &epoll.targets {
        if let Some(listener) = listeners.get(&(pid, *fd)) {
            watched.push((*listener, events & libc::EPOLLEXCLUSIVE as u32 != 0));
        }
    }
    watched
}

/// Returns true if the holders of a listener have stopped asking for connections: it does not
/// block, they have epoll instances, and none of these watches it now. Returns false also where
/// that is not known. `held` are the descriptors of the listener.
pub(super) fn is_unwatched(listener: SockId, held: &[(u32, u32)], listeners: &Descriptors) -> bool {
    let mut instances = 0;
    for &(pid, fd) in held {
        match epolls_without(pid, fd, listener, listeners) {
            Some(epolls) => instances += epolls,
            None => return false,
        }
    }
    instances > 0
}

/// Counts the epoll instances of a process, if none of them watches the listener. Returns `None` if
/// one does, or if the process may wait for it in another way.
fn epolls_without(pid: u32, fd: u32, listener: SockId, listeners: &Descriptors) -> Option<usize> {
    if procfs::descriptor_flags(pid, fd)? & libc::O_NONBLOCK as u32 == 0 {
        return None;
    }
    let mut epolls = 0;
    for (at, (epoll, file)) in procfs::descriptors(pid)?.enumerate() {
        match file.to_str() {
            _ if at >= MAX_FILES => return None,
            Some("anon_inode:[io_uring]") => return None,
            Some("anon_inode:[eventpoll]") => {}
            _ => continue,
        }
        let targets = procfs::epoll_targets(pid, epoll)?;
        let watched = watched_of(&targets, pid, listeners);
        if !targets.is_complete || watched.iter().any(|(watched, _)| *watched == listener) {
            return None;
        }
        epolls += 1;
    }
    Some(epolls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_found_among_the_watched() {
        let epoll = EpollTargets {
            targets: vec![(5, 0x19), (6, 0x1000_0001), (7, 0x19)],
            is_complete: true,
        };
        let listeners = Descriptors::from([((9, 6), 60), ((9, 7), 70), ((8, 5), 50)]);
        assert_eq!(watched_of(&epoll, 9, &listeners), [(60, true), (70, false)]);
    }
}

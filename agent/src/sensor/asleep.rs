//! What a thread sleeps in, from `/proc/PID/task/TID/syscall`, and which listeners an epoll
//! instance watches, from `/proc/PID/fdinfo`. Both need the right to trace the process; without it
//! nothing is known.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead, BufReader, Read},
};

use super::sample::Descriptors;
use crate::model::event::{Sleep, SockId};

/// What is read of an epoll instance's file: one with very many descriptors may hide its listener.
const MAX_FDINFO: u64 = 256 * 1_024;
/// What was seen of an epoll instance is good for so many refreshes.
const GOOD_FOR: u32 = 8;
/// Epoll instances remembered; beyond that they are read each time.
const MAX_EPOLLS: usize = 1_024;

/// A system call that a thread sleeps in, and its first two arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    number: i64,
    first: u64,
    second: u64,
}

impl Call {
    /// The file has the call's number and its arguments in hexadecimal, or a word for a thread that
    /// runs.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let number = words.next()?.parse().ok().filter(|&number| number >= 0)?;
        let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
        Some(Self { number, first: argument()?, second: argument()? })
    }

    pub(super) fn sleep(self) -> Sleep {
        #[cfg(target_arch = "x86_64")]
        match self.number {
            libc::SYS_poll if self.second == 1 => return Sleep::Descriptor,
            libc::SYS_poll | libc::SYS_select => return Sleep::Several,
            _ => {}
        }
        match self.number {
            libc::SYS_accept | libc::SYS_accept4 => Sleep::Accept,
            libc::SYS_ppoll if self.second == 1 => Sleep::Descriptor,
            libc::SYS_ppoll | libc::SYS_pselect6 => Sleep::Several,
            libc::SYS_io_uring_enter => Sleep::Events,
            libc::SYS_read
            | libc::SYS_readv
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_write
            | libc::SYS_writev
            | libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_sendfile => Sleep::Descriptor,
            libc::SYS_futex => Sleep::Lock,
            _ if self.epoll().is_some() => Sleep::Events,
            _ => Sleep::Other,
        }
    }

    /// The epoll instance that it waits on.
    pub(super) fn epoll(self) -> Option<u32> {
        #[cfg(target_arch = "x86_64")]
        if self.number == libc::SYS_epoll_wait {
            return u32::try_from(self.first).ok();
        }
        matches!(self.number, libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2)
            .then(|| u32::try_from(self.first).ok())?
    }
}

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
    /// A new refresh begins.
    pub(super) fn refresh(&mut self) {
        self.refresh = self.refresh.wrapping_add(1);
        let now = self.refresh;
        self.known.retain(|_, (read, _)| now.wrapping_sub(*read) < GOOD_FOR);
    }

    /// The listeners that this instance watches.
    pub(super) fn watched(
        &mut self,
        pid: u32,
        epoll: u32,
        listeners: &Descriptors,
    ) -> Vec<Watched> {
        if let Some((_, watched)) = self.known.get(&(pid, epoll)) {
            return watched.clone();
        }
        let file = File::open(format!("/proc/{pid}/fdinfo/{epoll}"));
        let watched =
            file.map(|file| watched(file.take(MAX_FDINFO), pid, listeners)).unwrap_or_default();
        if self.known.len() < MAX_EPOLLS {
            self.known.insert((pid, epoll), (self.refresh, watched.clone()));
        }
        watched
    }
}

/// Each descriptor has a line: "tfd:        5 events: 10000001 data: …".
fn watched(file: impl Read, pid: u32, listeners: &Descriptors) -> Vec<Watched> {
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    let watched = lines.filter_map(|line| {
        let mut words = line.strip_prefix("tfd:")?.split_whitespace();
        let listener = *listeners.get(&(pid, words.next()?.parse().ok()?))?;
        let events = u32::from_str_radix(words.nth(1)?, 16).ok()?;
        Some((listener, events & libc::EPOLLEXCLUSIVE as u32 != 0))
    });
    watched.collect()
}

/// Descriptors of a process that are looked through for epoll instances; of one with more nothing
/// is said.
const MAX_FILES: usize = 4_096;

/// Whether the holders of a listener have stopped asking for connections: it does not block, they
/// have epoll instances, and none of these has it now. False also where that is not known.
pub(super) fn is_unwatched(listener: SockId, listeners: &Descriptors) -> bool {
    let holders = listeners.iter().filter(|(_, held)| **held == listener).map(|(&place, _)| place);
    let mut instances = 0;
    for (pid, fd) in holders {
        match epolls_without(pid, fd, listener, listeners) {
            Some(epolls) => instances += epolls,
            None => return false,
        }
    }
    instances > 0
}

/// Epoll instances of a process, none of which has the listener; `None` if one has it, or it may be
/// waited for otherwise.
fn epolls_without(pid: u32, fd: u32, listener: SockId, listeners: &Descriptors) -> Option<usize> {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    if u32::from_str_radix(flags.trim(), 8).ok()? & libc::O_NONBLOCK as u32 == 0 {
        return None;
    }
    let mut epolls = 0;
    for (at, entry) in fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten().enumerate() {
        let name = entry.file_name();
        let target = fs::read_link(entry.path()).unwrap_or_default();
        match target.to_str() {
            _ if at >= MAX_FILES => return None,
            Some("anon_inode:[io_uring]") => return None,
            Some("anon_inode:[eventpoll]") => {}
            _ => continue,
        }
        let file = File::open(format!("/proc/{pid}/fdinfo/{}", name.to_str()?)).ok()?;
        let mut text = Vec::new();
        file.take(MAX_FDINFO).read_to_end(&mut text).ok()?;
        let is_cut = text.len() as u64 == MAX_FDINFO;
        if is_cut
            || watched(&text[..], pid, listeners).iter().any(|(watched, _)| *watched == listener)
        {
            return None;
        }
        epolls += 1;
    }
    Some(epolls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Option<Call> {
        Call::parse(text)
    }

    #[test]
    fn the_sleep_is_told_by_the_call() {
        let line = |number: i64, second: u64| {
            format!("{number} 0x5 {second:#x} 0x200 0xffff 0x0 0x8 0x7ffc 0x7f01")
        };
        let cases = [
            (libc::SYS_accept4, 0, Sleep::Accept),
            (libc::SYS_recvfrom, 9, Sleep::Descriptor),
            (libc::SYS_ppoll, 1, Sleep::Descriptor),
            (libc::SYS_ppoll, 2, Sleep::Several),
            (libc::SYS_epoll_pwait, 9, Sleep::Events),
            (libc::SYS_futex, 9, Sleep::Lock),
            (libc::SYS_nanosleep, 9, Sleep::Other),
        ];
        for (number, second, sleep) in cases {
            assert_eq!(call(&line(number, second)).map(Call::sleep), Some(sleep), "{number}");
        }
        assert_eq!(call(&line(libc::SYS_epoll_pwait, 0)).and_then(Call::epoll), Some(5));
        assert_eq!([call("running\n"), call("-1 0x7ffc 0x7f01"), call("")], [None; 3]);
    }

    #[test]
    fn listeners_are_found_among_the_watched() {
        let text = "pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1061\n\
            tfd:        5 events:       19 data:        5  pos:0 ino:a2 sdev:8\n\
            tfd:        6 events: 10000001 data:        6  pos:0 ino:a3 sdev:8\n\
            tfd:        7 events:       19 data:        7  pos:0 ino:a4 sdev:8\n\
            tfd: nonsense\n";
        let listeners = Descriptors::from([((9, 6), 60), ((9, 7), 70), ((8, 5), 50)]);
        assert_eq!(watched(text.as_bytes(), 9, &listeners), [(60, true), (70, false)]);
    }
}

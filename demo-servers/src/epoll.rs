//! An epoll instance.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Waits for several sockets at once, level-triggered.
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    /// Watches nothing yet.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: a plain system call; the descriptor is checked before it is owned.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: epoll_create1 returned this descriptor just now and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches one listener; `flags` are added (EPOLLEXCLUSIVE).
    pub(crate) fn watch(listener: &impl AsRawFd, flags: u32) -> io::Result<Self> {
        let epoll = Self::new()?;
        epoll.add(listener.as_raw_fd(), flags)?;
        Ok(epoll)
    }

    /// Watches one more for something to read, until it is closed. With EPOLLONESHOT, until it has
    /// been readable once.
    pub(crate) fn add(&self, fd: c_int, flags: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, flags)
    }

    /// Watches one again that was added with EPOLLONESHOT.
    pub(crate) fn rearm(&self, fd: c_int, flags: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, flags)
    }

    /// Watches it no longer.
    pub(crate) fn remove(&self, fd: c_int) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0)
    }

    fn control(&self, operation: c_int, fd: c_int, flags: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32 | flags, u64: fd as u64 };
        // SAFETY: the event outlives the call.
        let status = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits until there may be something to read, and returns from which descriptor.
    pub(crate) fn wait(&self) -> io::Result<c_int> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        loop {
            // SAFETY: room for one event is given and one is asked for.
            let got = unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, -1) };
            if got > 0 {
                return Ok(event.u64 as c_int);
            }
            let error = io::Error::last_os_error();
            if got < 0 && error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

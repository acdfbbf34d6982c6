//! A network of its own: nothing but a loopback, which no other program can see.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::tun;

/// Gives the calling thread, and what it starts from now on, a network namespace of its own with
/// `lo` up and TCP Fast Open allowed.
///
/// # Errors
/// As unshare(2): the namespace needs CAP_SYS_ADMIN.
pub fn enter() -> io::Result<()> {
    // SAFETY: a plain system call that concerns the calling thread alone.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // No other program uses this network, so servers may accept data in SYNs. If /proc/sys is
    // read-only they cannot, and a server that wants to says so.
    let _ = fs::write("/proc/sys/net/ipv4/tcp_fastopen", "3");
    tun::up("lo")
}

/// A network namespace that is there already.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// That of the calling thread.
    ///
    /// # Errors
    /// As open(2).
    pub fn here() -> io::Result<Self> {
        Self::at(Path::new("/proc/thread-self/ns/net"))
    }

    /// That of this file: `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// As open(2).
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self(File::open(path)?))
    }

    /// Moves the calling thread there, and what it starts from now on.
    ///
    /// # Errors
    /// As setns(2): it needs CAP_SYS_ADMIN.
    pub fn join(&self) -> io::Result<()> {
        // SAFETY: a plain system call that concerns the calling thread alone.
        match unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

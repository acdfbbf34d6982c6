//! One thread that waits for many connections at once.

use std::collections::HashMap;
use std::ffi::c_int;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::Socket;

use crate::connection::Connection;
use crate::epoll::Epoll;
use crate::service::ServiceOptions;
use crate::sock::Accepted;

/// Connections that are waited for. One thread waits; any thread may give it connections.
pub(super) struct EventLoop<'a> {
    epoll: Epoll,
    service: &'a ServiceOptions,
    /// EPOLLONESHOT, or nothing.
    flags: u32,
    connections: Mutex<HashMap<c_int, Connection<'a>>>,
}

impl<'a> EventLoop<'a> {
    /// For connections that the waiting thread itself serves.
    pub(super) fn new(service: &'a ServiceOptions) -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new()?, service, flags: 0, connections: Mutex::default() })
    }

    /// For connections that other threads have for a while.
    pub(super) fn lending(service: &'a ServiceOptions) -> io::Result<Self> {
        Ok(Self { flags: libc::EPOLLONESHOT as u32, ..Self::new(service)? })
    }

    /// Waits for a listener, too; `flags` are those of epoll (EPOLLEXCLUSIVE).
    pub(super) fn listen(&self, listener: &Socket, flags: u32) -> io::Result<()> {
        self.epoll.add(listener.as_raw_fd(), flags)
    }

    /// Takes a new connection.
    pub(super) fn take(&self, accepted: Accepted) -> io::Result<()> {
        accepted.socket.set_nonblocking(true)?;
        if let Some(connection) = self.service.begin(accepted)
            && let Some(fd) = connection.fd()
        {
            self.connections().insert(fd, connection);
            self.epoll.add(fd, self.flags)?;
        }
        Ok(())
    }

    /// Waits until something is ready: a connection, which is not waited for until it is given
    /// back, or else the listener.
    pub(super) fn wait(&self) -> io::Result<Option<Connection<'a>>> {
        let fd = self.epoll.wait()?;
        Ok(self.connections().remove(&fd))
    }

    /// Takes back a connection that was ready.
    pub(super) fn keep(&self, connection: Connection<'a>) -> io::Result<()> {
        let Some(fd) = connection.fd() else { return Ok(()) };
        self.connections().insert(fd, connection);
        if self.flags == 0 { Ok(()) } else { self.epoll.rearm(fd, self.flags) }
    }

    /// Serves whatever is ready, for ever; `accept` is called when it is the listener.
    pub(super) fn run(&self, mut accept: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        loop {
            match self.wait()? {
                Some(mut connection) => {
                    let fd = connection.fd();
                    if connection.advance() {
                        self.keep(connection)?;
                    } else if let Some(fd) = fd {
                        // One that is closed has gone by itself; one that is leaked has not.
                        let _ = self.epoll.remove(fd);
                    }
                }
                None => accept()?,
            }
        }
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<c_int, Connection<'a>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

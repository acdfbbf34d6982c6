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

/// Connections in one epoll instance. One thread waits; any thread may add connections.
pub(super) struct EventLoop<'a> {
    epoll: Epoll,
    service: &'a ServiceOptions,
    /// EPOLLONESHOT, or nothing.
    flags: u32,
    connections: Mutex<HashMap<c_int, Connection<'a>>>,
}

impl<'a> EventLoop<'a> {
    /// Makes one whose connections are served by the waiting thread.
    pub(super) fn new(service: &'a ServiceOptions) -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new()?, service, flags: 0, connections: Mutex::default() })
    }

    /// Makes one whose connections are lent to other threads.
    pub(super) fn lending(service: &'a ServiceOptions) -> io::Result<Self> {
        Ok(Self { flags: libc::EPOLLONESHOT as u32, ..Self::new(service)? })
    }

    /// Watches a listener, too. `flags` are those of epoll (EPOLLEXCLUSIVE).
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

    /// Waits until something is ready. Returns a connection, which is not watched until it is given
    /// back, or `None` for the listener.
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
                Some(connection) => self.serve(connection)?,
                None => accept()?,
            }
        }
    }

    /// Serves a connection that was ready.
    pub(super) fn serve(&self, mut connection: Connection<'a>) -> io::Result<()> {
        let fd = connection.fd();
        if connection.advance() {
            self.keep(connection)?;
        } else if let Some(fd) = fd {
            // A closed descriptor has left the epoll set by itself; a leaked one has not.
            let _ = self.epoll.remove(fd);
        }
        Ok(())
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<c_int, Connection<'a>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

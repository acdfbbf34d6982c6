//! Clients of the case itself, with the times that they saw.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};

use super::net::monotonic_ns;

/// One connection as its client saw it. Dropping it resets it, so that nothing of it lingers in the kernel.
#[derive(Debug)]
pub struct Client {
    /// The connection.
    pub socket: Socket,
    /// Its own port.
    pub port: u16,
    /// Before connect(2), `CLOCK_MONOTONIC` ns.
    pub started_ns: u64,
    /// After it.
    pub done_ns: u64,
}

/// Connects, waiting for the end of the handshake.
pub fn connect(to: SocketAddr) -> anyhow::Result<Client> {
    let socket = socket(to)?;
    let started_ns = monotonic_ns();
    socket.connect_timeout(&to.into(), Duration::from_secs(10)).with_context(|| format!("connecting to {to}"))?;
    let done_ns = monotonic_ns();
    client(socket, started_ns, done_ns)
}

/// Begins `count` connections without waiting for any.
pub fn connect_nonblocking(to: SocketAddr, count: usize) -> anyhow::Result<Vec<Client>> {
    (0..count)
        .map(|_| {
            let socket = socket(to)?;
            socket.set_nonblocking(true)?;
            let started_ns = monotonic_ns();
            match socket.connect(&to.into()) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error)?,
                _ => client(socket, started_ns, monotonic_ns()),
            }
        })
        .collect()
}

fn socket(to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_linger(Some(Duration::ZERO))?;
    Ok(socket)
}

fn client(socket: Socket, started_ns: u64, done_ns: u64) -> anyhow::Result<Client> {
    let port = socket.local_addr()?.as_socket().context("no IP address")?.port();
    Ok(Client { socket, port, started_ns, done_ns })
}

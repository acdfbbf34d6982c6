//! Clients of the case itself, with their own times.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};
use socket2::{Domain, Socket, Type};

use super::net::{self, monotonic_ns};

/// One connection as its client saw it. Dropping it resets it, so that nothing of it stays in the
/// kernel.
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
    socket
        .connect_timeout(&to.into(), Duration::from_secs(10))
        .with_context(|| format!("connecting to {to}"))?;
    let done_ns = monotonic_ns();
    client(socket, started_ns, done_ns)
}

/// Connects, asks, and waits until the server has answered or closed. By then it has accepted.
pub fn converse(to: SocketAddr) -> anyhow::Result<Client> {
    let client = connect(to)?;
    client.socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    // Servers that close without reading reset the connection. That counts as an answer.
    let _ = client.socket.send(b"GET / HTTP/1.0\r\n\r\n");
    let mut answer = [std::mem::MaybeUninit::uninit(); 512];
    while let Ok(1..) = client.socket.recv(&mut answer) {}
    Ok(client)
}

/// Begins `count` connections without waiting for them.
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
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_linger(Some(Duration::ZERO))?;
    Ok(socket)
}

fn client(socket: Socket, started_ns: u64, done_ns: u64) -> anyhow::Result<Client> {
    let port = socket.local_addr()?.as_socket().context("no IP address")?.port();
    Ok(Client { socket, port, started_ns, done_ns })
}

/// Connects to the demo's event loop, and asks so often. Each answer has 200 bytes.
pub fn ask(addr: SocketAddr, times: usize) -> anyhow::Result<TcpStream> {
    let mut socket = TcpStream::connect(addr)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut answer = [0; 200];
    for _ in 0..times {
        socket.write_all(b"ask\n")?;
        socket.read_exact(&mut answer).context("no answer")?;
    }
    Ok(socket)
}

/// A protocol in which the server answers each request before the next is sent.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Sent once, at the beginning; empty where the protocol needs none.
    pub greeting: &'static [u8],
    /// Sent again and again.
    pub request: &'static [u8],
    /// Last bytes of an answer.
    pub end: &'static [u8],
}

/// Counts of what a client has sent and received on one connection.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// Its own port.
    pub port: u16,
    /// Bytes to the server.
    pub sent: u64,
    /// Bytes from the server.
    pub received: u64,
    /// Times that it waited for an answer.
    pub answers: u64,
}

/// Runs so many connections at once, and closes them. Each asks as long as `more` is true for the
/// number of its requests so far.
///
/// # Errors
/// If a server breaks off, or the kernel (`tcp_info`) counted other bytes than the client.
pub fn talk(
    to: SocketAddr,
    protocol: Protocol,
    connections: usize,
    more: impl Fn(u64) -> bool + Sync,
) -> anyhow::Result<Vec<Talk>> {
    std::thread::scope(|scope| {
        let begun: Vec<_> =
            (0..connections).map(|_| scope.spawn(|| talk_once(to, protocol, &more))).collect();
        begun
            .into_iter()
            .map(|one| one.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
            .collect()
    })
}

fn talk_once(
    to: SocketAddr,
    protocol: Protocol,
    more: impl Fn(u64) -> bool,
) -> anyhow::Result<Talk> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut talk = Talk { port: stream.local_addr()?.port(), sent: 0, received: 0, answers: 0 };
    if !protocol.greeting.is_empty() {
        talk.ask(&mut stream, protocol.greeting, protocol.end)?;
    }
    let mut asked = 0;
    while more(asked) {
        talk.ask(&mut stream, protocol.request, protocol.end)?;
        asked += 1;
    }
    talk.check_kernel(&stream)?;
    Ok(talk)
}

impl Talk {
    fn ask(&mut self, stream: &mut TcpStream, request: &[u8], end: &[u8]) -> anyhow::Result<()> {
        stream.write_all(request)?;
        self.sent += request.len() as u64;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while !answer.ends_with(end) {
            let got = stream.read(&mut buffer)?;
            ensure!(got > 0, "closed in the middle of {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&buffer[..got]);
        }
        self.received += answer.len() as u64;
        self.answers += 1;
        Ok(())
    }

    /// Checks that the kernel counted the same bytes.
    fn check_kernel(&self, stream: &TcpStream) -> anyhow::Result<()> {
        let (received, acked) = net::tcp_bytes(stream).context("tcp_info")?;
        // The SYN was acknowledged, too. Each answer has acknowledged its request.
        ensure!(
            (received, acked) == (self.received, self.sent + 1),
            "{received} came, {acked} acknowledged: {self:?}"
        );
        Ok(())
    }
}

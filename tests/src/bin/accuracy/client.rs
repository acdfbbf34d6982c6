//! A client's connection, with its own view of the exchanges.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;
use backscope_tests::harness::cpu_pressure;
use backscope_tests::harness::net::monotonic_ns;
use socket2::{Domain, Socket, Type};

use crate::wire::Wire;

/// A connection.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) stream: TcpStream,
    pub(crate) port: u16,
    wire: Wire,
    came: Vec<u8>,
    /// Duration and end of connecting; until the first request.
    stood: Option<(u64, u64)>,
    /// `cpu_pressure()` at the last request.
    pressure: Duration,
    /// Bytes that were sent and received so far.
    pub(crate) bytes: (u64, u64),
}

/// End of an exchange for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    /// The server closed before the answer was whole.
    Closed,
    /// It reset the connection.
    Reset,
    /// Nothing more came for as long as the client waited.
    TimedOut,
}

/// An exchange as its client saw it. Times are of `CLOCK_MONOTONIC`, ns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) port: u16,
    /// Time at which the request was written.
    pub(crate) sent_ns: u64,
    /// Time of the answer's first byte.
    pub(crate) first_ns: Option<u64>,
    /// Time of the answer's last byte, or of the end.
    pub(crate) last_ns: u64,
    pub(crate) outcome: Outcome,
    /// Duration of connecting, µs; 0 for a later request.
    pub(crate) connect_us: u64,
    /// Time between connecting and the first request, µs; 0 for a later one.
    pub(crate) silent_us: u64,
    /// Time for which something on the machine waited for a processor meanwhile, µs.
    pub(crate) starved_us: u64,
    /// Reads that returned bytes.
    pub(crate) reads: usize,
    /// Time that it took by the server's own account.
    pub(crate) took_us: Option<u64>,
    /// Whether the answer announces the close.
    pub(crate) closes: bool,
}

impl Seen {
    /// Returns the exchange of a client that asked and left without an answer.
    pub(crate) fn left(port: u16, sent_ns: u64, left_ns: u64) -> Self {
        Self {
            port,
            sent_ns,
            first_ns: None,
            last_ns: left_ns,
            outcome: Outcome::TimedOut,
            connect_us: 0,
            silent_us: 0,
            starved_us: 0,
            reads: 0,
            took_us: None,
            closes: false,
        }
    }

    /// Time from the request to the first byte of the answer, or to the end, µs.
    pub(crate) fn first_us(&self) -> u64 {
        (self.first_ns.unwrap_or(self.last_ns).saturating_sub(self.sent_ns)) / 1_000
    }

    /// Time from the request to the end, µs.
    pub(crate) fn total_us(&self) -> u64 {
        self.last_ns.saturating_sub(self.sent_ns) / 1_000
    }
}

impl Line {
    /// Connects, with a receive buffer of so many bytes.
    pub(crate) fn open(to: SocketAddr, wire: Wire, buffer: Option<usize>) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let begun_ns = monotonic_ns();
        socket
            .connect_timeout(&to.into(), Duration::from_secs(10))
            .with_context(|| format!("connecting to {to}"))?;
        Self::of(socket, wire, begun_ns)
    }

    /// Begins to connect.
    pub(crate) fn begin(to: SocketAddr, wire: Wire) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let begun_ns = monotonic_ns();
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(error.into());
            }
            _ => socket.set_nonblocking(false)?,
        }
        Self::of(socket, wire, begun_ns)
    }

    fn of(socket: Socket, wire: Wire, begun_ns: u64) -> anyhow::Result<Self> {
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let port = stream.local_addr()?.port();
        let now_ns = monotonic_ns();
        let stood = Some((now_ns - begun_ns, now_ns));
        Ok(Self {
            stream,
            port,
            wire,
            came: Vec::new(),
            stood,
            pressure: cpu_pressure(),
            bytes: (0, 0),
        })
    }

    /// Returns whether unread bytes have arrived.
    pub(crate) fn has_answer(&self) -> anyhow::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let came = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        Ok(!matches!(came, Err(error) if error.kind() == ErrorKind::WouldBlock))
    }

    /// Returns whether the handshake is over for the client.
    pub(crate) fn is_connected(&self) -> bool {
        self.stream.peer_addr().is_ok()
    }

    /// Ends the connection with a RST.
    pub(crate) fn reset(self) -> anyhow::Result<()> {
        Socket::from(self.stream).set_linger(Some(Duration::ZERO))?;
        Ok(())
    }

    /// Sends bytes, and returns the time.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> anyhow::Result<u64> {
        self.pressure = cpu_pressure();
        let now_ns = monotonic_ns();
        self.stream.write_all(bytes)?;
        self.bytes.0 += bytes.len() as u64;
        Ok(now_ns)
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> anyhow::Result<Seen> {
        let sent_ns = self.send(request)?;
        self.answer(sent_ns)
    }

    /// Waits for the answer to a request that was sent at that time. Gives up so many ms after the
    /// last byte.
    pub(crate) fn answer_within(&mut self, sent_ns: u64, ms: u64) -> anyhow::Result<Seen> {
        self.stream.set_read_timeout(Some(Duration::from_millis(ms)))?;
        self.answer(sent_ns)
    }

    /// Waits for the answer to a request that was sent at that time.
    pub(crate) fn answer(&mut self, sent_ns: u64) -> anyhow::Result<Seen> {
        let seen = self.await_answer(sent_ns)?;
        let starved = cpu_pressure().saturating_sub(self.pressure);
        Ok(Seen { starved_us: starved.as_micros() as u64, ..seen })
    }

    fn await_answer(&mut self, sent_ns: u64) -> anyhow::Result<Seen> {
        let mut first_ns = (!self.came.is_empty()).then_some(sent_ns);
        let mut buffer = vec![0; 65_536];
        let (connect_ns, stood_ns) = self.stood.take().unwrap_or((0, sent_ns));
        let mut seen = Seen {
            port: self.port,
            sent_ns,
            first_ns,
            last_ns: sent_ns,
            outcome: Outcome::Answered,
            connect_us: connect_ns / 1_000,
            silent_us: sent_ns.saturating_sub(stood_ns) / 1_000,
            starved_us: 0,
            reads: 0,
            took_us: None,
            closes: false,
        };
        loop {
            if let Some(answer) = self.wire.answer(&self.came) {
                self.came.drain(..answer.length);
                return Ok(Seen {
                    first_ns,
                    took_us: answer.took_us,
                    closes: answer.closes,
                    ..seen
                });
            }
            let got = self.stream.read(&mut buffer);
            seen.last_ns = monotonic_ns();
            let got = match got {
                Ok(got @ 1..) => got,
                Ok(0) => return Ok(Seen { first_ns, outcome: Outcome::Closed, ..seen }),
                Err(error) => {
                    let outcome = match error.kind() {
                        ErrorKind::WouldBlock | ErrorKind::TimedOut => Outcome::TimedOut,
                        ErrorKind::ConnectionReset => Outcome::Reset,
                        _ => return Err(error.into()),
                    };
                    return Ok(Seen { first_ns, outcome, ..seen });
                }
            };
            first_ns = first_ns.or(Some(seen.last_ns));
            seen.reads += 1;
            self.bytes.1 += got as u64;
            self.came.extend_from_slice(&buffer[..got]);
        }
    }
}

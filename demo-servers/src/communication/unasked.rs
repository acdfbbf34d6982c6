//! Writes that nobody asked for, and what tells the writer that nobody reads them.

use std::io;
use std::time::Instant;

use tokio::net::TcpStream;

use crate::queues::Queues;
use crate::sock::announce;

/// A connection that the server writes to unasked.
pub(super) struct Unasked {
    socket: TcpStream,
    /// Whether to print a line when the send buffer is full, and when it has room again.
    trace: bool,
    /// Bytes that the kernel took.
    taken: u64,
    full_since: Option<Instant>,
}

impl Unasked {
    pub(super) fn new(socket: TcpStream, trace: bool) -> Self {
        Self { socket, trace, taken: 0, full_since: None }
    }

    /// Writes all of it, once the kernel takes it. What the peer does not read stays in the
    /// kernel, until there is no room: then the write has to wait, and so the server is told.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.socket.writable().await?;
            match self.socket.try_write(bytes) {
                Ok(count) => {
                    self.has_room();
                    self.taken += count as u64;
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_full()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_full(&mut self) -> io::Result<()> {
        if self.full_since.is_none() && self.trace {
            let Queues { unsent, memory_out, .. } = Queues::of(&self.socket)?;
            announce(format_args!("full taken={} unsent={unsent} memory={memory_out}", self.taken));
        }
        self.full_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn has_room(&mut self) {
        if let Some(since) = self.full_since.take()
            && self.trace
        {
            announce(format_args!("room after us={}", since.elapsed().as_micros()));
        }
    }
}

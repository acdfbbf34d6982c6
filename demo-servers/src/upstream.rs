//! A server's own calls to another server, before it answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A connection to another server that speaks in lines, kept for all calls.
pub(crate) struct Upstream(TcpStream);

impl Upstream {
    /// Connects.
    pub(crate) fn connect(to: SocketAddr) -> io::Result<Self> {
        TcpStream::connect(to).map(Self)
    }

    /// Sends a line and reads the answer, which is a line, too.
    pub(crate) fn ask(&mut self) -> io::Result<()> {
        self.0.write_all(b"a question of the server's own\n")?;
        let mut answer = [0; 4096];
        loop {
            match self.0.read(&mut answer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count if answer[count - 1] == b'\n' => return Ok(()),
                _ => {}
            }
        }
    }
}

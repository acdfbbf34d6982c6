//! Serves a connection, in whichever thread or process: a message for every line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use crate::connection::Connection;
use crate::fault::FaultOptions;
use crate::reading::{ReadOptions, Reader};
use crate::sock::{Accepted, complain};
use crate::writing::{WriteOptions, Writer};

/// Options of serving a connection.
#[derive(Args, Clone, Debug)]
pub struct ServiceOptions {
    /// Faults that hold it up
    #[command(flatten)]
    pub fault: FaultOptions,
    /// Calls that read
    #[command(flatten)]
    pub input: ReadOptions,
    /// Calls that write
    #[command(flatten)]
    pub output: WriteOptions,
    /// Bytes of an answer, unless --writes says them
    #[arg(long, default_value_t = 200, value_name = "BYTES")]
    pub response: usize,
    /// Before each answer, ask this server in lines, over one connection for each client
    #[arg(long, value_name = "ADDR")]
    pub upstream: Option<SocketAddr>,
    /// Acknowledge at once (TCP_QUICKACK before each read)
    #[arg(long)]
    pub quickack: bool,
    /// Write an answer before anything is asked
    #[arg(long)]
    pub speak_first: bool,
    /// Shut down the sending side after the first answer, and read on
    #[arg(long)]
    pub half_close: bool,
    /// Close after this many answers
    #[arg(long, value_name = "N")]
    pub close_after: Option<u64>,
    /// Close when nothing was asked for this long (where reads block)
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub idle_timeout: Option<Duration>,
    /// Close with a reset (SO_LINGER 0)
    #[arg(long)]
    pub linger0: bool,
    /// Never close a connection that the peer has closed
    #[arg(long)]
    pub leak_close_wait: bool,
    /// Print a line for each accept, exchange and close (CLOCK_MONOTONIC)
    #[arg(long)]
    pub trace: bool,
}

impl ServiceOptions {
    /// Rejects impossible or contradictory options at the start, rather than at the first
    /// connection.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        Reader::new(&self.input)?;
        Writer::new(&self.output, self.output.pieces(self.response), b'\n')?;
        Ok(())
    }

    /// Begins to serve a connection. Closes one that cannot be served, and prints the reason.
    pub(crate) fn begin(&self, accepted: Accepted) -> Option<Connection<'_>> {
        let port = accepted.peer.port();
        Connection::begin(accepted.socket, port, self)
            .inspect_err(|error| complain(format_args!("connection from port {port}: {error:#}")))
            .ok()
    }

    /// Serves a connection to its end, blocking.
    pub(crate) fn serve(&self, accepted: Accepted) {
        // A timeout that cannot be set is left out.
        let _ = accepted.socket.set_read_timeout(self.idle_timeout);
        if let Some(mut connection) = self.begin(accepted) {
            while connection.advance() {}
        }
    }
}

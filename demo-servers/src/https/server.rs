//! HTTP/1.1 over TLS, each connection served by a thread.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::ServerConnection;

use super::certificate::Identity;
use super::{Group, HttpsWay, config, fast_open, message};
use crate::acceptor::thread_per_connection;
use crate::naming::with_name;
use crate::sock::{self, ListenOptions};

/// ALPN name of the protocol inside TLS.
pub(super) const HTTP: &[u8] = b"http/1.1";
/// Most bytes of early data that are accepted.
const EARLY_DATA: u32 = 16_384;
/// Time after which a silent client is given up.
const IDLE: Duration = Duration::from_secs(60);

/// Knobs of the server of HTTPS.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The way
    #[command(flatten)]
    pub way: HttpsWay,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Answer early data only after the client's Finished
    #[arg(long)]
    pub no_half_rtt: bool,
    /// Tickets for a client after a TLS 1.3 handshake, if sessions are resumed
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = parse_tickets)]
    pub tickets: usize,
    /// The only key exchange to take [default: any]
    #[arg(long, value_enum)]
    pub group: Option<Group>,
    /// Bytes of an answer's body
    #[arg(long, default_value_t = 200, value_name = "BYTES")]
    pub response: usize,
    /// Write the server's certificate to this file (PEM), for clients that verify it
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
}

pub(super) fn parse_tickets(text: &str) -> Result<usize, String> {
    match text {
        "none" => Ok(0),
        _ => text.parse().map_err(|_| "write a number, or none".to_owned()),
    }
}

/// Serves until signalled.
///
/// # Errors
/// If the options contradict each other, or the address is not to be had.
pub fn run(options: &Options) -> anyhow::Result<()> {
    sock::raise_open_files();
    options.way.check()?;
    let identity = Identity::make(options.certificate.as_deref())?;
    let Options { way, tickets, group, .. } = *options;
    let mut config = config::server(way, identity, HTTP, tickets, EARLY_DATA, group)?;
    config.send_half_rtt_data = !options.no_half_rtt;
    let config = Arc::new(config);
    if options.way.fast_open {
        fast_open::explain_if_forbidden();
    }
    let listener = ListenOptions {
        listen: options.listen,
        backlog: 128,
        fastopen: options.way.fast_open.then_some(fast_open::PENDING),
        defer_accept: None,
        mptcp: false,
    };
    thread_per_connection(&listener.open()?, |socket| {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(IDLE))?;
        let tls = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        Conversation { socket, tls, received: Vec::new() }.serve(options.response)
    });
    Ok(())
}

/// A connection.
struct Conversation {
    socket: TcpStream,
    tls: ServerConnection,
    received: Vec<u8>,
}

impl Conversation {
    /// Answers requests until one is the last, or the client closes.
    fn serve(mut self, bytes: usize) -> io::Result<()> {
        let mut closed = false;
        while !closed {
            closed = !self.advance()?;
            while let Some(head) = message::take_head(&mut self.received) {
                let last = message::is_last(&head);
                self.tls
                    .writer()
                    .write_all(&with_name(|name| message::response(name, bytes, last)))?;
                closed |= last;
            }
            if !message::may_be_request(&self.received) {
                self.tls.writer().write_all(&message::refusal())?;
                closed = true;
            }
            // The rest of the handshake and the answer go in one write.
            self.send()?;
        }
        // Without the client's Finished there are no tickets.
        while self.tls.is_handshaking() && self.advance()? {}
        self.tls.send_close_notify();
        self.send()?;
        self.socket.shutdown(Shutdown::Write)?;
        io::copy(&mut self.socket, &mut io::sink()).map(drop)
    }

    /// Reads once; returns whether there may be more to come.
    fn advance(&mut self) -> io::Result<bool> {
        if self.tls.read_tls(&mut self.socket)? == 0 {
            return Ok(false);
        }
        let state = match self.tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // The alert tells the peer the reason.
                self.send()?;
                return Err(io::Error::other(error));
            }
        };
        if let Some(mut early) = self.tls.early_data() {
            early.read_to_end(&mut self.received)?;
        }
        let mut plain = vec![0; state.plaintext_bytes_to_read()];
        self.tls.reader().read_exact(&mut plain)?;
        self.received.append(&mut plain);
        Ok(!state.peer_has_closed())
    }

    /// Sends all pending data in one write.
    fn send(&mut self) -> io::Result<()> {
        let mut flight = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut flight)?;
        }
        self.socket.write_all(&flight)
    }
}

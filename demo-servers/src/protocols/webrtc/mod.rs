//! A WebRTC data channel: an offer and an answer over HTTP, then ICE, DTLS and SCTP over one UDP
//! socket.
//!
//! The server's UDP socket has the same port as its TCP socket. That is where the client looks for
//! it, whatever address is in the server's answer: over a link the two see each other under other
//! addresses than their own. The server takes the client's address from its first datagram.

mod client;
mod crypto;
mod peer;
mod server;

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, value_parser};
use humantime::parse_duration;

use crate::demo::{Report, Stop, timeout};

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// Address to listen on, by TCP for offers and by UDP for what follows; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub listen: SocketAddr,
}

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct ClientOptions {
    /// Total connections [default: no limit]
    #[arg(long, value_name = "N")]
    pub connections: Option<u64>,
    /// Messages on each connection
    #[arg(
        long,
        default_value_t = 10,
        value_name = "N",
        value_parser = value_parser!(u64).range(1..)
    )]
    pub requests: u64,
    /// Bytes of a message
    #[arg(
        long,
        default_value_t = 40,
        value_name = "BYTES",
        value_parser = value_parser!(u32).range(1..=16_384)
    )]
    pub request_size: u32,
    /// Pause after each connection
    #[arg(long, default_value = "100ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Give up on a connection after this long
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

/// Serves until signalled; answers each message with its own name and the message. A browser gets a
/// page that opens a channel.
///
/// # Errors
/// The address cannot be had.
pub fn serve(options: &ServerOptions) -> anyhow::Result<()> {
    server::serve(options)
}

/// Opens one channel after another. Facts: `channels` that opened, `open_us` from the offer to the
/// open channel (the median), and the datagrams both ways: of `stun` (of these `checks`, which ask
/// whether a path works, and `check_answers`), and of `dtls` (of these `handshake` and, encrypted,
/// `data`: SCTP with the messages).
pub(crate) fn converse(options: &ClientOptions, server: SocketAddr, stop: &Stop) -> Report {
    client::converse(options, server, stop)
}

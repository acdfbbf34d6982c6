//! The ways to HTTPS: HTTP/1.1 over TLS over TCP, and HTTP/3 over QUIC, each with the options that
//! save round trips.
//!
//! Over TCP, rustls is driven directly and blocking: early data has to be read before the handshake
//! has ended, and a flight has to leave in one write.

pub mod certificate;
pub mod client;
mod config;
mod fast_open;
pub(crate) mod message;
pub mod quic_client;
pub mod quic_server;
pub mod server;
mod tally;
#[cfg(test)]
mod tests;
mod tickets;

use std::sync::Arc;

use anyhow::ensure;
use clap::{Args, ValueEnum};
use rustls::client::Resumption;
use rustls::{ClientConfig, NamedGroup, ServerConfig, SupportedProtocolVersion};

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Version {
    /// Two round trips for a handshake, one for one that is resumed.
    #[value(name = "1.2")]
    Tls12,
    /// One round trip for a handshake, none with early data.
    #[value(name = "1.3")]
    Tls13,
}

impl Version {
    fn protocol(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::Tls12 => &rustls::version::TLS12,
            Self::Tls13 => &rustls::version::TLS13,
        }
    }
}

/// A kind of key exchange. Clients send their half of the first one, if they send any unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// Curve25519.
    X25519,
    /// P-256 of NIST.
    Secp256r1,
}

impl Group {
    fn name(self) -> NamedGroup {
        match self {
            Self::X25519 => NamedGroup::X25519,
            Self::Secp256r1 => NamedGroup::secp256r1,
        }
    }
}

/// The way to take. Server and client have to agree.
#[derive(Args, Clone, Copy, Debug)]
pub struct HttpsWay {
    /// The only TLS version to speak
    #[arg(long, value_enum, default_value = "1.3", value_name = "VERSION")]
    pub tls: Version,
    /// Resume earlier sessions
    #[arg(long)]
    pub resume: bool,
    /// Use early data: requests in the first flight (0-RTT), when a session is resumed
    #[arg(long)]
    pub early_data: bool,
    /// Use TCP Fast Open: the client's first flight goes in the SYN
    #[arg(long)]
    pub fast_open: bool,
}

/// The configuration of a server of HTTP/1.1 over TLS 1.3 with a certificate of its own, without
/// tickets.
pub(crate) fn server_config() -> anyhow::Result<Arc<ServerConfig>> {
    Ok(Arc::new(config::server(
        PLAIN,
        certificate::Identity::make(None)?,
        server::HTTP,
        0,
        0,
        None,
    )?))
}

/// The configuration of a client of such a server, which trusts any certificate.
pub(crate) fn client_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    Ok(Arc::new(config::client(PLAIN, server::HTTP, Resumption::disabled())?))
}

/// A whole handshake of TLS 1.3.
const PLAIN: HttpsWay =
    HttpsWay { tls: Version::Tls13, resume: false, early_data: false, fast_open: false };

impl HttpsWay {
    /// Whether sessions are resumed.
    fn resumes(&self) -> bool {
        self.resume || self.early_data
    }

    /// Rejects options that contradict each other, before anything starts.
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            !self.early_data || self.tls == Version::Tls13,
            "TLS 1.2 has no early data: use --tls 1.3"
        );
        Ok(())
    }
}

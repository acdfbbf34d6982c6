//! Protocols of connections.

use super::OwnerTimes;
use crate::text::Untrusted;

/// A protocol, as far as first bytes tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum Protocol {
    /// HTTP/1.0.
    #[cfg_attr(test, schemars(rename = "http/1.0"))]
    Http10,
    /// HTTP/1.1.
    #[cfg_attr(test, schemars(rename = "http/1.1"))]
    Http11,
    /// HTTP/2, in the clear.
    #[cfg_attr(test, schemars(rename = "http/2"))]
    Http2,
    /// gRPC over HTTP/2 in the clear.
    Grpc,
    /// WebSocket, after a change from HTTP/1.1.
    WebSocket,
    /// Server-sent events over HTTP/1.
    #[cfg_attr(test, schemars(rename = "sse"))]
    ServerSentEvents,
    /// TLS; what is spoken inside is encrypted.
    Tls,
    /// Redis.
    Redis,
    /// PostgreSQL.
    Postgresql,
}

impl Protocol {
    /// Several requests may be under way at a time, in one stream of bytes.
    pub fn is_multiplexed(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }

    /// Names what it waits for by design, where exchanges stay open until there is news.
    pub fn waits_for(self) -> Option<&'static str> {
        match self {
            Self::WebSocket => Some("WebSocket messages"),
            Self::ServerSentEvents => Some("server-sent events"),
            _ => None,
        }
    }

    /// HTTP/1, one request at a time.
    pub fn is_http1(self) -> bool {
        matches!(self, Self::Http10 | Self::Http11)
    }

    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "http/2",
            Self::Grpc => "grpc",
            Self::WebSocket => "websocket",
            Self::ServerSentEvents => "sse",
            Self::Tls => "tls",
            Self::Redis => "redis",
            Self::Postgresql => "postgresql",
        }
    }
}

/// A protocol over UDP, as far as a datagram tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramProtocol {
    /// QUIC: its handshake, its streams and their order are the application's work, not the
    /// kernel's.
    Quic {
        /// 1 or 2.
        version: u8,
        /// A client sent early data (0-RTT).
        early_data: bool,
    },
    /// DTLS.
    Dtls,
    /// STUN.
    Stun,
}

impl DatagramProtocol {
    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quic { .. } => "quic",
            Self::Dtls => "dtls",
            Self::Stun => "stun",
        }
    }
}

/// Facts from the hellos of a TLS connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsView {
    /// "1.3", once the server chose it; the client's offer is no version yet.
    pub version: Option<&'static str>,
    /// The protocol that both agreed on (ALPN): where the server says so in the clear, or where the
    /// client offered only one. Escape before printing.
    pub alpn: Option<Untrusted>,
    /// The protocols that the client offered; escape likewise.
    pub offered: Vec<Untrusted>,
    /// The name of the server that the client asked for; escape likewise.
    pub server_name: Option<Untrusted>,
    /// An earlier session was resumed; `None` while the server has not said so.
    pub resumed: Option<bool>,
    /// The client sent a request along before the handshake was over. Whether the server took it is
    /// encrypted.
    pub early_data: bool,
    /// Its way to its first answer; `None` until that was seen, and where its records could not be
    /// followed.
    pub first_answer: Option<FirstAnswer>,
}

impl TlsView {
    /// HTTP/2 was offered, and what was chosen is encrypted.
    pub fn may_be_http2(&self) -> bool {
        self.alpn.is_none() && self.offered.iter().any(|offered| offered == "h2")
    }
}

/// Way of a TLS connection from nothing to its first answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstAnswer {
    /// Round trips behind TCP's own: those of the TLS handshake, and that of the request.
    pub trips: u32,
    /// From its beginning (a server: SYN-ACK sent; a client: SYN sent) to the end of the exchange
    /// with the answer, µs.
    pub us: u64,
    /// Time by owner in the exchanges that were nothing but handshake.
    pub handshake: OwnerTimes,
}

impl FirstAnswer {
    /// Round trips that each step took, of a connection whose SYN carried data (`fast_open`) or did
    /// not: TCP's handshake, TLS's, and the request. A step that came along with the one before
    /// took none of its own.
    pub fn steps(&self, fast_open: bool) -> [u32; 3] {
        [u32::from(!fast_open), self.trips.saturating_sub(1), self.trips.min(1)]
    }

    /// All of them together.
    pub fn round_trips(&self, fast_open: bool) -> u32 {
        self.steps(fast_open).iter().fold(0, |sum, step| sum.saturating_add(*step))
    }
}

//! Facts from the first bytes of a connection. Of the bytes themselves nothing is kept.

use serde::{Deserialize, Serialize};

use super::SockId;
use crate::text::Untrusted;

/// The first bytes of one direction of a connection were recognised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recognised {
    /// Time of the read or write.
    pub ts_ns: u64,
    /// The connection.
    pub sock: SockId,
    /// Their kind.
    pub sign: Sign,
}

/// Meaning of the first bytes of a direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Sign {
    /// A request of HTTP/1.0 or 1.1.
    HttpRequest {
        /// The digit behind `HTTP/1.`.
        minor: u8,
    },
    /// A response of HTTP/1.0 or 1.1.
    HttpResponse {
        /// The digit behind `HTTP/1.`.
        minor: u8,
        /// Status code.
        status: u16,
        /// It agrees to change to WebSocket.
        websocket: bool,
        /// It is a stream of server-sent events.
        event_stream: bool,
    },
    /// The client's preface of HTTP/2.
    Http2 {
        /// The first request is one of gRPC.
        grpc: bool,
    },
    /// The client offers TLS.
    ClientHello(ClientHello),
    /// The server agrees to TLS.
    ServerHello(ServerHello),
    /// A command of Redis, or its answer to `PING`.
    Redis,
    /// A client of PostgreSQL begins.
    Postgresql,
    /// A QUIC connection begins, on a UDP socket.
    Quic {
        /// 1 or 2.
        version: u8,
        /// The client sends early data (0-RTT).
        early_data: bool,
    },
    /// A DTLS connection begins, on a UDP socket.
    Dtls,
    /// A message of STUN, as WebRTC sends them to find its peer, on a UDP socket.
    Stun,
    /// A record of TLS, beyond the hellos.
    TlsRecord(TlsRecord),
    /// The SYN carried data that was taken (TCP Fast Open).
    FastOpen,
    /// Requests of HTTP/1, in more detail than [`HttpRequest`](Self::HttpRequest).
    HttpRequests {
        /// The digit behind `HTTP/1.`.
        minor: u8,
        /// Number that came at once, at least.
        count: u8,
        /// The first of them, if it was asked for.
        first: Option<RequestLine>,
    },
    /// Streams of HTTP/2 so far.
    Http2Streams(Http2Streams),
}

/// The streams of an HTTP/2 connection in the clear: each is a request and its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http2Streams {
    /// Streams that the client opened.
    pub opened: u32,
    /// Most that were open at a time, while both directions could be followed.
    pub most: u32,
    /// The streams were followed in part only: there may be more of both.
    pub partly: bool,
}

/// A record of TLS that is no plain message of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsRecord {
    /// The client sent it.
    pub from_client: bool,
    /// 20 ChangeCipherSpec, 21 Alert, 23 ApplicationData. Encrypted messages of the handshake are
    /// ApplicationData, too.
    pub kind: u8,
    /// Bytes behind its head.
    pub length: u16,
    /// Bytes that its side had sent before it.
    pub at: u64,
}

/// Method and path of a request of HTTP/1: escape before printing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestLine {
    /// Such as `GET`.
    pub method: Untrusted,
    /// The path of the target, and no more than 256 characters of it; empty where it has none.
    pub path: Untrusted,
}

/// Facts from the hello of a TLS client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientHello {
    /// The highest version that it offers, as on the wire.
    pub version: u16,
    /// The name of the server that it asks for (SNI): escape before printing.
    pub server_name: Option<Untrusted>,
    /// Protocols that it offers (ALPN), the preferred one first; escape likewise.
    pub alpn: Vec<Untrusted>,
    /// It sends a request along before the handshake is over (0-RTT).
    pub early_data: bool,
    /// The session that it wants to resume by its id, as a checksum; 0 if none. TLS 1.2 and before.
    pub session: u32,
}

/// Facts from the hello of a TLS server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerHello {
    /// The version, as on the wire.
    pub version: u16,
    /// The protocol (ALPN), where it is not encrypted: up to TLS 1.2.
    pub alpn: Option<Untrusted>,
    /// TLS 1.3: it took up the session that the client offered.
    pub took_session: bool,
    /// As [`ClientHello::session`]: up to TLS 1.2 a session is resumed if it is the client's.
    pub session: u32,
}

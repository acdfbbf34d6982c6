//! Recognises a protocol by the first bytes of a connection.
//!
//! Plain functions over bytes, which may be anything, cut off anywhere: where they are not certain
//! they give no sign, never a wrong name.

mod datagram;
mod heads;
mod http;
mod named;
mod quic;
mod records;
mod scrubbed;
mod streams;
mod target;
mod tls;

pub use records::Records;
pub use scrubbed::Scrubbed;
pub use streams::Streams;

use crate::model::event::{QuicPackets, Sign};

/// Reading of a connection's first bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The protocol's sign; `None` if they are nothing that is known here, or not yet.
    pub sign: Option<Sign>,
    /// More of them may say more.
    pub more: bool,
}

impl Reading {
    /// Returns a reading that further bytes do not change.
    fn last(sign: Option<Sign>) -> Self {
        Self { sign, more: false }
    }
}

/// Reads the first bytes that a client sent (`from_client`), or its server.
pub fn read(from_client: bool, bytes: &[u8]) -> Reading {
    if tls::is_handshake(bytes) {
        return tls::read(from_client, bytes);
    }
    if !from_client {
        return Reading::last(http::response(bytes).or_else(|| named::of_server(bytes)));
    }
    if let Some(reading) = http::preface(bytes) {
        return reading;
    }
    Reading::last(http::request(bytes).or_else(|| named::of_client(bytes)))
}

/// Whether bytes begin as a TLS connection does.
pub fn is_tls(bytes: &[u8]) -> bool {
    tls::is_handshake(bytes)
}

/// Adds details to requests of HTTP/1, if these bytes of a client begin with them: how many came at
/// once and, with `paths`, the first one's line.
pub fn detail(sign: Sign, bytes: &[u8], paths: bool) -> Sign {
    let Sign::HttpRequest { minor } = sign else { return sign };
    let (count, first) = http::requests(bytes, paths);
    if count <= 1 && !paths {
        return sign;
    }
    Sign::HttpRequests { minor, count: count.max(1), first }
}

/// Recognises a datagram of `size` bytes, of which these are the first.
pub fn read_datagram(bytes: &[u8], size: usize) -> Option<Sign> {
    datagram::read(bytes, size)
}

/// Reads the packets of QUIC that a datagram begins with. Any bytes may look like one with a short
/// header.
pub fn quic_packets(bytes: &[u8]) -> Option<QuicPackets> {
    quic::packets(bytes)
}

#[cfg(test)]
mod tests;

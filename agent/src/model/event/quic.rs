//! Datagrams of QUIC, as far as they are not encrypted.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::SockId;

/// Packets of QUIC were read or written, in a datagram or in several that one call moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuicDatagram {
    /// Its time.
    pub ts_ns: u64,
    /// The UDP socket.
    pub sock: SockId,
    /// Whom they came from, or went to; `None` of what was read on a socket that is not connected.
    pub peer: Option<SocketAddr>,
    /// The application wrote them.
    pub outbound: bool,
    /// Their kind.
    pub packets: QuicPackets,
}

/// Kinds and ids of packets. Of a connection's first packets the kinds are in the clear, all else
/// is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuicPackets {
    /// 1 or 2; `None` where only a short header was seen, which does not say.
    pub version: Option<u8>,
    /// An Initial: hellos and their acknowledgements.
    pub initial: bool,
    /// 0-RTT: early data of a client.
    pub early_data: bool,
    /// The rest of the handshake.
    pub handshake: bool,
    /// The server asks the client to prove its address.
    pub retry: bool,
    /// A short header (1-RTT): what the application sends once it has keys.
    pub short: bool,
    /// The id that the receiver goes by; behind a short header, which has no length for it, the
    /// bytes that begin with it.
    pub destination: Vec<u8>,
    /// The id that the sender goes by.
    pub source: Vec<u8>,
}

//! The payload prefix of a connection in each direction, from which its protocol is told.

use crate::Endpoint;

/// Kind of [`PayloadPrefix`].
pub const PAYLOAD_PREFIX: u32 = 13;
/// Kind of a [`DatagramPrefix`].
pub const DATAGRAM_PREFIX: u32 = 14;
/// Datagrams of a UDP socket that are inspected, in both directions together; unless one shows that
/// QUIC is spoken.
pub const MAX_DATAGRAMS_INSPECTED: u32 = 16;
/// Datagrams with each peer of such a socket that are inspected, in both directions together: those
/// of a handshake.
pub const MAX_FLOW_INSPECTED: u32 = 8;
/// Peers whose datagrams are counted for that; of more the least recent are forgotten, and may be
/// inspected again.
pub const MAX_FLOWS: u32 = 4_096;
/// Bytes that are read of a direction at most, unless it begins as TLS or HTTP/2 do; one less than
/// a power of two.
pub const FEW_BYTES: u32 = 511;
/// Bytes that are read at a time at most of one that does: a ClientHello with a post-quantum key
/// share is 1.8 KB.
pub const MANY_BYTES: u32 = 2_047;
/// Calls whose bytes are read of a direction at most.
pub const MAX_INSPECTED: u8 = 3;
/// Calls whose bytes are read at most of a direction that begins as HTTP/2 does, for its streams to
/// be counted. Less than 63.
pub const MAX_HTTP2_INSPECTED: u8 = 60;
/// Calls whose bytes are read at most of a direction that begins as TLS does, up to the first
/// application data. TLS libraries read the head of a record by itself, and a client's handshake is
/// four records.
pub const MAX_TLS_INSPECTED: u8 = 14;
/// Bytes of a TLS direction behind which no more is read.
pub const MAX_TLS_BYTES: u64 = 16_384;
/// Bytes of an HTTP/2 direction behind which no more is read.
pub const MAX_HTTP2_BYTES: u64 = 1 << 30;
/// Calls that are inspected in one refresh period, on each processor. Beyond it new connections have
/// no protocol; [`counter::UNINSPECTED`](crate::counter::UNINSPECTED) counts what was passed over.
pub const INSPECTED_PER_PERIOD: u32 = 500;
/// Places in which bytes are handed to the agent, of [`PLACE_BYTES`] each, 1 MB in all: as many as
/// one processor inspects in a refresh period, should all of that come between two looks of the
/// agent. With none free, bytes are passed over, and
/// [`counter::FIRST_BYTES`](crate::counter::FIRST_BYTES) counts that.
pub const PLACES: u32 = 512;
/// Size of a place.
pub const PLACE_BYTES: u32 = MANY_BYTES + 1;

/// A record of a payload prefix. The bytes are not in it, but in a place that the agent can write
/// to, and overwrites once it has seen them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PayloadPrefix {
    /// [`PAYLOAD_PREFIX`].
    pub kind: u32,
    /// Number of bytes in the place that count.
    pub length: u32,
    /// The connection's id.
    pub sock: u64,
    /// Time at which they were read or written.
    pub ts_ns: u64,
    /// Bytes that went in this direction before; those of a connection that was open at the attach
    /// are not known. Of a datagram its size.
    pub at: u32,
    /// Not 0: the application wrote them.
    pub outbound: u8,
    /// Not 0: these are all that will come of this direction.
    pub last: u8,
    /// Not 0: the connection was open before, and these are not its first.
    pub preexisting: u8,
    /// As in [`Exchange`](crate::Exchange).
    pub role: u8,
    /// Not 0: the SYN carried data that was taken (TCP Fast Open).
    pub fast_open: u8,
    /// Padding.
    pub _pad: [u8; 3],
    /// Number of the place that has the bytes.
    pub place: u32,
}

/// A record of a datagram, or of several that one call moved.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DatagramPrefix {
    /// [`DATAGRAM_PREFIX`]; `at` is the size.
    pub head: PayloadPrefix,
    /// Whom it came from, or went to; port 0 if that could not be told: of a datagram that was read
    /// on a socket that is not connected it cannot.
    pub peer: Endpoint,
}

/// A socket and its peer: the key of the map that counts the datagrams that were inspected.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The socket's id.
    pub sock: u64,
    /// Whom with; where that cannot be told, in its place the beginning of the id that the datagram
    /// is addressed to.
    pub peer: Endpoint,
}

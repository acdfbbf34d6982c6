//! Connections: what the probes keep of each, and how it ended.

use crate::{Endpoint, Exchange};

/// Kind of [`Ended`].
pub const ENDED: u32 = 11;
/// Kind of [`Late`].
pub const LATE: u32 = 16;

/// Values of [`Exchange::fin_how`].
pub mod ending {
    /// FIN.
    pub const FIN: u8 = 1;
    /// RST.
    pub const RESET: u8 = 2;
    /// The kernel gave it up.
    pub const TIMEOUT: u8 = 3;
    /// It never was one: connect failed.
    pub const NEVER: u8 = 4;
    /// A connect was asked for, and no state has changed yet.
    pub const ASKED: u8 = 5;
    /// Its SYN is out, as far as was seen.
    pub const SENT: u8 = 6;
}

/// Values of [`Connection::why`]: what brought about the end, beyond who closed first and how.
pub mod why {
    /// Nothing more is known.
    pub const NONE: u8 = 0;
    /// Closed with data unread: the kernel sent a RST.
    pub const UNREAD: u8 = 1;
    /// SO_LINGER with a time of 0, or `connect` to no address: likewise.
    pub const LINGER: u8 = 2;
    /// A RST came, or after this host closed, data did: then a [`Late`](super::Late) record
    /// follows.
    pub const RESET: u8 = 3;
    /// The peer did not acknowledge what was sent.
    pub const UNACKNOWLEDGED: u8 = 4;
    /// Keepalive probes were not answered.
    pub const KEEPALIVE: u8 = 5;
    /// The network says that the peer cannot be reached.
    pub const UNREACHABLE: u8 = 6;
    /// Somebody else had the kernel end it (`tcp_abort`).
    pub const ABORTED: u8 = 7;
    /// With any of them: it was told that data came after this host had closed.
    pub const LATE: u8 = 1 << 7;
    /// With [`NONE`] or [`LATE`]: its accept is kept, and has not been told yet.
    pub const KEPT: u8 = 1 << 6;
}

/// All that is kept of one connection: the value of its socket's storage, or of the `CONNECTIONS`
/// map by address.
///
/// An arrival is often noted on another processor than a read, and each line of the cache that both
/// write costs as much as everything else. An arrival reads the first 56 bytes only: the
/// kernel puts them into one line, with the pointer that it reads itself to find them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The oldest unread byte was there; 0 when all is read.
    pub unread_since_ns: u64,
    /// The newest byte was there.
    pub arrival_ns: u64,
    /// The exchange that it is in, or that was its last.
    pub exchange: Exchange,
    /// Bytes that were read in exchanges that are over. While the accept is kept
    /// ([`why::KEPT`]): when the connection was queued.
    pub bytes_in: u64,
    /// Bytes that were written in them. While the accept is kept: its thread, the depth of the queue
    /// and the round trip.
    pub bytes_out: u64,
    /// All was read; 0 while there is something to read.
    pub empty_since_ns: u64,
    /// A write found no room; 0 when the last one found some.
    pub blocked_since_ns: u64,
    /// Duration of this longest hold of the exchange so far, ns.
    pub longest_hold_ns: u64,
    /// Sequence number behind the last held byte.
    pub hold_seq: u32,
    /// Jiffies that the peer's window had limited sending when the exchange began.
    pub window_base: u32,
    /// Jiffies that anything had been out when the exchange began; from its first write that came
    /// late on, at the newest of these.
    pub busy_base: u32,
    /// Sizes of the two writes of the present hold.
    pub hold_sizes: [u32; 2],
    /// The exchange's number that the last scan showed as complete.
    pub shown_seq: u32,
    /// Process that made or was found to hold it; 0 until accepted.
    pub tgid: u32,
    /// Not 0: it was open when it became known.
    pub preexisting: u8,
    /// Where each event is asked for: windows that were told to be shut, bit 0 this host's, bit 1
    /// the peer's. Elsewhere: exchanges that were left untold, the low bits of their number.
    pub shut_or_untold: u8,
    /// Calls whose first bytes were read, inbound and outbound; 255 once that is over.
    pub inspected: [u8; 2],
    /// A read waits for data inside its call; 0 if none does. Only where each event is asked for.
    /// While the accept is kept: its time. Once this host has reset the connection: bytes unread
    /// then, and above them bytes unacknowledged.
    pub reading_since_ns: u64,
    /// The listener in whose queue it is or was, if it came in a rush: nothing else is kept of it
    /// there. Or if its accept is kept. Else 0.
    pub listener: u64,
    /// Sequence number behind the last byte that had come when the answer began.
    pub answered_seq: u32,
    /// One of [`why`], perhaps with [`why::LATE`].
    pub why: u8,
    /// Some bits of the threads that read and wrote the exchange before.
    pub users: u8,
    /// The era (`ERA`) that the exchange in hand is of, its low bits.
    pub era: u16,
}

const _: () = assert!(
    core::mem::offset_of!(Connection, exchange) + core::mem::offset_of!(Exchange, sock) == 56
);

/// The value that a connection starts from.
impl Connection {
    /// Nothing known.
    pub const BLANK: Self = Self {
        exchange: Exchange::BLANK,
        bytes_in: 0,
        bytes_out: 0,
        unread_since_ns: 0,
        arrival_ns: 0,
        empty_since_ns: 0,
        blocked_since_ns: 0,
        longest_hold_ns: 0,
        hold_seq: 0,
        window_base: 0,
        busy_base: 0,
        hold_sizes: [0; 2],
        shown_seq: 0,
        tgid: 0,
        preexisting: 0,
        shut_or_untold: 0,
        inspected: [0; 2],
        reading_since_ns: 0,
        listener: 0,
        answered_seq: 0,
        why: why::NONE,
        users: 0,
        era: 0,
    };
}

/// Data came to a connection that this host had closed: a RST answered them, or its application
/// reads on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Late {
    /// [`LATE`].
    pub kind: u32,
    /// Number of bytes.
    pub bytes: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// Local address.
    pub local: Endpoint,
    /// Remote address.
    pub peer: Endpoint,
    /// The connection's id where its socket is read from still; else 0.
    pub sock: u64,
    /// Then: from the newest data before to the close, ns.
    pub idle_ns: u64,
}

/// A connection ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// [`ENDED`].
    pub kind: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// The connection's id.
    pub sock: u64,
    /// The first FIN or RST; 0 when not seen.
    pub fin_ns: u64,
    /// Bytes that were read.
    pub bytes_in: u64,
    /// Bytes that were written.
    pub bytes_out: u64,
    /// Exchanges.
    pub exchanges: u32,
    /// From the newest data in either direction to the first FIN or RST, jiffies.
    pub idle_jiffies: u32,
    /// Of an exchange without a response: when the first byte of its request was written, or was
    /// there; else 0.
    pub asked_ns: u64,
    /// Delayed ACKs sent by timer.
    pub delayed_acks: u32,
    /// Time that they waited, µs.
    pub delayed_ack_us: u32,
    /// If this host reset it: bytes unread.
    pub unread: u32,
    /// If this host reset it: bytes written and not acknowledged.
    pub unacked: u32,
    /// As in [`Exchange`].
    pub fin_by: u8,
    /// As in [`Exchange`].
    pub fin_how: u8,
    /// As in [`Connection`].
    pub why: u8,
    /// Not 0: the last exchange has its request and no part of its response.
    pub unanswered: u8,
    /// Not 0: data that were read by nobody had come after the last exchange.
    pub unseen: u8,
    /// Not 0: it was a subflow of Multipath TCP, whose reads and writes are not seen.
    pub multipath: u8,
    /// Not 0: exchanges were not watched then.
    pub in_pause: u8,
    /// Padding.
    pub _pad: u8,
    /// Lowest round-trip time that the kernel knows, µs; 0 or `u32::MAX` before the first.
    pub min_rtt_us: u32,
    /// Padding.
    pub _pad2: u32,
}

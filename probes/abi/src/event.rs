//! Single events of watched connections: one record each, where each is asked for.

/// Kind of [`Event`].
pub const EVENT: u32 = 20;

/// Values of [`Event::name`], and what [`Event::small`] and [`Event::values`] are for each, in
/// order; what is not named is 0. Results are those of the call: bytes, or a negated error number.
/// Times are µs, or `u32::MAX` if longer.
pub mod event_kind {
    /// Data are in the receive queue. Small: `icsk_ack.quick`, `icsk_ack.pingpong`. Values: unread
    /// bytes, memory that the receive buffer uses, its limit.
    pub const DATA: u8 = 1;
    /// A read returned. Values: result, unread bytes left, time that it waited for data.
    pub const READ: u8 = 2;
    /// A read with MSG_PEEK returned: as [`READ`].
    pub const PEEK: u8 = 3;
    /// A write returned. Small: why bytes were left ([`hold`](crate::hold)). Values: result, bytes
    /// not sent, time that room was waited for.
    pub const WRITE: u8 = 4;
    /// A segment leaves. Small: TCP flags, not 0 if these bytes have been sent before. Values:
    /// bytes, sequence number, acknowledgement number.
    pub const SEGMENT: u8 = 5;
    /// A segment came that acknowledges something, or carries nothing but its acknowledgement.
    /// Values: bytes newly acknowledged, the peer's window, bytes still unacknowledged.
    pub const ACK: u8 = 6;
    /// Bytes are held from now on. Small: why. Values: how many.
    pub const HOLD: u8 = 7;
    /// They have been sent. Small: why they were held. Values: for how long.
    pub const RELEASE: u8 = 8;
    /// A delayed ACK was sent by timer. Small: not 0 if that was seen, else inferred from stamps.
    /// Values: how long since the newest data.
    pub const DELAYED_ACK: u8 = 9;
    /// A segment was sent again. Small: `icsk_ca_state`, TCP flags. Values: bytes, sequence number,
    /// timeout in jiffies.
    pub const RETRANSMIT: u8 = 10;
    /// A receive window was shut or opened. Small: whose ([`side`](super::side)), not 0 if it is
    /// shut. Values: its size.
    pub const WINDOW: u8 = 11;
    /// The state changed. Small: old and new, `sk_shutdown`. Values: state of the timewait socket,
    /// where one was made; not 0 if that was seen, else inferred.
    pub const STATE: u8 = 12;
    /// A RST was sent or received. Small: by whom ([`side`](super::side)).
    pub const RESET: u8 = 13;
    /// The socket is gone.
    pub const DESTROYED: u8 = 14;
}

/// Whose window, or whose RST.
pub mod side {
    /// This host's.
    pub const LOCAL: u8 = 0;
    /// The peer's.
    pub const PEER: u8 = 1;
}

/// Something happened on a watched connection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// [`EVENT`].
    pub kind: u32,
    /// One of [`event_kind`].
    pub name: u8,
    /// See there.
    pub small: [u8; 3],
    /// Time of the event.
    pub ts_ns: u64,
    /// The connection's id.
    pub sock: u64,
    /// Thread that called; 0 where none did.
    pub tid: u32,
    /// See [`event_kind`].
    pub values: [u32; 3],
}

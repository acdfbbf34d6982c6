//! Connections on which nothing happens.

/// Lasting part of a connection on which nothing happens: the value of another storage of its
/// socket, in place of the [`Connection`](crate::Connection). Of 128 bytes the kernel needs 72
/// itself.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// The connection's id.
    pub sock: u64,
    /// As in [`Connection`](crate::Connection).
    pub bytes_in: u64,
    /// As in [`Connection`](crate::Connection).
    pub bytes_out: u64,
    /// Number of the exchange that comes next.
    pub seq: u32,
    /// As in [`Connection`](crate::Connection).
    pub tgid: u32,
    /// As in [`Exchange`](crate::Exchange).
    pub delayed_acks: u32,
    /// As in [`Exchange`](crate::Exchange).
    pub delayed_ack_us: u32,
    /// As in [`Connection`](crate::Connection).
    pub window_base: u32,
    /// As in [`Connection`](crate::Connection).
    pub busy_base: u32,
    /// Reads that found nothing before the first exchange.
    pub eagains: u16,
    /// As in [`Connection`](crate::Connection).
    pub era: u16,
    /// As in [`Connection`](crate::Connection).
    pub inspected: [u8; 2],
    /// Bit 0: the connection was open when it became known. Bit 1: the exchange that comes next had
    /// begun by then.
    pub preexisting: u8,
    /// As in [`Connection::shut_or_untold`](crate::Connection).
    pub untold: u8,
}

const _: () = assert!(size_of::<Idle>() == 56);

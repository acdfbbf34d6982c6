//! Connects: those that were made, and those that failed.

use crate::Endpoint;

/// Kind of [`Opened`].
pub const OPENED: u32 = 9;
/// Kind of [`Failed`].
pub const FAILED: u32 = 15;

/// Values of [`Failed::stage`].
pub mod attempt {
    /// It ended inside connect, before the socket looked for a port.
    pub const UNROUTED: u8 = 0;
    /// It ended inside connect, before a SYN was sent.
    pub const PORTLESS: u8 = 1;
    /// SYNs were sent.
    pub const SENT: u8 = 2;
}

/// A watched process made a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// [`OPENED`].
    pub kind: u32,
    /// Process.
    pub tgid: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// The connection's id.
    pub sock: u64,
    /// Local address.
    pub local: Endpoint,
    /// Remote address.
    pub peer: Endpoint,
    /// SYN to SYN-ACK in 1/8 µs; 0 when not known.
    pub srtt_us: u32,
    /// SYNs that were sent again.
    pub again: u32,
    /// Time at which it was asked for.
    pub asked_ns: u64,
}

/// A connect of a watched process came to nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// [`FAILED`].
    pub kind: u32,
    /// Process.
    pub tgid: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// Its socket's id.
    pub sock: u64,
    /// Time at which it was asked for.
    pub asked_ns: u64,
    /// Local address: its port is 0 where it had none, or has given it back.
    pub local: Endpoint,
    /// Remote address.
    pub peer: Endpoint,
    /// Thread; 0 when not known.
    pub tid: u32,
    /// Error number; 0 if there is none, or if it is not known.
    pub error: u32,
    /// Error number that the network told of meanwhile; 0 if none.
    pub soft_error: u32,
    /// SYNs that were sent again.
    pub again: u32,
    /// `ip_local_port_range` of its network namespace, where it had no port: the higher one above
    /// 16 bits.
    pub ports: u32,
    /// One of [`attempt`].
    pub stage: u8,
    /// Not 0: the application closed the socket.
    pub closed: u8,
    /// Padding.
    pub _pad: [u8; 2],
}

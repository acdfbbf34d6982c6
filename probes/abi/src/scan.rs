//! What the iterators over open files write: each entry begins with its tag.

use crate::Endpoint;

/// Tag of [`ScanEntry`].
pub const SCAN_LISTENER: u32 = 1;
/// Tag of [`ScanConnection`].
pub const SCAN_CONNECTION: u32 = 2;
/// Tag of [`ScanDatagram`].
pub const SCAN_DATAGRAM: u32 = 3;
/// Tag of [`ScanUnix`].
pub const SCAN_UNIX: u32 = 4;
/// Tag of [`ScanOther`].
pub const SCAN_OTHER: u32 = 5;
/// Tag of [`ScanHeld`].
pub const SCAN_HELD: u32 = 6;

/// Entry of the iterator over open files for a listening socket.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ScanEntry {
    /// [`SCAN_LISTENER`].
    pub tag: u32,
    /// Padding.
    pub _pad: u32,
    /// The listener's id.
    pub listener: u64,
    /// Process that holds it.
    pub tgid: u32,
    /// Its descriptor there.
    pub fd: u32,
    /// Command name.
    pub comm: [u8; 16],
}

/// Entry of the iterator for a listening socket on a watched port that is no target's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ScanOther {
    /// [`SCAN_OTHER`].
    pub tag: u32,
    /// Process that holds it.
    pub tgid: u32,
    /// Address of its `struct sock`.
    pub sk: u64,
    /// Connections in its accept queue.
    pub depth: u32,
    /// Limit of the queue.
    pub limit: u32,
    /// Inode of its network namespace.
    pub netns: u32,
    /// Padding.
    pub _pad: u32,
    /// Cookie of that, which is never used again; 0 before 5.12.
    pub netns_cookie: u64,
    /// Where it listens.
    pub local: Endpoint,
    /// Command name of the process.
    pub comm: [u8; 16],
}

/// Entry of the iterator over open files for a listening Unix-domain socket of a target.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ScanUnix {
    /// [`SCAN_UNIX`].
    pub tag: u32,
    /// Process that holds it.
    pub tgid: u32,
    /// The socket's id.
    pub sock: u64,
    /// Connections in its accept queue.
    pub depth: u32,
    /// Limit of the queue: a client finds it full when the depth is above it (`unix_recvq_full`).
    pub limit: u32,
    /// Bytes of `path`.
    pub length: u32,
    /// Inode of its network namespace.
    pub netns: u32,
    /// Command name of the process.
    pub comm: [u8; 16],
    /// `sun_path`: a path, or a name in the abstract namespace behind a NUL.
    pub path: [u8; UNIX_PATH],
}

/// Bytes of `sun_path`, 108, and padding.
pub const UNIX_PATH: usize = 112;

/// Entry of the iterator for a connection that a process has among its files, in a census: whatever
/// it does, and whoever the process is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ScanHeld {
    /// [`SCAN_HELD`].
    pub tag: u32,
    /// Padding.
    pub _pad: u32,
    /// The connection, or [`CANNOT_COUNT`].
    pub sock: u64,
}

/// In place of a connection: there are some that the iterator cannot reach.
pub const CANNOT_COUNT: u64 = u64::MAX;

/// Entry of the iterator for a connection; its [`crate::Exchange`] follows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ScanConnection {
    /// [`SCAN_CONNECTION`].
    pub tag: u32,
    /// Process that holds it.
    pub tgid: u32,
    /// Its TCP state.
    pub state: u8,
    /// Not 0: the peer's receive window is shut.
    pub peer_window_zero: u8,
    /// Not 0: our receive window is shut.
    pub window_zero: u8,
    /// Not 0: the connection was open when it became known.
    pub preexisting: u8,
    /// Of one that is not made yet: SYNs that were sent again, 255 at most.
    pub again: u8,
    /// Exchanges of the connection that were left untold so far, the low bits of their number.
    pub untold: u8,
    /// Padding.
    pub _pad: [u8; 2],
    /// The newest byte came or went, or the state changed.
    pub active_ns: u64,
    /// Its state began: it was asked for, or the peer closed; 0 if that was not seen.
    pub since_ns: u64,
    /// The first byte of a request that came after the last answer, and that nobody has read; 0 if
    /// there is none.
    pub next_since_ns: u64,
    /// Its newest byte.
    pub next_newest_ns: u64,
    /// Local address.
    pub local: Endpoint,
    /// Remote address.
    pub peer: Endpoint,
}

/// Entry of the iterator for a UDP socket: its figures are in the map.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ScanDatagram {
    /// [`SCAN_DATAGRAM`].
    pub tag: u32,
    /// Process that holds it.
    pub tgid: u32,
    /// Its key in the `DATAGRAMS` map.
    pub key: u64,
}

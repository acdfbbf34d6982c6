//! Records that leave the kernel through the ring buffer, and values of the maps that the agent
//! reads.
//!
//! Every ring record starts with a `u32` kind; the constants in capitals are the kinds. All padding
//! is explicit, so that no byte of a record is undefined.

/// Kind of [`Accept`].
pub const ACCEPT: u32 = 1;
/// Kind of [`Overflow`].
pub const OVERFLOW: u32 = 2;
/// Kind of [`Syn`].
pub const SYN: u32 = 3;
/// Kind of [`Retransmit`].
pub const RETRANSMIT: u32 = 4;
/// Kind of [`Closed`].
pub const CLOSED: u32 = 5;
/// Kind of [`Process`].
pub const PROCESS: u32 = 6;
/// Kind of [`Adopt`].
pub const ADOPT: u32 = 7;
/// Kind of a record that announces a new listener: its value is in the `LISTENERS` map.
pub const LISTENER: u32 = 8;

/// One end of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// IPv6 address, or IPv4 in IPv4-mapped form.
    pub addr: [u8; 16],
    /// Port in host order.
    pub port: u16,
    /// Padding.
    pub _pad: [u16; 3],
}

/// State and totals of one listener: the value of the `LISTENERS` map, keyed by the listener's id.
///
/// A connection is often queued on another processor than that which accepts it. What both write is
/// one line of the cache: the kernel's elements have 56 bytes before the value, and the first word
/// of that is for reading.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address of its `struct sock`.
    pub sk: u64,
    /// Connections that entered the accept queue.
    pub queued: u64,
    /// Connections that `accept` returned.
    pub accepted: u64,
    /// Highest accept-queue depth in the even and odd refresh periods.
    pub peak: [u32; 2],
    /// The refresh period each peak belongs to.
    pub peak_epoch: [u32; 2],
    /// Highest SYN-queue depth in the even and odd refresh periods (same periods as `peak_epoch`).
    pub syn_peak: [u32; 2],
    /// Accept-queue depth at the newest event or sample.
    pub depth: u32,
    /// Effective limit of the accept queue at the newest event or sample.
    pub limit: u32,
    /// SYN-queue depth at the newest event or sample.
    pub syn_depth: u32,
    /// `sk_drops` less what is explained, when it was read last.
    pub unexplained: u32,
    /// Not 0 once it has stopped listening; the time of that.
    pub closed_ns: u64,
    /// Local address.
    pub local: Endpoint,
    /// Time at which it became known: of `listen(2)`, or of the scan that found it.
    pub since_ns: u64,
    /// SYNs that reached it. Full tier only.
    pub syns: u64,
    /// SYNs dropped since the accept queue was full. Full tier only.
    pub overflow_syn: u64,
    /// Final ACKs ignored since the accept queue was full.
    pub overflow_ack: u64,
    /// SYNs dropped for another reason: SYN queue full without syncookies, no memory, no route.
    /// Full tier only.
    pub syn_dropped: u64,
    /// Syncookies sent. Full tier only.
    pub cookies_sent: u64,
    /// SYN-ACKs retransmitted.
    pub synack_retransmits: u64,
    /// `accept` calls that returned `EAGAIN`.
    pub eagain: u64,
    /// Connections that left the queue without `accept`: reset by the peer, or the listener closed.
    pub abandoned: u64,
    /// Connections whose peer sent a FIN while they were in the accept queue.
    pub peer_closed: u64,
    /// Connections that the peer reset there.
    pub peer_reset: u64,
    /// Those of both that had waited for [`crate::LATE_NS`] or longer.
    pub left_late: u64,
    /// Time that these had waited in all, ns.
    pub left_late_ns: u64,
    /// Connections that were in the queue, their peers still there, when the listener closed: the
    /// kernel resets them.
    pub cut: u64,
    /// SYN-ACKs retransmitted though the final ACK had come: it was ignored, or TCP_DEFER_ACCEPT
    /// waits for data.
    pub synack_acked: u64,
    /// Cookie of its network namespace, which no other one gets; 0 where it cannot be read.
    pub netns_cookie: u64,
    /// Part of `sk_drops` that dropped packets explain that were seen. This field and the next
    /// four are kept only where SYNs are not seen.
    pub explained: u64,
    /// Unexplained part of `sk_drops` that came while the accept queue was full; signed.
    pub drops_full: u64,
    /// Unexplained part that came while the accept queue had room, but the SYN queue was full
    /// without syncookies.
    pub drops_syn_full: u64,
    /// `sk_drops` at the newest sample.
    pub drops: u32,
    /// `sk_drops` when the listener became watched.
    pub drops_base: u32,
    /// Backlog asked for in `listen(2)`; -1 when that was before the attach.
    pub backlog: i32,
    /// Process that called `listen(2)` or was found to hold it.
    pub tgid: u32,
    /// Inode of its network namespace.
    pub netns: u32,
    /// `net.core.somaxconn` there at the newest sample; 0 where it cannot be read.
    pub somaxconn: u32,
    /// `net.ipv4.tcp_syncookies`, as `somaxconn`.
    pub syncookies: u8,
    /// `net.ipv4.tcp_syn_retries`, as above.
    pub syn_retries: u8,
    /// `net.ipv4.tcp_syn_linear_timeouts`, as above; 0 where there is none (before 6.5).
    pub syn_linear_timeouts: u8,
    /// `net.ipv4.tcp_abort_on_overflow`, as above.
    pub abort_on_overflow: u8,
    /// TCP_DEFER_ACCEPT of the listener, in timeouts of a SYN-ACK; 0 without. As above.
    pub defer_accept: u8,
    /// Padding.
    pub _pad: [u8; 27],
    /// Connections that were accepted and left untold.
    pub untold: u64,
    /// Command name of that process.
    pub comm: [u8; 16],
}

const _: () =
    assert!(core::mem::offset_of!(Listener, closed_ns) == 64 && size_of::<Listener>() % 64 == 8);

impl Listener {
    /// Nothing known, nothing counted.
    pub const BLANK: Self = Self {
        local: Endpoint { addr: [0; 16], port: 0, _pad: [0; 3] },
        sk: 0,
        since_ns: 0,
        closed_ns: 0,
        syns: 0,
        queued: 0,
        accepted: 0,
        overflow_syn: 0,
        overflow_ack: 0,
        syn_dropped: 0,
        cookies_sent: 0,
        synack_retransmits: 0,
        eagain: 0,
        abandoned: 0,
        peer_closed: 0,
        peer_reset: 0,
        left_late: 0,
        left_late_ns: 0,
        cut: 0,
        synack_acked: 0,
        netns_cookie: 0,
        explained: 0,
        drops_full: 0,
        drops_syn_full: 0,
        peak: [0; 2],
        peak_epoch: [u32::MAX; 2],
        syn_peak: [0; 2],
        depth: 0,
        limit: 0,
        syn_depth: 0,
        drops: 0,
        drops_base: 0,
        backlog: -1,
        tgid: 0,
        netns: 0,
        somaxconn: 0,
        unexplained: 0,
        syncookies: 0,
        syn_retries: 0,
        syn_linear_timeouts: 0,
        abort_on_overflow: 0,
        defer_accept: 0,
        _pad: [0; 27],
        untold: 0,
        comm: [0; 16],
    };
}

/// A thread inside `accept`: the value of the `CALLS` map, keyed by `tgid << 32 | tid`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Call {
    /// Time at which the call began.
    pub entered_ns: u64,
    /// The listener's id.
    pub listener: u64,
    /// Address of the listener's `struct sock`.
    pub sk: u64,
    /// Address of the file that the call is about to return; 0 while it waits.
    pub file: u64,
    /// Time at which it is about to return.
    pub returned_ns: u64,
}

/// A connection in an accept queue: the value of the `QUEUED` map, keyed by the address of its
/// `struct sock`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Queued {
    /// The listener's id.
    pub listener: u64,
    /// Time at which it entered the queue.
    pub queued_ns: u64,
    /// The connection's id.
    pub sock: u64,
    /// Not 0: its peer has closed or reset it there.
    pub gone: u64,
}

/// Error of `accept` on a listener: the key of the `FAILED` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FailKey {
    /// The listener's id.
    pub listener: u64,
    /// `EMFILE` and so on.
    pub errno: u32,
    /// Padding.
    pub _pad: u32,
}

/// Count of such errors: the value of the `FAILED` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Fail {
    /// Number of times.
    pub count: u64,
    /// The first time.
    pub first_ns: u64,
    /// Thread that called last, `tgid << 32 | tid`.
    pub thread: u64,
}

/// A connection was handed to the application.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Accept {
    /// [`ACCEPT`].
    pub kind: u32,
    /// Descriptor; negative when it could not be seen.
    pub fd: i32,
    /// Time at which accept returned.
    pub ts_ns: u64,
    /// Time at which the call began; 0 when that was before the attach.
    pub entered_ns: u64,
    /// Time at which the kernel put the connection in the accept queue; 0 when not known.
    pub queued_ns: u64,
    /// Only if `queued_ns` is 0: how many jiffies ago the connection was born, by its `lsndtime`.
    pub age_jiffies: u32,
    /// Not 0: the kernel skipped the probe at accept's return, and `ts_ns` is the time of the first
    /// read or write.
    pub late: u8,
    /// Not 0: the connection is over, and stands for those that were left untold before it.
    pub drawn: u8,
    /// Then: connections of the listener that were left untold, the low bits of their number.
    pub untold: u16,
    /// The listener's id.
    pub listener: u64,
    /// The new socket's id.
    pub sock: u64,
    /// Local address.
    pub local: Endpoint,
    /// Remote address.
    pub peer: Endpoint,
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// SYN-ACK to final ACK in 1/8 µs (`tcp_sock.srtt_us` before any data was sent); 0 when the
    /// kernel took no sample.
    pub srtt_us: u32,
    /// Depth of the accept queue behind it.
    pub depth: u32,
    /// Command name of the thread; blank if the accept is told by another.
    pub comm: [u8; 16],
}

/// Values of [`Overflow::stage`].
pub mod stage {
    /// The SYN was dropped since the accept queue was full.
    pub const SYN: u32 = 0;
    /// The final ACK was ignored since the accept queue was full.
    pub const ACK: u32 = 1;
    /// The SYN was dropped with room in the accept queue: SYN queue full and no syncookies.
    pub const SYN_QUEUE: u32 = 2;
    /// The SYN was answered with a syncookie.
    pub const COOKIE: u32 = 3;
}

/// A connection was refused.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Overflow {
    /// [`OVERFLOW`].
    pub kind: u32,
    /// One of [`stage`].
    pub stage: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// The listener's id.
    pub listener: u64,
    /// Peer that was refused.
    pub peer: Endpoint,
    /// Depth of the accept queue.
    pub depth: u32,
    /// Its limit.
    pub limit: u32,
    /// Depth of the SYN queue.
    pub syn_depth: u32,
    /// Bytes of data in the packet; `u32::MAX` where they are not seen.
    pub bytes: u32,
}

/// A SYN arrived.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Syn {
    /// [`SYN`].
    pub kind: u32,
    /// Bytes of data in the SYN (TCP Fast Open); `u32::MAX` where the SYN itself is not seen.
    pub tfo_bytes: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// The listener's id.
    pub listener: u64,
    /// Sender.
    pub peer: Endpoint,
    /// Depth of the accept queue.
    pub depth: u32,
    /// Depth of the SYN queue.
    pub syn_depth: u32,
}

/// A SYN-ACK was sent again.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Retransmit {
    /// [`RETRANSMIT`].
    pub kind: u32,
    /// Number of times before this one.
    pub before: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// The listener's id.
    pub listener: u64,
    /// Peer that it was sent to.
    pub peer: Endpoint,
    /// Time at which it was sent first, µs of `CLOCK_MONOTONIC`; 0 where that is not known.
    pub first_us: u64,
    /// Not 0: the peer has answered it, and the accept queue is full.
    pub ignored: u32,
    /// Padding.
    pub _pad: u32,
}

/// A listener appeared ([`LISTENER`]) or stopped listening ([`CLOSED`]).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// [`CLOSED`] or [`LISTENER`].
    pub kind: u32,
    /// Padding.
    pub _pad: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// The listener's id.
    pub listener: u64,
}

/// Values of [`Process::what`].
pub mod process {
    /// A target made a child, which is a target now.
    pub const FORK: u32 = 0;
    /// A process took a new image.
    pub const EXEC: u32 = 1;
    /// A target ended.
    pub const EXIT: u32 = 2;
    /// Value of [`super::Process::status`] where it is not known.
    pub const NO_STATUS: u32 = u32::MAX;
}

/// A watched process began, changed its image or ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// [`PROCESS`].
    pub kind: u32,
    /// One of [`process`].
    pub what: u32,
    /// Time of the event.
    pub ts_ns: u64,
    /// The process.
    pub tgid: u32,
    /// Its parent, for a fork.
    pub parent: u32,
    /// Wait status of an exit, as wait(2) has it; [`process::NO_STATUS`] where it is not known.
    pub status: u32,
    /// Padding.
    pub _pad: u32,
    /// Command name.
    pub comm: [u8; 16],
}

/// A target used a listener that is not watched yet: the agent should scan its descriptors.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Adopt {
    /// [`ADOPT`].
    pub kind: u32,
    /// The process.
    pub tgid: u32,
    /// Time of the event.
    pub ts_ns: u64,
}

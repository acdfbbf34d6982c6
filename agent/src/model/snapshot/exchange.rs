//! Exchanges, and the slices of their time, as every front-end renders them.

use super::{ConnectFailure, Join, Owner};
use crate::model::event::SockId;
use crate::model::exchange;

/// Kind of a slice, by what its time was spent on.
// The names are the contract's (`SliceKind::name`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
pub enum SliceKind {
    /// SYN-ACK sent → final ACK received (first exchange only).
    Handshake,
    /// Queued → accept returned (first exchange only).
    AcceptQueue,
    /// Unread bytes waited, the reader busy elsewhere or asleep.
    ReceiveQueue,
    /// The thread was runnable and had no CPU.
    RunQueue,
    /// The queue was empty and the request not complete: the peer was yet to send the rest.
    Request,
    /// The application had the request and had not written the response, or had not written the
    /// rest of it.
    App,
    /// A write waited for room in the send buffer, the peer's window being shut for most of it.
    SendBuffer,
    /// Held by Nagle's algorithm.
    Nagle,
    /// Held by TCP_CORK or MSG_MORE.
    Cork,
    /// Held by the congestion window or the pace that congestion control keeps; or a write waited
    /// for room while the peer's window was open.
    Congestion,
    /// Held by the peer's receive window.
    ReceiveWindow,
    /// Held by a pace that was set, or the kernel's own scheduling of segments.
    Pacing,
    /// Sent → acknowledged, a normal round trip.
    AckWait,
    /// Wait that the receiver's delayed ACK added to that.
    DelayedAck,
    /// Waiting for a retransmission to succeed.
    Retransmit,
    /// A client's request is out; the peer has not answered.
    Response,
    /// A call's SYN is out, and nobody has answered it: until the connection was there, or given
    /// up.
    Connect,
    /// A call's SYN is out, and the peer refuses the connection.
    #[cfg_attr(test, schemars(skip))]
    ConnectRefused,
    /// The kernel ignored the peer's packets since the accept queue was full.
    Ignored,
    /// A thread was ready and kept off the CPU by the quota of its cgroup.
    Throttled,
    /// Between the pieces of a response that is written as a stream, after its first byte.
    Streaming,
    /// Nobody can vouch for it.
    Unknown,
}

impl SliceKind {
    /// Every kind, each at the place of its number.
    pub const ALL: [Self; 22] = [
        Self::Handshake,
        Self::AcceptQueue,
        Self::ReceiveQueue,
        Self::RunQueue,
        Self::Request,
        Self::App,
        Self::SendBuffer,
        Self::Nagle,
        Self::Cork,
        Self::Congestion,
        Self::ReceiveWindow,
        Self::Pacing,
        Self::AckWait,
        Self::DelayedAck,
        Self::Retransmit,
        Self::Response,
        Self::Connect,
        Self::ConnectRefused,
        Self::Ignored,
        Self::Throttled,
        Self::Streaming,
        Self::Unknown,
    ];

    /// The contract's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::AcceptQueue => "accept_queue",
            Self::ReceiveQueue => "receive_queue",
            Self::RunQueue => "run_queue",
            Self::Request => "request",
            Self::App => "app",
            Self::SendBuffer => "send_buffer",
            Self::Nagle => "nagle",
            Self::Cork => "cork",
            Self::Congestion => "congestion",
            Self::ReceiveWindow => "receive_window",
            Self::Pacing => "pacing",
            Self::AckWait => "ack_wait",
            Self::DelayedAck => "delayed_ack",
            Self::Retransmit => "retransmit",
            Self::Response => "response",
            Self::Connect | Self::ConnectRefused => "connect",
            Self::Ignored => "ignored",
            Self::Throttled => "throttled",
            Self::Streaming => "streaming",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the owner of such a slice.
    pub fn owner(self) -> Owner {
        match self {
            Self::AcceptQueue
            | Self::ReceiveQueue
            | Self::App
            | Self::Cork
            | Self::Ignored
            | Self::Streaming => Owner::App,
            Self::RunQueue | Self::Nagle | Self::Pacing | Self::Throttled => Owner::Kernel,
            Self::Handshake
            | Self::Congestion
            | Self::AckWait
            | Self::Retransmit
            | Self::Connect => Owner::Network,
            Self::Request
            | Self::SendBuffer
            | Self::ReceiveWindow
            | Self::DelayedAck
            | Self::Response
            | Self::ConnectRefused => Owner::Peer,
            Self::Unknown => Owner::Unknown,
        }
    }
}

/// A slice of time. The slices of an exchange follow one another without gap or overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its kind; the owner follows from it.
    pub kind: SliceKind,
    /// Its beginning.
    pub start_ns: u64,
    /// Its duration, µs.
    pub us: u64,
    /// Of an `App` or `ReceiveQueue` slice: time of the thread on a CPU in it, where known, µs. The
    /// rest it slept.
    pub cpu_us: Option<u64>,
    /// A `DelayedAck` slice is proved if the other end is on this host, and its own record has the
    /// ACK that ended the slice. Others are inferred from their duration. A `Streaming` slice is
    /// proved if it answers one request, or none, as far as the protocol tells. Others may be
    /// several answers in turn.
    pub proved: bool,
    /// Of an `App` slice: time that the application waited in it for calls that it made for this
    /// request, where there is evidence of such, µs.
    pub upstream_us: Option<u64>,
}

/// The kind that took most of an exchange's time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExchangeVerdict {
    /// On what.
    pub kind: SliceKind,
    /// Its share of the exchange's time.
    pub share: f64,
    /// Sum of their durations, µs.
    pub us: u64,
}

/// Time by owner, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerTimes {
    /// Number of exchanges.
    pub exchanges: u64,
    /// The kernel's.
    pub kernel_us: u64,
    /// The application's.
    pub app_us: u64,
    /// The network's.
    pub network_us: u64,
    /// The peer's.
    pub peer_us: u64,
    /// Nobody's that can be proved.
    pub unknown_us: u64,
}

impl OwnerTimes {
    /// Time of one owner, µs.
    pub fn of(&self, owner: Owner) -> u64 {
        match owner {
            Owner::Kernel => self.kernel_us,
            Owner::App => self.app_us,
            Owner::Network => self.network_us,
            Owner::Peer => self.peer_us,
            Owner::Unknown => self.unknown_us,
        }
    }

    /// Time of one owner, to be added to, µs.
    pub fn of_mut(&mut self, owner: Owner) -> &mut u64 {
        match owner {
            Owner::Kernel => &mut self.kernel_us,
            Owner::App => &mut self.app_us,
            Owner::Network => &mut self.network_us,
            Owner::Peer => &mut self.peer_us,
            Owner::Unknown => &mut self.unknown_us,
        }
    }

    /// Time of all owners, µs.
    pub fn sum_us(&self) -> u64 {
        let mut sum_us: u64 = 0;
        for owner in Owner::ALL {
            sum_us = sum_us.saturating_add(self.of(owner));
        }
        sum_us
    }

    /// Returns the difference to an earlier state.
    pub fn since(&self, before: &Self) -> Self {
        let exchanges = self.exchanges.saturating_sub(before.exchanges);
        let mut since = Self { exchanges, ..Self::default() };
        for owner in Owner::ALL {
            *since.of_mut(owner) = self.of(owner).saturating_sub(before.of(owner));
        }
        since
    }
}

/// A response that came in pieces, with pauses of a millisecond or more between two writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// From the beginning of the exchange to the first write, µs.
    pub first_byte_us: u64,
    /// From the first write to the last, µs.
    pub rest_us: u64,
    /// Pauses.
    pub pauses: u32,
    /// The longest, µs, right to a millisecond.
    pub longest_pause_us: u64,
}

/// One exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeView {
    /// Its number on its connection, from 1.
    pub seq: u32,
    /// Its beginning.
    pub start_ns: u64,
    /// Its duration, µs.
    pub total_us: u64,
    /// It is over.
    pub done: bool,
    /// Exchanges that it stands for in sums, itself one of them: of its connection, or each of one
    /// that its connection stands for.
    pub stands_for: u64,
    /// Its time, in order.
    pub slices: Vec<Slice>,
    /// The kind that took most of it; `None` for an exchange without time.
    pub verdict: Option<ExchangeVerdict>,
    /// Bytes of the request: inbound for a server, outbound for a client.
    pub request_bytes: u64,
    /// Bytes of the response.
    pub response_bytes: u64,
    /// Reads that took bytes.
    pub reads: u32,
    /// Writes that took bytes.
    pub writes: u32,
    /// Pieces of a response that was not written at once.
    pub pieces: Option<Pieces>,
    /// Of a message that a server wrote unasked: time since it had written before, µs, where that
    /// is known.
    pub pushed_after_us: Option<u64>,
    /// Sizes of the last two writes, older first.
    pub last_sizes: [u32; 2],
    /// Sizes of the write that was in flight and of the one that was held for it, in the longest
    /// hold.
    pub held_sizes: [u32; 2],
    /// Thread that read.
    pub read_tid: Option<u32>,
    /// Thread that wrote.
    pub write_tid: Option<u32>,
    /// Client exchanges that ran inside this one on the same thread, as (socket, seq): a hint.
    pub inside: Vec<(SockId, u32)>,
    /// Of a client's exchange: those of served connections that were over before it and that it ran
    /// inside of, on the same thread: a hint.
    pub within: Vec<(SockId, u32)>,
    /// Connects that failed while it waited for them.
    pub connects: Vec<ConnectFailure>,
    /// Calls that the process made for it.
    pub upstream: Vec<Join>,
    /// Of a call: what it was made for.
    pub downstream: Option<Join>,
    /// Its connection carries several requests at a time: it is a burst of its stream of bytes, and
    /// not one request.
    pub multiplexed: bool,
    /// Calls were open on such a connection several at a time, or may have been: what was written
    /// may answer any of them.
    pub several: bool,
    /// It was nothing but the handshake of TLS.
    pub handshake: bool,
    /// It is over, somebody waited, and nobody answered.
    pub unanswered: bool,
    /// The thread that read and answered it made calls on other connections in between.
    pub put_aside: bool,
}

impl ExchangeView {
    /// Its time by kind, µs, without a delayed ACK at its end, which held nobody.
    pub fn counted(&self) -> impl Iterator<Item = (SliceKind, u64)> {
        exchange::counted(&self.slices)
    }

    /// Its time without a delayed ACK at its end, µs.
    pub fn counted_us(&self) -> u64 {
        self.total_us.saturating_sub(exchange::trailing_us(&self.slices).unwrap_or(0))
    }
}

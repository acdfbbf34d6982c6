//! The facts of one exchange, as the probes gathered them.

use serde::{Deserialize, Serialize};

use super::{End, Role, SockId};

/// Progress of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// It goes on, or nothing has come after it yet.
    Open,
    /// The next exchange began.
    Followed,
    /// The connection ended.
    Closed,
}

/// The facts of one exchange: a burst in each direction. Times follow one another as bytes do;
/// where two hooks raced on two CPUs they may be a little out of order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// Time at which the facts were taken.
    pub ts_ns: u64,
    /// The connection.
    pub sock: SockId,
    /// Number of the exchange on its connection, from 1.
    pub seq: u32,
    /// On which side the process is: a server's exchange begins inbound, a client's outbound.
    pub role: Role,
    /// It had begun when the connection became known, so that its beginning was not observed.
    pub preexisting: bool,
    /// Its progress.
    pub progress: Progress,
    /// Bytes from the peer; `None` if none came (a server that speaks first).
    pub inbound: Option<Inbound>,
    /// Bytes to the peer; `None` if none were written.
    pub outbound: Option<Outbound>,
    /// Lowest round-trip time that the kernel has seen on this connection, µs.
    pub min_rtt_us: Option<u32>,
    /// The ACKs that this host delayed on the connection so far; `None` where this kernel does not
    /// show them.
    pub delayed_acks: Option<DelayedAcks>,
    /// The end of its connection, as far as that has begun; `None` as well for an exchange from a
    /// compact record, which has its answer.
    pub end: Option<End>,
    /// Exchanges of its connection that were left untold so far, the low bits of their number; `None`
    /// where its record cannot say. In a recording none is left untold.
    #[serde(skip)]
    pub untold: Option<u8>,
}

impl Exchange {
    /// Bytes read.
    pub fn bytes_in(&self) -> u64 {
        match &self.inbound {
            Some(inbound) => inbound.bytes,
            None => 0,
        }
    }

    /// Bytes that are there and not read.
    pub fn unread_bytes(&self) -> u64 {
        match &self.inbound {
            Some(inbound) => inbound.unread_bytes,
            None => 0,
        }
    }

    /// Bytes written.
    pub fn bytes_out(&self) -> u64 {
        match &self.outbound {
            Some(outbound) => outbound.bytes,
            None => 0,
        }
    }

    /// The thread of the first read.
    pub fn reader(&self) -> Option<ThreadUse> {
        self.inbound.as_ref()?.reader
    }

    /// The thread of the first write.
    pub fn writer(&self) -> Option<ThreadUse> {
        self.outbound.as_ref()?.writer
    }

    /// Lowest round-trip time that the kernel has seen on this connection, ns.
    pub fn min_rtt_ns(&self) -> Option<u64> {
        Some(u64::from(self.min_rtt_us?) * 1_000)
    }
}

/// Delayed ACKs that this host sent by timer on a connection, as totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelayedAcks {
    /// Their number.
    pub sent: u32,
    /// Sum of their waits, µs.
    pub waited_us: u64,
    /// Time of the newest.
    pub newest_ns: Option<u64>,
}

/// Time of a thread from the end of its call before to this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadUse {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// End of its call before, from which on the two times below run; `None` if none was seen.
    pub since_ns: Option<u64>,
    /// Runnable, but without a CPU, ns.
    pub run_delay_ns: u64,
    /// On a CPU, ns; right to a tick.
    pub cpu_ns: u64,
}

/// The inbound burst of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inbound {
    /// The first byte was there to be read.
    pub first_ns: u64,
    /// The newest byte was there to be read.
    pub last_ns: u64,
    /// The first read that took any of it returned; `None` while nobody has.
    pub read_first_ns: Option<u64>,
    /// The last such read returned.
    pub read_last_ns: Option<u64>,
    /// Between the first byte and the last read: time with the receive queue empty, the peer yet to
    /// send more, ns.
    pub starved_ns: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes that are there and not read.
    pub unread_bytes: u64,
    /// Reads that took bytes.
    pub reads: u32,
    /// Reads that found nothing (`EAGAIN`).
    pub eagains: u32,
    /// The thread of the first read, and how it spent the time before it.
    pub reader: Option<ThreadUse>,
    /// All that is unread was there when the last read returned.
    pub left: bool,
}

/// Reason for which written bytes were not sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
pub enum HoldReason {
    /// Nagle: less than a full segment, with small unacknowledged data out and TCP_NODELAY off.
    Nagle,
    /// TCP_CORK or MSG_MORE.
    Cork,
    /// The network: the congestion window, or the pace that congestion control keeps.
    Congestion,
    /// The peer's receive window.
    ReceiveWindow,
    /// A pace that was set (`SO_MAX_PACING_RATE`), TCP small queues, segmentation: the kernel's own
    /// scheduling of what to send.
    Pacing,
}

impl HoldReason {
    /// Every reason, each at the place of its number.
    pub const ALL: [Self; 5] =
        [Self::Nagle, Self::Cork, Self::Congestion, Self::ReceiveWindow, Self::Pacing];
}

/// Time that written bytes were held for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Why.
    pub reason: HoldReason,
    /// Number of times.
    pub count: u32,
    /// Sum of their durations, ns.
    pub held_ns: u64,
}

/// A hold that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Why.
    pub reason: HoldReason,
    /// Since when it is for this reason.
    pub since_ns: u64,
}

/// Time of the writing thread between writes that came apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses {
    /// Runnable, but without a CPU, ns.
    pub run_delay_ns: u64,
    /// On a CPU, ns; right to a tick.
    pub cpu_ns: u64,
    /// All of it is known; if not, the figures are what is known.
    pub complete: bool,
}

/// The outbound burst of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outbound {
    /// The first write began, or returned where only that was seen and it cannot have blocked.
    pub first_ns: u64,
    /// The last write returned.
    pub last_ns: u64,
    /// The last byte was sent (first transmission); `None` while some are held, or when not
    /// observed.
    pub sent_ns: Option<u64>,
    /// The last byte was acknowledged; `None` while it is not, or when not observed.
    pub acked_ns: Option<u64>,
    /// Bytes written.
    pub bytes: u64,
    /// Bytes written and not sent.
    pub unsent_bytes: u64,
    /// Bytes sent and not acknowledged.
    pub unacked_bytes: u64,
    /// Writes that took bytes.
    pub writes: u32,
    /// Of them, those of less than 256 bytes.
    pub small_writes: u32,
    /// Sizes of the last two writes, older first; 0 where there was none.
    pub last_sizes: [u32; 2],
    /// Sizes of the two writes of the longest hold: the one in flight, the one held. 0 where there
    /// was none.
    pub held_sizes: [u32; 2],
    /// Holds that ended, one entry a reason, together with one that lasts still.
    pub holds: Vec<Hold>,
    /// Time between the first and the last write with the writer waiting for room in the send
    /// buffer, ns.
    pub blocked_ns: u64,
    /// Time that the peer's receive window limited sending, ns, right to a tick (`chrono_stat`).
    pub window_limited_ns: u64,
    /// Segments sent again.
    pub retransmits: u32,
    /// Time of the first of them.
    pub retransmit_ns: Option<u64>,
    /// The thread of the first write, and how it spent the time before it.
    pub writer: Option<ThreadUse>,
    /// Between writes that came apart; `None` if none did.
    pub pauses: Option<Pauses>,
    /// Why bytes were held last.
    pub held_last: Option<HoldReason>,
    /// The hold that lasts, which `holds` have too.
    pub holding: Option<Holding>,
    /// The kernel reset the congestion window after an idle time, and that held bytes.
    pub window_restarted: bool,
    /// Segments sent again that the peer reported as duplicates (DSACK).
    pub spurious: u32,
    /// Times that nothing was written for a millisecond or longer, between two writes.
    pub gaps: u32,
    /// The longest of them, ns, right to a millisecond.
    pub longest_gap_ns: u64,
}

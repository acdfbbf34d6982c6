//! Listeners at one refresh.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::SockId;
use crate::text::Untrusted;

/// A listener's figures at one refresh; totals run since it was first watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerSample {
    /// The listener.
    pub sock: SockId,
    /// Local address.
    pub local: SocketAddr,
    /// Process that called `listen(2)`, or the first found to hold it.
    pub pid: u32,
    /// Its command name.
    pub comm: Untrusted,
    /// The watched processes that hold it, or the first of many.
    pub holders: Vec<u32>,
    /// Inode of its network namespace.
    pub netns: u32,
    /// Time at which it became known.
    pub since_ns: u64,
    /// Time at which it stopped listening.
    pub closed_ns: Option<u64>,
    /// Backlog asked for; `None` when `listen(2)` ran before the attach.
    pub backlog: Option<u32>,
    /// Effective limit of the accept queue.
    pub limit: u32,
    /// Accept-queue depth.
    pub depth: u32,
    /// Highest depth since the last sample.
    pub peak: u32,
    /// SYN-queue depth.
    pub syn_depth: u32,
    /// Highest SYN-queue depth since the last sample.
    pub syn_peak: u32,
    /// SYNs that arrived; `None` where this kernel shows none.
    pub syns: Option<u64>,
    /// Connections queued.
    pub queued: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// SYNs dropped since the accept queue was full.
    pub overflow_syn: u64,
    /// Final ACKs ignored since the accept queue was full; `None` where this kernel does not tell
    /// them apart.
    pub overflow_ack: Option<u64>,
    /// SYNs dropped though the accept queue had room; `None` where this kernel does not tell them
    /// apart.
    pub syn_dropped: Option<u64>,
    /// Syncookies sent; `None` where this kernel shows none.
    pub cookies_sent: Option<u64>,
    /// The kernel's drop counter of the socket, since it was made.
    pub drops: u64,
    /// SYN-ACKs sent again.
    pub synack_retransmits: u64,
    /// `accept` calls that found nothing.
    pub eagain: u64,
    /// Connections that left the queue unaccepted.
    pub abandoned: u64,
    /// Calls of `accept` that failed, by error; `None` where no hook sees them.
    pub fails: Option<Vec<AcceptFails>>,
    /// Connections that did not wait in the queue until they were accepted; `None` where it is not
    /// seen who enters it.
    pub left: Option<LeftQueue>,
    /// Other sockets that listen at the same place, which nobody watched holds.
    pub others: Vec<OtherListener>,
    /// SYN-ACKs sent again though the final ACK had come; `None` where this kernel does not tell.
    pub synack_acked: Option<u64>,
    /// TCP_DEFER_ACCEPT, in timeouts of a SYN-ACK; 0 without, `None` where it was not read.
    pub defer_accept: Option<u8>,
    /// Nobody waits for it: connections have been queued for too long to be chance, the listener is
    /// non-blocking, and no epoll instance of its holders has it, though they have some.
    pub unwatched: bool,
    /// Number of further processes that hold it, which `holders` has no room for.
    pub unnamed_holders: u32,
    /// Calls of `accept` that failed or found nothing are not all counted: so many connections came
    /// that the hooks which see them were suspended for a while.
    pub calls_missed: bool,
    /// Cookie of its network namespace, which no later one has, while inodes come back; `None`
    /// where the kernel has none (before 5.12).
    pub netns_cookie: Option<u64>,
    /// Connections that were accepted, served and closed, and left untold. In a recording there are
    /// none.
    #[serde(skip)]
    pub untold: u64,
}

/// The place where a listener listens: its address, and its network namespace by inode and cookie.
/// The listeners of one SO_REUSEPORT group share it.
pub type Place = (SocketAddr, u32, Option<u64>);

impl ListenerSample {
    /// Returns where it listens.
    pub fn place(&self) -> Place {
        (self.local, self.netns, self.netns_cookie)
    }

    /// TCP_DEFER_ACCEPT in seconds: the timeouts of a SYN-ACK, each twice the one before up to two
    /// minutes, as `getsockopt` sums them up (`retrans_to_secs`, 5.10 to 7.3). 0 without, `None`
    /// where it was not read.
    pub fn defer_accept_s(&self) -> Option<u64> {
        let timeouts = self.defer_accept?;
        Some((0..timeouts).map(|timeout| (1_u64 << timeout.min(7)).min(120)).sum())
    }
}

/// Returns the number of processes that hold a listener: those that are named, and further ones.
pub fn count_holders(named: &[u32], unnamed: u32) -> u64 {
    named.len() as u64 + u64::from(unnamed)
}

/// Failures of `accept` on a listener with one error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptFails {
    /// `EMFILE` and so on, by its number.
    pub errno: u32,
    /// Number of times.
    pub count: u64,
    /// The first time.
    pub first_ns: u64,
    /// Process of the last call.
    pub pid: u32,
    /// Its thread.
    pub tid: u32,
    /// Use of the resource that ran out, where that has a limit and could be read.
    pub used: Option<Used>,
}

/// Use of a limited resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Descriptors of the process (`EMFILE`), open files of the machine (`ENFILE`).
    pub open: u64,
    /// The limit on them.
    pub limit: u64,
}

/// Totals of connections that left the accept queue unaccepted, and of those whose peers left while
/// they were in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftQueue {
    /// The peer sent a FIN.
    pub closed: u64,
    /// The peer reset it.
    pub reset: u64,
    /// Those of both that had waited for 50 ms or longer, as no health check does.
    pub late: u64,
    /// Sum of the waits of these, µs.
    pub late_us: u64,
    /// The listener closed, and the kernel reset a connection whose peer was there still.
    pub cut: u64,
}

/// A socket that listens where a watched one does, and that no watched process holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherListener {
    /// Process that holds it, or the first found of several.
    pub pid: u32,
    /// Its command name.
    pub comm: Untrusted,
    /// Where it listens.
    pub local: SocketAddr,
    /// Connections in its accept queue.
    pub depth: u32,
    /// Limit of that.
    pub limit: u32,
}

/// A Unix-domain socket on which a watched process listens, at one refresh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnixListener {
    /// The socket.
    pub sock: SockId,
    /// Where it listens: a path, or a name behind `@`.
    pub path: Untrusted,
    /// Process that holds it, or the first of several.
    pub pid: u32,
    /// Its command name.
    pub comm: Untrusted,
    /// The watched processes that hold it, or the first of many.
    pub holders: Vec<u32>,
    /// Inode of its network namespace.
    pub netns: u32,
    /// Connections in its accept queue.
    pub depth: u32,
    /// Limit of that. The queue is full when the depth is above it.
    pub limit: u32,
    /// Calls of `connect` that did not wait and found it full (`EAGAIN`), since it is watched;
    /// `None` where that is not counted.
    pub refused: Option<u64>,
    /// Number of further processes that hold it, which `holders` has no room for.
    pub unnamed_holders: u32,
}

impl UnixListener {
    /// There is no room for a further connection (`unix_recvq_full`, 5.10 to 7.3).
    pub fn is_full(&self) -> bool {
        self.depth > self.limit
    }
}

//! Ends of connections: their causes, and data that came after them.

use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::Connection;
use super::compact::Endpoint;
use super::origin::Origin;
use crate::bounded::Bounded;
use crate::model::event::{Closed, Connect, Ending, Late, Outcome, Role, Side, SockId, Why};
use crate::model::exchange::LEAST_SEALED;
use crate::model::output::{ConnectionOutput, Output};
use crate::model::snapshot::{Cause, EndView, Protocol, ResetTotals};
use backscope_abi::errno::ECONNRESET;

/// A connection that is reset within this time was refused, even if nothing was asked on it, ns.
const AT_ONCE_NS: u64 = 1_000_000_000;
/// Connections that this host closed and that data may still come to; the one closed first is
/// forgotten.
pub const MAX_LEFT: usize = 4_096;
/// Data come no later, ns: a kernel keeps a closed connection for a minute (`TCP_TIMEWAIT_LEN`).
const LEFT_NS: u64 = 70_000_000_000;
/// A connection without data for this long is idle when it is closed, ns.
const IDLE_NS: u64 = 100_000_000;
/// The end of an idle connection is reported so much later, ns: a request that crosses its FIN
/// belongs to it.
const CROSSING_NS: u64 = 300_000_000;
/// A RST is the answer to a request if it comes no later than after twice the round trip and this,
/// ns.
const ANSWER_NS: u64 = 20_000_000;

/// The view of an end, as far as its own facts tell.
pub(super) fn view(closed: &Closed, connection: &Connection) -> EndView {
    let (cause, reset_by) = cause(closed, connection.origin.role);
    EndView {
        cause,
        reset_by,
        idle_us: closed.idle_ns.map(|ns| ns / 1_000),
        unread_bytes: closed.unread_bytes,
        unacked_bytes: closed.unacked_bytes,
        untold: closed.untold,
    }
}

fn cause(closed: &Closed, role: Role) -> (Option<Cause>, Option<Side>) {
    let reset = closed.how == Some(Ending::Reset);
    match closed.why {
        // A whole request was unread at the close.
        Some(Why::UnreadData) if closed.unseen && closed.exchanges > 1 => {
            (Some(Cause::LateRequest), Some(Side::Local))
        }
        Some(Why::UnreadData) => (Some(Cause::UnreadData), Some(Side::Local)),
        Some(Why::Linger) => (Some(Cause::Linger), Some(Side::Local)),
        Some(Why::Aborted) => (Some(Cause::Aborted), Some(Side::Local)),
        Some(Why::Reset) if role == Role::Client && met_a_close(closed) => {
            (Some(Cause::LateRequest), Some(Side::Peer))
        }
        // After this host's FIN the RST may be its own. Then data came late, which is an event of
        // its own.
        Some(Why::Reset) => {
            let is_peers = reset || closed.by == Some(Side::Peer);
            (None, if is_peers { Some(Side::Peer) } else { None })
        }
        Some(Why::Unacknowledged) => (Some(Cause::Unacknowledged), None),
        Some(Why::Keepalive) => (Some(Cause::Keepalive), None),
        Some(Why::Unreachable) => (Some(Cause::Unreachable), None),
        None => (None, if reset { closed.by } else { None }),
    }
}

/// The failed connect that an end amounts to: the peer reset a connection that this host had made
/// before it had answered anything. A spare one, on which nothing was asked, may be reset later.
pub(super) fn refusal(closed: &Closed, connection: &Connection, end: &EndView) -> Option<Connect> {
    let reset = closed.by == Some(Side::Peer) && end.reset_by == Some(Side::Peer);
    if !reset || connection.origin.role != Role::Client {
        return None;
    }
    let (ts_ns, since_ns) = (closed.since_ns?, connection.asked_ns()?);
    let soon = ts_ns.saturating_sub(since_ns) <= AT_ONCE_NS;
    let unanswered = closed.bytes_in == 0 && (closed.bytes_out > 0 || soon);
    if !unanswered {
        return None;
    }
    Some(Connect {
        ts_ns,
        sock: closed.sock,
        peer: connection.peer(),
        pid: connection.origin.pid,
        comm: connection.origin.comm.clone(),
        tid: connection.tids().1,
        asked_ns: since_ns,
        outcome: Outcome::Reset,
        error: Some(ECONNRESET),
        inferred: false,
        syns: 1,
        ports: None,
        time_wait: None,
    })
}

/// The request of a connection that was in use before met its end: the peer's FIN or RST came
/// before it could be answered.
fn met_a_close(closed: &Closed) -> bool {
    let least_ns = u64::from(closed.min_rtt_us.unwrap_or(0)) * 2_000 + ANSWER_NS;
    let (Some(since_ns), Some(asked_ns)) = (closed.since_ns, closed.asked_ns) else { return false };
    closed.unanswered && closed.exchanges > 1 && since_ns <= asked_ns.saturating_add(least_ns)
}

/// A connection that this host had accepted, and closed.
#[derive(Clone, Debug)]
struct Left {
    sock: SockId,
    origin: Arc<Origin>,
    peer: Endpoint,
    peer_ip: Option<Box<Ipv6Addr>>,
    closed_ns: u64,
    idle_ns: u64,
    unanswered: bool,
    /// Its bytes do not tell one request from another.
    sealed: bool,
    /// Late data were reported.
    reported: bool,
    /// Connections that it stands for, itself one of them.
    stands_for: u64,
}

impl Left {
    fn is_between(&self, local: SocketAddr, peer: SocketAddr) -> bool {
        self.peer.address(self.peer_ip.as_deref().copied()) == peer && self.origin.near() == local
    }
}

/// Data that came too late, and their connection.
#[derive(Clone, Debug)]
pub(in crate::model) struct Arrival {
    pub(in crate::model) sock: SockId,
    pub(in crate::model) origin: Arc<Origin>,
    pub(in crate::model) cause: Cause,
    /// From the newest data before to the close, µs.
    pub(in crate::model) idle_us: u64,
    /// Its application read on: no RST went back.
    pub(in crate::model) lingers: bool,
    /// Connections that it stands for, itself one of them.
    pub(in crate::model) stands_for: u64,
}

/// Ends of connections that data may still follow, and reports that wait for such data.
///
/// [`note`](Self::note) takes each end, [`came`](Self::came) and [`lingered`](Self::lingered) late
/// data. A report that [`waits`](Self::waits) is kept by [`hold`](Self::hold) until
/// [`settle`](Self::settle).
#[derive(Clone, Debug)]
pub(in crate::model) struct Ended {
    pub(in crate::model) totals: ResetTotals,
    /// In the order in which they ended. Late data are rare, so that a linear search will do.
    left: VecDeque<Left>,
    /// Connections still read from, though a request came after their close. Of more than
    /// [`MAX_LEFT`] the first gives way, and is counted: its end has no such cause.
    lingering: Bounded<SockId, ()>,
    /// Ends that are to be reported, each with the time from which on it may be.
    held: VecDeque<(u64, Box<ConnectionOutput>)>,
}

impl Default for Ended {
    fn default() -> Self {
        Self {
            totals: ResetTotals::default(),
            left: VecDeque::new(),
            lingering: Bounded::new(MAX_LEFT),
            held: VecDeque::new(),
        }
    }
}

impl Ended {
    /// Counts an end, and remembers it if data may still come.
    pub(super) fn note(&mut self, closed: &Closed, connection: &Connection, view: &mut EndView) {
        let lingered = !self.lingering.is_empty() && self.lingering.remove(closed.sock).is_some();
        let totals = &mut self.totals;
        totals.sent += u64::from(view.reset_by == Some(Side::Local));
        totals.received += u64::from(view.reset_by == Some(Side::Peer));
        totals.timeouts += u64::from(closed.how == Some(Ending::Timeout));
        totals.late_requests += u64::from(view.cause == Some(Cause::LateRequest));
        totals.truncated += u64::from(is_truncated(closed, view, connection.origin.role));
        if lingered {
            view.cause = Some(Cause::LateRequest);
        }
        if connection.origin.role != Role::Server
            || closed.by != Some(Side::Local)
            || closed.how != Some(Ending::Fin)
        {
            return;
        }
        if self.left.len() >= MAX_LEFT {
            self.left.pop_front();
        }
        let (peer, peer_ip) = Endpoint::new(connection.peer());
        self.left.push_back(Left {
            sock: closed.sock,
            origin: Arc::clone(&connection.origin),
            peer,
            peer_ip: peer_ip.map(Box::new),
            closed_ns: closed.since_ns.unwrap_or(closed.ts_ns),
            idle_ns: closed.idle_ns.unwrap_or(0),
            unanswered: closed.unanswered,
            sealed: connection.protocol() == Some(Protocol::Tls) || connection.is_multiplexed(),
            reported: lingered,
            stands_for: connection.stands_for(),
        });
    }

    /// Returns how many connections that were still read from gave way.
    pub(super) fn gave_way(&self) -> u64 {
        self.lingering.gave_way()
    }

    /// Forgets a connection of which no more is known.
    pub(super) fn forget(&mut self, sock: SockId) {
        if !self.lingering.is_empty() {
            self.lingering.remove(sock);
        }
    }

    /// Takes data that came to a connection which was closed. `None` if it is not known, or was
    /// reported already.
    pub(super) fn came(&mut self, late: &Late) -> Option<Arrival> {
        let mut newest_first = self.left.iter_mut().rev();
        let left = newest_first.find(|left| left.is_between(late.local, late.peer))?;
        if left.reported || left.sealed && late.bytes < LEAST_SEALED {
            return None;
        }
        left.reported = true;
        let was_idle = left.idle_ns >= IDLE_NS && !left.unanswered;
        let cause = if was_idle { Cause::LateRequest } else { Cause::DataAfterClose };
        let stands_for = left.stands_for;
        self.totals.sent += stands_for;
        self.totals.late_requests += if was_idle { stands_for } else { 0 };
        let (sock, origin, idle_us) = (left.sock, Arc::clone(&left.origin), left.idle_ns / 1_000);
        for (_, held) in &mut self.held {
            if held.view.sock == sock {
                mark(&mut held.view.end, cause);
            }
        }
        Some(Arrival { sock, origin, cause, idle_us, lingers: false, stands_for })
    }

    /// Takes data that came to a connection which was closed, and whose application reads on. Few
    /// encrypted bytes are no request: TLS ends by a message, too.
    pub(super) fn lingered(
        &mut self,
        late: &Late,
        (sock, idle_ns): (SockId, u64),
        sealed: bool,
        origin: &Arc<Origin>,
    ) -> Option<Arrival> {
        let request = idle_ns >= IDLE_NS && !(sealed && late.bytes < LEAST_SEALED);
        if !request || self.lingering.contains(sock) {
            return None;
        }
        self.lingering.insert(sock, ());
        self.totals.late_requests += 1;
        let (origin, idle_us, cause) = (Arc::clone(origin), idle_ns / 1_000, Cause::LateRequest);
        Some(Arrival { sock, origin, cause, idle_us, lingers: true, stands_for: 1 })
    }

    /// Whether to wait with the report of this end.
    pub(super) fn waits(closed: &Closed, role: Role) -> bool {
        let idle = matches!(closed.idle_ns, Some(ns) if ns >= IDLE_NS);
        role == Role::Server
            && idle
            && closed.by == Some(Side::Local)
            && closed.how == Some(Ending::Fin)
    }

    /// Keeps the report of an end until no request can cross its FIN any more.
    pub(super) fn hold(&mut self, output: Box<ConnectionOutput>) {
        self.held.push_back((output.ts_ns.saturating_add(CROSSING_NS), output));
    }

    /// Reports the ends that have waited for long enough; at the end of the run all.
    pub(in crate::model) fn settle(&mut self, now_ns: u64, is_end: bool, out: &mut Vec<Output>) {
        while let Some((due_ns, _)) = self.held.front()
            && (is_end || *due_ns <= now_ns)
            && let Some((_, output)) = self.held.pop_front()
        {
            out.push(Output::Connection(output));
        }
        while let Some(left) = self.left.front()
            && now_ns.saturating_sub(left.closed_ns) > LEFT_NS
        {
            self.left.pop_front();
        }
    }
}

/// Notes that a RST answered data which came to a connection after its close.
pub(in crate::model) fn mark(end: &mut EndView, cause: Cause) {
    (end.cause, end.reset_by) = (Some(cause), Some(Side::Local));
}

/// A response had been written, and a RST followed it since the request was not read to its end.
pub(in crate::model) fn is_truncated(closed: &Closed, view: &EndView, role: Role) -> bool {
    let answered = closed.exchanges > 0 && !closed.unanswered && !closed.unseen;
    role == Role::Server && view.cause == Some(Cause::UnreadData) && answered
}

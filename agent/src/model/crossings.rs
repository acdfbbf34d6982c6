//! Waits across a process that serves and calls others: its requests wait for its calls, and the
//! answers to these for clients that do not take theirs.
//!
//! The call that was made for a request is known only some time after both. Slow exchanges of such
//! a process are judged then.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::event::{Exchange, SockId};
use super::stats::{Scope, Tally};

/// Slow exchanges that wait to be judged. Beyond that the oldest is judged by what is known of it.
const MAX_LATE: usize = 1_024;
/// Open exchanges of one sample that are looked at.
const MAX_OPEN: usize = 8_192;
/// By then a call is joined to the request that it was made for, ns.
const JOINED_NS: u64 = 2_000_000_000;
/// A call may begin so long before the read of its request was seen, ns.
const SLACK_NS: u64 = 1_000_000;

/// An exchange that has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) pid: u32,
    pub(super) scope: Scope,
    pub(super) peer: SocketAddr,
    /// The request was read, or the call began.
    pub(super) since_ns: u64,
    pub(super) us: u64,
}

/// Open exchanges of one sample.
#[derive(Clone, Debug, Default)]
pub(super) struct Crossings {
    /// Read, and not answered.
    pub(super) requests: Vec<Open>,
    /// Written, and not answered.
    pub(super) calls: Vec<Open>,
    /// Calls whose answer lies unread.
    pub(super) unread: Vec<Open>,
    /// Served connections whose client does not take what was written, by process.
    pub(super) full: BTreeMap<u32, u64>,
}

/// Requests that wait for a call, and the peer of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OnCalls {
    pub(super) waits: Tally,
    /// Peer of the call for which a request has waited longest.
    pub(super) peer: Option<SocketAddr>,
}

impl Crossings {
    /// Adds an open exchange, if there is room.
    pub(super) fn add(to: &mut Vec<Open>, open: Open) {
        if to.len() < MAX_OPEN {
            to.push(open);
        }
    }

    /// Pairs each request with a call of its process that began after it, and sums them by where
    /// they are counted.
    pub(super) fn on_calls(&mut self) -> BTreeMap<Scope, OnCalls> {
        let by_time = |open: &Open| (open.pid, open.since_ns);
        self.requests.sort_unstable_by_key(by_time);
        self.calls.sort_unstable_by_key(by_time);
        let mut found: BTreeMap<Scope, OnCalls> = BTreeMap::new();
        let mut calls = self.calls.iter().peekable();
        for request in &self.requests {
            let begins = (request.pid, request.since_ns.saturating_sub(SLACK_NS));
            while calls.next_if(|call| by_time(call) < begins).is_some() {}
            let Some(call) = calls.next_if(|call| call.pid == request.pid) else { continue };
            let on_calls = found.entry(request.scope).or_default();
            if request.us >= on_calls.waits.worst_us {
                on_calls.peer = Some(call.peer);
            }
            on_calls.waits.add(request.us);
        }
        found
    }

    /// Whether the process does not read because one of its clients does not.
    pub(super) fn is_full(&self, pid: u32) -> bool {
        self.full.contains_key(&pid)
    }
}

/// Question about a slow exchange, asked once its other side is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum LateQuestion {
    /// The time that it waited for calls: the application took `us`, and `cpu` is how long it was
    /// on a CPU, out of the time for which that is known, µs.
    App { us: u64, cpu: (u64, u64), inside: bool, unanswered: Option<Unanswered> },
    /// Whether its client took what it was sent: the answer to a call lay unread for `us`. Of that,
    /// the reader's time is known for `known_us`, on a CPU and ready without one, µs.
    Unread { us: u64, known_us: u64, cpu_us: u64, delay_us: u64 },
}

/// A request or a call that nobody answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unanswered {
    /// The wait of whoever asked, µs.
    pub(super) us: u64,
    /// Whoever was to answer ended the connection.
    pub(super) refused: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    due_ns: u64,
    pub(super) pid: u32,
    pub(super) id: (SockId, u32),
    pub(super) scope: Scope,
    pub(super) question: LateQuestion,
}

/// Slow exchanges that are judged later.
#[derive(Clone, Debug, Default)]
pub(super) struct Lates(VecDeque<Late>);

impl Lates {
    /// Puts an exchange aside at `now_ns`.
    pub(super) fn add(
        &mut self,
        now_ns: u64,
        exchange: &Exchange,
        pid: u32,
        scope: Scope,
        question: LateQuestion,
    ) {
        let id = (exchange.sock, exchange.seq);
        self.0.push_back(Late {
            due_ns: now_ns.saturating_add(JOINED_NS),
            pid,
            id,
            scope,
            question,
        });
    }

    /// Takes out those whose time has come, and those beyond the bound.
    pub(super) fn due(&mut self, now_ns: u64) -> Vec<Late> {
        let beyond = self.0.len().saturating_sub(MAX_LATE);
        let due = self.0.iter().take_while(|late| late.due_ns <= now_ns).count().max(beyond);
        self.0.drain(..due).collect()
    }
}

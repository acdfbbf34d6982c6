//! The two sides of a proxy: exchanges that it served, and calls that it made.

use std::net::SocketAddr;

use smallvec::SmallVec;

use crate::model::event::{
    Connect, Ending, Exchange, HoldReason, Outbound, Progress, Side, SockId,
};
use crate::model::exchange::is_quiet;
use crate::model::snapshot::{CallFault, ExchangeView, HolderTimes, Join, SliceKind};
use crate::model::threads;

/// Clocks of two hooks may differ by so much, ns.
pub(super) const SLACK_NS: u64 = 50_000;
/// On one thread, and of several requests the one that fits best.
pub(super) const BEST: f64 = 0.6;
/// Headers that a proxy adds or takes away change a response by no more, bytes.
const HEADERS_BYTES: u64 = 1_024;

/// Calls of other threads count as waits of a request if its calls fill so much of its time: one
/// that the process made for something else begins or ends at another time.
const FILLED: f64 = 0.8;

pub(super) type Id = (SockId, u32);

/// A served exchange.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) id: Id,
    pub(super) peer: SocketAddr,
    /// Threads of the first read and the first write.
    pub(super) tids: [Option<u32>; 2],
    pub(super) read_first_ns: u64,
    read_last_ns: u64,
    /// The first write, and the last; `None` while there is none.
    pub(super) written_ns: Option<(u64, u64)>,
    pub(super) response_bytes: u64,
    /// Time that its client did not take what was written, as far as that is known, ns.
    pub(super) full_ns: u64,
    /// Time of its facts.
    pub(super) seen_ns: u64,
    /// The calls made for it.
    pub(super) calls: SmallVec<[MadeFor; 1]>,
    /// It is over, and its time is not in the sums by holder yet.
    pub(super) uncounted: Option<Uncounted>,
}

/// A call that was made for a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct MadeFor {
    pub(super) join: Join,
    /// The call has not been over for long, and another request may turn out to fit better.
    pub(super) provisional: bool,
}

/// Time of a served exchange before its calls are known.
#[derive(Clone, Debug)]
pub(super) struct Uncounted {
    pub(super) times: HolderTimes,
    /// The application's slices: from when to when.
    pub(super) app: SmallVec<[(u64, u64); 1]>,
}

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) id: Id,
    pub(super) peer: SocketAddr,
    /// The thread of the first write.
    pub(super) tid: Option<u32>,
    /// The connection was asked for, or the first byte written on one that there was.
    pub(super) begun_ns: u64,
    pub(super) written_ns: u64,
    /// The first byte of the response was read.
    answered_ns: Option<u64>,
    pub(super) end_ns: u64,
    pub(super) response_bytes: u64,
    /// The served exchange that it was made for.
    pub(super) served: Option<Join>,
    /// Nothing more of it is on the way.
    pub(super) is_over: bool,
    /// The request that it was made for has been looked for.
    pub(super) is_decided: bool,
    /// It failed.
    pub(super) fault: Option<CallFault>,
    /// It is over, and its time is not in the sums by holder yet.
    pub(super) uncounted: Option<HolderTimes>,
}

impl Uncounted {
    pub(super) fn new(view: &ExchangeView) -> Self {
        let mut app = SmallVec::new();
        for slice in view.slices.iter().filter(|slice| slice.kind == SliceKind::App) {
            let end_ns = slice.start_ns.saturating_add(slice.us.saturating_mul(1_000));
            app.push((slice.start_ns, end_ns));
        }
        Self { times: view.held(), app }
    }
}

impl Served {
    /// Takes the facts of a served exchange; `None` while no request has been read.
    pub(super) fn new(exchange: &Exchange, peer: SocketAddr) -> Option<Self> {
        let inbound = exchange.inbound.as_ref()?;
        let read_last_ns = inbound.read_last_ns.or(inbound.read_first_ns)?;
        let (mut written_ns, mut response_bytes, mut full_ns) = (None, 0, 0);
        if let Some(outbound) = &exchange.outbound {
            written_ns = Some((outbound.first_ns, outbound.last_ns));
            response_bytes = outbound.bytes;
            full_ns = self::full_ns(outbound);
        } else if exchange.progress != Progress::Open {
            written_ns = Some((exchange.ts_ns, exchange.ts_ns));
        }
        Some(Self {
            id: (exchange.sock, exchange.seq),
            peer,
            tids: [
                inbound.reader.map(|reader| reader.tid),
                threads::writer(exchange).map(|writer| writer.tid),
            ],
            read_first_ns: inbound.read_first_ns.unwrap_or(read_last_ns).min(read_last_ns),
            read_last_ns,
            written_ns,
            response_bytes,
            full_ns,
            seen_ns: exchange.ts_ns,
            calls: SmallVec::new(),
            uncounted: None,
        })
    }

    /// Takes over what was known of it before these facts.
    pub(super) fn keep(&mut self, known: &mut Self) {
        self.calls = std::mem::take(&mut known.calls);
        self.uncounted = known.uncounted.take();
    }

    /// Returns the time that it waited for the calls made for it, up to its first write, µs, and
    /// the peer of the longest one; `None` if none was made.
    pub(super) fn waited(&self) -> Option<(u64, SocketAddr)> {
        let decided = self.calls.iter().filter(|call| !call.provisional);
        let calls: SmallVec<[Join; 1]> = decided.map(|call| call.join).collect();
        let longest =
            calls.iter().max_by_key(|join| join.end_ns.saturating_sub(join.start_ns))?.peer;
        let (from_ns, until_ns) = self.turn_ns();
        Some((union_ns(calls.iter(), from_ns, until_ns) / 1_000, longest))
    }

    /// Time of its application's slices in which a call was under way, µs.
    pub(super) fn waited_us(&self, uncounted: &Uncounted, provisional: bool) -> u64 {
        let joins = self.joins(provisional);
        let counted = joins.iter().filter(|join| join.counts);
        let mut us = 0_u64;
        for &(from_ns, to_ns) in &uncounted.app {
            us = us.saturating_add(union_ns(counted.clone(), from_ns, to_ns) / 1_000);
        }
        us
    }

    /// Whether a call counts as its wait.
    pub(super) fn counts(&self, call: Id) -> bool {
        self.joins(false).iter().any(|join| join.counts && (join.sock, join.seq) == call)
    }

    /// Notes that a call which was made for it has failed.
    pub(super) fn note_fault(&mut self, call: Id, fault: Option<CallFault>) {
        for MadeFor { join, .. } in &mut self.calls {
            if (join.sock, join.seq) == call {
                join.fault = fault;
            }
        }
    }

    /// The application's turn: from the last read to the first write, or until now.
    pub(super) fn turn_ns(&self) -> (u64, u64) {
        let until_ns = match self.written_ns {
            Some((first_ns, _)) => first_ns,
            None => self.seen_ns,
        };
        (self.read_last_ns, until_ns)
    }

    /// Returns the calls made for it, and whether each counts as its wait: those of its own thread
    /// do, those of others only if they fill its time.
    pub(super) fn joins(&self, provisional: bool) -> SmallVec<[Join; 1]> {
        let shown = self.calls.iter().filter(|call| provisional || !call.provisional);
        let mut joins: SmallVec<[Join; 1]> = shown.map(|call| call.join).collect();
        let (from_ns, until_ns) = self.turn_ns();
        let all_ns = union_ns(joins.iter(), from_ns, until_ns);
        let span_ns = until_ns.saturating_sub(from_ns);
        let filled = span_ns > 0 && all_ns as f64 >= span_ns as f64 * FILLED;
        for join in &mut joins {
            join.counts = filled || join.confidence >= BEST;
        }
        joins
    }

    /// The first and the last write; the end of time while there is none.
    pub(super) fn written_or_never_ns(&self) -> (u64, u64) {
        self.written_ns.unwrap_or((u64::MAX, u64::MAX))
    }

    /// Whether the call may have been made for it: at `begun_ns` it had been read from and not been
    /// answered, and it was written after the call had its answer.
    pub(super) fn contains(&self, call: &Called, begun_ns: u64) -> bool {
        let (first_ns, last_ns) = self.written_or_never_ns();
        // What has been answered waits for no call any more.
        let is_late = call.is_awaited() && self.written_ns.is_some();
        !is_late
            && self.read_first_ns <= begun_ns.saturating_add(SLACK_NS)
            && first_ns.saturating_add(SLACK_NS) >= call.written_ns
            && last_ns.saturating_add(SLACK_NS) >= call.answered_ns.unwrap_or(0)
    }

    /// Whether it was read before the call, and written after the call's answer, without slack.
    pub(super) fn is_around(&self, call: &Called, begun_ns: u64) -> bool {
        let (_, last_ns) = self.written_or_never_ns();
        self.read_first_ns <= begun_ns && last_ns >= call.answered_ns.unwrap_or(0)
    }

    /// Time from the last read for it, of the request or of another call's answer, to the beginning
    /// of the call.
    pub(super) fn before_ns(&self, begun_ns: u64) -> u64 {
        let mut read_ns =
            if self.read_last_ns <= begun_ns { self.read_last_ns } else { self.read_first_ns };
        for MadeFor { join, .. } in &self.calls {
            if join.end_ns <= begun_ns {
                read_ns = read_ns.max(join.end_ns);
            }
        }
        if read_ns > begun_ns {
            // Only the slack lets it count as read before.
            return read_ns - begun_ns + SLACK_NS;
        }
        begun_ns - read_ns
    }

    /// Whether another call was made for it meanwhile.
    pub(super) fn is_taken(&self, call: &Called) -> bool {
        let meanwhile = |join: &Join| join.start_ns < call.end_ns && call.begun_ns < join.end_ns;
        self.calls.iter().any(|made| meanwhile(&made.join))
    }

    /// Time from the call's answer to its first write.
    pub(super) fn after_ns(&self, call: &Called) -> u64 {
        let (first_ns, _) = self.written_or_never_ns();
        first_ns.abs_diff(call.answered_ns.unwrap_or(call.end_ns))
    }

    /// Whether both responses are nearly of one size.
    pub(super) fn agrees(&self, call: &Called) -> bool {
        self.response_bytes.abs_diff(call.response_bytes) <= HEADERS_BYTES
    }
}

/// Time that the peer did not take what was written, ns: the longest of the waits for room in the
/// send buffer, of what the kernel counts, and of what it held for the peer's window or the path.
/// These overlap.
fn full_ns(outbound: &Outbound) -> u64 {
    let mut held_ns = 0_u64;
    for hold in &outbound.holds {
        if matches!(hold.reason, HoldReason::ReceiveWindow | HoldReason::Congestion) {
            held_ns = held_ns.saturating_add(hold.held_ns);
        }
    }
    outbound.blocked_ns.max(outbound.window_limited_ns).max(held_ns)
}

impl Called {
    /// Takes the facts of a call; `None` while nothing was written. `connected_ns` is the time at
    /// which its connection was asked for, if this is the first exchange there.
    pub(super) fn new(
        exchange: &Exchange,
        peer: SocketAddr,
        connected_ns: Option<u64>,
    ) -> Option<Self> {
        let outbound = exchange.outbound.as_ref()?;
        let (mut answered_ns, mut end_ns, mut response_bytes) = (None, exchange.ts_ns, 0);
        if let Some(inbound) = &exchange.inbound {
            answered_ns = inbound.read_first_ns.or(inbound.read_last_ns);
            end_ns = inbound.read_last_ns.unwrap_or(exchange.ts_ns);
            response_bytes = inbound.bytes;
        } else if let Some(end) = &exchange.end {
            // Its report may come some time after that.
            end_ns = end.ts_ns.max(outbound.first_ns).min(exchange.ts_ns);
        }
        Some(Self {
            id: (exchange.sock, exchange.seq),
            peer,
            tid: outbound.writer.map(|writer| writer.tid),
            begun_ns: connected_ns.unwrap_or(outbound.first_ns).min(outbound.first_ns),
            written_ns: outbound.first_ns,
            answered_ns,
            end_ns,
            response_bytes,
            served: None,
            is_over: exchange.progress != Progress::Open || is_quiet(exchange),
            is_decided: false,
            fault: None,
            uncounted: None,
        })
    }

    /// Takes a connect that has no answer yet, as a call without a number.
    pub(super) fn connecting(connect: &Connect) -> Self {
        Self {
            id: (connect.sock, 0),
            peer: connect.peer,
            tid: connect.tid,
            begun_ns: connect.asked_ns,
            written_ns: connect.asked_ns,
            answered_ns: None,
            end_ns: connect.ts_ns,
            response_bytes: 0,
            served: None,
            is_over: false,
            is_decided: false,
            fault: None,
            uncounted: None,
        }
    }

    /// Takes over what was known of it before these facts.
    pub(super) fn keep(&mut self, known: &mut Self) {
        self.fault = known.fault;
        self.uncounted = known.uncounted.take();
    }

    /// It has no answer yet, and may get one.
    pub(super) fn is_awaited(&self) -> bool {
        !self.is_over && self.answered_ns.is_none()
    }

    /// For how long it lasts, or lasted, µs.
    pub(super) fn us(&self) -> u64 {
        self.end_ns.saturating_sub(self.begun_ns) / 1_000
    }
}

/// The way in which a call failed that nobody answered, if its end is known.
pub(super) fn fault(exchange: &Exchange) -> Option<CallFault> {
    let end = exchange.end?;
    Some(match (end.by, end.how) {
        (_, Ending::Timeout) => CallFault::TimedOut,
        (Side::Local, _) => CallFault::GivenUp,
        (Side::Peer, Ending::Reset) => CallFault::Reset,
        (Side::Peer, Ending::Fin) => CallFault::Closed,
    })
}

/// Time of a stretch in which any of these calls was under way, ns.
pub(super) fn union_ns<'a>(calls: impl Iterator<Item = &'a Join>, from_ns: u64, to_ns: u64) -> u64 {
    let mut spans: SmallVec<[(u64, u64); 4]> = SmallVec::new();
    for join in calls {
        spans.push((join.start_ns.max(from_ns), join.end_ns.min(to_ns)));
    }
    spans.sort_unstable();
    let (mut sum_ns, mut end_ns) = (0_u64, from_ns);
    for (from, to) in spans {
        sum_ns = sum_ns.saturating_add(to.saturating_sub(from.max(end_ns)));
        end_ns = end_ns.max(to);
    }
    sum_ns
}

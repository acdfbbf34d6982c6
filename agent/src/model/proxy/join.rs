//! Joins calls to the requests that they were made for: by thread, by time, and by order.
//!
//! A proxy's call lies within the exchange that it serves: it begins after the request was read,
//! and its answer comes before the response is written. With one request at a time that is enough.
//! An event loop serves many at a time, so that a call lies within several. The right one was read
//! last before the call, and is the first to be written after the call's answer.

use std::net::SocketAddr;

use smallvec::SmallVec;

use crate::model::event::{Exchange, HoldReason, Outbound, Progress, SockId};
use crate::model::exchange::is_quiet;
use crate::model::snapshot::Join;
use crate::model::threads;

/// Clocks of two hooks may differ by so much, ns.
const SLACK_NS: u64 = 50_000;
/// Headers that a proxy adds or takes away change a response by no more, bytes.
const HEADERS_BYTES: u64 = 1_024;

/// On one thread, and no other request was open on it; nor had this one another call under way.
pub(super) const ALONE: f64 = 0.95;
/// On one thread, and of several requests the order of reads and writes names one.
const IN_ORDER: f64 = 0.85;
/// On one thread, and of several requests the one that fits best.
const BEST: f64 = 0.6;
/// Another thread of the process, and no other request was open.
const PROCESS_ALONE: f64 = 0.5;
/// Another thread, and of several requests the order names one.
const PROCESS_IN_ORDER: f64 = 0.4;
/// Another thread, and of several requests the one that fits best.
const PROCESS_BEST: f64 = 0.2;

pub(super) type Id = (SockId, u32);

/// A served exchange.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) id: Id,
    pub(super) peer: SocketAddr,
    /// Threads of the first read and the first write.
    tids: [Option<u32>; 2],
    read_first_ns: u64,
    read_last_ns: u64,
    /// The first write, and the last; `None` while there is none.
    pub(super) written_ns: Option<(u64, u64)>,
    response_bytes: u64,
    /// Time that its client did not take what was written, as far as that is known, ns.
    pub(super) full_ns: u64,
    /// Time of its facts.
    pub(super) seen_ns: u64,
    /// The calls made for it, each with its start and its end.
    pub(super) calls: SmallVec<[(Join, u64, u64); 1]>,
}

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) id: Id,
    pub(super) peer: SocketAddr,
    /// The thread of the first write.
    tid: Option<u32>,
    /// The connection was asked for, or the first byte written on one that there was.
    begun_ns: u64,
    written_ns: u64,
    /// The first byte of the response was read.
    answered_ns: Option<u64>,
    pub(super) end_ns: u64,
    response_bytes: u64,
    /// The served exchange that it was made for.
    pub(super) served: Option<Join>,
    /// Nothing more of it is on the way.
    pub(super) is_over: bool,
    /// The request that it was made for has been looked for.
    pub(super) is_decided: bool,
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
        })
    }

    /// Returns the time that it waited for the calls made for it, up to its first write, µs, and
    /// the peer of the longest one; `None` if none was made.
    pub(super) fn waited(&self) -> Option<(u64, SocketAddr)> {
        let longest =
            self.calls.iter().max_by_key(|&&(_, from_ns, to_ns)| to_ns.saturating_sub(from_ns))?;
        let until_ns = match self.written_ns {
            Some((first_ns, _)) => first_ns,
            None => self.seen_ns,
        };
        Some((self.on_calls_ns(self.read_last_ns, until_ns) / 1_000, longest.0.peer))
    }

    /// Time of a stretch in which any of its calls was under way, ns.
    pub(super) fn on_calls_ns(&self, from_ns: u64, to_ns: u64) -> u64 {
        let mut spans = Vec::with_capacity(self.calls.len());
        for &(_, begun_ns, ended_ns) in &self.calls {
            spans.push((begun_ns.max(from_ns), ended_ns.min(to_ns)));
        }
        spans.sort_unstable();
        let (mut sum_ns, mut end_ns) = (0_u64, from_ns);
        for (from, to) in spans {
            sum_ns = sum_ns.saturating_add(to.saturating_sub(from.max(end_ns)));
            end_ns = end_ns.max(to);
        }
        sum_ns
    }

    /// The first and the last write; the end of time while there is none.
    fn written_or_never_ns(&self) -> (u64, u64) {
        self.written_ns.unwrap_or((u64::MAX, u64::MAX))
    }

    /// Whether the call may have been made for it: at `begun_ns` it had been read from and not been
    /// answered, and it was written after the call had its answer.
    fn contains(&self, call: &Called, begun_ns: u64) -> bool {
        let (first_ns, last_ns) = self.written_or_never_ns();
        self.read_first_ns <= begun_ns.saturating_add(SLACK_NS)
            && first_ns.saturating_add(SLACK_NS) >= call.written_ns
            && last_ns.saturating_add(SLACK_NS) >= call.answered_ns.unwrap_or(0)
    }

    /// Time from the last read for it, of the request or of another call's answer, to the beginning
    /// of the call.
    fn before_ns(&self, begun_ns: u64) -> u64 {
        let mut read_ns =
            if self.read_last_ns <= begun_ns { self.read_last_ns } else { self.read_first_ns };
        for &(_, _, end_ns) in &self.calls {
            if end_ns <= begun_ns {
                read_ns = read_ns.max(end_ns);
            }
        }
        begun_ns.saturating_sub(read_ns)
    }

    /// Whether another call was made for it meanwhile.
    fn is_taken(&self, call: &Called) -> bool {
        self.calls.iter().any(|&(_, from_ns, to_ns)| from_ns < call.end_ns && call.begun_ns < to_ns)
    }

    /// Time from the call's answer to its first write.
    fn after_ns(&self, call: &Called) -> u64 {
        let (first_ns, _) = self.written_or_never_ns();
        first_ns.abs_diff(call.answered_ns.unwrap_or(call.end_ns))
    }

    /// Whether both responses are nearly of one size.
    fn agrees(&self, call: &Called) -> bool {
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
        })
    }
}

/// Joins each of `calls` to the one of `served` that it was made for. `served` has all that can
/// contain it.
pub(super) fn join(served: &mut [&mut Served], calls: &mut [&mut Called]) {
    served.sort_unstable_by_key(|one| (one.read_first_ns, one.id));
    calls.sort_unstable_by_key(|call| (call.written_ns, call.id));
    let mut next = 0;
    let mut open: Vec<usize> = Vec::new();
    for call in calls {
        while next < served.len()
            && served[next].read_first_ns <= call.written_ns.saturating_add(SLACK_NS)
        {
            open.push(next);
            next += 1;
        }
        open.retain(|&at| {
            let (first_ns, _) = served[at].written_or_never_ns();
            first_ns.saturating_add(SLACK_NS) >= call.written_ns
        });
        call.is_decided = true;
        // A connection that was made long before, to have one ready, was made for no request.
        let begins = [call.begun_ns, call.written_ns];
        let chosen = begins.into_iter().find_map(|ns| Some((ns, choose(served, &open, call, ns)?)));
        let Some((begun_ns, (at, confidence))) = chosen else { continue };
        let one = &mut served[at];
        call.served = Some(Join { sock: one.id.0, seq: one.id.1, peer: one.peer, confidence });
        let join = Join { sock: call.id.0, seq: call.id.1, peer: call.peer, confidence };
        one.calls.push((join, begun_ns, call.end_ns));
    }
}

/// Chooses the exchange that a call was made for, with how sure that is.
fn choose(
    served: &[&mut Served],
    open: &[usize],
    call: &Called,
    begun_ns: u64,
) -> Option<(usize, f64)> {
    let (mut fits, mut on_thread) = (Vec::new(), Vec::new());
    for &at in open {
        if !served[at].contains(call, begun_ns) {
            continue;
        }
        fits.push(at);
        if call.tid.is_some() && served[at].tids.contains(&call.tid) {
            on_thread.push(at);
        }
    }
    let (among, [alone, in_order, best]) = if on_thread.is_empty() {
        (fits, [PROCESS_ALONE, PROCESS_IN_ORDER, PROCESS_BEST])
    } else {
        (on_thread, [ALONE, IN_ORDER, BEST])
    };
    if let [only] = among[..] {
        // One that had a call under way already may do two things at a time; or the exchange of one
        // of the calls is missing.
        return Some((only, if served[only].is_taken(call) { best } else { alone }));
    }
    let before = |at: usize| served[at].before_ns(begun_ns);
    let after = |at: usize| served[at].after_ns(call);
    let last_read = among.iter().copied().min_by_key(|&at| before(at))?;
    let first_written = among.iter().copied().min_by_key(|&at| after(at))?;
    if last_read == first_written {
        return Some((last_read, in_order));
    }
    let distance =
        |at: usize| u128::from(before(at)).pow(2).saturating_add(u128::from(after(at)).pow(2));
    let rank = |at: &usize| (served[*at].is_taken(call), !served[*at].agrees(call), distance(*at));
    let nearest = among.iter().copied().min_by_key(rank)?;
    Some((nearest, best))
}

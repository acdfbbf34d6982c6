//! The ledger: the facts of one exchange become slices of time, each with who held it.
//!
//! Whatever the facts are, the slices tile the exchange. Times out of order are clamped to the
//! slices laid so far, and what no fact vouches for is [`SliceKind::Unknown`].
//!
//! In the order in which the model uses it: `state` tells whether there is an exchange, and whether
//! it is over; [`view_in`] lays the slices (`first`, `receive`, `send`, `end`, by way of `tile`);
//! [`complete()`] and [`prepend_work`] add what the thread's other calls tell; [`take_out`] and
//! [`verdict`] work on the finished slices.

mod complete;
mod end;
mod first;
mod receive;
mod send;
mod slices;
mod state;
mod tile;

use super::event::{Exchange, Inbound, Outbound, Progress, Role, ThreadUse};
use super::snapshot::{ExchangeView, Pieces, Slice, SliceKind};
pub(super) use complete::{complete, prepend_work};
pub(super) use end::{LEAST_SEALED, cut, is_over, is_unanswered};
pub(super) use first::{First, Ignoring};
use first::{accepted, left_ns};
use receive::{arrived_ns, is_taken, receive};
pub(super) use slices::{counted, take_out, trailing_us, verdict};
pub(super) use state::{
    is_answered, is_farewell, is_ordinary, is_quiet, is_silent, next, without_next,
};
use tile::Tile;

/// A call that ended no longer than this before a stretch counts as ended at its beginning, ns.
const SLACK_NS: u64 = 100_000;
/// In a shorter wait it makes no difference what the reader did before it, ns.
const DOUBTED_NS: u64 = 1_000_000;

/// A client's first exchange begins with the connect if it writes within this time after that, ns:
/// the connection was made for it.
const AT_ONCE_NS: u64 = 10_000_000;

/// Facts about the connection that an exchange was on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beginning<'a> {
    /// Accept or connect, for the connection's first exchange.
    pub(super) first: Option<&'a First>,
    /// Why segments of a call were sent again.
    pub(super) resent: Resent,
}

impl<'a> From<Option<&'a First>> for Beginning<'a> {
    fn from(first: Option<&'a First>) -> Self {
        Self { first, ..Self::default() }
    }
}

/// Why segments had to be sent again, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Resent {
    /// They, or what acknowledged them, were lost or late.
    #[default]
    Lost,
    /// The server, on this host, ignored them since its accept queue was full.
    Ignored,
    /// Lost, or ignored by a server whose accept queue was full: nothing tells.
    LostOrIgnored,
}

impl Resent {
    fn kind(self) -> SliceKind {
        match self {
            Self::Lost => SliceKind::Retransmit,
            Self::Ignored => SliceKind::Ignored,
            Self::LostOrIgnored => SliceKind::Unknown,
        }
    }
}

/// Lays the slices of an exchange, with a verdict.
pub(super) fn view<'a>(exchange: &Exchange, beginning: impl Into<Beginning<'a>>) -> ExchangeView {
    let mut view = view_in(exchange, beginning.into(), Vec::new());
    view.verdict = verdict(&view.slices);
    view
}

/// Lays the slices of an exchange into `buf`, which is empty: its memory may have been another
/// exchange's. There is no verdict, which most exchanges need not have.
pub(super) fn view_in(
    exchange: &Exchange,
    beginning: Beginning<'_>,
    buf: Vec<Slice>,
) -> ExchangeView {
    let mut tile = Tile::new(buf);
    let at_its_end = end::at_its_end(exchange);
    let timed = at_its_end.as_ref().unwrap_or(exchange);
    let is_first = exchange.seq == 1 && !exchange.preexisting;
    let first = if is_first { beginning.first } else { None };
    match exchange.role {
        Role::Server => server(&mut tile, timed, first),
        Role::Client => client(&mut tile, timed, first, beginning.resent),
    }
    let start_ns = tile.start_ns();
    let (total_us, slices) = tile.finish();
    let reads = match &exchange.inbound {
        Some(inbound) => inbound.reads,
        None => 0,
    };
    let (writes, last_sizes, held_sizes) = match &exchange.outbound {
        Some(outbound) => (outbound.writes, outbound.last_sizes, outbound.held_sizes),
        None => (0, [0; 2], [0; 2]),
    };
    let pieces = match &exchange.outbound {
        Some(outbound) if exchange.role == Role::Server => pieces(outbound, start_ns),
        _ => None,
    };
    let (request_bytes, response_bytes) = match exchange.role {
        Role::Server => (exchange.bytes_in(), exchange.bytes_out()),
        Role::Client => (exchange.bytes_out(), exchange.bytes_in()),
    };
    ExchangeView {
        seq: exchange.seq,
        start_ns,
        total_us,
        done: exchange.progress != Progress::Open || is_answered(exchange),
        stands_for: 1,
        verdict: None,
        slices,
        request_bytes,
        response_bytes,
        reads,
        writes,
        pieces,
        pushed_after_us: None,
        put_aside: false,
        last_sizes,
        held_sizes,
        read_tid: exchange.reader().map(|reader| reader.tid),
        write_tid: exchange.writer().map(|writer| writer.tid),
        inside: Vec::new(),
        connects: Vec::new(),
        within: Vec::new(),
        upstream: Vec::new(),
        downstream: None,
        multiplexed: false,
        several: false,
        handshake: false,
        unanswered: at_its_end.is_some() && is_unanswered(exchange, None, false),
    }
}

/// The pieces of a response, if there was any pause between them.
fn pieces(outbound: &Outbound, start_ns: u64) -> Option<Pieces> {
    if outbound.gaps == 0 {
        return None;
    }
    Some(Pieces {
        first_byte_us: outbound.first_ns.saturating_sub(start_ns) / 1_000,
        rest_us: outbound.last_ns.saturating_sub(outbound.first_ns) / 1_000,
        pauses: outbound.gaps,
        longest_pause_us: outbound.longest_gap_ns / 1_000,
    })
}

/// Lays the slices of a server's exchange: in, at work, out.
fn server(tile: &mut Tile, exchange: &Exchange, first: Option<&First>) {
    let now_ns = exchange.ts_ns;
    let (inbound, outbound) = (exchange.inbound.as_ref(), exchange.outbound.as_ref());
    let arrived_ns = arrived_ns(exchange);
    match first {
        // The client closed its side without a request. The response answers that.
        Some(first)
            if inbound.is_none()
                && let Some(left_ns) = left_ns(exchange, first) =>
        {
            tile.begin(left_ns)
        }
        Some(first) => accepted(tile, exchange, first, arrived_ns),
        None => tile.begin(arrived_ns.or(written_ns(exchange)).unwrap_or(now_ns)),
    }
    if let Some(inbound) = inbound {
        receive(tile, exchange, inbound, SliceKind::Request);
    }
    match outbound {
        Some(outbound) => {
            answer(tile, inbound, outbound, now_ns);
            send::send(tile, exchange, outbound, now_ns);
            send::acknowledge(tile, exchange, outbound, now_ns);
        }
        // The application has what came.
        None if exchange.progress == Progress::Open && inbound.is_some_and(is_taken) => {
            tile.until(now_ns, SliceKind::App);
        }
        None => {}
    }
}

/// Lays the slices of a call: connect, out, the peer's turn, in.
fn client(tile: &mut Tile, exchange: &Exchange, first: Option<&First>, resent: Resent) {
    let now_ns = exchange.ts_ns;
    let arrived_ns = arrived_ns(exchange);
    let begun_ns = written_ns(exchange).or(arrived_ns).unwrap_or(now_ns);
    match first {
        Some(first)
            if begun_ns.saturating_sub(first.accepted_ns) <= AT_ONCE_NS
                && first.queued_ns < begun_ns =>
        {
            tile.begin(first.queued_ns);
            tile.until(first.accepted_ns.min(begun_ns), SliceKind::Connect);
            tile.until(begun_ns, SliceKind::App);
        }
        _ => tile.begin(begun_ns),
    }
    if let Some(outbound) = &exchange.outbound {
        send::send(tile, exchange, outbound, now_ns);
        let waits_on = exchange.progress == Progress::Open && outbound.unsent_bytes == 0;
        let until_now = if waits_on { Some(now_ns) } else { None };
        if let Some(end_ns) = arrived_ns.or(until_now) {
            respond(tile, exchange, outbound, end_ns, resent);
        }
    }
    if let Some(inbound) = &exchange.inbound {
        receive(tile, exchange, inbound, SliceKind::Response);
    }
}

/// The first write of an exchange.
fn written_ns(exchange: &Exchange) -> Option<u64> {
    let outbound = exchange.outbound.as_ref()?;
    Some(outbound.first_ns.min(exchange.ts_ns))
}

/// Lays slices of the peer's turn: from the request sent to the first byte of the response.
fn respond(tile: &mut Tile, exchange: &Exchange, outbound: &Outbound, end_ns: u64, resent: Resent) {
    if outbound.retransmits > 0 && !send::is_spurious(exchange, outbound) {
        // Once the request was acknowledged, the peer had it.
        let resent_ns = outbound.acked_ns.unwrap_or(end_ns).min(end_ns);
        let round_trip_ns = send::round_trip_ns(exchange, tile.span_to(resent_ns));
        match resent {
            // No part is a response: without a known round trip `split` would make all of it one.
            Resent::Ignored => tile.until(resent_ns, SliceKind::Ignored),
            _ => tile.split(resent_ns, [(SliceKind::Response, round_trip_ns)], resent.kind()),
        }
    }
    tile.until(end_ns, SliceKind::Response);
}

/// Lays slices of the application's turn: from the last read to the first write.
fn answer(tile: &mut Tile, inbound: Option<&Inbound>, outbound: &Outbound, now_ns: u64) {
    let (from_ns, end_ns) = (tile.end_ns(), outbound.first_ns.min(now_ns));
    let span_ns = tile.span_to(end_ns);
    if let Some(inbound) = inbound
        && inbound.read_first_ns.is_none()
        && inbound.read_last_ns.is_none()
    {
        // The request was read before it was watched, at an unknown time.
        return tile.until(end_ns, SliceKind::Unknown);
    }
    let (delay_ns, cpu_ns) = match &outbound.writer {
        Some(writer) => use_of(writer, from_ns, span_ns),
        None => (0, None),
    };
    tile.until_with_cpu(end_ns.saturating_sub(delay_ns), SliceKind::App, cpu_ns);
    tile.until(end_ns, SliceKind::RunQueue);
}

/// Time that the thread waited for a CPU in a stretch, and was on one where that is known. Its
/// figures run from its call before: if that ended well before the stretch, they may belong to what
/// came before it.
fn use_of(thread: &ThreadUse, from_ns: u64, span_ns: u64) -> (u64, Option<u64>) {
    let Some(since_ns) = thread.since_ns else { return (0, None) };
    let is_inside = since_ns.saturating_add(SLACK_NS) >= from_ns;
    let fits = is_inside || thread.run_delay_ns <= span_ns;
    let delay_ns = if fits { thread.run_delay_ns.min(span_ns) } else { 0 };
    // A call in the middle of the stretch hides what the thread did before it.
    let covers =
        is_inside && since_ns <= from_ns.saturating_add(span_ns / 10).saturating_add(SLACK_NS);
    let cpu_ns = if covers { Some(thread.cpu_ns.min(span_ns - delay_ns)) } else { None };
    (delay_ns, cpu_ns)
}

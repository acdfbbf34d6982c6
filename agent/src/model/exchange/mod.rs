//! The ledger: the facts of one exchange become slices of time, each with who held it.
//!
//! Whatever the facts are, the slices tile the exchange. Times out of order are clamped to the
//! slices laid so far, and what no fact vouches for is [`SliceKind::Unknown`].

mod complete;
mod end;
mod first;
mod send;
mod tile;

use super::event::{Exchange, Inbound, Outbound, Outcome, Progress, Role, ThreadUse};
use super::snapshot::{ConnectFailure, ExchangeView, Pieces, Protocol, Slice, SliceKind, Verdict};
use super::spans;
pub(super) use complete::{complete, prepend_work};
pub(super) use end::{LEAST_SEALED, cut, is_over, is_unanswered};
pub(super) use first::{First, Ignoring};
use first::{accepted, left_ns};
use tile::Tile;

/// A call that ended so long before a stretch began counts as ended at its beginning, ns.
const SLACK_NS: u64 = 100_000;
/// Less than one in so many of a request's bytes is a small rest.
const REMAINDER: u64 = 8;
/// In a shorter wait it makes no difference what the reader did before it, ns.
const DOUBTED_NS: u64 = 1_000_000;

/// A client's first exchange begins with the connect if it writes so soon after that, ns: it was
/// made for it.
const AT_ONCE_NS: u64 = 10_000_000;

/// What is known of the connection that an exchange was on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beginning<'a> {
    /// How it was accepted; for its first exchange.
    pub(super) first: Option<&'a First>,
    /// What became of the segments of a call that were sent again.
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

/// What the facts come to.
pub(super) fn view<'a>(exchange: &Exchange, beginning: impl Into<Beginning<'a>>) -> ExchangeView {
    let mut view = view_in(exchange, beginning.into(), Vec::new());
    view.verdict = verdict(&view.slices);
    view
}

/// The same without a verdict, which most exchanges need not have; with its slices laid into
/// `room`, which is empty: it may have been another exchange's.
pub(super) fn view_in(
    exchange: &Exchange,
    beginning: Beginning<'_>,
    room: Vec<Slice>,
) -> ExchangeView {
    let mut tile = Tile::new(room);
    let at_its_end = end::at_its_end(exchange);
    let timed = at_its_end.as_ref().unwrap_or(exchange);
    let first = beginning.first.filter(|_| exchange.seq == 1 && !exchange.midway);
    match exchange.role {
        Role::Server => server(&mut tile, timed, first),
        Role::Client => client(&mut tile, timed, first, beginning.resent),
    }
    let start_ns = tile.start_ns();
    let (total_us, slices) = tile.finish();
    let (inbound, outbound) = (exchange.inbound.as_ref(), exchange.outbound.as_ref());
    let (bytes_in, bytes_out) =
        (inbound.map_or(0, |inbound| inbound.bytes), outbound.map_or(0, |sent| sent.bytes));
    let (request_bytes, response_bytes) = match exchange.role {
        Role::Server => (bytes_in, bytes_out),
        Role::Client => (bytes_out, bytes_in),
    };
    ExchangeView {
        seq: exchange.seq,
        start_ns,
        total_us,
        done: exchange.progress != Progress::Open || is_answered(exchange),
        verdict: None,
        slices,
        request_bytes,
        response_bytes,
        reads: inbound.map_or(0, |inbound| inbound.reads),
        writes: outbound.map_or(0, |outbound| outbound.writes),
        pieces: outbound
            .filter(|_| exchange.role == Role::Server)
            .and_then(|outbound| pieces(outbound, start_ns)),
        pushed_after_us: None,
        last_sizes: outbound.map_or([0; 2], |outbound| outbound.last_sizes),
        held_sizes: outbound.map_or([0; 2], |outbound| outbound.held_sizes),
        read_tid: inbound.and_then(|inbound| inbound.reader).map(|reader| reader.tid),
        write_tid: outbound.and_then(|outbound| outbound.writer).map(|writer| writer.tid),
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

/// No byte came and none was written: a spare connection, or one that was only looked at, and no
/// exchange.
pub(super) fn is_silent(exchange: &Exchange) -> bool {
    let came = |inbound: &Inbound| {
        inbound.bytes + inbound.unread_bytes > 0 || inbound.read_first_ns.is_some()
    };
    exchange.outbound.is_none() && !exchange.inbound.as_ref().is_some_and(came)
}

/// What a server of HTTP/1 says before anything was asked: that nothing was (400, 408). It answers
/// no request, and the time before it was the client's. Who speaks another protocol may have to
/// speak first.
pub(super) fn is_farewell(exchange: &Exchange, protocol: Option<Protocol>) -> bool {
    exchange.role == Role::Server
        && exchange.inbound.is_none()
        && exchange.seq == 1
        && !exchange.midway
        && protocol.is_some_and(Protocol::is_http1)
}

/// How the pieces of a response came, if there was any pause between them.
fn pieces(outbound: &Outbound, start_ns: u64) -> Option<Pieces> {
    (outbound.gaps > 0).then(|| Pieces {
        first_byte_us: outbound.first_ns.saturating_sub(start_ns) / 1_000,
        rest_us: outbound.last_ns.saturating_sub(outbound.first_ns) / 1_000,
        pauses: outbound.gaps,
        longest_pause_us: outbound.longest_gap_ns / 1_000,
    })
}

/// A server's exchange whose response has been written, sent and acknowledged. More of it may come
/// still.
pub(super) fn is_answered(exchange: &Exchange) -> bool {
    let unread = exchange.inbound.as_ref().is_some_and(|inbound| inbound.unread_bytes > 0);
    let settled = |sent: &Outbound| {
        sent.unsent_bytes == 0 && sent.unacked_bytes == 0 && sent.acked_ns.is_some()
    };
    exchange.role == Role::Server && !unread && exchange.outbound.as_ref().is_some_and(settled)
}

/// An answered exchange behind which the next request lies unread: as it stands without that.
pub(super) fn without_next(exchange: &Exchange) -> Exchange {
    let inbound = exchange.inbound.clone().map(|inbound| Inbound { unread_bytes: 0, ..inbound });
    Exchange { inbound, ..exchange.clone() }
}

/// The request that lies unread behind an answered exchange, which came from the first of these
/// moments to the other.
pub(super) fn next(exchange: &Exchange, (first_ns, last_ns): (u64, u64)) -> Exchange {
    let unread_bytes = exchange.inbound.as_ref().map_or(0, |inbound| inbound.unread_bytes);
    let inbound = Inbound { first_ns, last_ns, unread_bytes, ..Inbound::default() };
    let seq = exchange.seq.saturating_add(1);
    Exchange { seq, midway: false, inbound: Some(inbound), outbound: None, ..exchange.clone() }
}

/// Nothing of it is on the way or waits to be read: it is over unless more comes.
pub(super) fn is_quiet(exchange: &Exchange) -> bool {
    match exchange.role {
        Role::Server => is_answered(exchange),
        Role::Client => {
            let read = |inbound: &Inbound| inbound.unread_bytes == 0 && inbound.reads > 0;
            let sent = exchange.outbound.as_ref().is_none_or(|outbound| outbound.unsent_bytes == 0);
            sent && exchange.inbound.as_ref().is_some_and(read)
        }
    }
}

/// The delayed ACK at the end of an exchange, µs: nothing was behind it, so it held nobody.
pub(super) fn trailing_us(slices: &[Slice]) -> Option<u64> {
    slices.last().filter(|last| last.kind == SliceKind::DelayedAck).map(|last| last.us)
}

/// Time by kind, without the trailing delayed ACK.
pub(super) fn counted(slices: &[Slice]) -> impl Iterator<Item = (SliceKind, u64)> {
    let counted = slices.len() - usize::from(trailing_us(slices).is_some());
    slices[..counted].iter().map(|slice| (slice.kind, slice.us))
}

/// The application waited for connects that failed: this part of its time is taken out of it.
pub(super) fn take_out(slices: &mut Vec<Slice>, failures: &[ConnectFailure]) {
    if failures.is_empty() {
        return;
    }
    let whole = std::mem::take(slices);
    for slice in whole {
        if slice.kind != SliceKind::App {
            slices.push(slice);
            continue;
        }
        let mut rest = slice;
        // What never left this host took no time of anybody else's.
        let left = |failure: &&ConnectFailure| {
            !matches!(failure.outcome, Outcome::NoPort | Outcome::NoRoute)
        };
        for failure in failures.iter().filter(left) {
            let after_us = |ns: u64| (ns.saturating_sub(rest.start_ns) / 1_000).min(rest.us);
            let end_ns = failure.start_ns.saturating_add(failure.us.saturating_mul(1_000));
            let (from_us, to_us) = (after_us(failure.start_ns), after_us(end_ns));
            if from_us < to_us {
                let (before, waited) = (rest.cut(from_us), rest.cut(to_us - from_us));
                slices.extend(Some(before).filter(|before| before.us > 0));
                slices.push(Slice { kind: failure.kind(), cpu_us: None, ..waited });
            }
        }
        slices.extend(Some(rest).filter(|rest| rest.us > 0));
    }
}

impl Slice {
    /// Takes so much of its beginning away, with the time on a CPU as far as there is room for it.
    fn cut(&mut self, us: u64) -> Self {
        let cpu_us = self.cpu_us.map(|cpu_us| cpu_us.min(us));
        let head = Self { us, cpu_us, ..*self };
        self.start_ns = self.start_ns.saturating_add(us.saturating_mul(1_000));
        self.us -= us;
        self.cpu_us = self.cpu_us.zip(cpu_us).map(|(all, taken)| all - taken);
        head
    }
}

/// What most of the time went on.
pub(super) fn verdict(slices: &[Slice]) -> Option<Verdict> {
    let (mut by_kind, mut total) = ([0; SliceKind::ALL.len()], 0);
    for (kind, us) in counted(slices) {
        by_kind[kind as usize] += us;
        total += us;
    }
    let mut most: Option<(SliceKind, u64)> = None;
    for (kind, _) in counted(slices) {
        let us = by_kind[kind as usize];
        // Of equals the earlier kind, so that the answer does not depend on order.
        if most.is_none_or(|(most, most_us)| us > most_us || us == most_us && kind < most) {
            most = Some((kind, us));
        }
    }
    let (kind, us) = most?;
    (us > 0).then(|| Verdict { kind, share: us as f64 / total as f64, us })
}

fn server(tile: &mut Tile, exchange: &Exchange, first: Option<&First>) {
    let now_ns = exchange.ts_ns;
    let (inbound, outbound) = (exchange.inbound.as_ref(), exchange.outbound.as_ref());
    let arrived_ns = inbound.and_then(|inbound| arrived_ns(inbound, now_ns));
    let written_ns = outbound.map(|outbound| outbound.first_ns.min(now_ns));
    match first {
        // Nothing was asked, and then the client closed its side: that is what is answered.
        Some(first)
            if inbound.is_none()
                && let Some(left_ns) = left_ns(exchange, first) =>
        {
            tile.begin(left_ns)
        }
        Some(first) => accepted(tile, exchange, first, arrived_ns),
        None => tile.begin(arrived_ns.or(written_ns).unwrap_or(now_ns)),
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

fn client(tile: &mut Tile, exchange: &Exchange, first: Option<&First>, resent: Resent) {
    let now_ns = exchange.ts_ns;
    let (inbound, outbound) = (exchange.inbound.as_ref(), exchange.outbound.as_ref());
    let arrived_ns = inbound.and_then(|inbound| arrived_ns(inbound, now_ns));
    let written_ns = outbound.map(|outbound| outbound.first_ns.min(now_ns));
    let begun_ns = written_ns.or(arrived_ns).unwrap_or(now_ns);
    let made = |first: &&First| {
        begun_ns.saturating_sub(first.accepted_ns) <= AT_ONCE_NS && first.queued_ns < begun_ns
    };
    match first.filter(made) {
        Some(first) => {
            tile.begin(first.queued_ns);
            tile.until(first.accepted_ns.min(begun_ns), SliceKind::Connect);
            tile.until(begun_ns, SliceKind::App);
        }
        None => tile.begin(begun_ns),
    }
    if let Some(outbound) = outbound {
        send::send(tile, exchange, outbound, now_ns);
        let waits_on = exchange.progress == Progress::Open && outbound.unsent_bytes == 0;
        if let Some(end_ns) = arrived_ns.or(waits_on.then_some(now_ns)) {
            respond(tile, exchange, outbound, end_ns, resent);
        }
    }
    if let Some(inbound) = inbound {
        receive(tile, exchange, inbound, SliceKind::Response);
    }
}

/// The peer's turn: from the request sent to the first byte of the response.
fn respond(tile: &mut Tile, exchange: &Exchange, outbound: &Outbound, end_ns: u64, resent: Resent) {
    if outbound.retransmits > 0 && !send::came_anyway(exchange, outbound) {
        // Once the request was acknowledged, the peer had it.
        let resent_ns = outbound.acked_ns.unwrap_or(end_ns).min(end_ns);
        let round_trip_ns = send::round_trip_ns(exchange, tile.room(resent_ns));
        match resent {
            // Without a round trip to compare with all of it is as long as one.
            Resent::Ignored => tile.until(resent_ns, SliceKind::Ignored),
            _ => tile.split(resent_ns, [(SliceKind::Response, round_trip_ns)], resent.kind()),
        }
    }
    tile.until(end_ns, SliceKind::Response);
}

/// When the first byte was there, as far as observed.
fn arrived_ns(inbound: &Inbound, now_ns: u64) -> Option<u64> {
    let seen = Some(inbound.first_ns).filter(|&ns| ns > 0);
    seen.or(inbound.read_first_ns).or(inbound.read_last_ns).map(|ns| ns.min(now_ns))
}

/// From the first byte that arrived to the last read; while nobody has read, to the first write or
/// to now. `starved` is what waiting for more from the peer is called.
fn receive(tile: &mut Tile, exchange: &Exchange, inbound: &Inbound, starved: SliceKind) {
    let now_ns = exchange.ts_ns;
    let Some(read_first_ns) = inbound.read_first_ns.or(inbound.read_last_ns) else {
        return unread(tile, exchange, inbound);
    };
    let read_first_ns = read_first_ns.min(now_ns);
    let read_last_ns = inbound.read_last_ns.unwrap_or(read_first_ns).min(now_ns);
    // What a server reads behind its first write, it had no time for while it worked.
    let answered_ns = exchange
        .outbound
        .as_ref()
        .filter(|_| exchange.role == Role::Server)
        .map(|sent| sent.first_ns);
    let read_last_ns =
        answered_ns.map_or(read_last_ns, |ns| read_last_ns.min(ns.max(read_first_ns)));
    let wait_ns = tile.room(read_first_ns);
    let reader = inbound
        .reader
        .filter(|reader| reader.since_ns.is_some_and(|since_ns| since_ns <= read_first_ns));
    let delay_ns = reader.map_or(0, |reader| reader.run_delay_ns.min(wait_ns));
    let cpu_ns = reader.and_then(|reader| cpu_of_wait(&reader, read_first_ns, wait_ns));
    tile.until_with_cpu(read_first_ns - delay_ns, SliceKind::ReceiveQueue, cpu_ns);
    tile.until(read_first_ns, SliceKind::RunQueue);
    tile.split(read_last_ns, [(starved, inbound.starved_ns)], SliceKind::ReceiveQueue);
    let waits = inbound.unread_bytes > 0 && !(exchange.role == Role::Server && is_taken(inbound));
    if exchange.progress == Progress::Open
        && waits
        && (exchange.role == Role::Client || exchange.outbound.is_none())
    {
        // Bytes that came after the last read; when the first of them did is known only if there is
        // one arrival.
        tile.until(inbound.last_ns.min(now_ns), SliceKind::Unknown);
        tile.until(now_ns, SliceKind::ReceiveQueue);
    }
}

/// The reader has all that came; or all but a small rest at its end, which was there too when it
/// read: it is at work, and may take that when it is done. What came since waits for it.
fn is_taken(inbound: &Inbound) -> bool {
    inbound.unread_bytes == 0
        || inbound.left && inbound.unread_bytes.saturating_mul(REMAINDER) < inbound.bytes
}

/// How long the reader was on a CPU while bytes waited for it. Its figures run from its call
/// before. If that came when they were there already, its other calls tell the rest; if it was long
/// before, the time may have been spent before they came.
fn cpu_of_wait(reader: &ThreadUse, read_ns: u64, wait_ns: u64) -> Option<u64> {
    let since_ns = reader.since_ns?;
    let arrived_ns = read_ns.saturating_sub(wait_ns);
    if since_ns > arrived_ns.saturating_add(wait_ns / 10).saturating_add(SLACK_NS) {
        return None;
    }
    let (least_ns, most_ns) =
        spans::bounds(reader.cpu_ns, wait_ns, arrived_ns.saturating_sub(since_ns));
    (wait_ns < DOUBTED_NS || most_ns - least_ns <= wait_ns / 4).then_some(most_ns)
}

/// No read was seen.
fn unread(tile: &mut Tile, exchange: &Exchange, inbound: &Inbound) {
    let written_ns = exchange
        .outbound
        .as_ref()
        .filter(|_| exchange.role == Role::Server)
        .map(|sent| sent.first_ns);
    let kind = if inbound.unread_bytes > 0 { SliceKind::ReceiveQueue } else { SliceKind::Unknown };
    tile.until(written_ns.unwrap_or(exchange.ts_ns).min(exchange.ts_ns), kind);
}

/// The application's turn: from the last read to the first write.
fn answer(tile: &mut Tile, inbound: Option<&Inbound>, outbound: &Outbound, now_ns: u64) {
    let (from_ns, end_ns) = (tile.end_ns(), outbound.first_ns.min(now_ns));
    let span_ns = tile.room(end_ns);
    // Read before it was watched: nobody knows when.
    if inbound
        .is_some_and(|inbound| inbound.read_last_ns.is_none() && inbound.read_first_ns.is_none())
    {
        return tile.until(end_ns, SliceKind::Unknown);
    }
    let (delay_ns, cpu_ns) =
        outbound.writer.map_or((0, None), |writer| use_of(&writer, from_ns, span_ns));
    tile.until_with_cpu(end_ns.saturating_sub(delay_ns), SliceKind::App, cpu_ns);
    tile.until(end_ns, SliceKind::RunQueue);
}

/// How long the thread waited for a CPU in a stretch, and was on one where that is known. Its
/// figures run from its call before: if that ended well before the stretch, they may belong to what
/// came before it.
fn use_of(thread: &ThreadUse, from_ns: u64, span_ns: u64) -> (u64, Option<u64>) {
    let Some(since_ns) = thread.since_ns else { return (0, None) };
    let within = since_ns.saturating_add(SLACK_NS) >= from_ns;
    let fits = within || thread.run_delay_ns <= span_ns;
    let delay_ns = if fits { thread.run_delay_ns.min(span_ns) } else { 0 };
    // A call in the middle of the stretch hides what the thread did before it.
    let covers =
        within && since_ns <= from_ns.saturating_add(span_ns / 10).saturating_add(SLACK_NS);
    (delay_ns, covers.then(|| thread.cpu_ns.min(span_ns - delay_ns)))
}

//! The ledger: the facts of one exchange become slices of time, each with who held it.
//!
//! Whatever the facts are, the slices tile the exchange. Times out of order are clamped to the slices laid so far, and
//! what no fact vouches for is [`SliceKind::Unknown`].

mod send;
mod tile;

use super::event::{Exchange, Inbound, Outbound, Progress, Role, ThreadUse};
use super::snapshot::{ExchangeView, Slice, SliceKind, Verdict};
use tile::Tile;

/// A call that ended so long before a stretch began counts as ended at its beginning, ns.
const SLACK_NS: u64 = 100_000;

/// How the connection of a first exchange was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    /// SYN-ACK → final ACK, where known.
    pub(super) handshake_us: Option<u64>,
    /// Put in the accept queue.
    pub(super) queued_ns: u64,
    /// Accept returned.
    pub(super) accepted_ns: u64,
}

/// What the facts come to. `first` is for the first exchange of an accepted connection.
pub(super) fn view(exchange: &Exchange, first: Option<&First>) -> ExchangeView {
    let mut view = view_in(exchange, first, Vec::new());
    view.verdict = verdict(&view.slices);
    view
}

/// The same without a verdict, which most exchanges need not have; with its slices laid into `room`, which is empty: it may
/// have been another exchange's.
pub(super) fn view_in(exchange: &Exchange, first: Option<&First>, room: Vec<Slice>) -> ExchangeView {
    let mut tile = Tile::new(room);
    match exchange.role {
        Role::Server => server(&mut tile, exchange, first.filter(|_| exchange.seq == 1 && !exchange.midway)),
        Role::Client => client(&mut tile, exchange),
    }
    let start_ns = tile.start_ns();
    let (total_us, slices) = tile.finish();
    let (inbound, outbound) = (exchange.inbound.as_ref(), exchange.outbound.as_ref());
    let (bytes_in, bytes_out) = (inbound.map_or(0, |inbound| inbound.bytes), outbound.map_or(0, |sent| sent.bytes));
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
        last_sizes: outbound.map_or([0; 2], |outbound| outbound.last_sizes),
        held_sizes: outbound.map_or([0; 2], |outbound| outbound.held_sizes),
        read_tid: inbound.and_then(|inbound| inbound.reader).map(|reader| reader.tid),
        write_tid: outbound.and_then(|outbound| outbound.writer).map(|writer| writer.tid),
        inside: Vec::new(),
        within: Vec::new(),
        upstream: Vec::new(),
        downstream: None,
        multiplexed: false,
        handshake: false,
    }
}

/// A server's exchange whose response has been written, sent and acknowledged. More of it may come still.
pub(super) fn is_answered(exchange: &Exchange) -> bool {
    let unread = exchange.inbound.as_ref().is_some_and(|inbound| inbound.unread_bytes > 0);
    let settled = |sent: &Outbound| sent.unsent_bytes == 0 && sent.unacked_bytes == 0 && sent.acked_ns.is_some();
    exchange.role == Role::Server && !unread && exchange.outbound.as_ref().is_some_and(settled)
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
        Some(first) => accepted(tile, first, arrived_ns, now_ns),
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
        // The application has every byte that came.
        None if exchange.progress == Progress::Open && inbound.is_some_and(|inbound| inbound.unread_bytes == 0) => {
            tile.until(now_ns, SliceKind::App);
        }
        None => {}
    }
}

/// From the handshake to the moment at which there is something to read, or accept has returned.
fn accepted(tile: &mut Tile, first: &First, arrived_ns: Option<u64>, now_ns: u64) {
    let accepted_ns = first.accepted_ns.min(now_ns);
    let queued_ns = first.queued_ns.min(accepted_ns);
    let handshake_ns = first.handshake_us.unwrap_or(0).saturating_mul(1_000);
    tile.begin(queued_ns.saturating_sub(handshake_ns));
    tile.until(queued_ns, SliceKind::Handshake);
    tile.until(accepted_ns, SliceKind::AcceptQueue);
    if let Some(arrived_ns) = arrived_ns {
        tile.until(arrived_ns, SliceKind::Request);
    }
}

fn client(tile: &mut Tile, exchange: &Exchange) {
    let now_ns = exchange.ts_ns;
    let (inbound, outbound) = (exchange.inbound.as_ref(), exchange.outbound.as_ref());
    let arrived_ns = inbound.and_then(|inbound| arrived_ns(inbound, now_ns));
    let written_ns = outbound.map(|outbound| outbound.first_ns.min(now_ns));
    tile.begin(written_ns.or(arrived_ns).unwrap_or(now_ns));
    if let Some(outbound) = outbound {
        send::send(tile, exchange, outbound, now_ns);
        let waits_on = exchange.progress == Progress::Open && outbound.unsent_bytes == 0;
        if let Some(end_ns) = arrived_ns.or(waits_on.then_some(now_ns)) {
            respond(tile, exchange, outbound, end_ns);
        }
    }
    if let Some(inbound) = inbound {
        receive(tile, exchange, inbound, SliceKind::Response);
    }
}

/// The peer's turn: from the request sent to the first byte of the response.
fn respond(tile: &mut Tile, exchange: &Exchange, outbound: &Outbound, end_ns: u64) {
    if outbound.retransmits > 0 {
        // Once the request was acknowledged, the peer had it.
        let resent_ns = outbound.acked_ns.unwrap_or(end_ns).min(end_ns);
        let round_trip_ns = send::round_trip_ns(exchange, tile.room(resent_ns));
        tile.split(resent_ns, [(SliceKind::Response, round_trip_ns)], SliceKind::Retransmit);
    }
    tile.until(end_ns, SliceKind::Response);
}

/// When the first byte was there, as far as observed.
fn arrived_ns(inbound: &Inbound, now_ns: u64) -> Option<u64> {
    let seen = Some(inbound.first_ns).filter(|&ns| ns > 0);
    seen.or(inbound.read_first_ns).or(inbound.read_last_ns).map(|ns| ns.min(now_ns))
}

/// From the first byte that arrived to the last read; while nobody has read, to the first write or to now. `starved` is
/// what waiting for more from the peer is called.
fn receive(tile: &mut Tile, exchange: &Exchange, inbound: &Inbound, starved: SliceKind) {
    let now_ns = exchange.ts_ns;
    let Some(read_first_ns) = inbound.read_first_ns.or(inbound.read_last_ns) else {
        return unread(tile, exchange, inbound);
    };
    let read_first_ns = read_first_ns.min(now_ns);
    let read_last_ns = inbound.read_last_ns.unwrap_or(read_first_ns).min(now_ns);
    let wait_ns = tile.room(read_first_ns);
    let reader = inbound.reader.filter(|reader| reader.since_ns.is_some_and(|since_ns| since_ns <= read_first_ns));
    let delay_ns = reader.map_or(0, |reader| reader.run_delay_ns.min(wait_ns));
    let cpu_ns = reader.map(|reader| reader.cpu_ns);
    tile.until_with_cpu(read_first_ns - delay_ns, SliceKind::ReceiveQueue, cpu_ns);
    tile.until(read_first_ns, SliceKind::RunQueue);
    tile.split(read_last_ns, [(starved, inbound.starved_ns)], SliceKind::ReceiveQueue);
    let goes_on = exchange.progress == Progress::Open && inbound.unread_bytes > 0;
    if goes_on && (exchange.role == Role::Client || exchange.outbound.is_none()) {
        // Bytes that came after the last read; when the first of them did is known only if there is one arrival.
        tile.until(inbound.last_ns.min(now_ns), SliceKind::Unknown);
        tile.until(now_ns, SliceKind::ReceiveQueue);
    }
}

/// No read was seen.
fn unread(tile: &mut Tile, exchange: &Exchange, inbound: &Inbound) {
    let written_ns = exchange.outbound.as_ref().filter(|_| exchange.role == Role::Server).map(|sent| sent.first_ns);
    let kind = if inbound.unread_bytes > 0 { SliceKind::ReceiveQueue } else { SliceKind::Unknown };
    tile.until(written_ns.unwrap_or(exchange.ts_ns).min(exchange.ts_ns), kind);
}

/// The application's turn: from the last read to the first write.
fn answer(tile: &mut Tile, inbound: Option<&Inbound>, outbound: &Outbound, now_ns: u64) {
    let (from_ns, end_ns) = (tile.end_ns(), outbound.first_ns.min(now_ns));
    let span_ns = tile.room(end_ns);
    // Read before it was watched: nobody knows when.
    if inbound.is_some_and(|inbound| inbound.read_last_ns.is_none() && inbound.read_first_ns.is_none()) {
        return tile.until(end_ns, SliceKind::Unknown);
    }
    let (delay_ns, cpu_ns) = outbound.writer.map_or((0, None), |writer| use_of(&writer, from_ns, span_ns));
    tile.until_with_cpu(end_ns.saturating_sub(delay_ns), SliceKind::App, cpu_ns);
    tile.until(end_ns, SliceKind::RunQueue);
}

/// How long the thread waited for a CPU in a stretch, and was on one where that is known. Its figures run from its call
/// before: if that ended well before the stretch, they may belong to what came before it.
fn use_of(thread: &ThreadUse, from_ns: u64, span_ns: u64) -> (u64, Option<u64>) {
    let Some(since_ns) = thread.since_ns else { return (0, None) };
    let within = since_ns.saturating_add(SLACK_NS) >= from_ns;
    let fits = within || thread.run_delay_ns <= span_ns;
    let delay_ns = if fits { thread.run_delay_ns.min(span_ns) } else { 0 };
    // A call in the middle of the stretch hides what the thread did before it.
    let covers = within && since_ns <= from_ns.saturating_add(span_ns / 10).saturating_add(SLACK_NS);
    (delay_ns, covers.then(|| thread.cpu_ns.min(span_ns - delay_ns)))
}

//! Responses in pieces: streams that wait by design, and those whose rest comes late.

use super::connections::{closed, opened, sampled};
use super::facts::{Build, at, server};
use super::world::{LISTENER, MS, SECOND, World};
use crate::model::event::{
    Event, Exchange, Http2Streams, Opened, Progress, Recognised, Role, Sign, SockId, ThreadSample,
    ThreadUse,
};
use crate::model::exchange::view;
use crate::model::snapshot::{ExchangeView, Owner, Severity, SliceKind};

const US: u64 = 1_000;
const TID: u32 = 11;

/// A response whose first byte comes after a millisecond, and the rest in so many pieces, each so
/// long after the one before.
fn pieces(count: u32, apart_ns: u64) -> Exchange {
    let mut exchange = server();
    let outbound = exchange.outbound();
    outbound.writes = count;
    outbound.gaps = count - 1;
    outbound.longest_gap_ns = apart_ns;
    outbound.last_ns = outbound.first_ns + u64::from(count - 1) * apart_ns;
    outbound.sent_ns = Some(outbound.last_ns);
    outbound.acked_ns = Some(outbound.last_ns + 30 * US);
    exchange.ts_ns = exchange.outbound().last_ns + SECOND;
    exchange
}

fn time(view: &ExchangeView, kind: SliceKind) -> u64 {
    view.slices.iter().filter(|slice| slice.kind == kind).map(|slice| slice.us).sum()
}

/// A server on whose connections HTTP is spoken.
fn site(connections: u64) -> World {
    let mut world = World::with_limit(128);
    world.threads = vec![ThreadSample { pid: 4242, tid: TID, ..ThreadSample::default() }];
    for sock in 1..=connections {
        let Event::Opened(opened) = opened(sock, Role::Server, false) else { panic!("not opened") };
        world.apply(Event::Opened(Opened { listener: Some(LISTENER), ..opened }));
        let sign = Sign::HttpRequest { minor: 1 };
        world.apply(Event::Recognised(Recognised { ts_ns: at(0), sock, sign }));
    }
    world
}

fn on(sock: SockId, exchange: &Exchange) -> Event {
    Event::Exchange(Exchange { sock, ..exchange.clone() })
}

fn after(exchanges: &[Exchange]) -> World {
    let mut world = site(exchanges.len() as u64);
    for (sock, exchange) in (1..).zip(exchanges) {
        world.apply(on(sock, exchange));
    }
    world.sample_after(SECOND);
    world
}

#[test]
fn answers_to_requests_that_came_at_once_are_no_stream() {
    let mut world = site(2);
    let sign = Sign::HttpRequests { minor: 1, count: 4, first: None };
    world.apply(Event::Recognised(Recognised { ts_ns: at(0), sock: 1, sign }));
    for sock in 1..=2 {
        world.apply(on(sock, &pieces(41, 100 * MS)));
    }
    let kinds = |sock: SockId| {
        let views = world.model.snapshot().connections;
        let view = views.into_iter().find(|view| view.sock == sock).expect("a connection");
        let recent = &view.recent[0];
        (time(recent, SliceKind::App), time(recent, SliceKind::Streaming))
    };
    assert_eq!(kinds(1), (4_000_900, 0), "its client pipelines");
    assert_eq!(kinds(2), (900, 4_000_000));
}

/// Kinds of a response in pieces on a connection on which nothing is known to be spoken, but for
/// `sign`.
fn told(sign: Option<Sign>, exchanges: &[Exchange]) -> (u64, u64, bool) {
    let mut world = World::with_limit(128);
    let Event::Opened(opened) = opened(1, Role::Server, false) else { panic!("not opened") };
    world.apply(Event::Opened(Opened { listener: Some(LISTENER), ..opened }));
    if let Some(sign) = sign {
        world.apply(Event::Recognised(Recognised { ts_ns: at(0), sock: 1, sign }));
    }
    for (seq, exchange) in (1..).zip(exchanges) {
        world.apply(Event::Exchange(Exchange { seq, sock: 1, ..exchange.clone() }));
    }
    world.sample_after(SECOND);
    let view = world.model.snapshot().connections[0].recent.last().cloned().expect("an exchange");
    let proved = view.slices.iter().any(|slice| slice.kind == SliceKind::Streaming && slice.proved);
    (time(&view, SliceKind::App), time(&view, SliceKind::Streaming), proved)
}

#[test]
fn pieces_of_a_protocol_that_is_not_followed_only_look_like_a_stream() {
    let answers = pieces(5, 100 * MS);
    assert_eq!(told(None, std::slice::from_ref(&answers)), (900, 400_000, false));
    assert_eq!(
        told(Some(Sign::HttpRequest { minor: 1 }), std::slice::from_ref(&answers)),
        (900, 400_000, true)
    );
    assert_eq!(
        told(Some(Sign::Postgresql), &[answers]),
        (400_900, 0, false),
        "one statement after the other"
    );
}

/// Calls of gRPC on one connection, at most so many at a time, the first 60 of which or all were
/// counted.
pub(super) fn calls(most: u32, partly: bool, exchange: &Exchange) -> World {
    let mut world = World::with_limit(128);
    let Event::Opened(opened) = opened(1, Role::Server, false) else { panic!("not opened") };
    world.apply(Event::Opened(Opened { listener: Some(LISTENER), ..opened }));
    let streams = Sign::Http2Streams(Http2Streams { opened: 20, most, partly });
    for sign in [Sign::Http2 { grpc: true }, streams] {
        world.apply(Event::Recognised(Recognised { ts_ns: at(0), sock: 1, sign }));
    }
    for seq in 1..=4 {
        world.apply(Event::Exchange(Exchange {
            seq,
            sock: 1,
            ..exchange.clone().later(u64::from(seq) * SECOND)
        }));
    }
    world.sample_after(5 * SECOND);
    world
}

#[test]
fn pieces_between_several_calls_are_no_stream_and_no_rest_of_one() {
    for (most, partly, app, streaming) in [
        (1, false, 900, 400_000),
        (20, false, 400_900, 0),
        (20, true, 400_900, 0),
        (1, true, 900, 400_000),
    ] {
        let world = calls(most, partly, &pieces(5, 100 * MS));
        let view =
            world.model.snapshot().connections[0].recent.last().cloned().expect("an exchange");
        assert_eq!(
            (time(&view, SliceKind::App), time(&view, SliceKind::Streaming)),
            (app, streaming),
            "{most}"
        );
        let proved =
            view.slices.iter().any(|slice| slice.kind == SliceKind::Streaming && slice.proved);
        assert_eq!((proved, view.several), (most == 1 && !partly, most > 1 || partly));
        assert_eq!(world.reported_findings(), []);
    }
    let late = pieces(2, 400 * MS);
    assert_eq!(calls(20, false, &late).reported_findings(), [], "another call's answer");
    assert!(calls(1, false, &late).finding("slow-app").is_some());
}

#[test]
fn a_slow_answer_among_several_calls_may_be_anybodys() {
    let slow = server().writing(at(400 * MS));
    let finding = calls(20, false, &slow).finding("slow-app").expect("a finding");
    assert_eq!((finding.owner, finding.severity), (Owner::App, Severity::Info));
    assert!(
        !finding.headline.contains("answer") && finding.text.contains("several HTTP/2 calls"),
        "{finding:?}"
    );
    let finding = calls(1, false, &slow).finding("slow-app").expect("a finding");
    assert_eq!(finding.headline, "The application takes 400 ms to answer, 400 ms at worst.");
    assert_eq!(finding.severity, Severity::Warning);
}

#[test]
fn what_is_read_last_on_a_connection_of_calls_need_not_be_answered() {
    for (grpc, is_told) in [(true, false), (false, true)] {
        let mut world = World::with_limit(128);
        let Event::Opened(opened) = opened(1, Role::Server, false) else { panic!("not opened") };
        world.apply(Event::Opened(Opened { listener: Some(LISTENER), ..opened }));
        if grpc {
            let sign = Sign::Http2 { grpc: true };
            world.apply(Event::Recognised(Recognised { ts_ns: at(0), sock: 1, sign }));
        }
        let open = Exchange {
            progress: Progress::Open,
            outbound: None,
            ts_ns: at(3 * SECOND),
            ..server()
        };
        world.connections = vec![sampled(1, Some(open))];
        world.sample_after(3 * SECOND);
        assert_eq!(world.finding("slow-app").is_some(), is_told);
    }
}

#[test]
fn requests_that_are_read_between_the_answers_are_several() {
    let mut in_turn = pieces(5, 100 * MS);
    let inbound = in_turn.inbound();
    (inbound.reads, inbound.read_last_ns) = (5, Some(at(350 * MS)));
    assert_eq!(told(None, std::slice::from_ref(&in_turn)).1, 0);
    in_turn.inbound().read_last_ns = Some(at(950 * MS));
    assert_eq!(
        told(None, &[in_turn]).1,
        400_000,
        "what is read behind the last piece is no other request"
    );
}

#[test]
fn as_many_bytes_as_several_requests_of_the_connection_are_several() {
    for (times, streamed_us) in [(1, 400_000), (4, 0)] {
        let mut burst = pieces(5, 100 * MS).later(SECOND);
        burst.inbound().bytes = server().inbound().bytes * times;
        let single = Exchange { progress: Progress::Followed, ..server() };
        assert_eq!(
            told(Some(Sign::HttpRequest { minor: 1 }), &[single, burst]).1,
            streamed_us,
            "{times}"
        );
    }
}

#[test]
fn the_time_between_the_pieces_of_a_stream_waits_by_design() {
    let view = view(&pieces(41, 100 * MS), None);
    assert_eq!((time(&view, SliceKind::Streaming), time(&view, SliceKind::App)), (4_000_000, 900));
    let pieces_of = view.pieces.expect("pieces");
    assert_eq!((pieces_of.first_byte_us, pieces_of.rest_us), (950, 4_000_000));
    assert_eq!((pieces_of.pauses, pieces_of.longest_pause_us), (40, 100_000));
    assert_eq!(view.verdict.map(|verdict| verdict.kind), Some(SliceKind::Streaming));
    let world = after(&[
        pieces(41, 100 * MS),
        pieces(41, 100 * MS),
        pieces(4, 300 * MS),
        pieces(400, 10 * MS),
    ]);
    assert_eq!(world.reported_findings(), []);
}

#[test]
fn a_stream_is_judged_by_its_first_byte() {
    let mut late = pieces(41, 100 * MS);
    late = late.writing(at(400 * MS));
    let finding = after(&vec![late; 4]).finding("slow-app").expect("a finding");
    assert_eq!(finding.headline, "The application takes 400 ms to answer, 400 ms at worst.");
    assert_eq!(finding.severity, Severity::Warning);
}

#[test]
fn one_long_pause_is_no_stream() {
    let mut headers_first = pieces(2, 800 * MS);
    let finding = after(&vec![headers_first.clone(); 4]).finding("slow-app").expect("a finding");
    assert_eq!(
        finding.headline,
        "Responses take 800 ms from the first byte to the last, 800 ms at worst."
    );
    assert_eq!(finding.severity, Severity::Info);
    assert!(
        finding.text.contains("was not observed") && finding.text.contains("stream"),
        "{:?}",
        finding.text
    );
    assert!(!finding.text.contains("to the first write"), "{:?}", finding.text);
    // Chunked: head, length, data, end.
    let outbound = headers_first.outbound();
    (outbound.writes, outbound.gaps) = (6, 1);
    assert!(after(&vec![headers_first; 4]).finding("slow-app").is_some());
}

/// One long pause, of which it is not known what the thread did in it.
pub(super) fn late_rest() -> World {
    after(&vec![pieces(2, 800 * MS); 4])
}

/// More than a second in which the thread computed, or slept.
pub(super) fn rest_computed() -> World {
    rest_after(3, 2_900 * MS, 1)
}

/// As above.
pub(super) fn rest_slept() -> World {
    written(&pieces(2, 800 * MS), 50 * MS)
}

#[test]
fn who_computes_between_pieces_does_not_wait() {
    let stream = pieces(11, 100 * MS);
    let finding = written(&stream, 950 * MS).finding("slow-app").expect("a finding");
    assert!(finding.text.contains("computed for 9"), "{:?}", finding.text);
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(written(&stream, 50 * MS).finding("slow-app"), None);
}

#[test]
fn who_computes_between_pieces_and_has_no_cpu_does_not_wait_either() {
    let stream = pieces(11, 100 * MS);
    let kinds = |world: &World| {
        let views = world.model.snapshot().connections;
        let view = views.iter().flat_map(|view| &view.recent).find(|view| view.writes > 1).cloned();
        let view = view.expect("the stream");
        [SliceKind::App, SliceKind::RunQueue, SliceKind::Streaming]
            .map(|kind| time(&view, kind) / 1_000)
    };
    assert_eq!(kinds(&used(&stream, 300 * MS, 650 * MS)), [351, 649, 0]);
    assert_eq!(kinds(&used(&stream, MS, 30 * MS)), [0, 0, 1_000]);
}

/// Four such responses, one after the other, whose thread was on a CPU for so long from the first
/// write of each to the last, as its call behind that tells.
fn written(response: &Exchange, cpu_ns: u64) -> World {
    used(response, cpu_ns, 0)
}

/// The same, with a thread that was ready without a CPU for so long besides.
fn used(response: &Exchange, cpu_ns: u64, run_delay_ns: u64) -> World {
    let mut world = site(8);
    let used = |since_ns, cpu_ns| {
        let run_delay_ns = if cpu_ns == 100 * US { 0 } else { run_delay_ns };
        Some(ThreadUse { pid: 4242, tid: TID, since_ns: Some(since_ns), run_delay_ns, cpu_ns })
    };
    for sock in 1..=4_u64 {
        let mut response = Exchange { sock, ..response.clone().later((sock - 1) * 2 * SECOND) };
        let read_ns = response.inbound().read_last_ns.expect("a read");
        response.outbound().writer = used(read_ns, 100 * US);
        let (first_ns, last_ns) = (response.outbound().first_ns, response.outbound().last_ns);
        let mut next = Exchange { sock: sock + 4, ..server().later(last_ns - at(0) + MS) };
        next.inbound().reader = used(first_ns, cpu_ns);
        world.apply(Event::Exchange(next));
        world.apply(Event::Exchange(response));
    }
    world.sample_after(SECOND);
    world
}

/// More than a second after it wrote the head of a response a server writes on: so much of that its
/// thread was on a CPU.
fn rest_after(seconds: u64, cpu_ns: u64, times: u32) -> World {
    let mut world = site(4);
    for sock in 1..=4 {
        world.apply(on(sock, &server()));
        for time in 1..=times {
            let mut rest = Exchange { seq: 1 + time, inbound: None, ..server() };
            rest = rest.later(u64::from(time) * seconds * SECOND);
            let since_ns = Some(rest.outbound().first_ns - seconds * SECOND);
            rest.outbound().writer =
                Some(ThreadUse { pid: 4242, tid: TID, since_ns, run_delay_ns: 0, cpu_ns });
            rest.progress = Progress::Closed;
            world.apply(on(sock, &rest));
        }
        world.apply(closed(sock, at(20 * SECOND)));
    }
    world.sample_after(SECOND);
    world
}

#[test]
fn a_rest_that_comes_after_more_than_a_second_is_told() {
    let finding = rest_after(3, MS, 1).finding("slow-app").expect("a finding");
    assert_eq!(finding.severity, Severity::Info, "it may be a stream");
    assert!(
        finding.headline.contains("3.00 s from the first byte to the last"),
        "{:?}",
        finding.headline
    );
    assert_eq!(rest_after(3, MS, 3).finding("slow-app"), None, "it goes on and on");
    let computed = rest_after(3, 2_900 * MS, 1);
    let finding = computed.finding("slow-app").expect("a finding");
    assert!(finding.text.contains("computed for 97 %"), "{:?}", finding.text);
    assert_eq!(finding.severity, Severity::Warning);
    let views = computed.model.snapshot().connections;
    let rest = views[0].recent.last().expect("an exchange");
    assert_eq!(
        (rest.pushed_after_us, rest.slices[0].kind),
        (Some(2_999_970), SliceKind::App),
        "{rest:?}"
    );
}

/// Connections to which a server writes of its own accord 400 ms after accept. The clients ask
/// then, or say nothing.
pub(super) fn greeted(asks: bool) -> World {
    let mut world = World::with_limit(128);
    (0..4).for_each(|_| world.accept(0, TID, MS, MS));
    let accepted = |event: &Event| match event {
        Event::Accept(accept) => Some(accept.sock),
        _ => None,
    };
    let socks: Vec<SockId> = world.given.iter().filter_map(accepted).collect();
    for sock in socks {
        let greeting = Exchange { sock, inbound: None, ..server().writing(at(400 * MS)) };
        world.apply(Event::Exchange(greeting));
        if asks {
            let answer = Exchange { sock, seq: 2, ..server().later(401 * MS) };
            world.apply(Event::Exchange(answer));
        }
    }
    world.sample_after(SECOND);
    world
}

#[test]
fn a_server_that_speaks_first_is_told_by_how_late_it_does() {
    let finding = greeted(true).finding("slow-app").expect("a finding");
    assert_eq!(finding.owner, Owner::App);
    assert_eq!(
        finding.headline,
        "The application takes 400 ms to greet its clients, 400 ms at worst."
    );
    assert!(!finding.text.contains("last byte"), "there was no response: {:?}", finding.text);
    assert_eq!(greeted(false).finding("slow-app"), None, "a feed without news is no slow greeting");
}

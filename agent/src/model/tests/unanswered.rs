//! Exchanges that nobody answered, and connections on which nothing was asked.

use super::connection_facts::on_listener;
use super::connections::{closed, opened, sampled};
use super::connects::connections;
use super::facts::{Build, at, client, server};
use super::world::{MS, SECOND, START, World};
use crate::model::event::{
    Closed, ConnectionSample, End, Ending, Event, Exchange, Inbound, Progress, Recognised, Role,
    Side, Sign, TcpState,
};
use crate::model::exchange::{First, is_silent, is_unanswered, view, without_next};
use crate::model::output::{ExchangeOutput, Output};
use crate::model::snapshot::{ExchangeView, Owner, Protocol};

const US: u64 = 1_000;

pub(super) fn end(ts_ns: u64, by: Side, how: Ending) -> Option<End> {
    Some(End { ts_ns, by, how, gone: false })
}

/// A request that was read after 50 µs and never answered; the connection ended so, its socket went
/// at ten seconds.
pub(super) fn asked(end: Option<End>) -> Exchange {
    Exchange { outbound: None, progress: Progress::Closed, end, ts_ns: at(10 * SECOND), ..server() }
}

/// A call that was written, acknowledged, and never answered; likewise.
pub(super) fn called(end: Option<End>) -> Exchange {
    Exchange { inbound: None, progress: Progress::Closed, end, ts_ns: at(10 * SECOND), ..client() }
}

fn slices(view: &ExchangeView) -> Vec<(&'static str, u64)> {
    view.slices.iter().map(|slice| (slice.kind.name(), slice.us)).collect()
}

fn judged(exchange: &Exchange) -> (Vec<(&'static str, u64)>, bool) {
    let view = view(exchange, None);
    assert_eq!(view.slices.iter().map(|slice| slice.us).sum::<u64>(), view.total_us, "{view:?}");
    assert!(view.done, "{view:?}");
    (slices(&view), view.unanswered)
}

#[test]
fn a_request_that_the_client_abandons_is_the_applications_until_it_leaves() {
    for how in [Ending::Fin, Ending::Reset] {
        let gone = asked(end(at(500 * MS), Side::Peer, how));
        assert_eq!(judged(&gone), (vec![("receive_queue", 50), ("app", 499_950)], true), "{how:?}");
    }
    let closed = asked(end(at(3 * SECOND), Side::Local, Ending::Fin));
    assert_eq!(
        judged(&closed),
        (vec![("receive_queue", 50), ("app", 2_999_950)], true),
        "this host closed"
    );
}

#[test]
fn a_request_that_nobody_reads_waits_until_the_client_leaves() {
    let mut exchange = asked(end(at(500 * MS), Side::Peer, Ending::Reset));
    exchange.inbound =
        Some(Inbound { first_ns: at(0), last_ns: at(0), unread_bytes: 40, ..Inbound::default() });
    assert_eq!(judged(&exchange), (vec![("receive_queue", 500_000)], true));
}

/// The end of a request in a framing of its own, which is there and need not be read to begin with
/// the work (FastCGI).
#[test]
fn a_rest_that_the_reader_left_waits_for_nobody() {
    let mut exchange = asked(end(at(500 * MS), Side::Peer, Ending::Reset));
    let inbound = exchange.inbound();
    (inbound.unread_bytes, inbound.left) = (8, true);
    assert_eq!(judged(&exchange), (vec![("receive_queue", 50), ("app", 499_950)], true));
    let open =
        Exchange { progress: Progress::Open, end: None, ts_ns: at(2 * SECOND), ..exchange.clone() };
    assert_eq!(
        slices(&view(&open, None)),
        [("receive_queue", 50), ("app", 1_999_950)],
        "while it goes on"
    );
    exchange.inbound().left = false;
    assert_eq!(
        judged(&exchange).0,
        [("receive_queue", 500_000)],
        "it came later, and nobody has looked"
    );
    (exchange.inbound().left, exchange.inbound().unread_bytes) = (true, 40);
    assert_eq!(judged(&exchange).0, [("receive_queue", 500_000)], "much of it is yet to be read");
}

#[test]
fn what_the_application_does_after_the_client_left_is_no_wait_of_its() {
    let mut exchange = Exchange { progress: Progress::Closed, ..server().writing(at(800 * MS)) };
    let fin = End { ts_ns: at(500 * MS), by: Side::Peer, how: Ending::Fin, gone: true };
    let outbound = exchange.outbound();
    (outbound.acked_ns, outbound.unacked_bytes) = (None, 200);
    exchange.end = Some(fin);
    assert_eq!(judged(&exchange), (vec![("receive_queue", 50), ("app", 499_950)], true));
    assert_eq!(view(&exchange, None).response_bytes, 200, "it was written all the same");
    exchange.end = Some(End { gone: false, ..fin });
    assert_eq!(
        judged(&exchange),
        (vec![("receive_queue", 50), ("app", 799_950)], false),
        "it may read the answer"
    );
    exchange.outbound().acked_ns = Some(at(801 * MS));
    exchange.end = Some(fin);
    assert!(!judged(&exchange).1, "it has taken the answer");
}

#[test]
fn a_call_that_nobody_answers_is_the_peers_until_its_end() {
    for (by, how) in
        [(Side::Local, Ending::Fin), (Side::Peer, Ending::Reset), (Side::Local, Ending::Timeout)]
    {
        let call = called(end(at(2 * SECOND), by, how));
        assert_eq!(judged(&call), (vec![("response", 2_000_000)], true), "{by:?} {how:?}");
        assert_eq!(
            view(&call, None).verdict.map(|verdict| verdict.kind.owner()),
            Some(Owner::Peer)
        );
    }
    let refused = called(end(at(MS), Side::Peer, Ending::Fin));
    assert_eq!(judged(&refused), (vec![("response", 1_000)], true), "closed on the first call");
}

#[test]
fn a_goodbye_is_no_request_without_an_answer() {
    let last = |by, seq| {
        let mut exchange = Exchange { seq, ..asked(end(at(100 * US), by, Ending::Fin)) };
        exchange.inbound().bytes = 24;
        exchange
    };
    for by in [Side::Peer, Side::Local] {
        assert!(!judged(&last(by, 3)).1, "ended {by:?} at once");
    }
    assert!(!judged(&Exchange { seq: 3, ..called(end(at(MS), Side::Local, Ending::Fin)) }).1);
    let closed = last(Side::Local, 3);
    assert!(is_unanswered(&closed, Some(Protocol::Http11), false), "HTTP has no goodbye");
    // A cipher's end of the handshake, an alert: the peer may wait for long after that, and for
    // nothing.
    let mut idle = last(Side::Peer, 3);
    idle.end = end(at(60 * SECOND), Side::Peer, Ending::Fin);
    assert!(!is_unanswered(&idle, Some(Protocol::Tls), true));
    assert!(!is_unanswered(&idle, Some(Protocol::WebSocket), false));
    assert!(is_unanswered(&idle, None, false));
    idle.inbound().bytes = 300;
    assert!(is_unanswered(&idle, Some(Protocol::Tls), true), "a request under a cipher");
}

#[test]
fn who_sends_now_and_then_without_an_answer_waits_for_none() {
    let mut log = asked(end(at(60 * SECOND), Side::Peer, Ending::Fin));
    log.ts_ns = at(61 * SECOND);
    let inbound = log.inbound();
    (inbound.last_ns, inbound.read_last_ns) = (at(58 * SECOND), Some(at(58 * SECOND)));
    (inbound.starved_ns, inbound.reads) = (57 * SECOND, 30);
    assert!(!is_unanswered(&log, None, false));
    assert!(
        is_unanswered(&log, Some(Protocol::Http11), false),
        "a slow upload that was not answered"
    );
}

#[test]
fn a_spare_connection_makes_no_exchange() {
    let silent = Exchange { inbound: None, ..asked(end(at(8 * SECOND), Side::Peer, Ending::Fin)) };
    assert!(is_silent(&silent));
    let only_end =
        Inbound { first_ns: at(8 * SECOND), last_ns: at(8 * SECOND), ..Inbound::default() };
    let only_end = Exchange { inbound: Some(only_end), ..silent.clone() };
    assert!(is_silent(&only_end) && !is_silent(&server()) && !is_silent(&client()));
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    for exchange in [silent, only_end] {
        world.apply(Event::Exchange(exchange.clone()));
        world.apply(Event::Exchange(Exchange { progress: Progress::Open, ..exchange }));
    }
    world.sample_after(9 * SECOND);
    assert!(exchanges(&world).is_empty());
    assert_eq!(world.finish().times.exchanges, 0);
}

#[test]
fn a_request_long_after_its_connection_begins_when_it_comes() {
    let first = First {
        handshake_us: Some(400),
        deferred: false,
        queued_ns: START - 5_300 * MS,
        accepted_ns: START - 5_000 * MS,
        ignored: None,
        acceptor: 0,
    };
    let late = view(&server(), Some(&first));
    assert_eq!((late.start_ns, late.slices[0].kind.name()), (START, "receive_queue"), "{late:?}");
    let soon = First { queued_ns: START - 600 * MS, accepted_ns: START - 500 * MS, ..first };
    let soon = view(&server(), Some(&soon));
    assert_eq!(
        slices(&soon)[..3],
        [("handshake", 400), ("accept_queue", 100_000), ("request", 500_000)]
    );
}

/// With TCP_DEFER_ACCEPT the kernel ignores the ACK of its SYN-ACK, and waits for data: that is no
/// handshake.
#[test]
fn a_deferred_accept_is_no_handshake() {
    let first = First {
        handshake_us: Some(5_000_000),
        deferred: false,
        queued_ns: START - MS,
        accepted_ns: START,
        ignored: None,
        acceptor: 0,
    };
    let deferred = view(&server(), Some(&first));
    assert_eq!(
        slices(&deferred)[..2],
        [("handshake", 20), ("accept_queue", 1_000)],
        "as long as a round trip"
    );
}

/// Where the option is known to be set, what is shorter than a spare connection's silence is the
/// client's, too.
#[test]
fn a_client_of_a_deferred_accept_that_is_silent_is_the_peer() {
    let first = |waited_us| First {
        handshake_us: Some(waited_us),
        deferred: true,
        queued_ns: START - MS,
        accepted_ns: START,
        ignored: None,
        acceptor: 0,
    };
    let told = |waited_us| view(&server(), Some(&first(waited_us)));
    let silent = told(400_000);
    assert_eq!(
        slices(&silent)[..3],
        [("handshake", 20), ("request", 399_980), ("accept_queue", 1_000)]
    );
    assert_eq!(silent.slices[1].kind.owner(), Owner::Peer);
    let at_once = told(500);
    assert_eq!(
        slices(&at_once)[..2],
        [("handshake", 500), ("accept_queue", 1_000)],
        "the option cost nothing"
    );
    let spare = told(5_000_000);
    assert_eq!(
        slices(&spare)[..2],
        [("handshake", 20), ("accept_queue", 1_000)],
        "it is of no request"
    );
    let mut unacked = server();
    unacked.outbound().acked_ns = None;
    unacked.min_rtt_us = Some(400_000);
    assert_eq!(
        slices(&view(&unacked, Some(&first(400_000))))[0],
        ("unknown", 400_000),
        "no other round trip is known"
    );
}

#[test]
fn what_a_deferred_accept_takes_is_no_handshake_of_the_connection() {
    for defer_accept in [0, 3] {
        let mut world = World::with_limit(128);
        world.listeners[0].defer_accept = Some(defer_accept);
        world.sample_after(MS);
        world.accept(0, 1, 0, 0);
        let told = world.out.iter().find_map(|output| match output {
            Output::Accept(accept) => Some(accept.handshake_us),
            _ => None,
        });
        assert_eq!(told, Some((defer_accept == 0).then_some(120)));
        assert_eq!(world.model.snapshot().connections[0].handshake_us.is_some(), defer_accept == 0);
    }
}

fn exchanges(world: &World) -> Vec<ExchangeOutput> {
    let exchange = |output: &Output| match output {
        Output::Exchange(exchange) => Some(exchange.clone()),
        _ => None,
    };
    world.out.iter().filter_map(exchange).collect()
}

#[test]
fn an_exchange_without_an_answer_counts_with_its_time() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    world.apply(Event::Exchange(asked(end(at(800 * MS), Side::Peer, Ending::Reset))));
    world.apply(closed(1, at(10 * SECOND)));
    let told = exchanges(&world);
    assert!(told[0].view.unanswered && told[0].ts_ns == at(800 * MS), "{told:?}");
    assert!(world.finish().exchange.max >= 799_000);
}

#[test]
fn what_is_spoken_decides_whether_an_answer_was_due() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    let response =
        Sign::HttpResponse { minor: 1, status: 101, websocket: true, event_stream: false };
    for sign in [Sign::HttpRequest { minor: 1 }, response] {
        world.apply(Event::Recognised(Recognised { ts_ns: START, sock: 1, sign }));
    }
    world.apply(Event::Exchange(asked(end(at(800 * MS), Side::Peer, Ending::Fin))));
    assert!(!exchanges(&world)[0].view.unanswered);
}

/// The client has reset the connection, the server keeps its socket: that request is over all the
/// same, and told once.
#[test]
fn a_request_whose_client_is_gone_is_told_while_its_socket_is_kept() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    let gone = asked(end(at(800 * MS), Side::Peer, Ending::Reset));
    world.connections =
        vec![sampled(1, Some(Exchange { progress: Progress::Open, ..gone.clone() }))];
    world.sample_after(2 * SECOND);
    world.sample_after(SECOND);
    world.apply(Event::Exchange(gone));
    let told = exchanges(&world);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].view.unanswered && told[0].view.done && told[0].view.total_us == 800_000,
        "{told:?}"
    );
}

/// The client has closed, the server keeps its socket: what it had answered is told a second after
/// its last ACK.
#[test]
fn an_answer_is_told_whatever_the_state_of_its_connection() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    let exchange = Exchange {
        progress: Progress::Open,
        end: end(at(MS), Side::Peer, Ending::Fin),
        ..server()
    };
    let mut sample = sampled(1, Some(exchange));
    sample.state = TcpState::CloseWait;
    world.connections = vec![sample];
    world.sample_after(2 * SECOND);
    assert_eq!(exchanges(&world).len(), 1);
}

/// HAProxy and others say 400 or 408 to a client that leaves, or stays, without a word.
#[test]
fn what_a_server_of_http_says_to_the_silent_is_no_exchange() {
    let farewell =
        |progress| Exchange { inbound: None, progress, ..server().writing(at(5 * SECOND)) };
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    let sign = Sign::HttpResponse { minor: 1, status: 408, websocket: false, event_stream: false };
    world.apply(Event::Recognised(Recognised { ts_ns: START, sock: 1, sign }));
    world.connections = vec![sampled(1, Some(farewell(Progress::Open)))];
    world.sample_after(5 * SECOND);
    world.apply(Event::Exchange(farewell(Progress::Closed)));
    let Event::Closed(end) = closed(1, at(6 * SECOND)) else { panic!("not closed") };
    world.apply(Event::Closed(Closed { bytes_in: 0, bytes_out: 200, exchanges: 1, ..end }));
    world.sample_after(SECOND);
    assert!(exchanges(&world).is_empty());
    let told = connections(&world)[0].view.clone();
    assert_eq!(
        (told.times.exchanges, told.bytes_out),
        (0, 200),
        "the bytes were written all the same"
    );
    assert_eq!(world.finish().times.exchanges, 0);
}

#[test]
fn who_speaks_first_in_another_protocol_is_told_as_ever() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    world.apply(Event::Exchange(Exchange { inbound: None, ..server() }));
    let later = Exchange { inbound: None, seq: 2, ..server().later(3 * SECOND) };
    world.apply(Event::Exchange(later));
    assert_eq!(exchanges(&world).len(), 2, "a greeting, and what was pushed");
}

#[test]
fn an_answer_to_a_client_that_left_without_a_word_begins_with_that() {
    let first = First {
        handshake_us: None,
        queued_ns: START - MS,
        accepted_ns: START,
        ignored: None,
        acceptor: 0,
        deferred: false,
    };
    let fin = end(at(5 * SECOND), Side::Peer, Ending::Fin);
    let spoken = |ns| Exchange {
        inbound: None,
        end: fin,
        ts_ns: at(9 * SECOND),
        ..server().writing(at(ns))
    };
    let farewell = spoken(5 * SECOND + MS);
    let told = view(&farewell, Some(&first));
    assert_eq!(
        (told.start_ns, slices(&told)),
        (at(5 * SECOND), vec![("app", 1_000), ("ack_wait", 30)])
    );
    let greeting = spoken(SECOND);
    assert_eq!(
        slices(&view(&greeting, Some(&first)))[1],
        ("app", 1_000_000),
        "it had spoken before"
    );
}

/// The next request lies unread behind an answer, and the server sleeps: that one is told, and what
/// it waits for is found.
#[test]
fn a_request_behind_an_answer_waits_by_itself() {
    let mut world = World::with_limit(128);
    world.apply(on_listener(1));
    let mut exchange = Exchange { progress: Progress::Open, ts_ns: at(4 * SECOND), ..server() };
    exchange.inbound().unread_bytes = 40;
    let came = Some((at(500 * MS), at(500 * MS)));
    world.connections = vec![ConnectionSample { next: came, ..sampled(1, Some(exchange.clone())) }];
    world.sample_after(4 * SECOND);
    assert_eq!(exchanges(&world).len(), 1, "the answer is a second old");
    let finding = world.finding("slow-reader").expect("it waits");
    assert_eq!(finding.headline, "Data lies unread on 1 connection, for up to 3.50 s so far.");
    world.sample_after(SECOND);
    let mut read = Exchange { seq: 2, ..server().later(500 * MS).reading(at(6 * SECOND)) };
    read.ts_ns = at(8 * SECOND);
    world.apply(Event::Exchange(Exchange {
        progress: Progress::Followed,
        ..without_next(&exchange)
    }));
    world.apply(Event::Exchange(read));
    let told = exchanges(&world);
    assert_eq!(told.iter().map(|one| one.view.seq).collect::<Vec<_>>(), [1, 2], "each once");
    assert_eq!(told[1].view.start_ns, at(500 * MS));
}

/// More of an answer may come: what lies unread behind it may belong to it.
#[test]
fn what_comes_while_an_answer_goes_on_is_no_next_request() {
    let mut world = World::with_limit(128);
    world.apply(on_listener(1));
    let mut exchange = Exchange { progress: Progress::Open, ..server().writing(at(800 * MS)) };
    exchange.inbound().unread_bytes = 40;
    let came = Some((at(900 * MS), at(900 * MS)));
    world.connections = vec![ConnectionSample { next: came, ..sampled(1, Some(exchange)) }];
    world.sample_after(SECOND);
    assert!(exchanges(&world).is_empty());
    assert_eq!(world.finding("slow-reader"), None);
}

/// The peer reset the connection with the answer, or a request behind it, on the way, and the
/// server keeps its socket.
#[test]
fn what_a_reset_cut_off_is_told_while_its_socket_is_kept() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    let reset = end(at(2 * SECOND), Side::Peer, Ending::Reset);
    let mut exchange =
        Exchange { progress: Progress::Open, end: reset, ts_ns: at(9 * SECOND), ..server() };
    (exchange.outbound().acked_ns, exchange.outbound().unacked_bytes) = (None, 200);
    exchange.inbound().unread_bytes = 40;
    let came = Some((at(SECOND), at(SECOND)));
    world.connections = vec![ConnectionSample { next: came, ..sampled(1, Some(exchange.clone())) }];
    world.sample_after(9 * SECOND);
    world.sample_after(SECOND);
    let told = exchanges(&world);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].view.total_us <= 2_000_000 && !told[0].view.unanswered, "{told:?}");
    assert_eq!(slices(&told[1].view), [("receive_queue", 1_000_000)]);
    assert!(told[1].view.unanswered);
    for (seq, progress) in [(1, Progress::Followed), (2, Progress::Closed)] {
        world.apply(Event::Exchange(Exchange { seq, progress, ..exchange.clone() }));
    }
    assert_eq!(exchanges(&world).len(), 2, "when the socket goes at last nothing is told again");
}

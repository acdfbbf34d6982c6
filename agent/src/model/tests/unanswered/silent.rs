//! What is no exchange, and wants no answer.

use super::{US, asked, called, end, exchanges, judged};
use crate::model::event::{
    Closed, Ending, Event, Exchange, Inbound, Progress, Recognised, Role, Side, Sign,
};
use crate::model::exchange::{is_silent, is_unanswered};
use crate::model::snapshot::Protocol;
use crate::model::tests::connections::{closed, opened, sampled};
use crate::model::tests::connects::connections;
use crate::model::tests::facts::{Build, at, client, server};
use crate::model::tests::world::{MS, SECOND, START, World};

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

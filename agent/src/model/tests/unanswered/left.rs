//! Clients that leave, and peers that never answer.

use super::{asked, called, end, judged, slices};
use crate::model::event::{End, Ending, Exchange, Inbound, Progress, Side};
use crate::model::exchange::{First, view};
use crate::model::snapshot::Owner;
use crate::model::tests::facts::{Build, at, server};
use crate::model::tests::world::{MS, SECOND, START};

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

//! Connections whose first data come late (TCP_DEFER_ACCEPT).

use super::slices;
use crate::model::exchange::{First, view};
use crate::model::output::Output;
use crate::model::snapshot::Owner;
use crate::model::tests::facts::{Build, server};
use crate::model::tests::world::{MS, START, World};

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

//! Claims about what exchanges went through.

use super::ClaimRow;
use crate::model::event::{Accept, Closed, Ending, Event, Exchange, Hold, HoldReason, Role, Side};
use crate::model::tests::connection_facts::{after, sending, times};
use crate::model::tests::connections::{closed, opened};
use crate::model::tests::facts::{Build, at, client, server};
use crate::model::tests::world::{MS, SECOND, World};

pub(super) fn rows() -> Vec<ClaimRow> {
    [retransmits(), small_writes(), churn()].concat()
}

fn retransmits() -> Vec<ClaimRow> {
    let row = |claim, contradicted| ClaimRow {
        kind: "retransmits",
        claim,
        supported: || resent_for(210 * MS),
        contradicted,
    };
    let ignored = ClaimRow {
        kind: "retransmits",
        claim: "lost-or-ignored",
        supported: calls_sent_again,
        contradicted: || resent_for(210 * MS),
    };
    vec![
        row("hurts", || resent_for(2 * MS)),
        row("lost-or-late", calls_sent_again),
        row("waited", healthy),
        ignored,
    ]
}

fn small_writes() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "small-writes",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("hurts", || in_pieces(41 * MS), || in_pieces(0)),
        row("small", || in_pieces(0), healthy),
        row("held", || in_pieces(41 * MS), || in_pieces(0)),
        row("not-held", || in_pieces(0), || in_pieces(41 * MS)),
    ]
}

fn churn() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "connection-churn",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("hurts", || short(Side::Peer, 3_000), || short(Side::Peer, 100)),
        row("one-peer", || short(Side::Peer, 100), healthy),
        row("closed-here", || short(Side::Local, 100), || short(Side::Peer, 100)),
        row("closed-there", || short(Side::Peer, 100), || short(Side::Local, 100)),
        row("handshakes", || short(Side::Peer, 100), || short(Side::Peer, 0)),
    ]
}

/// Exchanges written in ten small pieces, of which Nagle's algorithm held some for so long.
fn in_pieces(held_ns: u64) -> World {
    let pieces = sending(|outbound| {
        (outbound.writes, outbound.small_writes) = (10, 10);
        if held_ns > 0 {
            outbound.sent_ns = Some(outbound.last_ns + held_ns);
            outbound.acked_ns = Some(outbound.last_ns + held_ns + 30_000);
            outbound.holds = vec![Hold { reason: HoldReason::Nagle, count: 1, held_ns }];
        }
    });
    after(&times(10, &pieces))
}

/// Connections of one exchange each that this side closed first, after a handshake of so many µs.
fn short(by: Side, handshake_us: u64) -> World {
    let mut world = World::with_limit(128);
    for _ in 0..1_000 {
        world.accept(0, 7, 0, 0);
    }
    let accepts: Vec<Accept> = world
        .given
        .iter()
        .filter_map(|event| match event {
            Event::Accept(accept) => Some(accept.clone()),
            _ => None,
        })
        .collect();
    let mut world = World::with_limit(128);
    for accept in accepts {
        let (sock, handshake_us) = (accept.sock, Some(handshake_us).filter(|us| *us > 0));
        world.apply(Event::Accept(Accept { handshake_us, ..accept }));
        world.apply(Event::Exchange(Exchange { sock, ..server() }));
        let Event::Closed(end) = closed(sock, at(500 * MS)) else { panic!("not closed") };
        world.apply(Event::Closed(Closed { by: Some(by), how: Some(Ending::Fin), ..end }));
    }
    world.sample_after(SECOND);
    world
}

/// Exchanges whose last segment was sent again, and acknowledged so long after the last write.
fn resent_for(ack_ns: u64) -> World {
    let resent: Exchange = sending(|outbound| {
        outbound.retransmits = 2;
        outbound.acked_ns = Some(outbound.last_ns + ack_ns);
    });
    after(&times(4, &resent))
}

/// First requests of new connections that were sent again.
fn calls_sent_again() -> World {
    let mut world = World::with_limit(128);
    for sock in 1..=4 {
        let mut call = Exchange { sock, ..client().later(MS) };
        call.outbound().retransmits = 1;
        world.apply(opened(sock, Role::Client, false));
        world.apply(Event::Exchange(call));
    }
    world.sample_after(SECOND);
    world
}

/// Exchanges without any trouble.
fn healthy() -> World {
    after(&times(100, &server()))
}

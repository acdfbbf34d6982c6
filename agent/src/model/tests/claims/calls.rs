//! Claims about who waits for whom, and about what nobody answered.

use super::ClaimRow;
use crate::model::event::{Ending, Event, Exchange, Outcome, Role, Side};
use crate::model::tests::chain::{exhausted, exhausted_by_calls};
use crate::model::tests::connection_facts::{after, on_listener, times};
use crate::model::tests::connections::opened;
use crate::model::tests::connects::{failed, upstream};
use crate::model::tests::facts::{Build, at, server};
use crate::model::tests::long_poll::put_aside;
use crate::model::tests::loops;
use crate::model::tests::proxy::{Waits, behind_an_upstream};
use crate::model::tests::unanswered::{asked, called, end};
use crate::model::tests::world::{MS, SECOND, World};

pub(super) fn rows() -> Vec<ClaimRow> {
    [slow_app(), unanswered()].concat()
}

fn slow_app() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "slow-app",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("upstream", || behind_an_upstream(Waits::ForAnswers), || slow(300 * MS)),
        row("capacity", exhausted_by_calls, exhausted),
        row("held-by-answers", exhausted, || slow(300 * MS)),
        row("computed-or-not", || slow(300 * MS), || behind_an_upstream(Waits::ForAnswers)),
        row("held-up", || loops::blocking(true, MS), || slow(300 * MS)),
        row("parked", || put_aside("server 4242"), || slow(300 * MS)),
        row("unseen", || put_aside("port 8080"), || put_aside("server 4242")),
    ]
}

fn unanswered() -> Vec<ClaimRow> {
    let row = |claim, supported, contradicted| ClaimRow {
        kind: "unanswered",
        claim,
        supported,
        contradicted,
    };
    vec![
        row("left", || requests(Side::Peer), || requests(Side::Local)),
        row("closed-here", || requests(Side::Local), || requests(Side::Peer)),
        row("on-calls", || behind_an_upstream(Waits::InVain), || requests(Side::Peer)),
        row("on-connects", || unconnected(495 * MS), || unconnected(MS)),
        row("given-up", || calls(Side::Local), || calls(Side::Peer)),
        row("closed-there", || calls(Side::Peer), || calls(Side::Local)),
    ]
}

/// Requests that are answered after so long.
fn slow(ns: u64) -> World {
    after(&times(10, &server().writing(at(ns))))
}

/// Requests without an answer, whose connections this side ended.
fn requests(by: Side) -> World {
    after(&times(10, &asked(end(at(500 * MS), by, Ending::Fin))))
}

/// Calls without an answer, likewise.
fn calls(by: Side) -> World {
    let mut world = World::with_limit(128);
    for sock in 1..=10 {
        world.apply(opened(sock, Role::Client, false));
        world.apply(Event::Exchange(Exchange {
            sock,
            ..called(end(at(500 * MS), by, Ending::Fin))
        }));
    }
    world.sample_after(1_000 * MS);
    world
}

/// Requests whose connections this host ended unanswered after half a second, and connects of so
/// long that failed meanwhile.
fn unconnected(took_ns: u64) -> World {
    let mut world = World::with_limit(128);
    for sock in 1..=10 {
        world.apply(on_listener(sock));
        world.apply(Event::Connect(failed(upstream(), Outcome::GivenUp, MS, took_ns)));
        world.apply(Event::Exchange(Exchange {
            sock,
            ..asked(end(at(500 * MS), Side::Local, Ending::Fin))
        }));
    }
    world.sample_after(SECOND);
    world
}

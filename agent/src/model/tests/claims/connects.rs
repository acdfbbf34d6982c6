//! Claims about connects, and about connections that a RST ended.

use super::ClaimRow;
use crate::model::event::{Closed, Connect, Outcome, Sign};
use crate::model::tests::closes::{called_late, ends, late_ends, lingering, unread};
use crate::model::tests::connects::{after, failed, made, served_one, several, upstream};
use crate::model::tests::world::{MS, SECOND, World, address};

pub(super) fn rows() -> Vec<ClaimRow> {
    [fails(), ended()].concat()
}

fn row(claim: &'static str, supported: fn() -> World, contradicted: fn() -> World) -> ClaimRow {
    ClaimRow { kind: "connect-fails", claim, supported, contradicted }
}

fn refused() -> World {
    after(several(4, upstream(), Outcome::Refused, MS))
}

fn refused_here() -> World {
    after(several(4, address("127.0.0.1:80"), Outcome::Refused, MS))
}

fn silent() -> World {
    after(several(4, upstream(), Outcome::GivenUp, SECOND))
}

fn silent_here() -> World {
    after(several(4, address("[::1]:80"), Outcome::GivenUp, SECOND))
}

fn no_port() -> World {
    after(several(4, upstream(), Outcome::NoPort, 0))
}

fn no_port_for_time_wait() -> World {
    after(
        several(4, upstream(), Outcome::NoPort, 0)
            .into_iter()
            .map(|one| Connect { time_wait: Some(4), ..one }),
    )
}

fn no_route() -> World {
    after(
        several(4, upstream(), Outcome::NoRoute, 0)
            .into_iter()
            .map(|one| Connect { inferred: false, ..one }),
    )
}

fn no_route_inferred() -> World {
    after(several(4, upstream(), Outcome::NoRoute, 0))
}

fn two_addresses() -> World {
    let other = failed(address("10.0.1.2:80"), Outcome::Refused, 0, MS);
    after(several(4, upstream(), Outcome::Refused, MS).into_iter().chain([other]))
}

fn all_made() -> World {
    let mut world = World::with_limit(128);
    (1..=5).for_each(|sock| world.apply(made(sock, upstream(), MS)));
    world.sample_after(SECOND);
    world
}

fn fails() -> Vec<ClaimRow> {
    vec![
        row("failed", refused, all_made),
        row("refused", refused, refused_here),
        row("refused-here", refused_here, refused),
        row("silent", silent, refused),
        row("silent-here", silent_here, silent),
        row("silent-away", silent, silent_here),
        row("unreachable", || after(several(4, upstream(), Outcome::Unreachable, MS)), silent),
        row("no-route", no_route, no_route_inferred),
        row("no-route-by-table", no_route_inferred, no_route),
        row("no-port", no_port, no_route),
        row("time-wait", no_port_for_time_wait, no_port),
        row("reset", || after(several(4, upstream(), Outcome::Reset, MS)), refused),
        row("other", || after(several(4, upstream(), Outcome::Failed, MS)), refused),
        row("requests", || served_one(Outcome::GivenUp), silent),
        row("others", two_addresses, refused),
    ]
}

fn idle(closed: &mut Closed) {
    closed.idle_ns = Some(SECOND);
}

/// Late requests, and no exchange.
fn unused() -> World {
    let mut world = World::with_limit(128);
    late_ends(3).into_iter().for_each(|event| world.apply(event));
    world.sample_after(SECOND);
    world
}

fn race(claim: &'static str, supported: fn() -> World, contradicted: fn() -> World) -> ClaimRow {
    ClaimRow { kind: "keepalive-race", claim, supported, contradicted }
}

fn cut(claim: &'static str, supported: fn() -> World, contradicted: fn() -> World) -> ClaimRow {
    ClaimRow { kind: "truncated-responses", claim, supported, contradicted }
}

fn late() -> World {
    ends(4, true, idle)
}

/// The same where the application reads on after its FIN.
fn lingered() -> World {
    lingering(4, Sign::HttpRequest { minor: 1 }, 2 * SECOND)
}

fn quiet() -> World {
    ends(4, false, idle)
}

fn truncated() -> World {
    ends(4, false, unread)
}

/// The same with every byte of the responses acknowledged.
fn whole() -> World {
    ends(4, false, |closed| {
        unread(closed);
        closed.unacked_bytes = 0;
    })
}

/// More data came right behind the close.
fn behind() -> World {
    ends(4, true, |closed| closed.idle_ns = Some(MS))
}

fn ended() -> Vec<ClaimRow> {
    vec![
        race("came-late", late, quiet),
        race("reset", late, lingered),
        race("lingered", lingered, late),
        race("met-a-close", || called_late(true), late),
        race("answered", late, unused),
        cut("unread", truncated, behind),
        cut("lost", truncated, behind),
        cut("cut", truncated, whole),
        cut("after-close", behind, truncated),
    ]
}

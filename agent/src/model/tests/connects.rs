//! Connects that are made, fail or hang.

use std::net::SocketAddr;

use super::connections::opened;
use super::facts::{Build, at, client, server};
use super::world::{MS, SECOND, START, World, address};
use crate::model::event::{Connect, Event, Exchange, Opened, Outcome, Progress, Role, SockId};
use crate::model::output::{ConnectionOutput, ExchangeOutput, Output};
use crate::model::snapshot::{Finding, Owner, Severity, SliceKind};

const US: u64 = 1_000;

/// A connect of process 4242 that failed so, from this moment on, for so long.
pub(super) fn failed(to: SocketAddr, outcome: Outcome, from_ns: u64, took_ns: u64) -> Connect {
    let error = match outcome {
        Outcome::Refused => Some(111),
        Outcome::TimedOut => Some(110),
        Outcome::Unreachable | Outcome::NoRoute => Some(113),
        Outcome::NoPort => Some(99),
        _ => None,
    };
    Connect {
        ts_ns: at(from_ns + took_ns),
        sock: 900_000 + from_ns / US,
        peer: to,
        pid: 4242,
        comm: "server".into(),
        tid: Some(11),
        asked_ns: at(from_ns),
        outcome,
        error,
        inferred: matches!(outcome, Outcome::NoPort | Outcome::NoRoute),
        syns: 1 + (took_ns / SECOND) as u32,
        ports: (outcome == Outcome::NoPort).then_some((40_000, 40_004)),
        time_wait: (outcome == Outcome::NoPort).then_some(0),
    }
}

pub(super) fn upstream() -> SocketAddr {
    address("10.0.1.1:80")
}

/// What is found after these.
pub(super) fn after(connects: impl IntoIterator<Item = Connect>) -> World {
    let mut world = World::with_limit(128);
    connects.into_iter().for_each(|connect| world.apply(Event::Connect(connect)));
    world.sample_after(3 * SECOND);
    world
}

/// So many, one every 10 ms.
pub(super) fn several(count: u64, to: SocketAddr, outcome: Outcome, took_ns: u64) -> Vec<Connect> {
    (0..count).map(|step| failed(to, outcome, step * 10 * MS, took_ns)).collect()
}

/// A connection of this process to that address.
pub(super) fn made(sock: SockId, to: SocketAddr, took_ns: u64) -> Event {
    let Event::Opened(opened) = opened(sock, Role::Client, false) else { panic!("not opened") };
    Event::Opened(Opened { peer: to, asked_ns: Some(START - took_ns), ..opened })
}

fn found(world: &World) -> Finding {
    world
        .finding("connect-fails")
        .unwrap_or_else(|| panic!("none in {:?}", world.model.snapshot().findings))
}

fn exchanges(world: &World) -> Vec<&ExchangeOutput> {
    world
        .out
        .iter()
        .filter_map(|output| if let Output::Exchange(one) = output { Some(one) } else { None })
        .collect()
}

pub(super) fn connections(world: &World) -> Vec<&ConnectionOutput> {
    world
        .out
        .iter()
        .filter_map(|output| match output {
            Output::Connection(one) => Some(Box::as_ref(one)),
            _ => None,
        })
        .collect()
}

#[test]
fn who_is_answerable_follows_from_how_a_connect_failed() {
    let local = address("127.0.0.1:80");
    let cases = [
        (upstream(), Outcome::Refused, Owner::Peer, "refused recently"),
        (upstream(), Outcome::TimedOut, Owner::Network, "got no answer"),
        (upstream(), Outcome::GivenUp, Owner::Network, "got no answer"),
        (local, Outcome::GivenUp, Owner::Peer, "got no answer"),
        (upstream(), Outcome::Unreachable, Owner::Network, "is unreachable"),
        (upstream(), Outcome::NoPort, Owner::Kernel, "no free local port"),
        (upstream(), Outcome::NoRoute, Owner::Kernel, "no route to"),
    ];
    for (to, outcome, owner, words) in cases {
        let world = after(several(4, to, outcome, 400 * MS));
        let finding = found(&world);
        assert_eq!((finding.owner, finding.severity), (owner, Severity::Warning), "{outcome:?}");
        assert!(
            finding.headline.contains(words) && finding.headline.as_came().chars().count() <= 78,
            "{:?}",
            finding.headline
        );
        assert!(!finding.text.contains("  ") && finding.fix.ends_with("."), "{:?}", finding.text);
    }
    let busy = several(4, upstream(), Outcome::NoPort, 0).into_iter();
    let finding = found(&after(busy.map(|one| Connect { time_wait: Some(5), ..one })));
    assert_eq!(finding.owner, Owner::App, "its own closed connections hold the ports");
    assert!(
        finding.text.contains(
            "5 local ports for one address, 40000 to 40004, and 5 sockets are in TIME_WAIT"
        )
    );
}

#[test]
fn the_run_counts_what_became_of_connects() {
    let mut world = after(several(3, upstream(), Outcome::Refused, MS));
    world.apply(made(1, upstream(), MS));
    world.apply(Event::Connect(failed(upstream(), Outcome::GivenUp, 0, 100 * MS)));
    let totals = world.finish().connects.expect("watched");
    assert_eq!(
        (totals.made, totals.failed(), totals.refused),
        (1, 3, 3),
        "who gives up at once asked somebody else"
    );
    let told = world.out.iter().filter(|output| matches!(output, Output::Connect(_))).count();
    assert_eq!(told, 3);
}

#[test]
fn a_single_refusal_and_happy_eyeballs_are_worth_knowing_only() {
    let one = after([failed(upstream(), Outcome::Refused, 0, MS)]);
    assert_eq!(found(&one).severity, Severity::Info);
    let mut world = World::with_limit(128);
    for connect in several(5, address("[2001:db8::1]:80"), Outcome::Refused, MS) {
        world.apply(Event::Connect(connect));
    }
    (1..=5).for_each(|sock| world.apply(made(sock, upstream(), MS)));
    world.sample_after(SECOND);
    assert_eq!(
        found(&world).severity,
        Severity::Info,
        "the same port answers at the other address"
    );
}

#[test]
fn few_refusals_among_many_connects_are_no_warning() {
    let mut world = World::with_limit(128);
    (1..=100).for_each(|sock| world.apply(made(sock, upstream(), MS)));
    several(3, upstream(), Outcome::Refused, MS)
        .into_iter()
        .for_each(|one| world.apply(Event::Connect(one)));
    world.sample_after(SECOND);
    assert_eq!(found(&world).severity, Severity::Info);
}

#[test]
fn a_connect_that_hangs_is_found_before_it_ends() {
    let mut world = World::with_limit(128);
    let pending = |now_ns| failed(upstream(), Outcome::Pending, 0, now_ns);
    world.apply(Event::Connect(Connect { sock: 5, ..pending(500 * MS) }));
    world.sample_after(500 * MS);
    assert_eq!(found(&world).severity, Severity::Info, "a SYN may be lost");
    world.apply(Event::Connect(Connect { sock: 5, ..pending(2 * SECOND) }));
    world.sample_after(1_500 * MS);
    let finding = found(&world);
    assert_eq!((finding.owner, finding.severity), (Owner::Network, Severity::Warning));
    assert_eq!(finding.headline, "No answer yet from 10.0.1.1:80: 1 connect, for 2.00 s so far.");
    world.apply(Event::Connect(Connect {
        sock: 5,
        ..failed(upstream(), Outcome::TimedOut, 0, 3 * SECOND)
    }));
    world.sample_after(SECOND);
    assert!(found(&world).headline.contains("1 connect to 10.0.1.1:80 got no answer in 3.00 s"));
}

/// A request that was read at `read_ns` and answered at `written_ns`.
fn served(sock: SockId, read_ns: u64, written_ns: u64) -> Exchange {
    let mut exchange = server().later(read_ns - 50 * US).writing(at(written_ns));
    exchange.ts_ns = at(written_ns + MS);
    Exchange { sock, ..exchange }
}

/// A request that waited for a connect which failed so.
pub(super) fn served_one(outcome: Outcome) -> World {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    world.apply(Event::Connect(failed(upstream(), outcome, MS, 2 * SECOND)));
    world.apply(Event::Exchange(served(1, MS - 50 * US, MS + 2 * SECOND + 100 * US)));
    world.sample_after(4 * SECOND);
    world
}

fn kinds(output: &ExchangeOutput) -> Vec<(SliceKind, u64)> {
    output.view.slices.iter().map(|slice| (slice.kind, slice.us)).collect()
}

#[test]
fn the_time_of_a_connect_that_nobody_answered_is_not_the_applications() {
    let mut world = served_one(Outcome::GivenUp);
    let told = exchanges(&world);
    let slices = kinds(told[0]);
    assert!(slices.contains(&(SliceKind::Connect, 2_000_000)), "{slices:?}");
    let total: u64 = slices.iter().map(|slice| slice.1).sum();
    assert_eq!(total, told[0].view.total_us, "the slices tile the exchange");
    assert_eq!(told[0].view.connects[0].peer, upstream());
    let times = world.finish().times;
    assert!(times.network_us >= 2_000_000 && times.app_us < 1_000, "{times:?}");
}

#[test]
fn each_of_several_requests_waits_for_its_own_connect() {
    let mut world = World::with_limit(128);
    for sock in 1..=3 {
        world.apply(opened(sock, Role::Server, false));
        let from_ns = sock * 100 * MS;
        world.apply(Event::Connect(failed(upstream(), Outcome::GivenUp, from_ns, 2 * SECOND)));
    }
    for sock in 1..=3 {
        let from_ns = sock * 100 * MS;
        world.apply(Event::Exchange(served(
            sock,
            from_ns - 60 * US,
            from_ns + 2 * SECOND + 60 * US,
        )));
    }
    world.sample_after(4 * SECOND);
    for (told, sock) in exchanges(&world).into_iter().zip(1..) {
        let from_ns = sock * 100 * MS;
        assert_eq!(
            told.view.connects.iter().map(|one| one.start_ns).collect::<Vec<_>>(),
            [at(from_ns)]
        );
    }
}

#[test]
fn a_refused_connect_is_the_peers_and_the_next_one_is_of_the_same_request() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    world.apply(Event::Connect(failed(upstream(), Outcome::Refused, MS, 30 * MS)));
    world.apply(Event::Connect(failed(address("10.0.1.2:80"), Outcome::Refused, 32 * MS, 20 * MS)));
    world.apply(Event::Exchange(served(1, MS - 50 * US, 53 * MS)));
    world.sample_after(3 * SECOND);
    let told = exchanges(&world);
    let refused: Vec<u64> = kinds(told[0])
        .into_iter()
        .filter(|slice| slice.0 == SliceKind::ConnectRefused)
        .map(|slice| slice.1)
        .collect();
    assert_eq!(refused, [30_000, 20_000]);
}

#[test]
fn anothers_connect_is_left_alone() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    // It began long after the request was read, and ended long before it was answered.
    world.apply(Event::Connect(failed(upstream(), Outcome::Refused, 500 * MS, MS)));
    world.apply(Event::Connect(Connect {
        pid: 7,
        ..failed(upstream(), Outcome::GivenUp, MS, 2 * SECOND)
    }));
    world.apply(Event::Exchange(served(1, MS - 50 * US, 3 * SECOND)));
    world.sample_after(4 * SECOND);
    assert!(exchanges(&world)[0].view.connects.is_empty());
}

#[test]
fn a_clients_first_exchange_begins_with_the_connect_that_it_waited_for() {
    let first = |took_ns, later_ns| {
        let mut world = World::with_limit(128);
        world.apply(made(2, upstream(), took_ns));
        world.apply(Event::Exchange(Exchange { sock: 2, ..client().later(later_ns) }));
        world.sample_after(2 * SECOND);
        kinds(exchanges(&world)[0])
    };
    assert_eq!(first(SECOND, MS)[..2], [(SliceKind::Connect, 1_000_000), (SliceKind::App, 1_000)]);
    assert_eq!(first(SECOND, SECOND)[0].0, SliceKind::Response, "it was kept for later");
}

#[test]
fn a_request_that_waits_for_a_connect_is_not_stuck_in_the_application() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    world.apply(Event::Connect(Connect {
        sock: 9,
        ..failed(upstream(), Outcome::Pending, MS, 2 * SECOND)
    }));
    let mut exchange =
        Exchange { progress: Progress::Open, outbound: None, ts_ns: at(2 * SECOND), ..server() };
    exchange.inbound().unread_bytes = 0;
    world.connections = vec![super::connections::sampled(1, Some(exchange))];
    world.sample_after(2 * SECOND);
    assert_eq!(world.finding("slow-app"), None);
    assert_eq!(found(&world).owner, Owner::Network);
}

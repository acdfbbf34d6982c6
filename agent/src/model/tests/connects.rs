//! Connects that fail or hang, and connections that a RST ended.

use std::net::SocketAddr;

use super::connections::{closed, opened};
use super::facts::{Build, at, client, server};
use super::world::{LISTENER, MS, SECOND, START, World, address};
use crate::model::event::{
    ClientHello, Closed, Connect, ConnectionSample, End, Ending, Event, Exchange, Late, Opened,
    Outcome, Progress, Recognised, Role, Side, Sign, SockId, TcpState, Why,
};
use crate::model::output::{ConnectionOutput, ExchangeOutput, Output};
use crate::model::snapshot::{Cause, Finding, Owner, Severity, SliceKind};

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

/// An end of a served connection, this long after it had been idle.
pub(super) fn end(sock: SockId, change: impl FnOnce(&mut Closed)) -> Event {
    let Event::Closed(mut end) = closed(sock, at(SECOND)) else { panic!("not closed") };
    (end.exchanges, end.by, end.how) = (1, Some(Side::Local), Some(Ending::Fin));
    change(&mut end);
    Event::Closed(end)
}

pub(super) fn late() -> Event {
    let (local, peer) = (address("10.0.0.1:8080"), address("10.0.0.9:40122"));
    Event::Late(Late { ts_ns: at(SECOND + MS), local, peer, bytes: 40, lingers: None })
}

/// So many connections of the listener, each with an exchange, that end so, with data behind the
/// end or not.
pub(super) fn ends(count: u64, is_late: bool, change: impl Fn(&mut Closed)) -> World {
    let mut world = World::with_limit(128);
    for sock in 1..=count {
        let Event::Opened(opened) = opened(sock, Role::Server, false) else { panic!("not opened") };
        world.apply(Event::Opened(Opened { listener: Some(LISTENER), ..opened }));
        world.apply(Event::Exchange(Exchange { sock, ..server() }));
        world.apply(end(sock, &change));
        if is_late {
            world.apply(late());
        }
    }
    world.sample_after(2 * SECOND);
    world
}

fn was_idle(closed: &mut Closed) {
    closed.idle_ns = Some(2 * SECOND);
}

#[test]
fn requests_that_come_when_an_idle_connection_was_closed_are_a_race() {
    let world = ends(5, true, was_idle);
    let finding = world.finding("keepalive-race").expect("a race");
    assert_eq!(
        finding.headline,
        "5 requests came after this host closed connections idle for 2.00 s."
    );
    assert_eq!(
        (finding.severity, finding.owner, finding.sock),
        (Severity::Warning, Owner::App, LISTENER)
    );
    let told = connections(&world);
    assert!(told.iter().all(|one| one.view.end.cause == Some(Cause::LateRequest)), "{told:?}");
    assert!(told.iter().all(|one| one.view.end.reset_by == Some(Side::Local)));
    assert_eq!(ends(5, false, was_idle).finding("keepalive-race"), None, "nobody came");
}

#[test]
fn a_second_segment_of_a_late_request_is_not_another_request() {
    let mut world = ends(1, true, was_idle);
    world.apply(late());
    assert_eq!(world.finish().resets.map(|totals| totals.late_requests), Some(1));
}

#[test]
fn data_right_behind_a_close_are_no_race() {
    let mut world = ends(5, true, |closed| closed.idle_ns = Some(4 * MS));
    assert_eq!(world.finding("keepalive-race"), None);
    assert_eq!(connections(&world)[0].view.end.cause, Some(Cause::DataAfterClose));
    assert_eq!(
        world.finding("truncated-responses").map(|finding| finding.severity),
        Some(Severity::Info)
    );
    assert_eq!(
        world.finish().resets.map(|totals| (totals.sent, totals.late_requests)),
        Some((5, 0))
    );
}

#[test]
fn a_request_that_was_there_unread_at_the_close_is_a_race_too() {
    let world = ends(3, false, |closed| {
        (closed.how, closed.why, closed.unseen) =
            (Some(Ending::Reset), Some(Why::UnreadData), true);
        (closed.unread_bytes, closed.exchanges) = (40, 2);
    });
    assert_eq!(world.finding("truncated-responses"), None);
    assert_eq!(
        world.finding("keepalive-race").map(|finding| finding.severity),
        Some(Severity::Warning)
    );
}

/// So many connections that this host closed by `shutdown`, after so long, and reads on: data come,
/// and it closes.
pub(super) fn lingering(count: u64, protocol: Sign, idle_ns: u64) -> World {
    let mut world = World::with_limit(128);
    for sock in 1..=count {
        world.apply(super::connection_facts::on_listener(sock));
        world.apply(Event::Recognised(Recognised { ts_ns: START, sock, sign: protocol.clone() }));
        world.apply(Event::Exchange(Exchange { sock, ..server() }));
        let Event::Late(late) = late() else { panic!("not late") };
        world.apply(Event::Late(Late { lingers: Some((sock, idle_ns)), ..late }));
        world.apply(end(sock, was_idle));
    }
    world.sample_after(2 * SECOND);
    world
}

/// Apache and nginx read on for a while after their FIN: no RST is sent, and the request is lost
/// all the same.
#[test]
fn requests_that_come_to_a_lingering_close_are_a_race() {
    let http = Sign::HttpRequest { minor: 1 };
    let mut world = lingering(5, http.clone(), 2 * SECOND);
    let finding = world.finding("keepalive-race").expect("a race");
    assert_eq!(
        finding.headline,
        "5 requests came after this host closed connections idle for 2.00 s."
    );
    assert!(!finding.text.contains("RST"), "{:?}", finding.text);
    let told = connections(&world);
    assert!(told.iter().all(|one| one.view.end.cause == Some(Cause::LateRequest)), "{told:?}");
    assert!(told.iter().all(|one| one.view.end.reset_by.is_none()));
    assert_eq!(
        world.finish().resets.map(|totals| (totals.sent, totals.late_requests)),
        Some((0, 5))
    );
    let rest = lingering(5, http, 4 * MS);
    assert_eq!(rest.finding("keepalive-race"), None, "the rest of a request that was refused");
    let goodbye = lingering(5, Sign::ClientHello(ClientHello::default()), 2 * SECOND);
    assert_eq!(goodbye.finding("keepalive-race"), None, "TLS closes by a message of its own");
}

/// The request was not read to its end.
pub(super) fn unread(closed: &mut Closed) {
    (closed.how, closed.why) = (Some(Ending::Reset), Some(Why::UnreadData));
    (closed.unread_bytes, closed.unacked_bytes) = (50_000, 3_000);
}

#[test]
fn a_response_behind_which_the_request_was_not_read_is_cut_off() {
    let mut world = ends(4, false, unread);
    let finding = world.finding("truncated-responses").expect("cut off");
    assert_eq!(finding.severity, Severity::Warning);
    assert!(
        finding.text.contains("200,000 B") && finding.text.contains("4 responses had 12,000 B"),
        "{:?}",
        finding.text
    );
    assert_eq!(world.finish().resets.map(|totals| (totals.sent, totals.truncated)), Some((4, 4)));
    let without = ends(4, false, |closed| {
        unread(closed);
        closed.unanswered = true;
    });
    assert_eq!(without.finding("truncated-responses"), None, "there was no response");
}

#[test]
fn resets_by_clients_and_linger_are_nobodys_fault() {
    for (by, why) in [(Side::Peer, Why::Reset), (Side::Local, Why::Linger)] {
        let world = ends(9, false, |closed| {
            (closed.by, closed.how, closed.why) = (Some(by), Some(Ending::Reset), Some(why));
        });
        assert_eq!(world.finding("keepalive-race"), None);
        assert_eq!(world.finding("truncated-responses"), None);
    }
}

/// A call whose connection its server ended, in use before or not.
fn called(change: impl FnOnce(&mut Closed)) -> World {
    let mut world = World::with_limit(128);
    world.apply(made(2, upstream(), MS));
    world.apply(end(2, |closed| {
        (closed.by, closed.why, closed.exchanges) = (Some(Side::Peer), Some(Why::Reset), 2);
        (closed.unanswered, closed.asked_ns) = (true, Some(at(SECOND)));
        change(closed);
    }));
    world.sample_after(2 * SECOND);
    world
}

pub(super) fn called_late(is_used: bool) -> World {
    called(|closed| closed.exchanges = 1 + u32::from(is_used))
}

#[test]
fn a_call_that_met_a_close_is_none_that_the_server_left_without_an_answer() {
    let world = |is_used| {
        let mut world = World::with_limit(128);
        for sock in 2..=7 {
            world.apply(made(sock, upstream(), MS));
            let sign = Sign::HttpRequest { minor: 1 };
            world.apply(Event::Recognised(Recognised { ts_ns: at(0), sock, sign }));
            let fin = End { ts_ns: at(SECOND + MS), by: Side::Peer, how: Ending::Fin, gone: false };
            let call = Exchange { sock, seq: 2, inbound: None, ..client().later(SECOND) };
            world.apply(Event::Exchange(Exchange {
                progress: Progress::Closed,
                end: Some(fin),
                ..call
            }));
            world.apply(end(sock, |closed| {
                (closed.by, closed.why) = (Some(Side::Peer), Some(Why::Reset));
                (closed.exchanges, closed.unanswered) = (1 + u32::from(is_used), true);
                closed.asked_ns = Some(at(SECOND));
            }));
        }
        world.sample_after(2 * SECOND);
        world
    };
    let (used, new) = (world(true), world(false));
    assert!(used.finding("keepalive-race").is_some());
    assert_eq!(used.finding("unanswered"), None);
    assert!(new.finding("unanswered").is_some());
}

/// Connections without an exchange that are closed when idle, and then used.
pub(super) fn late_ends(count: u64) -> Vec<Event> {
    let events = |sock| {
        let Event::Opened(opened) = opened(sock, Role::Server, false) else { panic!("not opened") };
        let end = end(sock, |closed| (closed.exchanges, closed.idle_ns) = (0, Some(SECOND)));
        [Event::Opened(Opened { listener: Some(LISTENER), ..opened }), end, late()]
    };
    (1..=count).flat_map(events).collect()
}

#[test]
fn a_call_on_a_used_connection_that_met_its_end_was_too_late() {
    let call = |change: fn(&mut Closed)| called(change).finding("keepalive-race").is_some();
    assert!(call(|_| {}));
    assert!(!call(|closed| closed.exchanges = 1), "a new connection");
    assert!(!call(|closed| closed.unanswered = false), "nothing was asked");
    assert!(!call(|closed| closed.asked_ns = Some(at(0))), "the server had it for a second");
}

/// A connection that its peer closed, at the newest sample.
fn half_closed(change: impl FnOnce(&mut ConnectionSample)) -> Option<Finding> {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, true));
    let mut sample = ConnectionSample {
        state: TcpState::CloseWait,
        fin_ns: Some(START),
        next: None,
        ..super::connections::sampled(1, Some(server()))
    };
    change(&mut sample);
    world.connections = vec![sample];
    world.sample_after(40 * SECOND);
    world.finding("close-wait-leak")
}

#[test]
fn a_socket_in_close_wait_is_told_with_the_time_since_the_fin() {
    let headline = |finding: Option<Finding>| finding.map(|finding| finding.headline);
    let left = "Left in CLOSE_WAIT: 1 connection, for 40.0 s.";
    assert_eq!(headline(half_closed(|_| {})), Some(left.into()));
    let least = "Left in CLOSE_WAIT: 1 connection, for at least 35.0 s.";
    let before =
        |sample: &mut ConnectionSample| (sample.fin_ns, sample.active_ns) = (None, at(5 * SECOND));
    assert_eq!(headline(half_closed(before)), Some(least.into()));
    let new =
        |sample: &mut ConnectionSample| (sample.fin_ns, sample.active_ns) = (None, at(35 * SECOND));
    assert_eq!(half_closed(new), None, "seconds old");
}

#[test]
fn a_stream_or_a_request_to_a_client_that_said_its_last_word_is_no_leak() {
    let streams = |sample: &mut ConnectionSample| {
        let exchange = sample.exchange.as_mut().expect("an exchange");
        exchange.outbound().last_ns = at(8 * SECOND);
        sample.active_ns = at(8 * SECOND);
    };
    assert_eq!(half_closed(streams), None);
    let stats = |sample: &mut ConnectionSample| {
        sample.exchange.as_mut().expect("an exchange").outbound = None;
    };
    assert_eq!(half_closed(stats), None);
}

#[test]
fn a_connection_that_is_reset_before_an_answer_failed() {
    let reset = |change: fn(&mut Closed)| {
        let mut world = World::with_limit(128);
        world.apply(made(2, upstream(), MS));
        world.apply(end(2, |closed| {
            (closed.by, closed.how, closed.why) =
                (Some(Side::Peer), Some(Ending::Reset), Some(Why::Reset));
            (closed.bytes_in, closed.exchanges, closed.since_ns) = (0, 1, Some(at(500 * MS)));
            change(closed);
        }));
        world.sample_after(2 * SECOND);
        world.finish().connects.map(|totals| totals.reset)
    };
    assert_eq!(reset(|_| {}), Some(1));
    assert_eq!(reset(|closed| closed.bytes_in = 9), Some(0), "it had answered");
    let idle =
        |closed: &mut Closed| (closed.bytes_out, closed.since_ns) = (0, Some(at(60 * SECOND)));
    assert_eq!(reset(idle), Some(0), "nothing was asked of it");
}

//! Connections that end: by whom, and what was on its way then.

use super::connections::{closed, opened};
use super::connects::{connections, made, upstream};
use super::facts::{Build, at, client, server};
use super::world::{LISTENER, MS, SECOND, START, World, address};
use crate::model::event::{
    ClientHello, Closed, ConnectionSample, End, Ending, Event, Exchange, Late, Opened, Progress,
    Recognised, Role, Side, Sign, SockId, TcpState, Why,
};
use crate::model::snapshot::{Cause, Finding, Owner, Severity};

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

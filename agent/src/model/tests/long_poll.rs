//! Waiting by design: what stays open until there is news is not slow.

use super::connections::{opened, sampled};
use super::facts::{Build, at, server};
use super::world::{MS, SECOND, World};
use crate::model::event::{
    Event, Exchange, Progress, Recognised, RequestLine, Role, Sign, SockId, ThreadSample,
    ThreadUse, WaitKind,
};
use crate::model::snapshot::{Owner, Severity};

fn speaks(world: &mut World, sock: SockId, sign: Sign) {
    world.apply(Event::Recognised(Recognised { ts_ns: at(0), sock, sign }));
}

fn response(websocket: bool, event_stream: bool) -> Sign {
    Sign::HttpResponse {
        minor: 1,
        status: if websocket { 101 } else { 200 },
        websocket,
        event_stream,
    }
}

/// A server whose thread sleeps so, with connections on which HTTP is spoken.
fn site(sleep: WaitKind, connections: u64) -> World {
    let mut world = World::with_limit(128);
    world.threads =
        vec![ThreadSample { pid: 4242, tid: 11, sleep: Some(sleep), ..ThreadSample::default() }];
    for sock in 1..=connections {
        world.apply(opened(sock, Role::Server, true));
        speaks(&mut world, sock, Sign::HttpRequest { minor: 1 });
    }
    world.sample_after(100 * MS);
    world
}

/// Requests on these connections that are answered after so long each, seen at samples meanwhile.
fn polled(world: &mut World, answers: &[(SockId, u64)]) {
    let now_ns = |world: &World| world.now;
    let asked_ns = now_ns(world);
    let request = |sock, seq, progress| {
        let later = asked_ns - at(0);
        Exchange { sock, seq, progress, ..server().later(later) }
    };
    let last_ms = answers.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
    for step in 1..=last_ms.div_ceil(500) {
        let open = |&&(_, ms): &&(SockId, u64)| ms > step * 500;
        world.connections = answers
            .iter()
            .filter(open)
            .map(|&(sock, _)| {
                let exchange = request(sock, 1, Progress::Open);
                let ts_ns = asked_ns + step * 500 * MS;
                sampled(sock, Some(Exchange { outbound: None, ts_ns, ..exchange }))
            })
            .collect();
        world.sample_after(500 * MS);
    }
    world.connections.clear();
    for &(sock, ms) in answers {
        let exchange = request(sock, 1, Progress::Followed).writing(asked_ns + ms * MS);
        let ts_ns = exchange.outbound.as_ref().map_or(0, |outbound| outbound.first_ns) + SECOND;
        world.apply(Event::Exchange(Exchange { ts_ns, ..exchange }));
    }
    for _ in 0..4 {
        world.sample_after(SECOND);
        // It stands for a while only.
        if world.finding("slow-app").is_some() {
            break;
        }
    }
}

#[test]
fn requests_put_aside_and_answered_at_once_wait_by_design() {
    let mut world = site(WaitKind::Events, 4);
    polled(&mut world, &[(1, 2_000), (2, 2_004), (3, 2_010), (4, 1_990)]);
    assert!(world.reported_findings().is_empty(), "{:?}", world.reported_findings());
}

#[test]
fn one_that_is_answered_alone_may_be_slow_and_that_is_said() {
    let mut world = site(WaitKind::Events, 4);
    polled(&mut world, &[(1, 2_000), (2, 2_400), (3, 2_900), (4, 3_600)]);
    let finding = world.finding("slow-app").expect("a finding");
    assert_eq!(finding.severity, Severity::Info);
    assert!(finding.text.contains("wait by design"), "{:?}", finding.text);
}

/// A thread with much to do is on a CPU at samples, and puts requests aside nevertheless.
#[test]
fn a_thread_that_serves_others_meanwhile_has_put_a_request_aside() {
    for (served, severity) in [(true, Severity::Info), (false, Severity::Warning)] {
        let mut world = site(WaitKind::Lock, 4);
        let asked_ns = world.now - at(0);
        for sock in 11..=if served { 30 } else { 10 } {
            let quick = Exchange { sock, ..server().later(asked_ns + 200 * MS * (sock - 10)) };
            let since_ns = Some(world.now + 200 * MS * (sock - 10) - 150 * MS);
            let reader = ThreadUse { pid: 4242, since_ns, ..ThreadUse::default() };
            world.apply(Event::Exchange(quick.by_reader(reader)));
        }
        for (sock, ms) in [(1, 2_000), (2, 2_400), (3, 2_900), (4, 3_600)] {
            let slow = Exchange { sock, ..server().later(asked_ns) };
            world.apply(Event::Exchange(slow.writing(world.now + ms * MS)));
        }
        let mut finding = None;
        for _ in 0..8 {
            world.sample_after(SECOND);
            finding = finding.or_else(|| world.finding("slow-app"));
        }
        let finding = finding.expect("a finding");
        assert_eq!(finding.severity, severity, "{finding:?}");
        assert_eq!(finding.text.contains("wait by design"), served, "{:?}", finding.text);
    }
}

#[test]
fn a_thread_that_waits_for_a_lock_is_slow() {
    let mut world = site(WaitKind::Lock, 4);
    polled(&mut world, &[(1, 2_000), (2, 2_004), (3, 2_010), (4, 1_990)]);
    let finding = world
        .reported_findings()
        .into_iter()
        .find(|finding| finding.kind == "slow-app")
        .expect("a finding");
    assert!(!finding.text.contains("wait by design"), "{:?}", finding.text);
}

/// Who reads for workers sleeps in an event loop, too, while these are slow.
#[test]
fn a_reader_that_others_answer_for_has_put_nothing_aside() {
    let mut world = site(WaitKind::Events, 4);
    let worker = ThreadSample {
        pid: 4242,
        tid: 12,
        sleep: Some(WaitKind::Lock),
        writes: 9,
        ..ThreadSample::default()
    };
    world.threads.push(worker);
    world.sample_after(100 * MS);
    polled(&mut world, &[(1, 2_000), (2, 2_004), (3, 2_010), (4, 1_990)]);
    let finding = world.reported_findings().into_iter().find(|finding| finding.kind == "slow-app");
    assert!(finding.is_some_and(|finding| !finding.text.contains("wait by design")));
}

/// Events of a stream less than a second apart are one exchange, whose time between them is the
/// application's.
#[test]
fn streams_of_events_and_sockets_of_messages_are_not_slow() {
    for (sign, slow) in [
        (response(false, true), false),
        (response(true, false), false),
        (response(false, false), true),
    ] {
        let mut world = site(WaitKind::Lock, 4);
        for sock in 1..=4 {
            speaks(&mut world, sock, sign.clone());
        }
        for sock in 1..=4 {
            let mut events = Exchange { sock, ..server() };
            events.outbound().last_ns += 900 * MS;
            events.outbound().sent_ns = Some(events.outbound().last_ns);
            events.outbound().acked_ns = Some(events.outbound().last_ns + MS);
            world.apply(Event::Exchange(events));
        }
        let silent = Exchange {
            seq: 2,
            progress: Progress::Open,
            outbound: None,
            ts_ns: world.now,
            ..server()
        };
        world.connections = vec![sampled(1, Some(Exchange { sock: 1, ..silent }))];
        world.sample_after(3 * SECOND);
        assert_eq!(world.finding("slow-app").is_some(), slow, "{sign:?}");
    }
}

/// What one read takes is one exchange for the kernel, however many requests it has; what is read
/// after a write is the next.
#[test]
fn a_connection_says_what_its_exchanges_are() {
    let first = RequestLine { method: "GET".into(), path: "/a".into() };
    let mut world = site(WaitKind::Events, 3);
    speaks(&mut world, 1, Sign::HttpRequests { minor: 1, count: 3, first: Some(first.clone()) });
    speaks(&mut world, 2, Sign::Http2 { grpc: true });
    for sock in 1..=3 {
        let mut burst = Exchange { sock, ..server() };
        (burst.outbound().writes, burst.outbound().bytes) = (3, 600);
        world.apply(Event::Exchange(burst));
        world.apply(Event::Exchange(Exchange { sock, seq: 2, ..server().later(2 * SECOND) }));
    }
    let views = world.model.snapshot().connections;
    let view = |sock| views.iter().find(|view| view.sock == sock).expect("a connection");
    assert_eq!((view(1).pipelined, view(1).exchanges, view(1).multiplexed), (3, 2, false));
    assert_eq!(view(1).first_request.as_ref(), Some(&first));
    assert!(view(2).multiplexed && view(2).recent.iter().all(|exchange| exchange.multiplexed));
    assert_eq!(
        (view(3).pipelined, view(3).first_request.as_ref(), view(3).multiplexed),
        (0, None, false)
    );
    // The client's thinking between the two is in neither.
    assert!(
        view(3).recent.iter().all(|exchange| exchange.total_us < 1_000),
        "{:?}",
        view(3).recent
    );
}

/// Requests that an event loop has put aside and answers one by one, while this is watched.
pub(super) fn put_aside(target: &str) -> World {
    let mut world = site(WaitKind::Events, 4);
    world.model.set_target(target.into());
    polled(&mut world, &[(1, 1_500), (2, 2_000), (3, 2_500), (4, 3_000)]);
    world
}

#[test]
fn by_port_alone_nobody_is_said_to_wait_by_design() {
    let found = put_aside("port 8080").finding("slow-app").expect("a finding");
    assert_eq!((found.severity, found.owner), (Severity::Info, Owner::Unknown), "{found:?}");
    assert!(found.fix.contains("--pid"), "{:?}", found.fix);
    let mut world = site(WaitKind::Events, 3);
    world.model.set_target("port 8080".into());
    polled(&mut world, &[(1, 3_000), (2, 3_000), (3, 3_000)]);
    let found = world.finding("slow-app").expect("a finding");
    assert_eq!(found.severity, Severity::Info, "{found:?}");
}

//! Requests that calls hold up.

use super::{Span, US, called, figures, proxy, served};
use crate::model::event::{Ending, Event, Exchange, Progress, Side, SockId};
use crate::model::snapshot::{Owner, Severity};
use crate::model::tests::connections::sampled;
use crate::model::tests::facts::Build;
use crate::model::tests::unanswered::end;
use crate::model::tests::world::{MS, SECOND, START, World};

/// What a proxy's requests wait for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::model::tests) enum Waits {
    ForAnswers,
    InVain,
}

/// Ten requests to a proxy, each of which waits for a call for half a second: the call is answered
/// then, or the client gives up and with it the proxy.
pub(in crate::model::tests) fn behind_an_upstream(waits: Waits) -> World {
    let upstreams: Vec<(SockId, u16)> = (101..=110).map(|sock| (sock, 9_001)).collect();
    let mut world = proxy(1..=10, &upstreams);
    for sock in 1..=10 {
        let begun_ns = sock * 10 * MS;
        let mut request = served(Span(sock, 1, 11, begun_ns, begun_ns + 500 * MS));
        let mut call = called(Span(100 + sock, 1, 11, begun_ns + 30 * US, begun_ns + 499 * MS));
        if waits == Waits::InVain {
            request = Exchange { outbound: None, progress: Progress::Closed, ..request };
            request.end = end(START + begun_ns + 500 * MS, Side::Peer, Ending::Reset);
            call = Exchange { inbound: None, progress: Progress::Closed, ..call };
            call.end = end(START + begun_ns + 501 * MS, Side::Local, Ending::Fin);
        }
        world.apply(Event::Exchange(request));
        world.apply(Event::Exchange(call));
    }
    (0..4).for_each(|_| world.sample_after(SECOND));
    world
}

#[test]
fn what_calls_hold_is_their_peers() {
    let world = behind_an_upstream(Waits::ForAnswers);
    let found = world.reported_findings();
    let slow = found.iter().find(|finding| finding.kind == "slow-app").expect("a finding");
    assert_eq!((slow.owner, slow.severity), (Owner::Peer, Severity::Warning), "{slow:?}");
    assert!(slow.text.contains("10.0.1.1:9001") && slow.fix.contains("10.0.1.1:9001"), "{slow:?}");
    assert!(!slow.text.contains("not observed"), "{slow:?}");
    assert!(
        found.iter().all(|finding| finding.kind != "slow-app" || finding.owner == Owner::Peer),
        "{found:?}"
    );
}

#[test]
fn calls_that_nobody_answers_are_counted_by_upstream() {
    let world = behind_an_upstream(Waits::InVain);
    let view = figures(&world).view;
    assert_eq!((view.upstreams[0].unanswered, view.upstreams[0].side.exchanges), (10, 10));
    assert!(view.upstreams[0].time.p50 >= 490_000, "{:?}", view.upstreams[0]);
    let found = world.reported_findings();
    let unanswered: Vec<_> = found.iter().filter(|finding| finding.kind == "unanswered").collect();
    assert!(
        unanswered.len() >= 2 && unanswered.iter().all(|finding| finding.owner == Owner::Peer),
        "{found:?}"
    );
    assert!(found.iter().all(|finding| finding.kind != "slow-app"), "{found:?}");
}

/// What goes on: the proxy has read these requests, and called for them.
#[test]
fn requests_that_wait_for_calls_now_are_their_peers_doing() {
    let mut world = proxy(1..=3, &[(101, 9_001), (102, 9_001), (103, 9_001)]);
    let open = |exchange: Exchange| Exchange {
        progress: Progress::Open,
        ts_ns: START + 4 * SECOND,
        ..exchange
    };
    for sock in 1..=3 {
        let request = Exchange { outbound: None, ..served(Span(sock, 1, 11, MS, 2 * MS)) };
        let call = Exchange { inbound: None, ..called(Span(100 + sock, 1, 11, 2 * MS, 3 * MS)) };
        world.connections.push(sampled(sock, Some(open(request))));
        world.connections.push(sampled(100 + sock, Some(open(call))));
    }
    world.sample_after(4 * SECOND);
    let found = world.finding("slow-app").expect("a finding");
    assert_eq!((found.owner, found.severity), (Owner::Peer, Severity::Info), "{found:?}");
    assert!(found.text.contains("10.0.1.1:9001"), "{found:?}");
    world.connections.retain(|one| one.sock < 100);
    world.sample_after(SECOND);
    assert_eq!(
        world.finding("slow-app").map(|found| found.owner),
        Some(Owner::App),
        "no call any more"
    );
}

/// The answer to a call lies unread since its client does not take what it was sent: no fault of
/// the proxy's.
#[test]
fn a_proxy_that_its_client_holds_up_is_no_slow_reader() {
    for full_ms in [400, 0] {
        let mut world =
            proxy(1..=5, &[(101, 9_001), (102, 9_001), (103, 9_001), (104, 9_001), (105, 9_001)]);
        for sock in 1..=5 {
            let mut request = served(Span(sock, 1, 11, MS, 10 * MS));
            let outbound = request.outbound();
            outbound.last_ns += 500 * MS;
            (outbound.sent_ns, outbound.acked_ns) =
                (Some(outbound.last_ns), Some(outbound.last_ns + US));
            (outbound.blocked_ns, outbound.writes) = (full_ms * MS, 20);
            request.ts_ns += 500 * MS;
            let mut call = called(Span(100 + sock, 1, 11, 2 * MS, 9 * MS));
            let read_ns = Some(START + 500 * MS);
            (call.inbound().read_first_ns, call.inbound().read_last_ns) = (read_ns, read_ns);
            call.ts_ns += 500 * MS;
            world.apply(Event::Exchange(request));
            world.apply(Event::Exchange(call));
        }
        (0..4).for_each(|_| world.sample_after(SECOND));
        let blamed =
            world.reported_findings().into_iter().any(|finding| finding.kind == "slow-reader");
        assert_eq!(blamed, full_ms == 0, "{full_ms} ms");
    }
}

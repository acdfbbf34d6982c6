//! Which call was made for which request, and what a proxy does in all.

use std::net::SocketAddr;

use super::facts::{Build, client, server};
use super::unanswered::end;
use super::world::{MS, SECOND, START, World, address};
use crate::model::event::{
    Ending, Event, Exchange, Opened, Progress, Role, Side, SockId, ThreadUse,
};
use crate::model::output::{ExchangeOutput, Output, ProxyOutput};
use crate::model::snapshot::{Owner, Reuse, Severity, Spreading};
use crate::record::{RecordEntry, tests::entries_of};

const US: u64 = 1_000;

type Id = (SockId, u32);

/// An exchange that this thread served or made, from these moments on: first its beginning, then
/// its end.
#[derive(Clone, Copy)]
pub(super) struct Span(
    pub(super) SockId,
    pub(super) u32,
    pub(super) u32,
    pub(super) u64,
    pub(super) u64,
);

/// Read at the beginning, answered at the end.
pub(super) fn served(Span(sock, seq, tid, read_ns, written_ns): Span) -> Exchange {
    let mut exchange = server();
    let thread = Some(ThreadUse { pid: 4242, tid, ..ThreadUse::default() });
    let inbound = exchange.inbound();
    (inbound.first_ns, inbound.last_ns) = (START + read_ns - 10 * US, START + read_ns - 10 * US);
    (inbound.read_first_ns, inbound.read_last_ns, inbound.reader) =
        (Some(START + read_ns), Some(START + read_ns), thread);
    let outbound = exchange.outbound();
    let written_ns = START + written_ns;
    (outbound.first_ns, outbound.last_ns, outbound.sent_ns) =
        (written_ns, written_ns, Some(written_ns));
    (outbound.acked_ns, outbound.writer) = (Some(written_ns + 10 * US), thread);
    Exchange { sock, seq, ts_ns: written_ns + 20 * US, progress: Progress::Followed, ..exchange }
}

/// Written at the beginning, the answer read at the end.
pub(super) fn called(Span(sock, seq, tid, written_ns, read_ns): Span) -> Exchange {
    let mut exchange = client();
    let thread = Some(ThreadUse { pid: 4242, tid, ..ThreadUse::default() });
    let outbound = exchange.outbound();
    let written_ns = START + written_ns;
    (outbound.first_ns, outbound.last_ns, outbound.sent_ns) =
        (written_ns, written_ns, Some(written_ns));
    (outbound.acked_ns, outbound.writer) = (Some(written_ns + 10 * US), thread);
    let inbound = exchange.inbound();
    let read_ns = START + read_ns;
    (inbound.first_ns, inbound.last_ns) = (read_ns - 10 * US, read_ns - 10 * US);
    (inbound.read_first_ns, inbound.read_last_ns, inbound.reader) =
        (Some(read_ns), Some(read_ns), thread);
    Exchange { sock, seq, ts_ns: read_ns + 10 * US, progress: Progress::Followed, ..exchange }
}

fn opened(sock: SockId, role: Role, peer: SocketAddr) -> Event {
    Event::Opened(Opened {
        ts_ns: START,
        sock,
        role,
        listener: None,
        local: address("10.0.0.1:8080"),
        peer,
        pid: 4242,
        comm: "proxy".into(),
        handshake_us: None,
        preexisting: true,
        asked_ns: None,
        syns_again: 0,
    })
}

pub(super) fn upstream(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, 1], port))
}

/// A proxy that has these connections, with clients and with upstreams.
pub(super) fn proxy(
    clients: impl IntoIterator<Item = SockId>,
    upstreams: &[(SockId, u16)],
) -> World {
    let mut world = World::with_limit(128);
    for &(sock, port) in upstreams {
        world.apply(opened(sock, Role::Client, upstream(port)));
    }
    for sock in clients {
        world.apply(opened(sock, Role::Server, address("10.0.0.9:40122")));
    }
    world
}

/// A request and the call that was made for it, as a recording has them.
pub(crate) fn entries() -> Vec<RecordEntry> {
    let mut world = proxy([1], &[(2, 9_001)]);
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 20 * MS))));
    world.sample_after(3 * SECOND);
    let mut entries = entries_of(world.given);
    entries.push(RecordEntry::Finish(world.now));
    entries
}

pub(super) fn exchanges(world: &World) -> Vec<&ExchangeOutput> {
    world
        .out
        .iter()
        .filter_map(|output| if let Output::Exchange(one) = output { Some(one) } else { None })
        .collect()
}

/// The calls of each served exchange, as (its connection, its number), [the same of the call].
fn joins(world: &World) -> Vec<(Id, Vec<Id>)> {
    let mut joins: Vec<_> = exchanges(world)
        .into_iter()
        .filter(|exchange| exchange.role == Role::Server)
        .map(|one| {
            (
                (one.sock, one.view.seq),
                one.view.upstream.iter().map(|join| (join.sock, join.seq)).collect::<Vec<_>>(),
            )
        })
        .collect();
    joins.sort();
    joins
}

pub(super) fn figures(world: &World) -> ProxyOutput {
    let newest = world.out.iter().rev().find_map(|output| match output {
        Output::Proxy(proxy) => Some(ProxyOutput::clone(proxy)),
        _ => None,
    });
    newest.expect("a proxy")
}

#[test]
fn a_call_within_a_request_on_its_thread_is_joined_and_its_time_is_told() {
    let mut world = proxy([1], &[(2, 9_001)]);
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 20 * MS))));
    assert!(exchanges(&world).is_empty(), "they wait for each other");
    world.sample_after(3 * SECOND);
    assert_eq!(joins(&world), [((1, 1), vec![(2, 1)])]);
    let told = exchanges(&world);
    let request = told.iter().find(|one| one.role == Role::Server).expect("the request");
    assert_eq!(
        (request.view.upstream[0].confidence, request.view.upstream[0].peer),
        (0.95, upstream(9_001))
    );
    let app =
        request.view.slices.iter().find(|slice| slice.upstream_us.is_some()).expect("its wait");
    assert_eq!((app.us, app.upstream_us), (20_000, Some(18_000)));
    let call = told.iter().find(|one| one.role == Role::Client).expect("the call");
    assert_eq!(call.view.downstream.map(|join| (join.sock, join.seq)), Some((1, 1)));
    let view = world.model.snapshot();
    let kept = view
        .connections
        .iter()
        .find(|one| one.sock == 1)
        .and_then(|one| one.worst.clone())
        .expect("kept");
    assert_eq!(kept.upstream, request.view.upstream, "the screen has it, too");
}

/// One of the two may be another request's, of which nothing is known.
#[test]
fn the_second_of_two_calls_at_a_time_is_less_sure() {
    let mut world = proxy([1], &[(2, 9_001), (3, 9_001)]);
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 20 * MS))));
    world.apply(Event::Exchange(called(Span(3, 1, 11, 3 * MS, 19 * MS))));
    world.sample_after(3 * SECOND);
    let told = exchanges(&world);
    let request = told.iter().find(|one| one.role == Role::Server).expect("the request");
    let confidence: Vec<_> = request.view.upstream.iter().map(|join| join.confidence).collect();
    assert_eq!(confidence, [0.95, 0.6]);
}

/// An event loop reads and calls at once, and answers as soon as it has the answer: of many that
/// are open the order names the right one.
#[test]
fn order_tells_many_requests_on_one_thread_apart() {
    let mut world =
        proxy(1..=8, &[(11, 1), (12, 1), (13, 1), (14, 1), (15, 1), (16, 1), (17, 1), (18, 1)]);
    // Answers come in another order than requests, all within all others.
    let took = [40, 25, 60, 31, 52, 28, 47, 36];
    for (at, took) in (0..).zip(took) {
        let read_ns = (1 + at) * MS;
        let written_ns = read_ns + took * MS;
        world.apply(Event::Exchange(served(Span(1 + at, 1, 11, read_ns, written_ns))));
        let call = Span(11 + at, 1, 11, read_ns + 30 * US, written_ns - 40 * US);
        world.apply(Event::Exchange(called(call)));
    }
    world.sample_after(3 * SECOND);
    let expected: Vec<_> = (1..=8).map(|sock| ((sock, 1), vec![(sock + 10, 1)])).collect();
    assert_eq!(joins(&world), expected);
    let told = exchanges(&world);
    let confidences: Vec<f64> =
        told.iter().filter_map(|one| Some(one.view.downstream?.confidence)).collect();
    assert!(confidences.iter().all(|&one| one == 0.85 || one == 0.95), "{confidences:?}");
}

/// One that reads all that is there before it calls keeps the order in which they came, on both
/// ways.
#[test]
fn those_that_are_read_together_are_called_for_in_the_same_order() {
    let mut world = proxy(1..=3, &[(11, 1), (12, 1), (13, 1)]);
    for at in 0..3 {
        let (read_ns, written_ns) = (MS + at * 10 * US, 30 * MS + 60 * US + at * 10 * US);
        world.apply(Event::Exchange(served(Span(1 + at, 1, 11, read_ns, written_ns))));
        let call = Span(11 + at, 1, 11, read_ns + 40 * US, 30 * MS + at * 10 * US);
        world.apply(Event::Exchange(called(call)));
    }
    world.sample_after(3 * SECOND);
    assert_eq!(
        joins(&world),
        (1..=3).map(|sock| ((sock, 1), vec![(sock + 10, 1)])).collect::<Vec<_>>()
    );
}

#[test]
fn another_thread_is_less_sure_and_a_call_outside_is_none() {
    let mut world = proxy([1], &[(2, 9_001), (3, 9_001), (4, 9_001)]);
    world.apply(Event::Exchange(served(Span(1, 1, 11, 10 * MS, 21 * MS))));
    world.apply(Event::Exchange(called(Span(2, 1, 12, 12 * MS, 20 * MS))));
    world.apply(Event::Exchange(called(Span(3, 1, 11, 2 * MS, 9 * MS))));
    world.apply(Event::Exchange(called(Span(4, 1, 11, 15 * MS, 30 * MS))));
    world.sample_after(3 * SECOND);
    assert_eq!(joins(&world), [((1, 1), vec![(2, 1)])], "not what ended before it or after it");
    let told = exchanges(&world);
    let call = told.iter().find_map(|one| one.view.downstream).expect("joined");
    assert_eq!(call.confidence, 0.5);
}

/// A kept connection's last call is reported only when it is used again: it is joined by what a
/// sample shows of it.
#[test]
fn a_call_that_is_not_reported_yet_is_joined() {
    let mut world = proxy([1], &[(2, 9_001)]);
    let call = Exchange { progress: Progress::Open, ..called(Span(2, 1, 11, 2 * MS, 20 * MS)) };
    world.connections = vec![super::connections::sampled(2, Some(call))];
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    world.sample_after(3 * SECOND);
    assert_eq!(joins(&world), [((1, 1), vec![(2, 1)])]);
    world.connections.clear();
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 20 * MS))));
    world.sample_after(SECOND);
    let told = exchanges(&world);
    let call = told.iter().find(|one| one.role == Role::Client).expect("the call's own report");
    assert_eq!(call.view.downstream.map(|join| (join.sock, join.seq)), Some((1, 1)));
}

#[test]
fn a_process_that_only_serves_or_only_calls_is_told_at_once_and_is_no_proxy() {
    for role in [Role::Server, Role::Client] {
        let mut world = World::with_limit(128);
        world.apply(opened(1, role, upstream(1)));
        let span = Span(1, 1, 11, MS, 2 * MS);
        world.apply(Event::Exchange(if role == Role::Server {
            served(span)
        } else {
            called(span)
        }));
        assert_eq!(exchanges(&world).len(), 1);
        world.finish();
        assert!(!world.out.iter().any(|output| matches!(output, Output::Proxy(_))));
    }
}

/// Requests of `clients` connections one after the other, each joined to the call on the connection
/// that `choose` names; of these there are twelve, three for each of four upstreams. Upstream 9,001
/// takes so long.
fn run(clients: u64, slow_ms: u64, choose: impl Fn(u64, u64) -> u64) -> World {
    let upstreams: Vec<(SockId, u16)> =
        (0..12).map(|at| (100 + at, 9_001 + (at % 4) as u16)).collect();
    let mut world = proxy(1..=clients, &upstreams);
    let mut seqs = [0; 12];
    for turn in 0..160 {
        let client = turn % clients;
        let up = choose(client, turn) % 12;
        seqs[up as usize] += 1;
        let took = if up.is_multiple_of(4) { slow_ms * MS } else { 2 * MS };
        let read_ns = turn * 20 * MS + MS;
        let request = Span(1 + client, 1 + (turn / clients) as u32, 11, read_ns, read_ns + took);
        world.apply(Event::Exchange(served(request)));
        let call =
            Span(100 + up, seqs[up as usize], 11, read_ns + 30 * US, read_ns + took - 30 * US);
        world.apply(Event::Exchange(called(call)));
    }
    world.sample_after(5 * SECOND);
    world
}

#[test]
fn a_pool_and_requests_in_turn_are_told() {
    let world = run(5, 2, |_, turn| turn);
    let view = figures(&world).view;
    assert_eq!((view.reuse, view.spreading), (Some(Reuse::Pooled), Some(Spreading::PerRequest)));
    assert_eq!((view.downstream.connections, view.downstream.exchanges), (5, 160));
    assert_eq!((view.upstream.connections, view.upstream.exchanges, view.joined), (12, 160, 160));
    assert_eq!(view.upstreams.len(), 4);
    assert_eq!((view.upstreams[0].share, view.imbalance), (0.25, Some(1.0)));
    assert!(world.finding("upstream-imbalance").is_none(), "balanced");
    assert_eq!(world.model.snapshot().proxies, [view]);
}

#[test]
fn one_upstream_connection_for_each_client_is_told() {
    let view = figures(&run(5, 2, |client, _| client)).view;
    assert_eq!(
        (view.reuse, view.spreading),
        (Some(Reuse::PerConnection), Some(Spreading::PerConnection))
    );
}

#[test]
fn a_slow_upstream_is_found_and_marked() {
    let world = run(5, 15, |_, turn| turn);
    let finding = world.finding("upstream-imbalance").expect("a finding");
    assert_eq!((finding.severity, finding.subject.as_came()), (Severity::Warning, "proxy 4242"));
    assert!(finding.headline.contains("10.0.1.1:9001 takes 15 ms"), "{:?}", finding.headline);
    let slow: Vec<_> =
        figures(&world).view.upstreams.iter().filter(|one| one.slow).map(|one| one.peer).collect();
    assert_eq!(slow, [upstream(9_001)]);
}

#[test]
fn an_upstream_with_more_than_its_part_is_found() {
    let world = run(5, 2, |_, turn| if turn % 2 == 0 { 1 } else { turn });
    let finding = world.finding("upstream-imbalance").expect("a finding");
    assert_eq!(finding.severity, Severity::Info);
    assert!(finding.headline.contains("10.0.1.1:9002 gets"), "{:?}", finding.headline);
}

#[test]
fn many_clients_that_come_and_go_leave_room_for_a_proxy() {
    let mut world = World::with_limit(128);
    let client = |pid: u32| {
        let Event::Opened(one) = opened(10_000 + u64::from(pid), Role::Client, upstream(1)) else {
            unreachable!()
        };
        Event::Opened(Opened { pid, ..one })
    };
    (1..=200).for_each(|pid| world.apply(client(pid)));
    world.apply(opened(2, Role::Client, upstream(9_001)));
    world.apply(opened(1, Role::Server, address("10.0.0.9:40122")));
    world.apply(Event::Exchange(served(Span(1, 1, 11, MS, 21 * MS))));
    world.apply(Event::Exchange(called(Span(2, 1, 11, 2 * MS, 20 * MS))));
    world.sample_after(3 * SECOND);
    assert_eq!(joins(&world), [((1, 1), vec![(2, 1)])]);
}

/// What a proxy's requests wait for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Waits {
    ForAnswers,
    InVain,
}

/// Ten requests to a proxy, each of which waits for a call for half a second: the call is answered
/// then, or the client gives up and with it the proxy.
pub(super) fn behind_an_upstream(waits: Waits) -> World {
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
        world.connections.push(super::connections::sampled(sock, Some(open(request))));
        world.connections.push(super::connections::sampled(100 + sock, Some(open(call))));
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

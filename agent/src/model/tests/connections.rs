//! The table of connections: what is reported when, what a screen shows, and its bounds.

use super::facts::{Build, at, client, server};
use super::world::{MS, SECOND, START, World, address};
use crate::model::event::{
    Accept, Closed, ConnectionPart, ConnectionSample, Ending, Event, Exchange, Hold, HoldReason,
    Opened, Progress, Role, Side, SockId, TcpState, ThreadSample,
};
use crate::model::output::{ConnectionOutput, ExchangeOutput, Output};
use crate::model::snapshot::SliceKind;
use crate::model::{
    MAX_CLOSED_CONNECTIONS, MAX_CONNECTION_VIEWS, MAX_CONNECTIONS, MAX_CURRENT, MAX_DETAILED,
    MAX_RECENT,
};

const US: u64 = 1_000;
/// The first connection that a world accepts.
const SOCK: SockId = 1_000_001;

pub(crate) fn opened(sock: SockId, role: Role, preexisting: bool) -> Event {
    Event::Opened(Opened {
        ts_ns: START,
        sock,
        role,
        listener: None,
        local: address("10.0.0.1:8080"),
        peer: address("10.0.0.9:40122"),
        pid: 4242,
        comm: "server".into(),
        handshake_us: None,
        preexisting,
        asked_ns: None,
        syns_again: 0,
    })
}

pub(crate) fn closed(sock: SockId, ts_ns: u64) -> Event {
    Event::Closed(Closed { sock, ..end(ts_ns) })
}

fn end(ts_ns: u64) -> Closed {
    Closed {
        ts_ns,
        sock: SOCK,
        by: Some(Side::Peer),
        how: Some(Ending::Fin),
        since_ns: Some(ts_ns),
        bytes_in: 100,
        bytes_out: 200,
        exchanges: 0,
        retransmits: 0,
        delayed_acks: Some(2),
        delayed_ack_us: 80_000,
        why: None,
        idle_ns: None,
        unread_bytes: 0,
        unacked_bytes: 0,
        unanswered: false,
        asked_ns: None,
        min_rtt_us: None,
        unseen: false,
        multipath: false,
        untold: false,
    }
}

pub(crate) fn sampled(sock: SockId, exchange: Option<Exchange>) -> ConnectionSample {
    ConnectionSample {
        sock,
        state: TcpState::Established,
        exchange,
        active_ns: START,
        peer_window_zero: false,
        window_zero: false,
        fin_ns: None,
        next: None,
    }
}

fn exchanges(world: &World) -> Vec<ExchangeOutput> {
    let exchange = |output: &Output| match output {
        Output::Exchange(exchange) => Some(exchange.clone()),
        _ => None,
    };
    world.out.iter().filter_map(exchange).collect()
}

fn connections(world: &World) -> Vec<ConnectionOutput> {
    let connection = |output: &Output| match output {
        Output::Connection(connection) => Some(*connection.clone()),
        _ => None,
    };
    world.out.iter().filter_map(connection).collect()
}

/// One accepted connection.
fn accepted() -> World {
    let mut world = World::with_limit(128);
    world.accept(0, 7, 2 * MS, MS);
    world
}

fn on(sock: SockId, seq: u32, exchange: Exchange) -> Exchange {
    Exchange { sock, seq, ..exchange }
}

#[test]
fn an_accepted_connection_lives_to_its_close() {
    let mut world = accepted();
    world.apply(Event::Exchange(on(SOCK, 1, server())));
    let mut held = on(SOCK, 2, server().later(SECOND).acked(at(SECOND + 42 * MS)));
    held.outbound().holds = vec![Hold { reason: HoldReason::Nagle, count: 2, held_ns: 7 * MS }];
    world.apply(Event::Exchange(held));
    let view = world.model.snapshot().connections.remove(0);
    assert_eq!((view.sock, view.exchanges, view.recent.len()), (SOCK, 2, 2));
    assert_eq!((view.bytes_in, view.bytes_out, view.queued_us), (200, 400, Some(2_000)));
    assert_eq!(
        (view.worst.map(|worst| worst.seq), view.trailing.count, view.trailing.us),
        (Some(1), 1, 41_030)
    );
    assert_eq!(view.recent[0].slices[0].kind, SliceKind::Handshake);
    assert_ne!(view.recent[1].slices[0].kind, SliceKind::Handshake);
    world.apply(closed(SOCK, at(2 * SECOND)));
    let ended = connections(&world).remove(0);
    assert_eq!((ended.ts_ns, ended.view.closed_ns), (at(2 * SECOND), Some(at(2 * SECOND))));
    assert_eq!(ended.view.ended, Some((Side::Peer, Ending::Fin)));
    assert_eq!((ended.delayed_acks_sent, ended.tids), (Some((2, 80_000)), (Some(11), Some(11))));
    assert_eq!((ended.view.holds[0].count, ended.view.holds[0].us), (2, 7_000));
    let phases: u64 = ended.phases_us.iter().map(|(_, us)| us).sum();
    let totals: u64 = exchanges(&world).iter().map(|exchange| exchange.view.total_us).sum();
    assert_eq!(phases, totals, "the phases are all there is");
    let times = ended.view.times;
    let owned = times.sum_us();
    assert_eq!(owned + ended.view.trailing.us, totals);
    assert_eq!(world.model.snapshot().times, times);
    world.finish();
    assert_eq!(connections(&world).len(), 1, "reported once");
}

#[test]
fn an_accept_whose_wait_is_not_known_claims_none() {
    let mut world = World::with_limit(128);
    world.accept(0, 7, MS, MS);
    let Some(Output::Accept(accept)) = world.out.pop() else { panic!("no accept") };
    world.apply(Event::Accept(Accept {
        sock: 5,
        queued_ns: None,
        entered_ns: None,
        ts_ns: at(50 * US),
        ..accept
    }));
    world.apply(Event::Exchange(on(5, 1, server())));
    assert_eq!(exchanges(&world)[0].view.slices[0].kind, SliceKind::ReceiveQueue);
}

#[test]
fn an_answered_exchange_is_reported_by_a_sample_and_only_once() {
    let mut world = accepted();
    let open = Exchange { progress: Progress::Open, ..on(SOCK, 1, server()) };
    world.connections = vec![sampled(SOCK, Some(Exchange { ts_ns: at(300 * MS), ..open.clone() }))];
    world.sample_after(300 * MS);
    assert_eq!(exchanges(&world).len(), 0, "more of the response may come");
    assert!(world.model.snapshot().connections[0].current.is_some());
    world.connections.clear();
    world.sample_after(600 * MS);
    assert_eq!(exchanges(&world).len(), 0);
    world.sample_after(200 * MS);
    assert_eq!(exchanges(&world).len(), 1, "no sample need show it again");
    world.connections = vec![sampled(SOCK, Some(open))];
    world.sample_after(SECOND);
    world.sample_after(SECOND);
    assert_eq!(exchanges(&world).len(), 1);
    assert!(exchanges(&world)[0].view.done);
    let mut more = on(SOCK, 1, server());
    more.outbound().bytes = 500;
    world.apply(Event::Exchange(more));
    let view = world.model.snapshot().connections.remove(0);
    assert_eq!(
        (view.exchanges, view.bytes_out, view.current),
        (1, 500, None),
        "bytes are counted, once"
    );
    world.apply(Event::Exchange(on(SOCK, 2, server().later(5 * SECOND))));
    assert_eq!(exchanges(&world).len(), 2);
}

#[test]
fn an_exchange_that_a_scan_ends_is_reported_once_whether_a_sample_told_of_it_or_not() {
    for told in [false, true] {
        let mut world = accepted();
        let answered = on(SOCK, 1, server());
        let open = Exchange { progress: Progress::Open, ts_ns: at(300 * MS), ..answered.clone() };
        world.connections = vec![sampled(SOCK, Some(open))];
        world.sample_after(300 * MS);
        world.connections.clear();
        if told {
            world.sample_after(2 * SECOND);
            assert_eq!(exchanges(&world).len(), 1);
        }
        // What a scan ends comes before the sample that it belongs to.
        world.apply(Event::Exchange(answered.clone()));
        world.sample_after(3 * SECOND);
        world.apply(Event::Closed(Closed { exchanges: 1, ..end(at(9 * SECOND)) }));
        let (exchanges, ended) = (exchanges(&world), connections(&world).remove(0));
        assert_eq!(exchanges.len(), 1, "told by a sample: {told}");
        assert_eq!(
            (ended.view.exchanges, ended.view.bytes_in, ended.view.bytes_out),
            (1, 100, 200)
        );
        assert_eq!(
            ended.phases_us.iter().map(|(_, us)| us).sum::<u64>(),
            exchanges[0].view.total_us
        );
    }
}

#[test]
fn the_end_of_the_run_reports_what_is_done_and_what_is_open() {
    let mut world = World::with_limit(128);
    for sock in 1..=4 {
        world.apply(opened(sock, if sock == 3 { Role::Client } else { Role::Server }, sock == 1));
    }
    let open = |sock, exchange| Exchange { progress: Progress::Open, ..on(sock, 1, exchange) };
    let unanswered = Exchange { outbound: None, ..open(2, server()) };
    world.connections = [open(1, server()), unanswered, open(3, client())]
        .into_iter()
        .map(|exchange| sampled(exchange.sock, Some(Exchange { ts_ns: at(100 * MS), ..exchange })))
        .collect();
    world.sample_after(100 * MS);
    let summary = world.finish();
    assert_eq!(exchanges(&world).iter().map(|exchange| exchange.sock).collect::<Vec<_>>(), [1, 3]);
    let open: Vec<_> = connections(&world)
        .iter()
        .map(|output| (output.view.sock, output.view.closed_ns))
        .collect();
    assert_eq!(open, [(1, None), (2, None), (3, None), (4, None)]);
    assert_eq!((summary.connections, summary.times.exchanges, summary.exchange.count), (4, 2, 2));
    assert!(summary.phases_us.contains(&(SliceKind::Response, 5_000)));
    assert!(connections(&world)[0].view.preexisting);
}

#[test]
fn a_call_inside_a_request_is_shown_with_it() {
    let mut world = World::with_limit(128);
    world.apply(opened(1, Role::Server, false));
    world.apply(opened(2, Role::Client, false));
    let serving = server().writing(at(20 * MS));
    // The first call is known before the request is over, the second only after.
    world.apply(Event::Exchange(on(2, 1, client().later(MS))));
    world.apply(Event::Exchange(on(1, 1, serving)));
    world.apply(Event::Exchange(on(2, 2, client().later(8 * MS))));
    world.apply(Event::Exchange(on(2, 3, client().later(SECOND))));
    world.sample_after(3 * SECOND);
    let reported = exchanges(&world);
    assert_eq!(reported[1].view.inside, [(2, 1)]);
    let view = world
        .model
        .snapshot()
        .connections
        .into_iter()
        .find(|view| view.sock == 1)
        .expect("the connection");
    assert_eq!(view.recent[0].inside, [(2, 1), (2, 2)]);
}

#[test]
fn the_worst_come_first_and_an_open_exchange_counts_as_long_as_it_lasts() {
    let mut world = World::with_limit(128);
    (1..=3).for_each(|sock| world.apply(opened(sock, Role::Server, false)));
    world.apply(Event::Exchange(on(1, 1, server().writing(at(20 * MS)))));
    world.apply(Event::Exchange(on(2, 1, server().writing(at(90 * MS)))));
    let working = Exchange {
        progress: Progress::Open,
        outbound: None,
        ts_ns: at(SECOND),
        ..on(3, 1, server())
    };
    world.connections = vec![sampled(3, Some(working))];
    world.sample_after(SECOND);
    let snapshot = world.model.snapshot();
    assert_eq!(snapshot.connections.iter().map(|view| view.sock).collect::<Vec<_>>(), [3, 2, 1]);
    let current = snapshot.connections[0].current.as_ref().expect("an exchange in progress");
    assert_eq!(
        current.verdict.map(|verdict| (verdict.kind, verdict.us)),
        Some((SliceKind::App, 999_950))
    );
    assert_eq!((snapshot.connections_open, snapshot.times.exchanges), (1, 2));
    assert_eq!(snapshot.recent_times, snapshot.times);
    world.connections.clear();
    world.sample_after(10 * SECOND);
    assert_eq!(
        (world.model.snapshot().recent_times.exchanges, world.model.snapshot().times.exchanges),
        (0, 2)
    );
}

#[test]
fn threads_have_rates_and_shares_between_samples() {
    let mut world = accepted();
    let thread = |cpu_ns, run_delay_ns, reads| ThreadSample {
        pid: 4242,
        tid: 11,
        comm: "worker".into(),
        cpu_ns,
        run_delay_ns,
        reads,
        writes: reads * 2,
        ..ThreadSample::default()
    };
    world.threads = vec![thread(5 * SECOND, SECOND, 100)];
    world.sample_after(SECOND);
    assert_eq!(world.model.snapshot().threads[0].busy, None, "nothing to compare with");
    world.apply(Event::Exchange(on(SOCK, 1, server())));
    world.accept(0, 11, MS, MS);
    world.threads = vec![thread(5_500 * MS, 1_200 * MS, 140)];
    world.sample_after(2 * SECOND);
    let thread = world.model.snapshot().threads.remove(0);
    assert_eq!(
        (thread.reads, thread.writes, thread.accepts, thread.connections),
        (20.0, 40.0, 0.5, 1)
    );
    let near = |share: Option<f64>, expected: f64| {
        share.is_some_and(|share| (share - expected).abs() < 1e-9)
    };
    assert!(
        near(thread.busy, 0.25) && near(thread.waits, 0.1) && near(thread.asleep, 0.65),
        "{thread:?}"
    );
}

#[test]
fn the_table_is_bounded_and_the_oldest_give_way_and_are_counted() {
    let mut world = World::with_limit(128);
    let all = MAX_CONNECTIONS as u64;
    // Their ids are in another order than their ages.
    for age in 1..=all + 7 {
        let Event::Opened(opened) = opened(all + 8 - age, Role::Server, true) else { panic!() };
        world.apply(Event::Opened(Opened { ts_ns: START + age, ..opened }));
    }
    world.apply(Event::Exchange(on(1, 1, server())));
    world.apply(Event::Exchange(on(all + 7, 1, server())));
    world.sample_after(SECOND);
    let lost = world.out.iter().find_map(|output| match output {
        Output::Lost(lost) => Some((lost.probe.clone(), lost.count)),
        _ => None,
    });
    assert_eq!(lost, Some(("model_connections".into(), 7)));
    let snapshot = world.model.snapshot();
    assert_eq!((snapshot.connections.len(), snapshot.times.exchanges), (MAX_CONNECTION_VIEWS, 2));
    assert_eq!(exchanges(&world).len(), 2, "that of one that gave way is reported all the same");
    assert_eq!(snapshot.connections[0].sock, 1, "the newest is there");
    let gone = all + 1..=all + 7;
    assert!(gone.clone().all(|sock| world.model.connections.get(sock).is_none()));
    assert!((1..=all).all(|sock| world.model.connections.get(sock).is_some()));
    gone.for_each(|sock| world.apply(closed(sock, at(SECOND))));
    world.apply(closed(1, at(SECOND)));
    assert_eq!(connections(&world).len(), 1, "the others are not known any more");
    world.apply(opened(all + 8, Role::Server, false));
    world.sample_after(SECOND);
    assert_eq!(world.model.snapshot().not_kept, 7, "a closed one gave way");
}

#[test]
fn an_answered_exchange_that_finds_no_room_is_reported_at_once() {
    let mut world = World::with_limit(128);
    let all = MAX_CURRENT as u64 + 3;
    (1..=all).for_each(|sock| world.apply(opened(sock, Role::Server, false)));
    let answered =
        |sock| Exchange { progress: Progress::Open, ts_ns: at(100 * MS), ..on(sock, 1, server()) };
    world.connections = (1..=all).map(|sock| sampled(sock, Some(answered(sock)))).collect();
    world.sample_after(100 * MS);
    assert_eq!(
        exchanges(&world).iter().map(|exchange| exchange.sock).collect::<Vec<_>>(),
        [all - 2, all - 1, all]
    );
    world.connections.clear();
    world.sample_after(2 * SECOND);
    assert_eq!(exchanges(&world).len(), all as usize);
}

#[test]
fn connections_may_come_in_parts() {
    let of = |world: &World| (exchanges(world), connections(world), world.model.snapshot());
    let [mut whole, mut parts] = [0, 1].map(|_| World::with_limit(128));
    let scanned: Vec<_> = (1..=6)
        .map(|sock| {
            let waits = Exchange {
                progress: Progress::Open,
                outbound: None,
                ts_ns: at(3 * SECOND),
                ..on(sock, 1, server())
            };
            sampled(sock, Some(waits))
        })
        .collect();
    for world in [&mut whole, &mut parts] {
        (1..=6).for_each(|sock| world.apply(opened(sock, Role::Server, false)));
    }
    for _ in 0..3 {
        let (first, last) = scanned.split_at(4);
        let ts_ns = parts.now + 3 * SECOND;
        parts.apply(Event::Connections(ConnectionPart { ts_ns, connections: first.to_vec() }));
        parts.connections = last.to_vec();
        parts.sample_after(3 * SECOND);
        whole.connections = scanned.clone();
        whole.sample_after(3 * SECOND);
        let (mut expected, seen) = (of(&whole), of(&parts));
        // The world counts what it puts into the sample itself.
        expected.2.connections_open = 2;
        assert_eq!(seen, expected);
    }
    assert_eq!(parts.model.snapshot().findings.len(), 1, "six of them are stuck");
}

#[test]
fn closed_connections_and_details_are_bounded() {
    let mut world = World::with_limit(128);
    let all = MAX_DETAILED as u64 + 500;
    for sock in 1..=all {
        world.apply(opened(sock, Role::Server, false));
        for seq in 1..=(MAX_RECENT as u32 + 2) {
            world.apply(Event::Exchange(on(sock, seq, server().writing(at(sock * US + MS)))));
        }
    }
    let views = world.model.snapshot().connections;
    assert_eq!((views[0].sock, views[0].recent.len()), (all, MAX_RECENT));
    assert_eq!(views[0].recent.last().map(|view| view.seq), Some(MAX_RECENT as u32 + 2));
    (1..=all).for_each(|sock| world.apply(closed(sock, at(SECOND))));
    assert_eq!(world.model.snapshot().connections.len(), MAX_CLOSED_CONNECTIONS);
    assert_eq!(connections(&world).len(), all as usize);
    let kept = connections(&world).iter().filter(|output| output.view.worst.is_some()).count();
    assert_eq!(kept, MAX_DETAILED);
}

#[test]
fn one_connection_costs_little() {
    let size = size_of::<crate::model::connections::Connection>();
    assert!(size <= 136, "{size} bytes");
}

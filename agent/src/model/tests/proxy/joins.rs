//! Which call was made for which request.

use super::{Id, Span, US, called, exchanges, proxy, served, upstream};
use crate::model::event::{Event, Exchange, Progress, Role};
use crate::model::tests::connections::sampled;
use crate::model::tests::world::{MS, SECOND, World};

/// The calls of each served exchange, as (its connection, its number), [the same of the call].
pub(super) fn joins(world: &World) -> Vec<(Id, Vec<Id>)> {
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
    world.connections = vec![sampled(2, Some(call))];
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

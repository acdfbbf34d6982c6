//! Which exchanges become one trace.

use std::time::UNIX_EPOCH;

use super::*;
use crate::{
    export::otlp::proto::{CLIENT, INTERNAL, SERVER, Span},
    model::{
        event::Event,
        output::{Ends, Output},
        snapshot::Join,
        tests::{
            facts::{Build, server},
            world::{MS, SECOND, START, World, address},
        },
    },
};

const CLOCK: WallClock = WallClock { mono_ns: 0, wall: UNIX_EPOCH };

/// An exchange that the model made, moved to where it is wanted.
fn exchange(
    sock: SockId,
    role: Role,
    local: &str,
    peer: &str,
    start_ms: u64,
    ms: u64,
) -> ExchangeOutput {
    let mut world = World::with_limit(10);
    world.sample_after(SECOND);
    world.accept(0, 7, 0, 0);
    let mut facts = server().later(SECOND);
    facts.sock = world.accepted();
    world.apply(Event::Exchange(facts));
    let output = world.out.iter().find_map(|output| match output {
        Output::Exchange(exchange) => Some(exchange.clone()),
        _ => None,
    });
    let mut output = output.expect("an exchange");
    (output.sock, output.role) = (sock, role);
    output.view.start_ns = START + start_ms * MS;
    output.view.total_us = ms * 1_000;
    output.ts_ns = START + (start_ms + ms) * MS;
    output.ends = Some(Ends {
        listener: None,
        local: address(local),
        peer: address(peer),
        pid: 1,
        comm: "server".into(),
    });
    output
}

/// The spans of exchanges, without those of slices.
fn wholes(spans: &[QueuedSpan]) -> Vec<&Span> {
    spans.iter().map(|queued| &queued.span).filter(|span| span.kind != INTERNAL).collect()
}

/// A proxy serves a request of another host, calls an application on this host, and that calls a
/// database.
fn chain() -> [ExchangeOutput; 5] {
    let join = |sock| Some(Join::new(sock, 1, address("1.1.1.1:1"), 1.0));
    let request = exchange(1, Role::Server, "10.0.0.1:80", "10.0.0.9:4000", 0, 100);
    let mut call = exchange(2, Role::Client, "127.0.0.1:5000", "127.0.0.1:8000", 10, 80);
    call.view.downstream = join(1);
    let served = exchange(3, Role::Server, "127.0.0.1:8000", "127.0.0.1:5000", 11, 78);
    let mut query = exchange(4, Role::Client, "127.0.0.1:6000", "127.0.0.1:5432", 20, 50);
    query.view.downstream = join(3);
    let answered = exchange(5, Role::Server, "127.0.0.1:5432", "127.0.0.1:6000", 21, 48);
    [request, call, served, query, answered]
}

#[test]
fn a_request_and_all_that_was_done_for_it_is_one_trace() {
    let mut traces = Traces::new(1.0, CLOCK);
    let mut exchanges = chain();
    // As they are reported: whoever called last is over first.
    exchanges.reverse();
    for exchange in &exchanges {
        traces.take(exchange);
    }
    assert!(traces.settle(START + SECOND, false, |_, _| {}).is_empty(), "others may come");
    let mut linked = 0;
    let spans = traces.settle(START + 5 * SECOND, false, |_, _| linked += 1);
    let wholes = wholes(&spans);
    assert_eq!((wholes.len(), linked), (5, 5));
    assert!(spans.iter().all(|queued| queued.span.trace_id == wholes[0].trace_id));
    // From the last call up to the request.
    for (inner, outer) in wholes.iter().zip(&wholes[1..]) {
        assert_eq!(inner.parent_span_id, outer.span_id);
        assert!(inner.start_time_unix_nano >= outer.start_time_unix_nano);
    }
    assert!(wholes[4].parent_span_id.is_empty());
    assert_eq!([wholes[0].kind, wholes[1].kind, wholes[4].kind], [SERVER, CLIENT, SERVER]);
    let ids: std::collections::BTreeSet<_> =
        spans.iter().map(|queued| queued.span.span_id.clone()).collect();
    assert_eq!(ids.len(), spans.len(), "each span has an id of its own");
    assert!(traces.settle(START + 20 * SECOND, false, |_, _| {}).is_empty());
    assert!(traces.waiting.is_empty() && traces.by_id.is_empty() && traces.calls.is_empty());
}

#[test]
fn slices_are_children_that_fill_their_exchange() {
    let mut traces = Traces::new(1.0, CLOCK);
    let mut one = chain()[0].clone();
    one.view.total_us = one.view.slices.iter().map(|slice| slice.us).sum();
    let first_ns = one.view.slices[0].start_ns;
    one.view.start_ns = first_ns;
    traces.take(&one);
    let spans = traces.settle(0, true, |_, _| {});
    let whole = &spans[0].span;
    let mut at = whole.start_time_unix_nano;
    for queued in &spans[1..] {
        assert_eq!(queued.span.parent_span_id, whole.span_id);
        assert_eq!(queued.span.start_time_unix_nano, at, "{}", queued.span.name);
        at = queued.span.end_time_unix_nano;
    }
    assert_eq!(at, whole.end_time_unix_nano);
    assert!(spans.len() > 2);
}

#[test]
fn a_trace_is_sampled_as_a_whole() {
    let mut traces = Traces::new(0.3, CLOCK);
    let mut all = 0;
    for round in 0..500_u64 {
        for mut exchange in chain() {
            exchange.sock += round * 10;
            if let Some(join) = &mut exchange.view.downstream {
                join.sock += round * 10;
            }
            // Each round has connections of its own: by the ports of those that call.
            let ends = exchange.ends.as_mut().unwrap();
            for address in [&mut ends.local, &mut ends.peer] {
                if [4_000, 5_000, 6_000].contains(&address.port()) {
                    address.set_port(address.port() + round as u16);
                }
            }
            traces.take(&exchange);
        }
        let spans = traces.settle(0, true, |_, _| {});
        let found = wholes(&spans).len();
        assert!(found == 0 || found == 5, "{found} of 5");
        all += usize::from(found == 5);
    }
    assert!((100..200).contains(&all), "{all} of 500 at 30 %");
    let mut none = Traces::new(0.0, CLOCK);
    chain().iter().for_each(|exchange| none.take(exchange));
    assert!(none.settle(0, true, |_, _| {}).is_empty());
}

#[test]
fn a_call_of_another_time_is_not_the_parent() {
    let mut traces = Traces::new(1.0, CLOCK);
    let [_, call, mut served, ..] = chain();
    served.view.start_ns += SECOND;
    traces.take(&served);
    traces.take(&call);
    let spans = traces.settle(0, true, |_, _| {});
    let wholes = wholes(&spans);
    assert!(wholes[0].parent_span_id.is_empty());
    assert_ne!(wholes[0].trace_id, wholes[1].trace_id);
}

#[test]
fn what_waits_is_bounded_and_what_is_dropped_is_counted() {
    let mut traces = Traces::new(1.0, CLOCK);
    let one = chain()[1].clone();
    for number in 0..MAX_WAITING as u64 + 7 {
        let mut another = one.clone();
        another.sock = number;
        traces.take(&another);
    }
    assert_eq!((traces.waiting.len(), traces.take_lost(), traces.take_lost()), (MAX_WAITING, 7, 0));
}

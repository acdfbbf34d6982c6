//! Whatever the traffic, memory is bounded.

use super::world::{MS, SECOND, START, World, listener};
use crate::model::acceptor::MAX_ACCEPTORS;
use crate::model::event::{Event, Sample, Stage};
use crate::model::finding::MAX_FINDINGS;
use crate::model::output::Output;
use crate::model::{MAX_CLOSED, MAX_HISTORY, MAX_LISTENERS, MAX_STREAM};

#[test]
fn the_stream_keeps_the_newest_in_order() {
    let mut world = World::with_limit(4);
    for step in 0..(MAX_STREAM as u64 + 500) {
        // Two CPUs whose records come a little out of order.
        world.now = START + SECOND + if step % 2 == 0 { step + 3 } else { step };
        world.refuse(0, Stage::Syn);
    }
    let event_log = world.model.snapshot().event_log;
    assert_eq!(event_log.len(), MAX_STREAM);
    assert!(event_log.is_sorted_by_key(|entry| entry.ts_ns));
    assert!(event_log[0].ts_ns >= START + SECOND + 495);
}

#[test]
fn syncookies_do_not_flood_the_stream() {
    let mut world = World::with_limit(4);
    (0..10).for_each(|_| world.refuse(0, Stage::Cookie));
    assert_eq!((world.model.snapshot().event_log.len(), world.overflows().len()), (0, 10));
}

#[test]
fn histories_and_threads_are_bounded() {
    let mut world = World::with_limit(128);
    for step in 0..(MAX_HISTORY as u32 + 100) {
        world.now += MS;
        world.accept(0, step, 0, 0);
        world.sample_after(10 * MS);
    }
    let view = world.view();
    assert_eq!((view.depth_history.len(), view.overflow_history.len()), (MAX_HISTORY, MAX_HISTORY));
    assert_eq!(view.acceptors.len(), MAX_ACCEPTORS);
    assert!(
        view.acceptors.iter().any(|thread| thread.tid == MAX_HISTORY as u32 + 99),
        "the newest is kept"
    );
    assert!(!view.acceptors.iter().any(|thread| thread.tid == 0), "the oldest is not");
}

#[test]
fn closed_listeners_are_forgotten_but_not_their_totals() {
    let mut world = World::new("full", Vec::new());
    for sock in 0..(MAX_CLOSED as u64 * 3) {
        world.listeners = vec![listener(sock, 4)];
        world.now += MS;
        world.accept(0, 1, MS, 0);
        world.sample_after(MS);
        world.listeners[0].closed_ns = Some(world.now);
        world.sample_after(MS);
    }
    assert_eq!(world.model.snapshot().listeners.len(), MAX_CLOSED);
    let summary = world.finish();
    let all = MAX_CLOSED as u64 * 3;
    assert_eq!((summary.listeners, summary.totals.accepted, summary.wait.count), (all, all, all));
}

#[test]
fn listeners_beyond_the_bound_are_counted_as_lost() {
    let listeners = (0..MAX_LISTENERS as u64 + 10).map(|sock| listener(sock, 4)).collect();
    let mut world = World::new("full", listeners);
    world.sample_after(SECOND);
    world.sample_after(SECOND);
    assert_eq!(world.model.snapshot().listeners.len(), MAX_LISTENERS);
    let lost = world.out.iter().filter_map(|output| match output {
        Output::Lost(lost) => Some((lost.probe.as_came(), lost.count)),
        _ => None,
    });
    assert_eq!(lost.collect::<Vec<_>>(), [("model_listeners", 10)]);
}

#[test]
fn findings_are_bounded_and_the_worse_ones_stay() {
    let clamped =
        |sock| crate::model::event::ListenerSample { backlog: Some(4_096), ..listener(sock, 128) };
    let mut world = World::new("full", (0..MAX_FINDINGS as u64 + 50).map(clamped).collect());
    world.sample_after(SECOND);
    assert_eq!(world.model.snapshot().findings.len(), MAX_FINDINGS);
    world.listeners[MAX_FINDINGS + 20].overflow_syn = 5;
    world.sample_after(SECOND);
    let findings = world.model.snapshot().findings;
    assert_eq!((findings.len(), findings[0].kind), (MAX_FINDINGS, "accept-queue-overflow"));
}

#[test]
fn a_listener_that_only_events_named_goes_again() {
    let mut world = World::with_limit(4);
    world.accept(0, 1, MS, 0);
    for second in 1..(MAX_CLOSED as u64 + 10) {
        world.apply(Event::Sample(Sample { ts_ns: START + second * SECOND, ..Sample::default() }));
    }
    assert!(world.model.snapshot().listeners.is_empty());
    assert_eq!(world.finish().listeners, 0);
}

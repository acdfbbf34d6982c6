//! Rates, waits, threads, refusals, totals.

use super::world::{LISTENER, MS, SECOND, START, World, listener};
use crate::model::event::{Cost, Event, InAccept, Process, ProcessChange, Sample, Stage};
use crate::model::output::Output;
use crate::model::snapshot::StreamKind;

#[test]
fn rates_are_of_the_last_seconds_whatever_the_period_is() {
    let mut world = World::with_limit(128);
    world.sample_after(SECOND);
    world.now += 100 * MS;
    (0..30).for_each(|_| world.accept(0, 1, 0, 0));
    world.listeners[0].queued += 6;
    world.sample_after(200 * MS);
    let view = world.view();
    let near = |rate: f64, wanted: f64| (rate - wanted).abs() < 1e-9;
    assert!(near(view.rates.accepts, 30.0 / 1.3) && near(view.rates.arrivals, 36.0 / 1.3));
    assert_eq!((view.accept_history, view.arrival_history), (vec![0, 30], vec![0, 36]));
    assert!(near(view.acceptors[0].rate, 30.0 / 1.3), "of the same seconds");
    world.sample_after(4 * SECOND);
    world.sample_after(4 * SECOND);
    assert_eq!(world.view().rates.accepts, 0.0);
}

#[test]
fn waits_reach_the_view_and_the_summary() {
    let mut world = World::with_limit(128);
    for wait in 1..=100 {
        world.now += 10 * MS;
        world.accept(0, 1, wait * MS, 0);
    }
    world.sample_after(MS);
    let wait = world.view().wait;
    assert_eq!((wait.count, wait.max), (100, 100_000));
    assert!(
        wait.p50.abs_diff(50_000) <= 50
            && wait.p90.abs_diff(90_000) <= 90
            && wait.p99.abs_diff(99_000) <= 99
    );
    assert_eq!(wait.buckets, [0, 9, 90, 1, 0]);
    assert_eq!(world.finish().wait, wait);
}

#[test]
fn time_inside_accept_is_cut_at_the_period() {
    let mut world = World::with_limit(128);
    world.sample_after(SECOND);
    // It waited 1.5 s for this one, half a second of it in this period; then it went back for the
    // last quarter.
    world.now += 500 * MS;
    world.accept(0, 1, 0, 1_500 * MS);
    let call = InAccept { pid: 4242, tid: 1, listener: LISTENER, since_ns: world.now + 250 * MS };
    world.in_accept = vec![call];
    world.sample_after(500 * MS);
    let thread = world.view().acceptors[0].clone();
    assert_eq!((thread.in_accept_share, thread.in_accept), (Some(0.75), true));
    world.in_accept.clear();
    world.sample_after(SECOND);
    let thread = world.view().acceptors[0].clone();
    assert_eq!((thread.in_accept_share, thread.in_accept), (Some(0.0), false));
}

#[test]
fn time_inside_accept_is_unknown_when_the_beginning_was_not_seen() {
    let mut world = World::with_limit(128);
    world.accept(0, 1, 0, 0);
    world.sample_after(SECOND);
    assert_eq!(world.view().acceptors[0].in_accept_share, Some(0.0));
    let Some(Output::Accept(mut accept)) = world.out.first().cloned() else { panic!("no accept") };
    (accept.entered_ns, accept.tid, accept.ts_ns) = (None, 2, world.now);
    world.apply(Event::Accept(accept));
    world.sample_after(SECOND);
    let acceptors = world.view().acceptors;
    assert_eq!(
        acceptors.iter().find(|thread| thread.tid == 2).map(|thread| thread.in_accept_share),
        Some(None)
    );
}

#[test]
fn a_thread_that_only_waits_is_shown_and_goes_with_its_process() {
    let mut world = World::with_limit(128);
    world.in_accept = vec![InAccept { pid: 4242, tid: 5, listener: LISTENER, since_ns: START }];
    world.sample_after(SECOND);
    let thread = world.view().acceptors[0].clone();
    assert_eq!((thread.tid, thread.accepts, thread.comm.as_came()), (5, 0, "server"));
    assert_eq!(thread.in_accept_share, Some(1.0));
    let change = ProcessChange::Exited;
    world.apply(Event::Process(Process {
        ts_ns: world.now,
        pid: 4242,
        comm: "server".into(),
        change,
    }));
    assert!(world.view().acceptors.is_empty());
}

#[test]
fn refusals_that_nobody_names_are_reported_and_add_up() {
    let mut world = World::new("tracepoint", vec![listener(LISTENER, 4)]);
    for dropped in [0, 3, 0, 5] {
        world.listeners[0].overflow_syn += dropped;
        world.sample_after(SECOND);
    }
    let overflows = world.overflows();
    assert_eq!(overflows.iter().map(|overflow| overflow.count).collect::<Vec<_>>(), [3, 5]);
    assert!(
        overflows.iter().all(|overflow| overflow.peer.is_none() && overflow.stage == Stage::Syn)
    );
    let shown = world.model.snapshot().event_log;
    assert!(matches!(
        shown[1].what,
        StreamKind::Overflow { peer: None, stage: Some(Stage::Syn), count: 3, .. }
    ));
}

#[test]
fn named_and_unnamed_refusals_add_up_even_when_records_come_late_or_never() {
    let mut world = World::with_limit(4);
    world.refuse(0, Stage::Syn);
    world.refuse(0, Stage::Ack);
    // Two were counted before the sample: the record of one comes after it, that of the other
    // never.
    world.listeners[0].overflow_syn += 1;
    world.sample_after(SECOND);
    assert_eq!(world.overflows().len(), 2, "both may still be on the way");
    world.refuse(0, Stage::Syn);
    world.sample_after(SECOND);
    world.sample_after(SECOND);
    let summary = world.finish();
    let count = |stage| {
        let of_stage = |overflow: &&crate::model::output::OverflowOutput| overflow.stage == stage;
        world.overflows().iter().filter(of_stage).map(|overflow| overflow.count).sum::<u64>()
    };
    assert_eq!((count(Stage::Syn), count(Stage::Ack)), (3, 1));
    assert_eq!((summary.totals.overflow_syn, summary.totals.overflow_ack), (3, Some(1)));
    assert_eq!(world.overflows().iter().filter(|overflow| overflow.peer.is_none()).count(), 1);
}

#[test]
fn what_is_still_open_at_the_end_is_reported_at_the_end() {
    let mut world = World::with_limit(4);
    world.sample_after(SECOND);
    world.listeners[0].overflow_syn = 2;
    (world.listeners[0].depth, world.listeners[0].peak) = (1, 5);
    world.sample_after(SECOND);
    assert!(world.overflows().is_empty());
    world.finish();
    assert_eq!(world.overflows().iter().map(|overflow| overflow.count).sum::<u64>(), 2);
    let last = world.out.iter().rev().find_map(|output| match output {
        Output::Listener(listener) => Some(listener.view.clone()),
        _ => None,
    });
    assert_eq!(
        last.map(|view| (view.depth, view.peak)),
        Some((1, 1)),
        "the peak runs since the last object"
    );
}

#[test]
fn where_stages_can_not_be_told_apart_the_stage_is_not_claimed() {
    let mut sample = listener(LISTENER, 4);
    (sample.overflow_ack, sample.overflow_syn) = (None, 2);
    let mut world = World::new("tracepoint", vec![sample]);
    world.sample_after(SECOND);
    assert!(!world.overflows()[0].stage_certain);
    let summary = world.finish();
    assert_eq!((summary.totals.overflow_ack, summary.totals.overflow_syn), (None, 2));
}

#[test]
fn loss_and_cost_are_told_as_differences() {
    let mut world = World::with_limit(4);
    let mut sample = |second: u64, lost: u64, probe_ns: u64, cpu: u64| {
        let cost = Cost {
            probe_runs: Some(9),
            probe_ns: Some(probe_ns),
            agent_cpu_us: cpu,
            agent_rss_bytes: 1,
        };
        let (ts_ns, lost) = (START + second * SECOND, vec![("ring".into(), lost)]);
        world.apply(Event::Sample(Sample { ts_ns, lost, seen: 100, cost, ..Sample::default() }));
    };
    sample(1, 3, 0, 0);
    sample(2, 3, 4 * MS, 1_000);
    sample(4, 10, 8 * MS, 17_000);
    let lost = world.out.iter().filter_map(|output| match output {
        Output::Lost(lost) => Some((lost.count, lost.total)),
        _ => None,
    });
    assert_eq!(lost.collect::<Vec<_>>(), [(3, 3), (7, 10)]);
    let snapshot = world.model.snapshot();
    assert_eq!(
        (snapshot.lost, snapshot.cost_share, snapshot.elapsed_us),
        (10, Some(0.01), 4_000_000)
    );
    let summary = world.finish();
    assert_eq!((summary.seen, summary.delivered, summary.lost), (100, 90, 10));
}

#[test]
fn a_listener_that_closes_is_told_once_and_stays_in_the_totals() {
    let mut world = World::with_limit(4);
    world.now += MS;
    world.accept(0, 1, 0, 0);
    world.sample_after(SECOND);
    world.listeners[0].closed_ns = Some(world.now + 1);
    world.sample_after(SECOND);
    world.listeners.clear();
    world.sample_after(SECOND);
    let view = world.view();
    assert!(view.closed && view.depth == 0);
    let closed = world
        .out
        .iter()
        .filter(|output| matches!(output, Output::Listener(it) if it.view.closed))
        .count();
    assert_eq!(closed, 1);
    let event_log = world.model.snapshot().event_log;
    assert!(matches!(
        event_log.first().map(|entry| &entry.what),
        Some(StreamKind::Listening { .. })
    ));
    assert!(matches!(event_log.last().map(|entry| &entry.what), Some(StreamKind::Closed { .. })));
    assert_eq!((world.finish().listeners, world.finish().totals.accepted), (1, 1));
}

#[test]
fn the_same_events_give_the_same_output() {
    let run = || {
        let mut world = World::with_limit(4);
        for step in 0..400 {
            world.now += 7 * MS;
            world.accept(0, step % 3, u64::from(step) * MS / 3, MS);
            if step % 5 == 0 {
                world.refuse(0, Stage::Syn);
            }
            if step % 40 == 0 {
                world.sample_after(SECOND / 4);
            }
        }
        let summary = world.finish();
        (world.out, world.model.snapshot(), summary)
    };
    assert_eq!(run(), run());
}

//! A recording summed up, against what the model reports on it.

use crate::{
    digest::{Digest, MomentKind},
    model::{
        Model,
        event::{Event, Exchange, Opened, Role, Stage},
        output::Output,
        tests::{
            connections::{closed, opened},
            facts::{Build, at, server},
            world::{LISTENER, MS, SECOND, World},
        },
    },
    record::{
        Reader, RecordEntry,
        tests::{entries_of, recording},
    },
};

/// A server that accepts late, refuses some, and answers the later the longer it runs.
pub(crate) fn entries() -> Vec<RecordEntry> {
    let mut world = World::with_limit(4);
    for second in 1..=12 {
        for accept in 0..10 {
            world.now += 10 * MS;
            world.accept(0, 100 + accept % 3, u64::from(accept) * MS, 20 * MS);
        }
        world.listeners[0].depth = 5;
        world.refuse(0, Stage::Syn);
        let sock = 1_000 + second;
        let Event::Opened(known) = opened(sock, Role::Server, false) else { panic!("not opened") };
        let known = Opened { listener: Some(LISTENER), ts_ns: world.now, ..known };
        world.apply(Event::Opened(known));
        let later = world.now - at(0);
        let exchange = server().writing(at(second * 50 * MS)).later(later);
        world.now += SECOND;
        world.apply(Event::Exchange(Exchange { sock, ts_ns: world.now, ..exchange }));
        world.apply(closed(sock, world.now));
        world.sample_after(SECOND);
    }
    let mut entries = entries_of(world.given);
    entries.push(RecordEntry::Finish(world.now));
    entries
}

/// Everything that the model reports on these entries.
fn reported() -> Vec<Output> {
    let bytes = recording(&entries());
    let mut reader = Reader::new(bytes.as_slice()).expect("a recording");
    let (mut model, mut out) = (Model::new(reader.header().setup.clone()), Vec::new());
    while let Some(entry) = reader.next_entry().expect("an entry") {
        entry.give(&mut model, &mut out);
    }
    out
}

fn digest_of(bytes: &[u8], worst: usize) -> Digest {
    let mut reader = Reader::new(bytes).expect("a recording");
    Digest::of(&mut reader, worst).expect("a digest")
}

#[test]
fn it_has_what_the_model_reported() {
    let outputs = reported();
    let digest = digest_of(&recording(&entries()), 10);
    let summary = digest.summary.as_ref().expect("a summary");
    assert_eq!(digest.end_ns(), summary.ts_ns);
    assert_eq!(digest.findings.stories().len() as u64, summary.findings);
    assert_eq!(digest.listeners.stories().len() as u64, summary.listeners);

    let exchanges = outputs.iter().filter(|output| matches!(output, Output::Exchange(_))).count();
    let in_flow: u64 = digest.flow.points().iter().map(|point| point.times.exchanges).sum();
    assert!(exchanges > 0);
    assert_eq!(in_flow, exchanges as u64);

    for story in digest.listeners.stories().values() {
        let (mut accepted, mut overflows) = (0, 0);
        for point in story.points.points() {
            accepted += point.accepted;
            overflows += point.overflows;
        }
        assert_eq!(accepted, story.last.totals.accepted, "the points add up");
        assert_eq!(overflows, story.last.totals.overflows());
    }
    let of_protocols: u64 = digest.protocols.values().map(|used| used.connections).sum();
    let connections = outputs.iter().filter(|output| matches!(output, Output::Connection(_)));
    assert_eq!(of_protocols, connections.count() as u64);
}

#[test]
fn the_worst_exchanges_are_the_worst() {
    let mut all: Vec<u64> = Vec::new();
    for output in reported() {
        if let Output::Exchange(exchange) = output {
            all.extend(exchange.view.verdict.map(|verdict| verdict.us));
        }
    }
    all.sort_unstable_by(|a, b| b.cmp(a));
    assert!(all.len() > 5, "more than are kept");
    let digest = digest_of(&recording(&entries()), 5);
    let worst = digest.worst.exchanges();
    let kept: Vec<u64> =
        worst.iter().filter_map(|worst| Some(worst.output.view.verdict?.us)).collect();
    assert_eq!(kept, all[..5]);
    assert!(worst.iter().all(|worst| worst.connection.is_some()), "each with its connection");
}

#[test]
fn the_moments_of_a_queue_include_its_deepest() {
    let digest = digest_of(&recording(&entries()), 5);
    let mut accepts = 0;
    for story in digest.listeners.stories().values() {
        let moments = story.moments();
        assert!(moments.windows(2).all(|pair| pair[0].ts_ns <= pair[1].ts_ns), "in order");
        accepts += moments
            .iter()
            .filter(|moment| matches!(moment.kind, MomentKind::Accepted { .. }))
            .count();
    }
    assert!(accepts > 0);
}

#[test]
fn a_recording_that_breaks_off_is_summed_up_to_there() {
    let whole = recording(&entries());
    for tenth in 1..10 {
        let cut = &whole[..whole.len() * tenth / 10];
        let Ok(mut reader) = Reader::new(cut) else { continue };
        let digest = Digest::of(&mut reader, 5).expect("a digest");
        assert!(digest.summary.is_some(), "{tenth} tenths");
        assert!(digest.damages.1 > 0, "{tenth} tenths");
    }
}

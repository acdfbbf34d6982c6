//! A recording summed up, against what the model reports on it.

use crate::{
    digest::{Digest, Moment, MomentKind},
    model::{
        Model,
        event::{Event, Exchange, Opened, Role, Stage, UnixListener},
        output::{Output, UnixOutput},
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

pub(crate) fn digest_of(bytes: &[u8], worst: usize) -> Digest {
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
fn an_exchange_counts_as_often_as_it_stands_for_one() {
    let mut digest = digest_of(&recording(&entries()), 10);
    let sum = |digest: &Digest| {
        let times = digest.flow.points().iter().map(|point| point.times);
        times.fold((0, 0), |sum, times| (sum.0 + times.exchanges, sum.1 + times.sum_us()))
    };
    let (exchanges, us) = sum(&digest);
    let mut again = reported();
    for output in &mut again {
        if let Output::Exchange(exchange) = output {
            exchange.view.stands_for = 5;
        }
    }
    digest.take_all(&again);
    assert_eq!(sum(&digest), (6 * exchanges, 6 * us));
}

#[test]
fn a_finding_that_comes_and_goes_is_one_story() {
    let mut world = World::with_limit(4);
    for _ in 0..3 {
        world.refuse(0, Stage::Syn);
        (0..12).for_each(|_| world.sample_after(SECOND));
    }
    world.refuse(0, Stage::Syn);
    world.sample_after(SECOND);
    let mut entries = entries_of(world.given);
    let whole = digest_of(&recording(&entries), 5);
    entries.push(RecordEntry::Finish(world.now));
    let digest = digest_of(&recording(&entries), 5);
    let [story] = digest.findings.stories() else { panic!("not one") };
    let stood = &story.finding.stood;
    assert!(story.is_standing && stood.times == 4 && stood.stretches.len() == 4, "{story:?}");
    assert_eq!(
        whole.findings.stories(),
        digest.findings.stories(),
        "without its end it says as much"
    );
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

#[test]
fn other_sockets_are_kept_with_their_last_figures() {
    let mut digest = digest_of(&recording(&entries()), 5);
    let unix = |sock: u64, depth: u32| UnixListener {
        sock,
        path: "/run/app.sock".into(),
        pid: 4242,
        comm: "server".into(),
        holders: vec![4242],
        netns: 1,
        depth,
        limit: 5,
        refused: None,
        unnamed_holders: 0,
    };
    for (second, depth) in [(1, 2), (2, 6), (3, 0)] {
        let ts_ns = at(second * SECOND);
        digest.take_all(&[Output::Unix(UnixOutput { ts_ns, view: unix(7, depth) })]);
    }
    let story = &digest.sockets.unix_stories()[&7];
    assert_eq!(story.last.depth, 0);
    let deepest = story.points.points().iter().map(|point| point.depth).max();
    assert_eq!((deepest, story.points.points().len()), (Some(6), 3));
    assert!(!digest.sockets.leaves_out());
    for sock in 0..1_000 {
        digest.take_all(&[Output::Unix(UnixOutput { ts_ns: at(0), view: unix(sock, 0) })]);
    }
    assert!(digest.sockets.unix_stories().len() < 1_000 && digest.sockets.leaves_out());
}

#[test]
fn what_nobody_takes_is_counted_and_a_cookie_refuses_nobody() {
    let mut world = World::with_limit(4);
    world.listeners[0].depth = 3;
    world.sample_after(SECOND);
    world.refuse(0, Stage::Cookie);
    world.sample_after(SECOND);
    let mut entries = entries_of(world.given);
    entries.push(RecordEntry::Finish(world.now));
    let digest = digest_of(&recording(&entries), 5);
    let story = digest.listeners.stories().values().next().expect("a listener");
    let counted = |moment: &Moment| matches!(moment.kind, MomentKind::Counted { depth: 3, .. });
    assert!(!story.moments().is_empty());
    assert!(story.moments().iter().all(counted), "{:?}", story.moments());
}

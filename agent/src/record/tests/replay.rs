//! A replay reports what the run did.

use super::super::{Reader, RecordEntry, Writer};
use super::{events, header, recording};
use crate::model::Model;
use crate::model::event::{Event, Process, ProcessChange, Stage};
use crate::model::output::Output;
use crate::model::snapshot::Snapshot;
use crate::model::tests::world::{MS, SECOND, World, setup};

/// A server that accepts unevenly, refuses some and loses a process.
fn busy_world(tier: &str) -> World {
    let mut world = World::new(tier, vec![crate::model::tests::world::listener(7, 4)]);
    for second in 0..30 {
        for accept in 0..20 {
            world.now += 10 * MS;
            world.accept(0, 100 + accept % 3, accept as u64 * MS, 20 * MS);
        }
        for _ in 0..second % 4 {
            world.listeners[0].depth = 5;
            world.refuse(0, [Stage::Syn, Stage::Ack][second % 2]);
        }
        world.listeners[0].drops += 3;
        world.sample_after(SECOND);
    }
    let (ts_ns, comm) = (world.now, "server".into());
    world.apply(Event::Process(Process { ts_ns, pid: 4242, comm, change: ProcessChange::Exited }));
    world
}

/// The same as entries, each second a batch that comes at its end.
pub(crate) fn busy_entries() -> Vec<RecordEntry> {
    entries_of(busy_world("full").given)
}

/// These events as entries: all that come up to a sample are a batch.
pub(crate) fn entries_of(given: Vec<Event>) -> Vec<RecordEntry> {
    let (mut entries, mut batch) = (Vec::new(), Vec::new());
    for event in given {
        let sample = if let Event::Sample(sample) = &event { Some(sample.ts_ns) } else { None };
        batch.push(RecordEntry::Event(event));
        if let Some(ts_ns) = sample {
            entries.push(RecordEntry::Batch(ts_ns));
            entries.append(&mut batch);
        }
    }
    entries
}

fn replay(bytes: &[u8]) -> (Vec<Output>, Snapshot) {
    let mut reader = Reader::new(bytes).unwrap();
    let mut model = Model::new(reader.header().setup.clone());
    let mut out = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        entry.give(&mut model, &mut out);
    }
    assert_eq!(reader.damages(), []);
    (out, model.snapshot())
}

fn count(outputs: &[Output], wanted: fn(&Output) -> bool) -> usize {
    outputs.iter().filter(|output| wanted(output)).count()
}

#[test]
fn a_replay_reports_what_the_run_did() {
    for tier in ["full", "tracepoint"] {
        let mut world = busy_world(tier);
        let mut writer = Writer::new(Vec::new(), &header(setup(tier))).unwrap();
        for entry in [
            RecordEntry::Target("server 4242 (+1 child)".into()),
            RecordEntry::Notices(vec!["a notice".into()]),
        ] {
            entry.give(&mut world.model, &mut world.out);
            writer.write(&entry).unwrap();
        }
        for event in &world.given {
            writer.write(&RecordEntry::Event(event.clone())).unwrap();
        }
        let end = RecordEntry::Finish(world.now + SECOND);
        end.give(&mut world.model, &mut world.out);
        writer.write(&end).unwrap();

        let (outputs, snapshot) = replay(&writer.end().unwrap());
        assert_eq!(outputs, world.out, "{tier}");
        assert_eq!(snapshot, world.model.snapshot(), "{tier}");
        assert_eq!(
            (snapshot.target.as_came(), snapshot.notices.len()),
            ("server 4242 (+1 child)", 1)
        );
        assert_eq!(count(&outputs, |output| matches!(output, Output::Accept(_))), 600);
        for wanted in [
            (|output| matches!(output, Output::Overflow(_))) as fn(&Output) -> bool,
            |output| matches!(output, Output::Finding(_)),
            |output| matches!(output, Output::Listener(_)),
        ] {
            assert!(count(&outputs, wanted) > 0, "{tier}");
        }
        assert!(matches!(outputs.last(), Some(Output::Summary(_))));
    }
}

#[test]
fn a_replay_of_every_event_reports_what_the_run_did() {
    let mut model = Model::new(setup("full"));
    let mut out = Vec::new();
    let entries: Vec<RecordEntry> = events::every().into_iter().map(RecordEntry::Event).collect();
    for entry in &entries {
        entry.give(&mut model, &mut out);
    }
    let (outputs, snapshot) = replay(&recording(&entries));
    assert_eq!((outputs, snapshot), (out, model.snapshot()));
}

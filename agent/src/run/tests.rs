use std::time::UNIX_EPOCH;

use super::*;
use crate::{
    files::{Files, Folder, Removes},
    model::{
        WallClock,
        tests::world::{SECOND, World, setup},
    },
    record::{DamageKind, Reader, Writer},
    report::{Sink, json::Json},
};

/// Keeps what it is told, and how much of it came at once.
#[derive(Default)]
struct Told {
    outputs: Vec<Output>,
    most: usize,
}

impl Consumer for Told {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn notices(&mut self, _: &[Untrusted]) {}

    fn report(&mut self, outputs: &mut Vec<Output>, _: &Model) -> io::Result<()> {
        self.most = self.most.max(outputs.len());
        self.outputs.append(outputs);
        Ok(())
    }

    fn refresh(&mut self, _: &Model) -> io::Result<()> {
        Ok(())
    }

    fn before_summary(&mut self, _: &Model) -> io::Result<()> {
        Ok(())
    }
}

/// A disk that takes so many bytes.
fn full_after(bytes: u64) -> (tempfile::NamedTempFile, Recorder) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let header = header(setup("full"));
    let mut recorder = Writer::new(file.reopen().unwrap(), &header).unwrap();
    recorder.fail_after(bytes);
    (file, Recorder::File(recorder))
}

fn header(setup: crate::model::Setup) -> Header {
    crate::record::tests::header(setup)
}

fn busy() -> World {
    let mut world = World::with_limit(64);
    for second in 0..20 {
        for client in 0..40 {
            world.accept_from(&format!("10.0.0.{second}:{}", 10_000 + client));
        }
        world.sample_after(SECOND);
    }
    world
}

/// Feeds a world to a run, a batch a sample; the outcome of the first that fails.
fn feed(run: &mut Run<Told>, world: &World) -> anyhow::Result<()> {
    run.take(RecordEntry::Batch(world.given.first().map_or(0, |_| 1)))?;
    for event in &world.given {
        run.take_event(event)?;
        if let Event::Sample(sample) = event {
            run.show()?;
            run.take(RecordEntry::Batch(sample.ts_ns))?;
        }
    }
    Ok(())
}

#[test]
fn a_run_that_is_shown_outlives_its_recording_and_says_so() {
    let world = busy();
    let (file, recorder) = full_after(3_000);
    let mut run = Run::new(Model::new(setup("full")), Told::default(), Some(recorder));
    run.outlive_recording("a.bsrec".into());
    feed(&mut run, &world).unwrap();
    let stopped = run.recording_stopped().unwrap().clone();
    assert_eq!(stopped.reason, "No space left on device");
    let shown = run.model.snapshot().recording.unwrap();
    assert_eq!((shown.into, shown.stopped), ("a.bsrec".into(), Some(stopped.clone())));
    run.take(RecordEntry::Finish(world.now)).unwrap();
    let Some(Output::Summary(summary)) = run.consumer.outputs.last() else { panic!("none") };
    assert_eq!(summary.recording_stopped.as_deref(), Some(&stopped));
    assert_eq!(summary.totals.accepted, 800, "it went on");

    let mut reader = Reader::open(file.path()).unwrap();
    let (mut last_ns, mut samples) = (0, 0);
    while let Some(entry) = reader.next_entry().unwrap() {
        match entry {
            RecordEntry::Batch(ns) => last_ns = ns,
            RecordEntry::Event(Event::Sample(_)) => samples += 1,
            _ => {}
        }
    }
    assert!((1..20).contains(&samples), "{samples}");
    assert_eq!(stopped.reaches_ns, Some(last_ns), "no more and no less can be read");
    let kinds: Vec<DamageKind> = reader.damages().iter().map(|damage| damage.kind).collect();
    assert_eq!(kinds, [DamageKind::NoEnd], "it was cut behind a whole chunk");
}

#[test]
fn a_run_that_is_only_recorded_ends_with_its_recording() {
    let (_file, recorder) = full_after(3_000);
    let mut run = Run::new(Model::new(setup("full")), Told::default(), Some(recorder));
    assert!(feed(&mut run, &busy()).is_err());
}

#[test]
fn a_recording_that_is_whole_has_not_stopped() {
    let world = busy();
    let (_file, recorder) = full_after(u64::MAX);
    let mut run = Run::new(Model::new(setup("full")), Told::default(), Some(recorder));
    run.outlive_recording("a.bsrec".into());
    feed(&mut run, &world).unwrap();
    assert!(run.model.snapshot().recording.is_some());
    assert_eq!(run.close_recording(world.now).unwrap(), [""; 0]);
    assert!(run.recording_stopped().is_none() && run.model.snapshot().recording.is_none());
}

#[test]
fn a_recording_that_a_key_begins_replays_alone() {
    let world = busy();
    let folder = tempfile::tempdir().unwrap();
    let (mut files, _) =
        Files::start(Folder::open(folder.path()).unwrap(), Removes::Nothing).unwrap();
    let mut run = Run::new(Model::new(setup("full")), Told::default(), None);
    run.record_on_demand(header(setup("full")));
    let half = world.given.len() / 2;
    let place = |event: &Event| matches!(event, Event::Sample(_));
    let begin = half + world.given[half..].iter().position(place).unwrap();
    for (index, event) in world.given.iter().enumerate() {
        run.take_event(event).unwrap();
        if let (true, Event::Sample(sample)) = (index == begin, event) {
            let id = files.create("a".to_owned(), "bsrec", Vec::new());
            run.begin_recording(sample, "a".into(), files.stream(id)).unwrap();
            assert!(run.recorded_into().is_some());
        }
        run.show().unwrap();
    }
    let after = world.given[begin + 1..].iter();
    let accepted = after.filter(|event| matches!(event, Event::Accept(_))).count() as u64;
    run.close_recording(world.now).unwrap();
    assert!(run.recorded_into().is_none());
    let (kept, _) = files.end().unwrap();
    assert_eq!(kept.files.len(), 1);
    let mut reader = Reader::open(&folder.path().join(&kept.files[0].0)).unwrap();
    let digest = crate::digest::Digest::of(&mut reader, 10).unwrap();
    assert_eq!(reader.damages(), []);
    let summary = digest.summary.unwrap();
    assert!(accepted > 100 && summary.totals.accepted == accepted, "{accepted}");
    let before: Vec<_> = digest.notices.iter().map(|notice| notice.as_came().to_owned()).collect();
    assert!(before.iter().any(|notice| notice.contains("into the watch")), "{before:?}");
}

#[test]
fn connections_open_at_the_end_are_reported_in_parts() {
    const OPEN: usize = 3_000;
    let mut world = World::with_limit(64);
    for client in 0..OPEN {
        world.accept_from(&format!("10.0.0.9:{}", 10_000 + client));
    }
    world.sample_after(SECOND);
    let mut run = Run::new(Model::new(setup("full")), Told::default(), None);
    for event in &world.given {
        run.take_event(event).unwrap();
        run.show().unwrap();
    }
    let before = run.consumer.outputs.len();
    run.consumer.most = 0;
    run.take(RecordEntry::Finish(world.now)).unwrap();
    assert!(run.consumer.most < 1_000, "{} at once", run.consumer.most);
    let told = &run.consumer.outputs[before..];
    let connections = told.iter().filter(|output| matches!(output, Output::Connection(_)));
    assert_eq!(connections.count(), OPEN);
    assert!(matches!(told.last(), Some(Output::Summary(_))));
    let mut text = Vec::new();
    let mut json = Json::new(WallClock { mono_ns: 0, wall: UNIX_EPOCH });
    json.write(&mut text, told, &run.model.brief()).unwrap();
    assert!(text.len() > OPEN * 500, "or parts would not be worth it: {}", text.len());
}

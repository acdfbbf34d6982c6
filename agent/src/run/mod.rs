//! One run, live or from a recording: entries in, through the model, to whoever consumes what it
//! reports. `watch`, `record`, `replay` and the lessons share it.

mod live;
mod parties;
mod recorded;

use std::{borrow::Borrow, io};

use serde::Serialize;

pub(crate) use live::{DRAIN, Live, header, setup};
pub(crate) use parties::{Parties, Party};
pub use recorded::PlayError;
pub(crate) use recorded::{Visitor, play, play_until};

use crate::{
    files::FileStream,
    model::{
        Ending, Model, Recording, RecordingStop,
        event::{Event, Sample},
        output::{Interest, Output},
    },
    record::{Header, OnDemand, RecordEntry, Recorder, WriteError},
    text::Untrusted,
};

/// Room is kept for so many times the outputs of the last batch, at least for a few.
const KEPT_ROOM: usize = 4;
const LEAST_ROOM: usize = 64;

/// Consumes what a run reports.
pub(crate) trait Consumer {
    /// Returns the outputs that it has a use for.
    fn interest(&self) -> Interest;

    /// Takes what is to be said of the run itself.
    fn notices(&mut self, notices: &[Untrusted]);

    /// Takes the outputs since the last call. Those that it leaves are there at the next call, and
    /// in [`Run::outputs`] at the end.
    fn report(&mut self, outputs: &mut Vec<Output>, model: &Model) -> io::Result<()>;

    /// Takes the state after a sample.
    fn refresh(&mut self, model: &Model) -> io::Result<()>;

    /// Learns that the run is at its end: the model is about to sum it up.
    fn before_summary(&mut self, model: &Model) -> io::Result<()>;
}

/// Gives the model what a source brings, shows what it reports, and records the same if asked to.
///
/// A source calls [`Run::take`] for each entry; a live one [`Run::take_event`] and [`Run::show`]
/// for those that come in numbers; [`Run::begin_finish`] and [`Run::finish_on`] for the end in
/// parts. [`Run::end_recording`] comes last.
pub(crate) struct Run<C> {
    pub(crate) model: Model,
    pub(crate) consumer: C,
    recorder: Option<Recorder>,
    /// The recording may end early, and the run goes on.
    outlives_recording: bool,
    /// Where the recording goes, and its early end.
    recording: Option<Recording>,
    /// What a recording that a key asks for begins with.
    on_demand: Option<OnDemand>,
    /// Reported in this batch, or left by the consumer.
    pub(crate) outputs: Vec<Output>,
}

impl<C: Consumer> Run<C> {
    pub(crate) fn new(mut model: Model, consumer: C, recorder: Option<Recorder>) -> Self {
        model.set_interest(consumer.interest());
        Self {
            model,
            consumer,
            recorder,
            outlives_recording: false,
            recording: None,
            on_demand: None,
            outputs: Vec::new(),
        }
    }

    /// Says where the recording goes. If it can be written no further the run goes on, and says so:
    /// it is shown, too.
    pub(crate) fn outlive_recording(&mut self, into: Untrusted) {
        self.outlives_recording = true;
        self.set_recording(Recording { into, stopped: None });
    }

    /// Takes note from now on of what a recording begins with that is asked for later.
    pub(crate) fn record_on_demand(&mut self, header: Header) {
        self.on_demand = Some(OnDemand::new(header));
    }

    /// Where it is recorded at present, if it is.
    pub(crate) fn recorded_into(&self) -> Option<&Untrusted> {
        self.recorder.as_ref()?;
        Some(&self.recording.as_ref()?.into)
    }

    /// Begins a recording with the sample that the model took last.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn begin_recording(
        &mut self,
        sample: &Sample,
        into: Untrusted,
        out: FileStream,
    ) -> Result<(), WriteError> {
        if let (None, Some(on_demand)) = (&self.recorder, &self.on_demand) {
            self.recorder = Some(on_demand.begin(sample, out)?);
            self.outlive_recording(into);
        }
        Ok(())
    }

    /// Learns that the file of the recording could not be written.
    pub(crate) fn recording_failed(&mut self, error: io::Error) {
        if self.recorder.is_some() {
            self.stop_recording(WriteError::from(error).reason());
        }
    }

    /// Returns how the recording ended, if it did early.
    pub(crate) fn recording_stopped(&self) -> Option<&RecordingStop> {
        self.model.recording_stopped()
    }

    fn set_recording(&mut self, recording: Recording) {
        self.model.set_recording(Some(recording.clone()));
        self.recording = Some(recording);
    }

    fn record<E: Borrow<Event> + Serialize>(
        &mut self,
        entry: &RecordEntry<E>,
    ) -> Result<(), WriteError> {
        if let Some(on_demand) = &mut self.on_demand {
            on_demand.take(entry);
        }
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        let outcome = recorder.write(entry);
        self.check(outcome)
    }

    /// Ends the recording where it can be written no further, if the run may go on without it.
    fn check(&mut self, outcome: Result<(), WriteError>) -> Result<(), WriteError> {
        match outcome {
            Err(error) if self.outlives_recording => {
                self.stop_recording(error.reason());
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn stop_recording(&mut self, reason: String) {
        let reaches_ns = self.recorder.take().and_then(Recorder::abandon);
        // A batch is younger than the events in it.
        let ts_ns = self.model.now_ns().max(reaches_ns.unwrap_or(0));
        if let Some(recording) = self.recording.take() {
            let stopped = Some(RecordingStop { ts_ns, reaches_ns, reason: reason.into() });
            self.set_recording(Recording { stopped, ..recording });
        }
    }

    /// Takes the next entry. What the model reports on it is shown with the rest of its batch.
    pub(crate) fn take(&mut self, entry: RecordEntry) -> anyhow::Result<()> {
        self.record(&entry)?;
        match &entry {
            RecordEntry::Batch(_) => self.show()?,
            RecordEntry::Finish(now_ns) => {
                let mut ending = self.finish(*now_ns)?;
                while self.finish_on(&mut ending)? {}
                return Ok(());
            }
            RecordEntry::Notices(notices) => self.consumer.notices(notices),
            RecordEntry::Target(_) | RecordEntry::Event(_) | RecordEntry::Resumed(_) => {}
        }
        entry.give(&mut self.model, &mut self.outputs);
        if let RecordEntry::Event(Event::Sample(_)) = entry {
            self.consumer.refresh(&self.model)?;
        }
        Ok(())
    }

    /// Begins the end of the run. [`Run::finish_on`] shows what it reports, part by part: who waits
    /// for the reader in between never holds the text of all connections.
    pub(crate) fn begin_finish(&mut self, now_ns: u64) -> anyhow::Result<Ending> {
        self.record(&RecordEntry::<Event>::Finish(now_ns))?;
        self.finish(now_ns)
    }

    fn finish(&mut self, now_ns: u64) -> anyhow::Result<Ending> {
        self.show()?;
        self.consumer.before_summary(&self.model)?;
        Ok(RecordEntry::begin_finish(now_ns, &mut self.model, &mut self.outputs))
    }

    /// Shows the next part of the end; false once all is shown.
    pub(crate) fn finish_on(&mut self, ending: &mut Ending) -> anyhow::Result<bool> {
        let more = self.model.finish_on(ending, &mut self.outputs);
        self.show()?;
        Ok(more)
    }

    /// Takes the next event, which is too large to be moved about.
    pub(crate) fn take_event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.model.apply(event, &mut self.outputs);
        Ok(self.record(&RecordEntry::Event(event))?)
    }

    /// Shows what the model has reported since the last time.
    pub(crate) fn show(&mut self) -> anyhow::Result<()> {
        if let Some(recorder) = &mut self.recorder {
            let outcome = recorder.reported(&self.outputs);
            self.check(outcome)?;
        }
        Ok(self.consumer.report(&mut self.outputs, &self.model)?)
    }

    /// Ends the recording, if there is one, before the run does: nothing comes any more. Returns
    /// sentences on what is in files.
    pub(crate) fn close_recording(&mut self, now_ns: u64) -> Result<Vec<String>, WriteError> {
        self.record(&RecordEntry::<Event>::Finish(now_ns))?;
        self.end_recording()
    }

    /// Ends the recording, if there is one. Returns sentences on what is in files.
    pub(crate) fn end_recording(&mut self) -> Result<Vec<String>, WriteError> {
        let Some(recorder) = self.recorder.take() else { return Ok(Vec::new()) };
        match recorder.end() {
            Err(error) if self.outlives_recording => {
                self.stop_recording(error.reason());
                Ok(Vec::new())
            }
            outcome => {
                self.recording = None;
                self.model.set_recording(None);
                outcome
            }
        }
    }
}

/// Empties a batch that was shown, and keeps room for the next one: under load one batch is like
/// the other, else one with thousands is rare.
pub(crate) fn clear(outputs: &mut Vec<Output>) {
    if !outputs.is_empty() {
        let room = (KEPT_ROOM * outputs.len()).max(LEAST_ROOM);
        outputs.clear();
        outputs.shrink_to(room);
    }
}

#[cfg(test)]
mod tests {
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
        let before: Vec<_> =
            digest.notices.iter().map(|notice| notice.as_came().to_owned()).collect();
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
}

//! One run, live or from a recording: entries in, through the model, to whoever consumes what it
//! reports. `watch`, `record`, `replay` and the lessons share it.

mod live;
mod parties;
mod recorded;
#[cfg(test)]
mod tests;

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
    /// It begins with the next sample.
    pub(crate) records_next: bool,
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
            records_next: false,
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

    /// Tells whether ordinary exchanges may be left untold: if nobody asks for each, and none can be
    /// part of another.
    pub(crate) fn may_be_thinned(&self) -> bool {
        self.recorder.is_none() && !self.records_next && self.model.may_be_thinned()
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

//! One run, live or from a recording: entries in, through the model, to whoever consumes what it
//! reports. `watch`, `record`, `replay` and the lessons share it.

mod live;

use std::{fs::File, io};

pub(crate) use live::{DRAIN, Live, header, setup};

use crate::{
    model::{
        Model,
        event::Event,
        output::{Interest, Output},
    },
    record::{RecordEntry, WriteError, Writer},
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
/// for those that come in numbers. [`Run::end_recording`] comes last.
pub(crate) struct Run<C> {
    pub(crate) model: Model,
    pub(crate) consumer: C,
    recorder: Option<Writer<File>>,
    /// Reported in this batch, or left by the consumer.
    pub(crate) outputs: Vec<Output>,
}

impl<C: Consumer> Run<C> {
    pub(crate) fn new(mut model: Model, consumer: C, recorder: Option<Writer<File>>) -> Self {
        model.set_interest(consumer.interest());
        Self { model, consumer, recorder, outputs: Vec::new() }
    }

    /// Takes the next entry. What the model reports on it is shown with the rest of its batch.
    pub(crate) fn take(&mut self, entry: RecordEntry) -> anyhow::Result<()> {
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&entry)?;
        }
        match &entry {
            RecordEntry::Batch(_) => self.show()?,
            RecordEntry::Finish(_) => {
                self.show()?;
                self.consumer.before_summary(&self.model)?;
            }
            RecordEntry::Notices(notices) => self.consumer.notices(notices),
            RecordEntry::Target(_) | RecordEntry::Event(_) => {}
        }
        entry.give(&mut self.model, &mut self.outputs);
        match entry {
            RecordEntry::Event(Event::Sample(_)) => self.consumer.refresh(&self.model)?,
            RecordEntry::Finish(_) => self.show()?,
            _ => {}
        }
        Ok(())
    }

    /// Takes the next event, which is too large to be moved about.
    pub(crate) fn take_event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.model.apply(event, &mut self.outputs);
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&RecordEntry::Event(event))?;
        }
        Ok(())
    }

    /// Shows what the model has reported since the last time.
    pub(crate) fn show(&mut self) -> io::Result<()> {
        self.consumer.report(&mut self.outputs, &self.model)
    }

    /// Ends the recording, if there is one.
    pub(crate) fn end_recording(&mut self) -> Result<(), WriteError> {
        if let Some(recorder) = self.recorder.take() {
            recorder.end()?;
        }
        Ok(())
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

//! One run, live or from a recording: entries in, through the model, to the front-end.

use std::{fs::File, io};

use super::front::Front;
use crate::{
    model::{Model, event::Event, output::Output},
    record::{Entry, WriteError, Writer},
};

/// Room is kept for so many times the outputs of the last batch, at least for a few.
const KEPT_ROOM: usize = 4;
const LEAST_ROOM: usize = 64;

/// Gives the model what a source brings, shows what it reports, and records the same if asked to.
pub(super) struct Run {
    pub(super) model: Model,
    pub(super) front: Front,
    recorder: Option<Writer<File>>,
    /// What was reported in this batch.
    outputs: Vec<Output>,
}

impl Run {
    pub(super) fn new(mut model: Model, front: Front, recorder: Option<Writer<File>>) -> Self {
        model.set_interest(front.interest());
        Self { model, front, recorder, outputs: Vec::new() }
    }

    /// Takes the next entry. What the model reports on it is shown with the rest of its batch.
    pub(super) fn take(&mut self, entry: Entry) -> anyhow::Result<()> {
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&entry)?;
        }
        match &entry {
            Entry::Batch(_) | Entry::Finish(_) => self.show()?,
            Entry::Notices(notices) => self.front.notices(notices),
            Entry::Target(_) | Entry::Event(_) => {}
        }
        entry.give(&mut self.model, &mut self.outputs);
        if let Entry::Finish(_) = entry {
            // The screen goes, the summary stays.
            self.front.leave_screen();
            self.show()?;
        }
        Ok(())
    }

    /// Takes the next event, which is too large to be moved about.
    pub(super) fn take_event(&mut self, event: &Event) -> anyhow::Result<()> {
        self.model.apply(event, &mut self.outputs);
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&Entry::Event(event))?;
        }
        Ok(())
    }

    /// Shows what the model has reported since the last time.
    pub(super) fn show(&mut self) -> io::Result<()> {
        self.front.report(&self.outputs, &self.model)?;
        if !self.outputs.is_empty() {
            // Under load one batch is like the other; else one with thousands is rare.
            let room = (KEPT_ROOM * self.outputs.len()).max(LEAST_ROOM);
            self.outputs.clear();
            self.outputs.shrink_to(room);
        }
        Ok(())
    }

    /// Ends the recording, if there is one.
    pub(super) fn end_recording(&mut self) -> Result<(), WriteError> {
        self.recorder.take().map_or(Ok(()), |recorder| recorder.end().map(drop))
    }
}

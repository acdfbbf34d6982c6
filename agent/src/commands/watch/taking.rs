//! The keys that take something along, in a watch.

use super::session::Session;
use crate::{
    commands::take::{NOTHING, News},
    model::event::Sample,
    sensor::now_ns,
    text::Untrusted,
    tui::Take,
};

impl Session {
    /// Does what a key asks for, and says so.
    pub(super) fn take(&mut self, take: Take) -> anyhow::Result<()> {
        let told = match take {
            // The screen has done it.
            Take::Copy => return Ok(()),
            Take::Write => self.write_selected(),
            Take::Record => self.switch_recording()?,
            Take::Report => self.write_report(),
        };
        Ok(self.live.run.consumer.frontend.tell(told)?)
    }

    fn write_selected(&mut self) -> Untrusted {
        let Some(keeper) = &mut self.keeper else { return NOTHING.into() };
        match self.live.run.consumer.frontend.selected() {
            Some((selected, view)) => {
                keeper.write(&selected, view.as_deref(), &self.live.run.model)
            }
            None => NOTHING.into(),
        }
    }

    fn write_report(&mut self) -> Untrusted {
        let run = &mut self.live.run;
        let Some(keeper) = &mut self.keeper else { return NOTHING.into() };
        if let Some(reason) = keeper.why_not() {
            return reason.clone();
        }
        match run.consumer.so_far(&mut run.model) {
            Some(digest) => keeper.report(&digest, run.model.now_ns()),
            None => NOTHING.into(),
        }
    }

    /// Ends the recording that a key began, or has one begin with the next sample.
    fn switch_recording(&mut self) -> anyhow::Result<Untrusted> {
        let Some(keeper) = &mut self.keeper else { return Ok(NOTHING.into()) };
        if keeper.records() {
            self.live.run.close_recording(now_ns())?;
            keeper.recorded();
            return Ok("the recording has ended".into());
        }
        if let Some(into) = self.live.run.recorded_into() {
            return Ok(compose!("-o records into {} already, to the end of the watch", into));
        }
        if self.closed_ns.is_some() {
            return Ok("nobody is left to watch: there is nothing to record".into());
        }
        if let Some(reason) = keeper.why_not() {
            return Ok(reason.clone());
        }
        self.live.run.records_next = !self.live.run.records_next;
        Ok(match self.live.run.records_next {
            true => "a recording begins with the next refresh".into(),
            false => "no recording begins".into(),
        })
    }

    /// Begins the recording that was asked for with this sample, which the model has.
    pub(super) fn begin_recording(&mut self, sample: &Sample) -> anyhow::Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        match keeper.begin_recording(sample.ts_ns) {
            Ok((stream, into)) => Ok(self.live.run.begin_recording(sample, into, stream)?),
            Err(reason) => Ok(self.live.run.consumer.frontend.tell(reason)?),
        }
    }

    /// Says what became of files.
    pub(super) fn tell_news(&mut self) -> anyhow::Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        // The disk was too slow for it.
        if keeper.records() && self.live.run.recorded_into().is_none() {
            keeper.recorded();
        }
        for news in keeper.news() {
            let told = match news {
                News::Told(told) => told,
                News::RecordingFailed(error) => {
                    self.live.run.recording_failed(error);
                    "the recording has ended, since it cannot be written".into()
                }
            };
            self.live.run.consumer.frontend.tell(told)?;
        }
        Ok(())
    }
}

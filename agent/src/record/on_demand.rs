//! A recording that begins when a key asks for it, in the middle of a watch.

use std::borrow::Borrow;

use super::{
    format::{Header, RecordEntry},
    recorder::Recorder,
    resume::Known,
    writer::{WriteError, Writer},
};
use crate::{
    files::FileStream,
    model::event::{Event, Sample},
};

/// What a recording has to begin with, kept from the beginning of the watch on. Its memory is
/// bounded ([`Known`]).
#[derive(Debug)]
pub(crate) struct OnDemand {
    header: Header,
    known: Known,
}

impl OnDemand {
    /// Begins to take note. The header is that of a recording of the whole watch.
    pub(crate) fn new(header: Header) -> Self {
        let known = Known::new(header.setup.attached_ns);
        Self { header, known }
    }

    /// Takes note of an entry.
    pub(crate) fn take<E: Borrow<Event>>(&mut self, entry: &RecordEntry<E>) {
        self.known.take(entry);
    }

    /// Begins a recording with the newest sample, of which note was taken.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn begin(&self, sample: &Sample, out: FileStream) -> Result<Recorder, WriteError> {
        let beginning = self.known.beginning(sample)?;
        let writer = Writer::resumed(out, &self.header.at(sample.ts_ns), &beginning)?;
        Ok(Recorder::OnDemand(writer))
    }
}

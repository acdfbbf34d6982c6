//! Where a run is recorded: into a file, or by a flight recorder.

use std::{borrow::Borrow, fs::File};

use serde::Serialize;

use super::{
    flight::Flight,
    format::RecordEntry,
    writer::{WriteError, Writer},
};
use crate::{
    files::FileStream,
    model::{event::Event, output::Output},
};

/// Records a run.
#[derive(Debug)]
pub(crate) enum Recorder {
    /// All of it, into a file.
    File(Writer<File>),
    /// All of it, to whoever reads standard output.
    Stdout(Writer<File>),
    /// What comes from a key on, into a file that a thread writes.
    OnDemand(Writer<FileStream>),
    /// What a flight recorder keeps of it.
    Flight(Box<Flight>),
}

impl Recorder {
    /// Adds an entry.
    ///
    /// # Errors
    /// Nothing more can be written.
    pub(crate) fn write<E: Borrow<Event> + Serialize>(
        &mut self,
        entry: &RecordEntry<E>,
    ) -> Result<(), WriteError> {
        match self {
            Self::File(writer) | Self::Stdout(writer) => writer.write(entry),
            Self::OnDemand(writer) => writer.write(entry),
            Self::Flight(flight) => flight.write(entry),
        }
    }

    /// Learns what the model reports: findings end up in files of their own.
    ///
    /// # Errors
    /// Nothing more can be written.
    pub(crate) fn reported(&mut self, outputs: &[Output]) -> Result<(), WriteError> {
        match self {
            Self::File(_) | Self::Stdout(_) | Self::OnDemand(_) => Ok(()),
            Self::Flight(flight) => flight.reported(outputs),
        }
    }

    /// Leaves a recording that can be written no further. Returns the time up to which it reaches, ns
    /// of `CLOCK_MONOTONIC`, if that is known.
    pub(crate) fn abandon(self) -> Option<u64> {
        match self {
            Self::File(writer) => {
                writer.cut();
                writer.reaches_ns()
            }
            Self::Stdout(writer) => writer.reaches_ns(),
            // What was handed over may not be on the disk.
            Self::OnDemand(writer) => {
                writer.leave().close();
                None
            }
            // Its thread writes what is in its queue as far as it can.
            Self::Flight(_) => None,
        }
    }

    /// Ends the recording. Returns sentences on the files of a flight recorder.
    ///
    /// # Errors
    /// The end cannot be written.
    pub(crate) fn end(self) -> Result<Vec<String>, WriteError> {
        match self {
            Self::File(writer) | Self::Stdout(writer) => {
                writer.end()?;
                Ok(Vec::new())
            }
            Self::OnDemand(writer) => {
                writer.end()?.close();
                Ok(Vec::new())
            }
            Self::Flight(flight) => flight.end(),
        }
    }
}

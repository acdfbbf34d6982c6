//! The flight recorder: a recording that goes on for ever in bounded space.
//!
//! Entries become chunks once. These go to up to two keepers: [`Rotation`] has the last minutes in
//! files of which the oldest is removed, [`Incidents`] has the last minute in memory, and makes a
//! file of it when something is found. A thread with no other rights writes the files
//! ([`crate::files`]).

mod incidents;
mod options;
mod rotation;

use std::borrow::Borrow;

use serde::Serialize;

use incidents::Incidents;
pub(crate) use options::Options;
pub use options::Trigger;
use rotation::Rotation;

use super::{
    encoder::{Body, Encoder},
    format::{Header, RecordEntry},
    resume::Known,
    writer::WriteError,
};
use crate::{
    files::{Failure, Files, Kept, Outcome},
    model::{
        WallClock,
        event::{Event, Sample},
        output::Output,
    },
    text::{bytes, count_of},
};

/// Keeps the last minutes of a watch, and what was around its findings.
#[derive(Debug)]
pub(crate) struct Flight {
    encoder: Encoder,
    known: Known,
    files: Files,
    rotation: Option<Rotation>,
    incidents: Option<Incidents>,
}

/// What every file begins with, but for its time.
#[derive(Clone, Debug)]
struct Heads {
    header: Header,
    /// Names of files begin so.
    stem: String,
}

impl Heads {
    /// Returns the header of a file that begins at this time.
    fn at(&self, ts_ns: u64) -> Header {
        self.header.at(ts_ns)
    }

    /// Returns the name of a file that begins at this time, without its extension.
    fn name(&self, what: Option<&str>, ts_ns: u64) -> String {
        let at = stamp(&self.header.clock, ts_ns);
        match what {
            Some(what) => format!("{}-{what}-{at}", self.stem),
            None => format!("{}-{at}", self.stem),
        }
    }
}

/// Extension of recordings.
pub(crate) const EXTENSION: &str = "bsrec";

/// Returns sentences on the files that are there.
fn written(kept: &Kept) -> Vec<String> {
    let mut told = Vec::new();
    let length = bytes(kept.files.iter().map(|(_, length)| length).sum());
    let (path, folder) = (&kept.path, kept.path.display());
    match kept.files.as_slice() {
        [] => {}
        [(one, _)] => told.push(format!("recorded into {} ({length})", path.join(one).display())),
        [(first, _), .., (last, _)] => told.push(format!(
            "recorded into {} in {folder}, {first} to {last} ({length})",
            count_of(kept.files.len() as u64, "file")
        )),
    }
    if kept.lost != 0 {
        told.push(format!("lost since the disk was too slow: {}", count_of(kept.lost, "chunk")));
    }
    told
}

/// A time in names of files: `20261201T095123Z`.
pub(crate) fn stamp(clock: &WallClock, ts_ns: u64) -> String {
    let time = clock.rfc3339(ts_ns);
    let seconds = time.split('.').next().unwrap_or_default();
    let mut stamp: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    stamp.push('Z');
    stamp
}

impl Flight {
    /// Begins a flight recording. `folder` is where the files go.
    ///
    /// # Errors
    /// There can be no thread that writes files.
    pub(crate) fn new(
        options: &Options,
        header: &Header,
        mut files: Files,
    ) -> Result<Self, WriteError> {
        let heads = Heads { header: header.clone(), stem: options.stem.clone() };
        let rotation = match options.keep.is_some() || options.triggers.is_empty() {
            true => {
                let (keep, max_size) = (options.keep, options.max_size);
                Some(Rotation::new(heads.clone(), keep, max_size, &mut files)?)
            }
            false => None,
        };
        let incidents = (!options.triggers.is_empty()).then(|| {
            Incidents::new(heads, options.triggers.clone(), options.around, options.max_size)
        });
        let known = Known::new(header.setup.attached_ns);
        Ok(Self { encoder: Encoder::default(), known, files, rotation, incidents })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// No file can be written any more.
    pub(crate) fn write<E: Borrow<Event> + Serialize>(
        &mut self,
        entry: &RecordEntry<E>,
    ) -> Result<(), WriteError> {
        self.known.take(entry);
        if let Some(body) = self.encoder.write(entry)? {
            self.put(body)?;
        }
        match entry {
            RecordEntry::Event(event) => match event.borrow() {
                Event::Sample(sample) => self.sampled(sample),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn put(&mut self, body: Body) -> Result<(), WriteError> {
        if let Some(rotation) = &mut self.rotation {
            rotation.put(&mut self.files, &body)?;
        }
        if let Some(incidents) = &mut self.incidents {
            incidents.put(&mut self.files, body)?;
        }
        Ok(())
    }

    /// A sample is written, and its chunk closed: what follows can stand at the beginning of a file.
    fn sampled(&mut self, sample: &Sample) -> Result<(), WriteError> {
        for outcome in self.files.outcomes() {
            if let Outcome::Failed(failure) = outcome {
                self.failed(failure)?;
            }
        }
        let now_ns = sample.ts_ns;
        let is_due = self.rotation.as_ref().is_some_and(|rotation| rotation.is_due(now_ns))
            || self.incidents.as_ref().is_some_and(|incidents| incidents.is_due(now_ns));
        let beginning = if is_due { self.known.beginning(sample)? } else { Vec::new() };
        if let Some(rotation) = &mut self.rotation {
            rotation.sampled(&mut self.files, sample, &beginning)?;
        }
        if let Some(incidents) = &mut self.incidents {
            incidents.sampled(&mut self.files, sample, &beginning)?;
        }
        Ok(())
    }

    /// A file could not be written, since the disk is full or gone.
    ///
    /// # Errors
    /// Nothing can make room for it.
    fn failed(&mut self, failure: Failure) -> Result<(), WriteError> {
        let makes_room = match &mut self.rotation {
            Some(rotation) => rotation.failed(&failure),
            None => None,
        };
        if let Some(incidents) = &mut self.incidents {
            incidents.failed(&failure);
        }
        let consequence = match makes_room {
            Some(true) => "the oldest part of the recording makes room",
            Some(false) => return Err(WriteError::Io(failure.into())),
            None => "it ends there",
        };
        note!("backscope: {}: {}; {consequence}", failure.name, failure.error);
        Ok(())
    }

    /// Looks for findings that a file is to be made of.
    ///
    /// # Errors
    /// A header cannot be serialised.
    pub(crate) fn reported(&mut self, outputs: &[Output]) -> Result<(), WriteError> {
        let Some(incidents) = &mut self.incidents else { return Ok(()) };
        for output in outputs {
            if let Output::Finding(finding) = output {
                incidents.found(&mut self.files, finding)?;
            }
        }
        Ok(())
    }

    /// Ends all files, and waits until they are written. Returns a sentence on each that is there.
    ///
    /// # Errors
    /// The last of them could not be written.
    pub(crate) fn end(mut self) -> Result<Vec<String>, WriteError> {
        if let Some(body) = self.encoder.flush()? {
            self.put(body)?;
        }
        if let Some(rotation) = &mut self.rotation {
            rotation.end(&mut self.files)?;
        }
        if let Some(incidents) = &mut self.incidents {
            incidents.end(&mut self.files)?;
        }
        let (kept, outcomes) = self.files.end()?;
        for outcome in outcomes {
            if let Outcome::Failed(failure) = outcome {
                return Err(WriteError::Io(failure.into()));
            }
        }
        Ok(written(&kept))
    }
}

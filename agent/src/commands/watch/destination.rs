//! What a watch is written into, beside what it shows: a recording, the files of a flight recorder,
//! a report.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::Shown;
use crate::{
    cli::WatchArgs,
    commands::{Usage, take::Keeper},
    files::{Files, Folder, Removes},
    model::WallClock,
    record::{self, Flight, FlightOptions, Header, Recorder, WriteError, Writer},
    text::Untrusted,
};

/// What is asked for.
pub(super) struct Plan {
    recording: Option<PathBuf>,
    flight: Option<FlightOptions>,
    report: Option<PathBuf>,
    replace: bool,
}

impl Plan {
    /// Checks early whether it can be had.
    ///
    /// # Errors
    /// A file is there already and may not be replaced, or standard output has another use.
    pub(super) fn of(args: &WatchArgs, shown: &Shown) -> anyhow::Result<Self> {
        let (recording, report) = (args.recording.clone(), args.report.clone());
        let flight = recording.as_ref().and_then(|path| args.flight.options(path));
        if let Some(path) = &recording {
            check_recording(path, flight.is_some(), args.force, shown)?;
        }
        if let Some(path) = &report {
            check_report(path, recording.as_deref(), args.force)?;
        }
        Ok(Self { recording, flight, report, replace: args.force })
    }

    /// True of a flight recorder.
    pub(super) fn is_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Opens everything, while there is the right to. Returns what is missing of the confinement of
    /// the thread that writes the files of a flight recorder, too.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn open(&self, clock: WallClock) -> anyhow::Result<(Destinations, Option<String>)> {
        let (recording, gap) = match (&self.recording, &self.flight) {
            (_, Some(options)) => {
                let started = Folder::open(&options.folder)
                    .and_then(|folder| Files::start(folder, Removes::Files));
                let (files, gap) = started
                    .with_context(|| format!("cannot record into {}", options.folder.display()))?;
                (Some(Destination::Flight(Box::new((options.clone(), files)))), gap)
            }
            (Some(path), None) => {
                let file = record::create(path, self.replace)?;
                let is_stdout = path == Path::new(record::STDOUT);
                let way = if is_stdout { Destination::Stdout } else { Destination::File };
                (Some(way(file)), None)
            }
            (None, None) => (None, None),
        };
        let report = match &self.report {
            Some(path) => Some(record::create(path, self.replace)?),
            None => None,
        };
        let into = self.place().unwrap_or_default().into();
        Ok((Destinations { recording, into, report, keeper: None, clock }, gap))
    }

    /// Names where a recording goes.
    pub(super) fn place(&self) -> Option<String> {
        let path = self.recording.as_ref()?.display();
        Some(if self.is_flight() { format!("files of {path}") } else { path.to_string() })
    }

    /// True of a recording that is a file of its own, which is cut if it can be written no further.
    pub(super) fn is_file(&self) -> bool {
        !self.is_flight()
            && self.recording.as_ref().is_some_and(|path| path != Path::new(record::STDOUT))
    }

    /// Names the files that are there at the end. A flight recorder names its own.
    pub(super) fn tell_written(&self) {
        if let Some(path) = &self.recording
            && !self.is_flight()
        {
            note!("backscope: recorded into {}", path.display());
        }
        if let Some(path) = &self.report {
            note!("backscope: reported into {}", path.display());
        }
    }
}

fn check_recording(
    path: &Path,
    is_flight: bool,
    replace: bool,
    shown: &Shown,
) -> anyhow::Result<()> {
    let is_stdout = path == Path::new(record::STDOUT);
    let message = match () {
        () if is_flight && is_stdout => {
            "a flight recorder writes files: give -o a folder, or the name of a file"
        }
        () if is_flight => return Ok(()),
        () if is_stdout && !matches!(shown, Shown::Nowhere) => {
            "a recording cannot share standard output with lines or a screen: `backscope record -o \
             -` writes nothing else"
        }
        () => return Ok(record::check_path(path, replace)?),
    };
    Err(Usage(message.to_owned()).into())
}

fn check_report(path: &Path, recording: Option<&Path>, replace: bool) -> anyhow::Result<()> {
    let message = match () {
        () if path == Path::new(record::STDOUT) => {
            "--report takes a file: standard output is for the run itself"
        }
        () if Some(path) == recording => "the recording and the report need a file each",
        () => return Ok(record::check_path(path, replace)?),
    };
    Err(Usage(message.to_owned()).into())
}

/// Files that a run is written into, and the clocks when they were opened.
pub(super) struct Destinations {
    pub(super) recording: Option<Destination>,
    /// Its name, for a sentence.
    pub(super) into: Untrusted,
    pub(super) report: Option<File>,
    /// What keys of the screen ask for, where there is one.
    pub(super) keeper: Option<Keeper>,
    pub(super) clock: WallClock,
}

/// Where a run is recorded.
pub(super) enum Destination {
    File(File),
    Stdout(File),
    Flight(Box<(FlightOptions, Files)>),
}

impl Destination {
    /// Begins to record.
    ///
    /// # Errors
    /// The header cannot be written.
    pub(super) fn recorder(self, header: &Header) -> Result<Recorder, WriteError> {
        Ok(match self {
            Self::File(file) => Recorder::File(Writer::new(file, header)?),
            Self::Stdout(file) => Recorder::Stdout(Writer::new(file, header)?),
            Self::Flight(flight) => {
                let (options, files) = *flight;
                Recorder::Flight(Box::new(Flight::new(&options, header, files)?))
            }
        })
    }
}

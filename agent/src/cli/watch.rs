//! Options of what watches: `watch` and `record`.

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgGroup, Args};

use super::{FlightArgs, LookArgs, OutputArgs, RunArgs, RunAsArgs, TargetArgs};

/// Arguments of `watch`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("files").multiple(true))]
pub struct WatchArgs {
    /// Whom to watch.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Start this program and watch it from its first system call
    #[arg(last = true, value_name = "CMD", help_heading = "Target")]
    pub command: Vec<OsString>,
    /// As whom it runs.
    #[command(flatten)]
    pub run_as: RunAsArgs,
    /// Arguments on the output.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Arguments on how it looks.
    #[command(flatten)]
    pub look: LookArgs,
    /// Arguments on the run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Also write a recording to FILE
    #[arg(short = 'o', long = "output", value_name = "FILE", group = "files")]
    pub recording: Option<PathBuf>,
    /// At the end also write a page of HTML on the run to OUT
    #[arg(long, value_name = "OUT", group = "files")]
    pub report: Option<PathBuf>,
    /// Replace FILE and OUT if they exist
    #[arg(long, requires = "files")]
    pub force: bool,
    /// `record` alone has these.
    #[arg(skip)]
    pub flight: FlightArgs,
}

/// Arguments of `record`.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// Whom to watch.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Start this program and record it from its first system call
    #[arg(last = true, value_name = "CMD", help_heading = "Target")]
    pub command: Vec<OsString>,
    /// As whom it runs.
    #[command(flatten)]
    pub run_as: RunAsArgs,
    /// Arguments on the run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Write the recording to FILE, `-` being standard output; as a flight recorder, to files
    /// whose names begin as FILE's, or into the folder FILE
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub recording: PathBuf,
    /// At the end also write a page of HTML on the run to OUT
    #[arg(long, value_name = "OUT")]
    pub report: Option<PathBuf>,
    /// Replace FILE and OUT if they exist
    #[arg(long, conflicts_with_all = ["keep", "max_size", "on_finding"])]
    pub force: bool,
    /// Arguments of the flight recorder.
    #[command(flatten)]
    pub flight: FlightArgs,
}

//! Options of what reads a recording: `replay` and `report`.

use std::path::PathBuf;

use clap::Args;

use super::{LookArgs, OutputArgs, ReportFormat, values::speed};

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The recording to show
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Arguments on the output.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Arguments on how it looks.
    #[command(flatten)]
    pub look: LookArgs,
    /// Replay this many times as fast as real time [default: 1 on the screen; otherwise as fast as
    /// possible]
    #[arg(long, value_name = "FACTOR", value_parser = speed)]
    pub speed: Option<f64>,
}

/// Arguments of `report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The format
    #[arg(long, value_enum, default_value_t = ReportFormat::Html)]
    pub format: ReportFormat,
    /// Write to OUT [default: standard output, if that is no terminal]
    #[arg(short = 'o', long = "output", value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Replace OUT if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
}

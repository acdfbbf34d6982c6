//! Arguments of the commands that turn recordings into something else.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

/// Formats of `report`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// One page
    Html,
    /// A trace for ui.perfetto.dev and Perfetto's trace processor
    Perfetto,
}

/// Arguments of `annotate`.
#[derive(Args, Debug)]
pub struct AnnotateArgs {
    /// The capture that tcpdump, dumpcap or Wireshark made while the recording ran: pcap or pcapng
    #[arg(value_name = "DUMP")]
    pub dump: PathBuf,
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write to OUT, as pcapng [default: standard output, if that is no terminal]
    #[arg(short = 'o', long = "output", value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Replace OUT if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Comment on slices of at least this time, such as 1ms
    #[arg(long, value_name = "TIME", default_value = "100us", value_parser = super::values::time)]
    pub min: Duration,
}

/// Arguments of `diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// The recording from before
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// The recording from after
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// Print one JSON object
    #[arg(long, conflicts_with = "html")]
    pub json: bool,
    /// Write a page, in one file
    #[arg(long)]
    pub html: bool,
    /// Write to OUT [default: standard output]
    #[arg(short = 'o', long = "output", value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Replace OUT if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
}

pub(super) const ANNOTATE_EXAMPLES: &str = "\
Examples:
  sudo tcpdump -i any -w dump.pcap port 8080 &
  sudo backscope record --port 8080 -o run.bsrec --duration 30s
  backscope annotate dump.pcap run.bsrec -o annotated.pcapng
  tshark -r annotated.pcapng -Y frame.comment -T fields -e frame.number -e frame.comment
  backscope annotate dump.pcapng run.bsrec --min 10ms | tshark -r - -Y frame.comment

Exit status:
  0 done   1 nothing of the recording is in the capture, or one of them is damaged, and everything \
readable was written; or failed while running
  2 invalid arguments";

pub(super) const DIFF_EXAMPLES: &str = "\
Examples:
  backscope diff before.bsrec after.bsrec
  backscope diff before.bsrec after.bsrec --json | jq '.figures[] | select(.verdict == \"worse\")'
  backscope diff before.bsrec after.bsrec --html -o diff.html

A figure counts as better or worse if it differs by more than it varies within each recording.

Exit status:
  0 done, whatever differs   1 a recording is damaged, and everything readable was compared; \
or failed while running
  2 invalid arguments";

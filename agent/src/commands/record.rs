//! `backscope record`: a watch that nobody looks at, into a file.

use std::process::ExitCode;

use super::watch;
use crate::cli::{LookArgs, OutputArgs, RecordArgs, WatchArgs};

pub(super) fn run(args: RecordArgs) -> anyhow::Result<ExitCode> {
    let RecordArgs { target, command, run_as, run, recording, report, flight, force } = args;
    let output = OutputArgs { plain: false, json: false, save_to: None };
    watch::run_silently(WatchArgs {
        target,
        command,
        run_as,
        output,
        look: LookArgs::default(),
        run,
        recording: Some(recording),
        flight,
        report,
        force,
    })
}

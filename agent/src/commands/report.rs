//! `backscope report`: a recording as one page of HTML, or as a trace.

use std::{io::Write, path::Path, process::ExitCode};

use anyhow::Context;

use super::{
    convert::{Destination, Progress, destination, open},
    replay::{confine, tell},
};
use crate::{
    cli::{ReportArgs, ReportFormat},
    digest::Digest,
    record::{self, ReadError, Reader},
    report::{page, perfetto},
};

/// Name of standard output.
const STDOUT: &str = record::STDOUT;

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    // Nothing is created for what is no recording, and nothing replaced.
    let file = open(&args.file)?;
    let to_stdout = args.output == Path::new(STDOUT);
    let mut out = destination(Some(args.output.as_path()).filter(|_| !to_stdout), args.force)?;
    confine()?;
    let input = Progress::new(file, "writing the report");
    let cannot_read = || format!("cannot report on {}", args.file.display());
    let mut reader = match Reader::new(input) {
        Ok(reader) => reader,
        Err(error) => return fail(out, args, error).with_context(cannot_read),
    };
    match args.format {
        ReportFormat::Html => {
            let digest = match Digest::of(&mut reader, page::WORST) {
                Ok(digest) => digest,
                Err(error) => return fail(out, args, error).with_context(cannot_read),
            };
            page::write(&mut out, &digest)
                .with_context(|| format!("cannot write {}", args.output.display()))?;
        }
        ReportFormat::Perfetto => {
            let written = perfetto::write(&mut reader, &mut out).with_context(cannot_read)?;
            if written.left_out > 0 {
                note!(
                    "backscope: {} exchanges and refusals are left out: the recording does not \
                     tell of which connection or listener they are",
                    written.left_out
                );
            }
        }
    }
    out.flush().with_context(|| format!("cannot write {}", args.output.display()))?;
    let is_damaged = tell(reader.damages(), reader.damage_count());
    Ok(if is_damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Nothing can be read. A page is there, and says so.
fn fail(mut out: Destination, args: &ReportArgs, error: ReadError) -> anyhow::Result<ExitCode> {
    if args.format == ReportFormat::Html && args.output != Path::new(STDOUT) {
        page::write_failure(&mut out, &error.to_string())?;
    }
    Err(error.into())
}

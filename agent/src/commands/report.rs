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

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    // Nothing is created for what is no recording, and nothing replaced.
    let file = open(&args.file)?;
    let path = args.output.as_deref().filter(|path| *path != Path::new(record::STDOUT));
    let mut out = destination(path, args.force)?;
    confine()?;
    let cannot_read = || format!("cannot report on {}", args.file.display());
    let cannot_write = || match path {
        Some(path) => format!("cannot write the report into {}", path.display()),
        None => "cannot write the report".to_owned(),
    };
    let mut reader = match Reader::new(Progress::new(file, "writing the report")) {
        Ok(reader) => reader,
        Err(error) => {
            tell_reader(&mut out, args, path, &error).with_context(cannot_write)?;
            return Err(error).with_context(cannot_read);
        }
    };
    match args.format {
        ReportFormat::Html => match Digest::of(&mut reader, page::WORST) {
            Ok(digest) => page::write(&mut out, &digest).with_context(cannot_write)?,
            Err(error) => {
                tell_reader(&mut out, args, path, &error).with_context(cannot_write)?;
                return Err(error).with_context(cannot_read);
            }
        },
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
    out.flush().with_context(cannot_write)?;
    let is_damaged = tell(reader.damages(), reader.damage_count());
    Ok(if is_damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Nothing can be read: a page that is there already says so.
fn tell_reader(
    out: &mut Destination,
    args: &ReportArgs,
    path: Option<&Path>,
    error: &ReadError,
) -> std::io::Result<()> {
    match (args.format, path) {
        (ReportFormat::Html, Some(_)) => page::write_failure(out, &error.to_string()),
        _ => Ok(()),
    }
}

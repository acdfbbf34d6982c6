//! `backscope report`: a recording as one page of HTML.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context;

use super::replay::{confine, tell};
use crate::{
    cli::ReportArgs,
    digest::Digest,
    record::{self, ReadError, Reader},
    report::page,
};

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let cannot_read = || format!("cannot report on {}", args.file.display());
    let cannot_write = || format!("cannot write the report into {}", args.page.display());
    let to_stdout = args.page.as_os_str() == "-";
    if !to_stdout {
        record::check_path(&args.page, args.force)?;
    }
    let mut file = File::open(&args.file).map_err(ReadError::from).with_context(cannot_read)?;
    // Nothing is created for what is no recording, and nothing replaced.
    let begin = record::check_preamble(&mut file).with_context(cannot_read)?;
    let mut out = open(&args.page, to_stdout, args.force)?;
    confine()?;
    let (digest, damaged) = match digest(begin.chain(file)) {
        Ok(read) => read,
        Err(error) => {
            if !to_stdout {
                // The file is there, and says what became of it.
                page::write_failure(&mut out, &error.to_string()).with_context(cannot_write)?;
            }
            return Err(error).with_context(cannot_read);
        }
    };
    page::write(&mut out, &digest).with_context(cannot_write)?;
    Ok(if damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn open(path: &Path, to_stdout: bool, force: bool) -> anyhow::Result<Box<dyn Write>> {
    Ok(match to_stdout {
        true => Box::new(io::stdout()),
        false => Box::new(record::create(path, force)?),
    })
}

/// Sums up the recording. Says what is damaged, and returns whether anything is.
fn digest(input: impl Read) -> Result<(Digest, bool), ReadError> {
    let mut reader = Reader::new(input)?;
    let digest = Digest::of(&mut reader, page::WORST)?;
    let damaged = tell(reader.damages(), reader.damage_count());
    Ok((digest, damaged))
}

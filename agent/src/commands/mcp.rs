//! `backscope mcp`, and the process that sums a recording up for it.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    path::Path,
    process::ExitCode,
};

use anyhow::Context;
use rustix::thread::CapabilitySet;

use super::{event_loop, signals::Signals};
use crate::{
    digest::Digest,
    mcp::{self, answer},
    privileges::sandbox::{self, Calls, Needs},
    record::{ReadError, Reader},
};

/// Serves an assistant until it closes standard input, or a signal comes. Whatever still answers
/// ends with the event loop.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    let event_loop = event_loop()?;
    let outcome = event_loop.block_on(async {
        let mut signals = Signals::catch()?;
        tokio::select! {
            outcome = mcp::serve() => outcome,
            () = signals.any() => Ok(()),
        }
    });
    // A thread may still wait for standard input.
    event_loop.shutdown_background();
    outcome.context("the connection to the assistant failed")?;
    Ok(ExitCode::SUCCESS)
}

/// Sums a recording up, in JSON.
pub(super) fn sum_up(path: &Path) -> anyhow::Result<ExitCode> {
    let context = || format!("cannot read {}", path.display());
    let file = open(path).map_err(ReadError::from).with_context(context)?;
    // As for a replay: anybody may have made the file.
    let capabilities = CapabilitySet::empty();
    let needs = Needs { capabilities, calls: Calls::default(), processes: false };
    sandbox::enter(needs).context("cannot give up the rights that this does not need")?;
    let mut reader = Reader::new(file).with_context(context)?;
    let digest = Digest::of(&mut reader, answer::WORST).with_context(context)?;
    let mut out = io::stdout().lock();
    out.write_all(&answer::answer(&digest)?)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Opens a recording; `-` is standard input.
fn open(path: &Path) -> io::Result<File> {
    if path == Path::new("-") {
        return Ok(io::stdin().as_fd().try_clone_to_owned()?.into());
    }
    File::open(path)
}

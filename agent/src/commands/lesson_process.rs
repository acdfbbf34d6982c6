//! The hidden verbs `lesson-part` and `exercise-server`: this process becomes a lesson's server or
//! client, or the server of an exercise.

use std::{
    ffi::{CString, OsString},
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::Context;
use demo_servers::program;
use rustix::{
    process::{Signal, set_parent_process_death_signal},
    thread::set_name,
};

use crate::cli::DEMO_SERVERS_VERB;

/// Takes a name, waits for a line on standard input, and does its part: a verb of the demo servers.
pub(super) fn run(name: &str, words: &[OsString]) -> anyhow::Result<ExitCode> {
    // Whatever ends the lesson, nothing of it stays.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_name(&CString::new(name)?)?;
    if io::stdin().read_line(&mut String::new())? == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let program = std::iter::once(OsString::from("backscope"));
    Ok(program::main(name, program.chain(words.iter().cloned()), &[DEMO_SERVERS_VERB]))
}

/// Becomes the script that starts the server of an exercise, which the learner may have changed.
pub(super) fn become_script(script: &Path) -> anyhow::Result<ExitCode> {
    // Whatever ends the exercise, the server does not stay.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Returns only if it fails.
    let error = Command::new(script).exec();
    Err(error).with_context(|| format!("cannot run {}", script.display()))
}

//! The hidden verb `lesson-part`: this process becomes a lesson's server or client.

use std::{ffi::CString, ffi::OsString, io, process::ExitCode};

use clap::{Parser, Subcommand};
use demo_servers::{acceptors, ask, load, never_accept, serve};
use rustix::{
    process::{Signal, set_parent_process_death_signal},
    thread::set_name,
};

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Part {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Acceptors(acceptors::Options),
    Ask(ask::Options),
    Load(load::Options),
    NeverAccept(never_accept::Options),
    Serve(serve::Options),
}

/// Takes a name, waits for a line on standard input, and does its part.
pub(super) fn run(name: &str, words: &[OsString]) -> anyhow::Result<ExitCode> {
    // Whatever ends the lesson, nothing of it stays.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_name(&CString::new(name)?)?;
    let part = Part::try_parse_from(words)?;
    if io::stdin().read_line(&mut String::new())? == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    match part.verb {
        Verb::Acceptors(options) => acceptors::run(&options),
        Verb::Ask(options) => ask::run(&options),
        Verb::Load(options) => load::run(&options),
        Verb::NeverAccept(options) => never_accept::run(&options),
        Verb::Serve(options) => serve::run(&options),
    }?;
    Ok(ExitCode::SUCCESS)
}

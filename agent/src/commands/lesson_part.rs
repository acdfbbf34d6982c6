//! The hidden verb `lesson-part`: this process becomes a lesson's server or client.

use std::{ffi::CString, ffi::OsString, io, process::ExitCode};

use clap::{Parser, Subcommand};
use demo_servers::{
    ask,
    execution::{ServerOptions, acceptors, balancing, per_connection, readers, single_thread},
    load, never_accept, serve,
};
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
    AcceptorPlusReaders(readers::Options),
    Ask(ask::Options),
    Load(load::Options),
    MessageLoadBalancing(balancing::Options),
    NeverAccept(never_accept::Options),
    ProcessPerConnection(ServerOptions),
    Serve(serve::Options),
    SingleThread(single_thread::Options),
    ThreadPerConnection(ServerOptions),
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
        Verb::AcceptorPlusReaders(options) => readers::run(&options),
        Verb::Ask(options) => ask::run(&options),
        Verb::Load(options) => load::run(&options),
        Verb::MessageLoadBalancing(options) => balancing::run(&options),
        Verb::NeverAccept(options) => never_accept::run(&options),
        Verb::ProcessPerConnection(options) => per_connection::by_processes(&options),
        Verb::Serve(options) => serve::run(&options),
        Verb::SingleThread(options) => single_thread::run(&options),
        Verb::ThreadPerConnection(options) => per_connection::by_threads(&options),
    }?;
    Ok(ExitCode::SUCCESS)
}

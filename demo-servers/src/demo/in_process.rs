//! Runs a demo within a test. Its server is a thread, which ends with the tests.

use std::ffi::OsString;
use std::thread;

use clap::Parser;

use super::{Choice, Report, Stop, await_server_and_run, find};
use crate::program::Program;

/// Runs a demo until its client has done what the knobs say.
pub(crate) fn run(name: &str, knobs: &[&str]) -> Report {
    let mut choice = Choice::new(find(name).unwrap(), knobs).unwrap();
    let address = choice.settle_address().unwrap();
    let program =
        Program::parse_from([&[OsString::from("demo-servers")], &choice.server[..]].concat());
    thread::spawn(move || program.serve().unwrap());
    let (at, stop) = ((address, choice.seen_from_client(address)), Stop::default());
    await_server_and_run(&choice.client, at, &stop).unwrap().unwrap()
}

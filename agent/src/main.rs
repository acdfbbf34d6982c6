//! The `backscope` binary: decides nothing, reports errors.

use std::process::ExitCode;

use backscope::{cli::Cli, commands};
use clap::Parser;

fn main() -> ExitCode {
    match commands::run(Cli::parse()) {
        Ok(status) => status,
        Err(error) => match commands::status_of(&error) {
            Some(status) => {
                eprintln!("backscope: {error:#}");
                status
            }
            None => ExitCode::SUCCESS,
        },
    }
}

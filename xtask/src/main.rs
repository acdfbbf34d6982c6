//! What building, testing and releasing backscope needs beyond cargo: `cargo xtask --help`.

mod probes;
mod step;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, test and show backscope.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Compile the kernel probes and write probes/prebuilt/backscope.bpf.o
    Probes(probes::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Probes(args) => probes::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

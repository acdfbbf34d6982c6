//! What building, testing and releasing backscope needs beyond cargo: `cargo xtask --help`.

mod cpio;
mod debian;
mod kernels;
mod probes;
mod qemu;
mod step;
mod verdict;
mod vm;

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
    /// Run the end-to-end tests in virtual machines, one a kernel
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Probes(args) => probes::run(&args),
        Verb::Vm(args) => vm::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

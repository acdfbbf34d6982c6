//! Tasks of building, testing and showing backscope beyond cargo: `cargo xtask --help`.

mod accuracy;
mod arch;
mod background;
mod bench;
mod cpio;
mod debian;
mod demo;
mod deny;
mod dist;
#[cfg(test)]
mod docs;
mod fuzz;
mod kernels;
mod lint;
mod module;
mod picture;
mod probes;
#[cfg(test)]
mod proto;
mod qemu;
mod reliability;
#[cfg(test)]
mod security;
mod servers;
mod setup;
mod soak;
mod stats;
mod step;
mod test;
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
    /// Watch a bundled server whose accept queue overflows
    Demo(demo::Args),
    /// Run every test, installing what they need
    Test(test::Args),
    /// Run the end-to-end tests in virtual machines, one a kernel
    Vm(vm::Args),
    /// Check formatting, lints and dependencies
    Lint,
    /// Compile the kernel probes and write probes/prebuilt/backscope.bpf.o
    Probes(probes::Args),
    /// Install what building and testing need
    Setup(setup::Args),
    /// Measure what watching costs; says no verdict
    Bench(bench::Args),
    /// Play faults on real servers, and compare what backscope tells with what was injected
    Accuracy(accuracy::Args),
    /// Feed random bytes to whatever parses bytes from outside
    Fuzz(fuzz::Args),
    /// Load a watched server for minutes, and check that the watch stays bounded and exact
    Soak(soak::Args),
    /// Fuzz and soak, and write the table of docs/reliability.md
    Reliability(reliability::Args),
    /// Render the pictures of the TUI, docs/*.svg
    Picture(picture::Args),
    /// Build static programs, an archive, a .deb and a .rpm into target/dist
    Dist(dist::Args),
}

fn main() -> ExitCode {
    // Those that return false have said what failed.
    let good = match Cli::parse().verb {
        Verb::Demo(args) => demo::run(&args).map(|()| true),
        Verb::Test(args) => test::run(&args),
        Verb::Vm(args) => vm::run(&args),
        Verb::Lint => lint::run().map(|()| true),
        Verb::Probes(args) => probes::run(&args).map(|()| true),
        Verb::Setup(args) => setup::run(&args).map(|()| true),
        Verb::Bench(args) => bench::run(&args).map(|()| true),
        Verb::Accuracy(args) => accuracy::run(&args).map(|()| true),
        Verb::Fuzz(args) => fuzz::run(&args),
        Verb::Soak(args) => soak::run(&args),
        Verb::Reliability(args) => reliability::run(&args),
        Verb::Picture(args) => picture::run(&args).map(|()| true),
        Verb::Dist(args) => dist::run(&args),
    };
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

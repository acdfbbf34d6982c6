//! `backscope completions SHELL`.

use std::{io, process::ExitCode};

use clap::CommandFactory;

use crate::cli::Cli;

pub(super) fn run(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    clap_complete::generate(shell, &mut Cli::command(), "backscope", &mut io::stdout());
    Ok(ExitCode::SUCCESS)
}

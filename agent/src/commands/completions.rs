//! `backscope completions SHELL`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::cli::complete;

pub(super) fn run(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    io::stdout().write_all(&complete::script(shell)?)?;
    Ok(ExitCode::SUCCESS)
}

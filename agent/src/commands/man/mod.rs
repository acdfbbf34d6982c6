//! `backscope man`.

mod page;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Command, CommandFactory};

use crate::cli::Cli;

pub(super) fn run(dir: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    match dir {
        Some(dir) => write_all(&command, dir)
            .with_context(|| format!("cannot write manual pages into {}", dir.display()))?,
        None => io::stdout().write_all(page::of(&command)?.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and those of its subcommands.
fn write_all(command: &Command, dir: &Path) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_all(verb, dir)?;
    }
    fs::write(dir.join(page::file_name(command)), page::of(command)?)
}

//! `backscope man`.

use std::{io, path::Path, process::ExitCode};

use anyhow::Context;
use clap::CommandFactory;

use crate::cli::Cli;

pub(super) fn run(dir: Option<&Path>) -> anyhow::Result<ExitCode> {
    match dir {
        Some(dir) => clap_mangen::generate_to(Cli::command(), dir)
            .with_context(|| format!("cannot write manual pages into {}", dir.display()))?,
        None => clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?,
    }
    Ok(ExitCode::SUCCESS)
}

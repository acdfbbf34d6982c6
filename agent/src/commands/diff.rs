//! `backscope diff`.
use crate::cli::DiffArgs;
use std::process::ExitCode;
pub(super) fn run(_args: &DiffArgs) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

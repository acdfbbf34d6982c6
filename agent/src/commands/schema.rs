//! `backscope schema`.

use std::io::{self, Write};
use std::process::ExitCode;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    out.write_all(include_bytes!("../../schema.json"))?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

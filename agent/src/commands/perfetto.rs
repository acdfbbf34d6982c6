//! `backscope report --format perfetto`.

use std::{path::Path, process::ExitCode};

use anyhow::Context;

use super::{
    convert::{Progress, destination, open},
    replay::{confine, tell},
};
use crate::{record::Reader, report::perfetto};

pub(super) fn run(path: &Path, output: Option<&Path>, force: bool) -> anyhow::Result<ExitCode> {
    let file = open(path)?;
    let mut out = destination(output, force)?;
    confine()?;
    let context = || format!("cannot turn {} into a trace", path.display());
    let mut reader = Reader::new(Progress::new(file, "writing the trace")).with_context(context)?;
    let written = perfetto::write(&mut reader, &mut out).with_context(context)?;
    let is_damaged = tell(reader.damages(), reader.damage_count());
    if written.left_out > 0 {
        note!(
            "backscope: {} exchanges and refusals are left out: the recording does not tell of \
             which connection or listener they are",
            written.left_out
        );
    }
    Ok(if is_damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

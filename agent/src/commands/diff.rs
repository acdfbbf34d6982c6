//! `backscope diff`: two recordings compared.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;

use super::{
    convert::{Progress, create, open},
    replay::{confine, tell},
};
use crate::{
    cli::DiffArgs,
    compare::{Side, compare, show},
    record::Reader,
};

pub(super) fn run(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let files = [open(&args.before)?, open(&args.after)?];
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(create(path, args.force)?),
        None => Box::new(io::stdout()),
    };
    confine()?;
    let (mut sides, mut is_damaged) = (Vec::new(), false);
    for (path, file) in [&args.before, &args.after].into_iter().zip(files) {
        let context = || format!("cannot compare {}", path.display());
        let progress = Progress::new(file, "reading the recordings");
        let mut reader = Reader::new(progress).with_context(context)?;
        sides.push(Side::of(&mut reader).with_context(context)?);
        if reader.damage_count() > 0 {
            note!("backscope: of {}:", path.display());
            is_damaged |= tell(reader.damages(), reader.damage_count());
        }
    }
    let [before, after] = sides.as_slice() else { return Ok(ExitCode::FAILURE) };
    let comparison = compare(before, after);
    let shown = match (args.json, args.html) {
        (true, _) => show::json(&comparison)?,
        (_, true) => show::page(&comparison).into_bytes(),
        _ => show::text(&comparison).into_bytes(),
    };
    out.write_all(&shown).and_then(|()| out.flush()).context("cannot write the comparison")?;
    Ok(if is_damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

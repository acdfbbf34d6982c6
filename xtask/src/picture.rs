//! `cargo xtask picture`: the picture of the TUI in the README, rendered from the real view.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::step::{self, Step};

const PICTURE: &str = "docs/watch.svg";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if the picture is not what the view gives
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let step = Step::start("rendering the picture of the TUI");
    let mut cargo = step::cargo();
    cargo.current_dir(step::root()).args(["run", "--quiet", "-p", "backscope", "--example", "picture"]);
    let svg = step::output(&mut cargo)?;
    if !svg.starts_with('<') {
        bail!("the example `picture` printed no SVG");
    }
    let path = step::root().join(PICTURE);
    if args.check {
        let committed = fs::read_to_string(&path).with_context(|| format!("cannot read {PICTURE}"))?;
        if committed != svg {
            bail!("{PICTURE} is not what the view gives: run `cargo xtask picture` and commit it");
        }
        step.done(format_args!("{PICTURE} is what the view gives"));
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&path, svg).with_context(|| format!("cannot write {PICTURE}"))?;
    step.done(format_args!("wrote {PICTURE}"));
    Ok(())
}

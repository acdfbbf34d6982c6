//! `cargo xtask picture`: the pictures of the TUI in the documentation, rendered from the real
//! view.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::step::{self, Step};

/// The pictures, each with the arguments of the example that draws it.
const PICTURES: [(&str, &[&str]); 3] = [
    ("docs/watch.svg", &[]),
    ("docs/connections.svg", &["100", "30", "connections"]),
    ("docs/connection.svg", &["100", "30", "connection"]),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if the picture is not what the view gives
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    for (file, of) in PICTURES {
        draw(file, of, args.check)?;
    }
    Ok(())
}

fn draw(file: &str, of: &[&str], check: bool) -> Result<()> {
    let step = Step::start("rendering a picture of the TUI");
    let mut cargo = step::cargo();
    cargo
        .current_dir(step::root())
        .args(["run", "--quiet", "-p", "backscope", "--example", "picture", "--"])
        .args(of);
    let svg = step::output(&mut cargo)?;
    if !svg.starts_with('<') {
        bail!("the example `picture` printed no SVG");
    }
    let path = step::root().join(file);
    if check {
        let committed = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        if committed != svg {
            bail!("{file} is not what the view gives: run `cargo xtask picture` and commit it");
        }
        step.done(format_args!("{file} is what the view gives"));
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&path, svg).with_context(|| format!("cannot write {file}"))?;
    step.done(format_args!("wrote {file}"));
    Ok(())
}

//! `cargo xtask soak`: builds what it needs and runs `tests/src/bin/soak` as root.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::reliability::Row;
use crate::step::{self, Step};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long connections come and go
    #[arg(long, default_value_t = 10.0, value_name = "MINUTES")]
    minutes: f64,
    /// Connections that stay open
    #[arg(long, default_value_t = 100_000, value_name = "COUNT")]
    idle: usize,
    /// Build with optimisation, as for figures to publish
    #[arg(long)]
    release: bool,
}

impl Args {
    /// Returns the options of the long mode, with that length.
    pub(crate) fn of(minutes: f64, release: bool) -> Self {
        Self { minutes, idle: 100_000, release }
    }
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let rows = run_all(args)?;
    Ok(rows.iter().all(|row| row.held))
}

/// Runs it; a row for each promise.
pub(crate) fn run_all(args: &Args) -> Result<Vec<Row>> {
    let step = Step::start("building backscope and the soak");
    let mut build = step::cargo();
    build.current_dir(step::root()).args(["build", "--quiet", "--bins"]);
    build.args(["-p", "backscope", "-p", "backscope-tests"]);
    if args.release {
        build.arg("--release");
    }
    step::run(&mut build)?;
    step.done("built");
    let step = Step::start(format_args!("soak: {} min under load", args.minutes));
    let profile = if args.release { "release" } else { "debug" };
    let program = step::target_dir().join(profile).join("soak");
    let mut soak = step::privileged(program, "watch a server in a network namespace of its own");
    soak.arg("--json").args(["--minutes", &args.minutes.to_string()]);
    soak.args(["--idle", &args.idle.to_string()]).stderr(Stdio::inherit());
    let shown = step::shown(&soak);
    let output = soak.output().with_context(|| format!("cannot start `{shown}`"))?;
    let rows = Row::read(&String::from_utf8_lossy(&output.stdout))?;
    if rows.is_empty() {
        bail!("`{shown}` failed: {}", output.status);
    }
    step.done("done");
    Ok(rows)
}

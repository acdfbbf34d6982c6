//! `cargo xtask accuracy`: builds what it needs and runs `tests/src/bin/accuracy` as root.

use std::path::Path;

use anyhow::Result;

use crate::arch::Arch;
use crate::servers;
use crate::step::{self, Step};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build with optimisation, as for figures to publish
    #[arg(long)]
    release: bool,
    /// Load healthy servers for so many seconds each in place of playing faults
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    healthy: Option<u64>,
    /// Arguments of the program itself, after `--`: --only SERVER, --fault NAME, --json, --list
    #[arg(last = true, value_name = "ARGUMENTS")]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    servers::build(&[Arch::HERE]);
    let step = Step::start("building backscope, the demo servers and the program that compares");
    let mut build = step::cargo();
    build.current_dir(step::root()).args(["build", "--quiet", "--bins"]);
    build.args(["-p", "backscope", "-p", "backscope-demo-servers", "-p", "backscope-tests"]);
    let profile = if args.release { "release" } else { "debug" };
    if args.release {
        build.arg("--release");
    }
    step::run(&mut build)?;
    step.done("built");
    let programs = step::target_dir().join(profile);
    if let Some(seconds) = args.healthy {
        return healthy(&programs, seconds);
    }
    let mut accuracy = step::privileged(
        programs.join("accuracy"),
        "watch servers, each in a network namespace of its own",
    );
    step::run(accuracy.current_dir(step::root()).args(&args.rest))
}

/// Servers that must be without a finding of warning level or above, and without an untrue gap.
const HEALTHY: [&str; 8] =
    ["nginx", "go", "node", "gunicorn", "redis", "postgresql", "haproxy", "java"];

fn healthy(programs: &Path, seconds: u64) -> Result<()> {
    let step = Step::start(format_args!("healthy servers, each loaded for {seconds} s"));
    let mut load = step::privileged("unshare", "watch servers in a network namespace of its own");
    load.args(["--net", "sh", "-c", r#"ip link set lo up && exec "$@""#, "sh"])
        .arg(programs.join("load-servers"));
    step::run(load.arg(seconds.to_string()).args(HEALTHY))?;
    step.done("loaded");
    Ok(())
}

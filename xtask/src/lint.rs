//! `cargo xtask lint`: formatting and lints, as CI wants them.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::arch::Arch;
use crate::deny;
use crate::dist;
use crate::step::{self, Step};

const FORMATS: [&[&str]; 3] = [
    &["fmt", "--all", "--check"],
    &["fmt", "--manifest-path", "probes/Cargo.toml", "--check"],
    &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"],
];
const WORKSPACE: &[&str] = &["--workspace", "--all-targets"];
const OBSERVER: &[&str] = &["-p", "backscope", "--no-default-features", "--all-targets"];

/// Runs all checks; stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    for words in FORMATS {
        check(step::cargo().args(words))?;
    }
    check(clippy(WORKSPACE).args(["--", "-D", "warnings"]))?;
    check(clippy(OBSERVER).args(["--", "-D", "warnings"]))?;
    other_architecture()?;
    deny::check()
}

fn clippy(what: &[&str]) -> Command {
    let mut cargo = step::cargo();
    cargo.args(["clippy", "--quiet"]).args(what);
    cargo
}

fn check(command: &mut Command) -> Result<()> {
    let step = Step::start(step::shown(command));
    step::run(command.current_dir(step::root()))?;
    step.done("nothing to complain about");
    Ok(())
}

/// Checks what is compiled for the architecture that this machine does not have: what is left out
/// on one of them is not seen on the other.
fn other_architecture() -> Result<()> {
    let target = Arch::OTHER.traits().target;
    if !dist::has_target(target) {
        eprintln!(
            "==> NOT CHECKED: what is compiled for {}, since Rust's standard library for {target} \
             is not installed. Run `cargo xtask setup`.",
            Arch::OTHER
        );
        return Ok(());
    }
    let compiler = Arch::OTHER.cross_compiler();
    // Build scripts compile the C of dependencies also for a check.
    ensure!(
        step::which(compiler).is_some(),
        "there is no {compiler}, which compiles for {}: run `cargo xtask setup`",
        Arch::OTHER
    );
    let mut clippy = clippy(WORKSPACE);
    clippy.env(format!("CC_{}", dist::in_variables(target)), compiler);
    check(clippy.args(["--target", target, "--", "-D", "warnings"]))
        .with_context(|| format!("this is what is compiled for {}", Arch::OTHER))
}

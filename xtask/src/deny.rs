//! Licences, sources and duplicates of what is built in, by cargo-deny and `deny.toml`.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step::{self, Step};

/// Version that `cargo xtask setup` installs. A newer one may know more licences and checks.
const VERSION: &str = "0.20.2";

/// Checks without the network. Advisories need their database: `cargo deny check advisories`.
const CHECKS: [&str; 3] = ["licenses", "bans", "sources"];

/// Workspaces: that of the agent, that of the probes, and that of fuzzing.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "probes/Cargo.toml", "fuzz/Cargo.toml"];

/// Fails if something is built in that `deny.toml` does not allow.
pub(crate) fn check() -> Result<()> {
    if installed().is_none() {
        bail!("cargo-deny is not installed, or not in PATH. Run `cargo xtask setup`.");
    }
    for manifest in MANIFESTS {
        let step = Step::start(format_args!("cargo deny check, {manifest}"));
        let mut cargo = step::cargo();
        cargo.current_dir(step::root()).args(["deny", "--log-level", "error"]);
        cargo
            .args(["--manifest-path", manifest])
            .arg("--config")
            .arg(step::root().join("deny.toml"));
        cargo.arg("check").args(CHECKS);
        step::run(&mut cargo)?;
        step.done("nothing to complain about");
    }
    Ok(())
}

/// Installs cargo-deny, unless it is there in some version.
pub(crate) fn install() -> Result<()> {
    if let Some(version) = installed() {
        eprintln!("    already there: cargo-deny {version}");
        return Ok(());
    }
    let step = Step::start(format!("building cargo-deny {VERSION}, which takes some minutes"));
    let mut cargo = step::cargo();
    cargo.args(["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION]);
    step::run(&mut cargo)?;
    installed().context("cargo-deny is installed, but cargo's bin directory is not in PATH")?;
    step.done("installed");
    Ok(())
}

/// Version of cargo-deny, if it is installed.
fn installed() -> Option<String> {
    let printed = step::output(Command::new("cargo-deny").arg("--version")).ok()?;
    printed.split_whitespace().nth(1).map(str::to_owned)
}

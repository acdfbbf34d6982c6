//! `cargo xtask lint`: formatting and lints, as CI wants them.

use anyhow::Result;

use crate::deny;
use crate::step::{self, Step};

/// Runs all checks; stops at the first that fails.
pub(crate) fn run() -> Result<()> {
    let commands: [&[&str]; 5] = [
        &["fmt", "--all", "--check"],
        &["fmt", "--manifest-path", "probes/Cargo.toml", "--check"],
        &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"],
        &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
        &[
            "clippy",
            "--quiet",
            "-p",
            "backscope",
            "--no-default-features",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    ];
    for words in commands {
        let step = Step::start(format_args!("cargo {}", words.join(" ")));
        step::run(step::cargo().current_dir(step::root()).args(words))?;
        step.done("nothing to complain about");
    }
    deny::check()
}

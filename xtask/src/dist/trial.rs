//! Installs, runs and removes the packages. That happens in a copy of this system, made of an
//! overlay that ends with the trial: what it wrote is seen, and this system keeps nothing of it.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Made;
use crate::step::{self, Step};
use crate::verdict::Counts;

/// The trials, each a script of a shell that stops at what fails, and whether it runs in the copy.
const TRIALS: [(&str, bool, &str); 5] = [
    ("lintian has no errors", false, include_str!("trial/lintian.sh")),
    ("rpm reads the package", false, include_str!("trial/rpm-reads.sh")),
    ("rpmlint has no errors", false, include_str!("trial/rpmlint.sh")),
    ("dpkg installs, and purges without a trace", true, include_str!("trial/dpkg.sh")),
    ("rpm installs, and erases without a trace", true, include_str!("trial/rpm.sh")),
];

/// Makes the copy, and runs the script `$2` in it with the packages `$3` and `$4`. What was
/// written is below `/written`.
const IN_A_COPY: &str = include_str!("trial/in-a-copy.sh");

/// Runs every trial, and counts how they end.
///
/// # Errors
/// They cannot be run here.
pub(super) fn run(made: &Made) -> Result<Counts> {
    for program in ["lintian", "rpm", "rpmlint", "unshare", "man"] {
        ensure!(
            step::which(program).is_some(),
            "there is no {program} to try the packages with: run `cargo xtask setup`"
        );
    }
    let step = Step::start("trying the packages");
    let mut counts = Counts::default();
    for (name, in_a_copy, script) in TRIALS {
        let mut command = if in_a_copy {
            let mut unshare =
                step::privileged("unshare", "install packages in a copy of the system");
            unshare.args(["--mount", "--pid", "--fork", "sh", "-eu", "-c", IN_A_COPY, "trial"]);
            unshare.arg(script);
            unshare
        } else {
            let mut sh = Command::new("sh");
            sh.args(["-eu", "-c", script, "trial"]);
            sh
        };
        command.arg(&made.deb).arg(&made.rpm).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot start the trial: {name}"))?;
        if output.status.success() {
            counts.passed += 1;
            println!("package ok: {name}");
        } else {
            counts.failed += 1;
            println!("package FAILED: {name}: {}", output.status);
            for text in [&output.stdout, &output.stderr] {
                println!("{}", String::from_utf8_lossy(text).trim_end());
            }
        }
    }
    step.done("tried");
    Ok(counts)
}

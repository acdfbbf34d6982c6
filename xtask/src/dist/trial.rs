//! Installs, runs and removes the packages. That happens in a copy of this system, made of an
//! overlay that ends with the trial: what it wrote is seen, and this system keeps nothing of it.
//! Programs for another architecture run in an emulator.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Packages;
use crate::step::{self, Step};
use crate::verdict::Counts;

/// What the scripts run.
const PROGRAMS: [&str; 5] = ["lintian", "rpm", "rpmlint", "unshare", "man"];

/// The trials, each a script of a shell that stops at what fails, and whether it runs in the copy.
const TRIALS: [(&str, bool, &str); 5] = [
    ("lintian has no errors", false, include_str!("trial/lintian.sh")),
    ("rpm reads the package", false, include_str!("trial/rpm-reads.sh")),
    ("rpmlint has no errors", false, include_str!("trial/rpmlint.sh")),
    ("dpkg installs, and purges without a trace", true, include_str!("trial/dpkg.sh")),
    ("rpm installs, and erases without a trace", true, include_str!("trial/rpm.sh")),
];

/// Makes the copy, and runs the script `$1` in it with the packages `$2` and `$3`. What was
/// written is below `/written`. What runs the program is `$4`, `EMULATOR` in the script: empty, or
/// an emulator.
const IN_A_COPY: &str = include_str!("trial/in-a-copy.sh");

/// Runs every trial of every package, and counts how they end.
///
/// # Errors
/// They cannot be run here.
pub(super) fn run(packages: &[Packages]) -> Result<Counts> {
    let runners =
        packages.iter().filter(|made| !made.arch.is_here()).map(|made| made.arch.runner());
    for program in PROGRAMS.into_iter().chain(runners) {
        ensure!(
            step::which(program).is_some(),
            "there is no {program} to try the packages with: run `cargo xtask setup`"
        );
    }
    let mut counts = Counts::default();
    for made in packages {
        try_out(made, &mut counts)?;
    }
    Ok(counts)
}

fn try_out(made: &Packages, counts: &mut Counts) -> Result<()> {
    let arch = made.arch;
    let step = Step::start(format_args!("trying the packages for {arch}"));
    let emulator = if arch.is_here() { "" } else { arch.runner() };
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
        command.arg(&made.deb).arg(&made.rpm).arg(emulator).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot start the trial: {name}"))?;
        if output.status.success() {
            counts.passed += 1;
            println!("package ok, {arch}: {name}");
        } else {
            counts.failed += 1;
            println!("package FAILED, {arch}: {name}: {}", output.status);
            for text in [&output.stdout, &output.stderr] {
                println!("{}", String::from_utf8_lossy(text).trim_end());
            }
        }
    }
    step.done("tried");
    Ok(())
}

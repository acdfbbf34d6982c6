//! Runs every case natively, each in a network namespace of its own.

use std::env;
use std::process::ExitCode;

use backscope_tests::cases;
use backscope_tests::harness::{
    Case, Machine, Tier, Verdict, World, run, run_alone, runs, unprivileged_reason,
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for case in cases::all() {
        for (name, tier) in runs(&case, Machine::Native) {
            trials.push(Trial::ignorable_test(name, move || attempt(&case, tier)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn attempt(case: &Case, tier: Option<Tier>) -> Result<Completion, Failed> {
    if let Some(reason) = unprivileged_reason() {
        let skip = env::var_os("BACKSCOPE_SKIP_ROOT").is_some_and(|value| value == "1");
        return if skip { Ok(Completion::ignored_with(reason)) } else { Err(reason.into()) };
    }
    match run(case, &World::new(false, tier)) {
        Verdict::Pass => Ok(Completion::Completed),
        Verdict::Skip(reason) => Ok(Completion::ignored_with(reason)),
        Verdict::Fail(reason) => again(case, tier, &reason),
    }
}

/// Runs a case alone that failed at first: a machine that is too busy is no fault of what is
/// tested. That it failed is printed in any case.
fn again(case: &Case, tier: Option<Tier>, first: &str) -> Result<Completion, Failed> {
    match run_alone(case, &World::new(false, tier)) {
        Verdict::Pass => {
            told("passed alone", case, first);
            Ok(Completion::Completed)
        }
        Verdict::Skip(reason) => Ok(Completion::ignored_with(reason)),
        Verdict::Fail(alone) => {
            Err(told("failed", case, &format!("{alone}; and at first: {first}")))
        }
    }
}

/// Prints a line that `cargo xtask test` repeats at its end. Gives the reason on.
fn told(how: &str, case: &Case, reason: &str) -> Failed {
    println!(
        "\ncase {how}: {}: {}",
        case.name,
        reason.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    reason.to_owned().into()
}

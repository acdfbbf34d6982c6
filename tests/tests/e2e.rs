//! Runs every case natively, each in a network namespace of its own.

use std::env;
use std::process::ExitCode;

use backscope_tests::cases;
use backscope_tests::harness::{Verdict, World, run, runs, unprivileged_reason};
use libtest_mimic::{Arguments, Completion, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for case in cases::all() {
        for (name, tier) in runs(&case, false) {
            trials.push(Trial::ignorable_test(name, move || {
                if let Some(reason) = unprivileged_reason() {
                    return if env::var_os("BACKSCOPE_SKIP_ROOT").is_some_and(|value| value == "1") {
                        Ok(Completion::ignored_with(reason))
                    } else {
                        Err(reason.into())
                    };
                }
                match run(&case, &World::new(false, tier)) {
                    Verdict::Pass => Ok(Completion::Completed),
                    Verdict::Skip(reason) => Ok(Completion::ignored_with(reason)),
                    Verdict::Fail(reason) => Err(reason.into()),
                }
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

//! Runs every case, each in a network namespace of its own.
//!
//! `BACKSCOPE_MACHINE` says where: `native`, as without it, or in a virtual machine, with the cases
//! that its kernel can change (`short`) or all of them (`long`). With `costs` it measures the
//! instructions that watching costs instead.
//!
//! The output is that of libtest-mimic. `cargo xtask` reads it, and in addition lines of our own:
//!
//! ```text
//! case begins: NAME
//! case failed: NAME: REASON
//! case passed alone: NAME: REASON
//! case measured: NAME: INSTRUCTIONS
//! ```
//!
//! The first one is printed in virtual machines alone: a kernel that dies takes the results of
//! running cases with it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::ExitCode;
use std::{env, process};

use backscope_tests::cases;
use backscope_tests::cost::{self, Measurement};
use backscope_tests::harness::{
    Case, Machine, Verdict, World, adopt_orphans, end_leftovers, run, runs, unprivileged_reason,
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The place of this program in a virtual machine.
const IN_MACHINE: &str = "/bin/e2e";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let mut trials = match env::var("BACKSCOPE_MACHINE").as_deref() {
        Err(_) | Ok("native") => trials_on(Machine::Native),
        Ok("short") => trials_on(Machine::Short),
        Ok("long") => trials_on(Machine::Long),
        Ok("costs") => measurements(),
        Ok(other) => {
            eprintln!("BACKSCOPE_MACHINE is `{other}`, not native, short, long or costs");
            return ExitCode::from(2);
        }
    };
    // libtest-mimic itself takes one text.
    if let Some(filter) = arguments.filter.take_if(|filter| filter.contains(',')) {
        trials.retain(|trial| filter.split(',').any(|text| trial.name().contains(text)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials_on(machine: Machine) -> Vec<Trial> {
    let vm = machine != Machine::Native;
    if vm {
        enter_machine();
    }
    let mut trials = Vec::new();
    for case in cases::all() {
        for (name, tier) in runs(&case, machine) {
            let job = Job { case, name: name.clone(), world: World::new(vm, tier) };
            trials.push(Trial::ignorable_test(name, move || attempt(&job)));
        }
    }
    trials
}

fn measurements() -> Vec<Trial> {
    enter_machine();
    let trial = |what: Measurement| Trial::test(what.name(), move || measure(what));
    cost::all().into_iter().map(trial).collect()
}

/// Makes sure that this is a test machine, where every other process is killed between cases.
fn enter_machine() {
    let in_machine = env::current_exe().is_ok_and(|own| own == Path::new(IN_MACHINE));
    if !in_machine || parent_id() != 1 {
        eprintln!("BACKSCOPE_MACHINE is for test machines: every other process is killed there.");
        process::exit(2);
    }
    if let Err(error) = adopt_orphans() {
        eprintln!("orphans stay with init: {error}");
    }
}

/// A case on one tier.
struct Job {
    case: Case,
    name: String,
    world: World,
}

impl Job {
    fn run(&self, alone: bool) -> Verdict {
        let begins = || {
            if self.world.vm {
                say_begin(&self.name);
            }
        };
        run(&self.case, &self.world, alone, &begins)
    }
}

fn attempt(job: &Job) -> Result<Completion, Failed> {
    if let Some(reason) = unprivileged_reason() {
        let skip = env::var_os("BACKSCOPE_SKIP_ROOT").is_some_and(|value| value == "1");
        return if skip { Ok(Completion::ignored_with(reason)) } else { Err(reason.into()) };
    }
    match job.run(false) {
        Verdict::Pass => Ok(Completion::Completed),
        Verdict::Skip(reason) => Ok(Completion::ignored_with(one_line(&reason))),
        Verdict::Fail(reason) => again(job, &reason),
    }
}

/// Runs a case alone that failed at first: a machine that is too busy is no fault of what is
/// tested, and an emulated processor may stand still. That it failed is printed in any case.
fn again(job: &Job, first: &str) -> Result<Completion, Failed> {
    match job.run(true) {
        Verdict::Pass => {
            say_case("passed alone", &job.name, &format!("failed at first: {first}"));
            Ok(Completion::Completed)
        }
        Verdict::Skip(reason) => Ok(Completion::ignored_with(one_line(&reason))),
        Verdict::Fail(alone) => Err(failed(&job.name, format!("{alone}; and at first: {first}"))),
    }
}

fn measure(measurement: Measurement) -> Result<(), Failed> {
    end_leftovers();
    let name = measurement.name();
    say_begin(&name);
    match measurement.take(&World::new(true, None)) {
        Ok(cost) => {
            say_case("measured", &name, &format!("{:.0} {:.0}", cost.all, cost.agent));
            Ok(())
        }
        Err(error) => Err(failed(&name, format!("{error:#}"))),
    }
}

fn failed(name: &str, reason: String) -> Failed {
    say_case("failed", name, &reason);
    reason.into()
}

fn say_begin(name: &str) {
    say(&format!("case begins: {name}"));
}

fn say_case(how: &str, name: &str, reason: &str) {
    say(&format!("case {how}: {name}: {}", one_line(reason)));
}

fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").chars().take(2_000).collect()
}

/// Prints a line at once and past the buffer of standard output, in which half a line of
/// libtest-mimic's may wait for its end.
fn say(line: &str) {
    let out = io::stdout().as_fd().try_clone_to_owned();
    let _ = out.and_then(|out| File::from(out).write_all(format!("{line}\n").as_bytes()));
}

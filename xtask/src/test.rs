//! `cargo xtask test`: runs everything, the steps that fail early first.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::dist;
use crate::fuzz;
use crate::reliability::Row;
use crate::setup;
use crate::soak;
use crate::step::{self, Step};
use crate::verdict::{self, Counts, Line, Outcome};
use crate::vm;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the virtual machines
    #[arg(long)]
    no_vm: bool,
    /// Fuzz and soak, too, and run every test on every kernel, not only what a kernel can change
    #[arg(long, conflicts_with = "no_vm")]
    long: bool,
}

/// How long each target is fuzzed, and how long the soak runs, in the long mode.
const FUZZ_SECONDS: u64 = 60;
const SOAK_MINUTES: f64 = 10.0;

/// Runs everything, prints the sum as its last line, and returns whether nothing failed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    setup::run(&setup::Args::for_tests(args.no_vm, args.long))?;
    let mut sum = Tally::default();
    let mut add = |what: &str, result: Result<Tally>| match result {
        Ok(tally) => sum.add(tally),
        Err(error) => {
            // A step that could not run, or broke off without a count, is one failure.
            sum.counts.failed += 1;
            sum.told.push(format!("{what}: {error:#}"));
        }
    };
    add("unit tests", unit_tests());
    add("end-to-end tests", end_to_end());
    if !args.no_vm {
        // The machines report their failures themselves.
        add("virtual machines", vm::run_for_tests(args.long).map(Tally::from));
        add("packages", dist::try_packages_of(&vm::static_agent()).map(Tally::from));
    }
    if args.long {
        add("fuzzing", fuzz::run_all(None, FUZZ_SECONDS).map(Tally::from));
        let length = soak::Args::of(SOAK_MINUTES, false);
        add("soak", soak::run_all(&length).map(Tally::from));
    }
    // Someone who reads the end of a long log finds there what failed.
    for line in &sum.told {
        println!("{line}");
    }
    println!("{}", sum.counts);
    Ok(sum.counts.failed == 0)
}

/// Results of the tests.
#[derive(Debug, Default)]
struct Tally {
    counts: Counts,
    /// Lines worth repeating: failures, and tests that passed only when run alone.
    told: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.counts += other.counts;
        self.told.extend(other.told);
    }

    /// Reads a line of the tests' output.
    fn read(&mut self, line: &str) {
        match verdict::parse(line) {
            Some(Line::Summary(summary)) => self.counts += summary,
            Some(Line::Reason { how, test, reason }) => {
                self.told.push(format!("case {how}: {test}: {reason}"));
            }
            _ => {
                // The line with which libtest begins the output of a failed test.
                if let Some(rest) = line.strip_prefix("---- ")
                    && let Some(test) = rest.strip_suffix(" stdout ----")
                {
                    self.told.push(format!("unit test failed: {test}"));
                }
            }
        }
    }
}

impl From<Counts> for Tally {
    fn from(counts: Counts) -> Self {
        Self { counts, told: Vec::new() }
    }
}

impl From<Vec<Row>> for Tally {
    fn from(rows: Vec<Row>) -> Self {
        let mut tally = Self::default();
        for Row { test, load, result, held } in rows {
            tally.counts.add(if held { Outcome::Pass } else { Outcome::Fail });
            if !held {
                tally.told.push(format!("{test}: {result} ({load})"));
            }
        }
        tally
    }
}

fn unit_tests() -> Result<Tally> {
    let step = Step::start("unit tests");
    let mut tally = Tally::default();
    let all_but_e2e = ["--workspace", "--exclude", "backscope-tests"].as_slice();
    for selection in [all_but_e2e, &["--package", "backscope-tests", "--lib", "--bins"]] {
        let mut cargo = step::cargo();
        cargo.current_dir(step::root()).args(["test", "--quiet", "--no-fail-fast"]).args(selection);
        tally.add(counted(&mut cargo, &mut std::io::stdout())?);
    }
    step.done(tally.counts);
    Ok(tally)
}

/// Builds the end-to-end tests as the calling user and runs them as root.
fn end_to_end() -> Result<Tally> {
    let step = Step::start("building the agent, the demo servers and the end-to-end tests");
    let mut build = step::cargo();
    build.current_dir(step::root()).args([
        "build",
        "--quiet",
        "--bins",
        "-p",
        "backscope",
        "-p",
        "backscope-demo-servers",
    ]);
    step::run(&mut build)?;
    let test = e2e_binary()?;
    step.done("built");
    let step = Step::start("end-to-end tests on this kernel");
    let mut e2e = step::privileged(&test, "load BPF programs in the end-to-end tests");
    // Cases mostly wait, so many may run on few processors. Those that need the machine for
    // themselves see to that.
    let tally =
        counted(e2e.current_dir(step::root()).arg("--test-threads=5"), &mut std::io::stdout())?;
    step.done(tally.counts);
    Ok(tally)
}

/// Builds the test binary and returns where cargo put it.
fn e2e_binary() -> Result<PathBuf> {
    let mut build = step::cargo();
    build.current_dir(step::root()).args([
        "test",
        "--no-run",
        "-p",
        "backscope-tests",
        "--test",
        "e2e",
    ]);
    executable_of_e2e(&mut build)
}

/// Runs cargo, which builds the end-to-end tests and nothing else that is a test, with messages in
/// JSON. Returns where it put them.
///
/// # Errors
/// If it fails, or names no such executable.
pub(crate) fn executable_of_e2e(cargo: &mut Command) -> Result<PathBuf> {
    cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let messages = step::output(cargo)?;
    let path = messages
        .lines()
        .find_map(executable)
        .context("cargo names no executable for the test `e2e`")?;
    Ok(path.into())
}

/// Returns the executable of a test that one of cargo's messages names. Cargo writes JSON without
/// blanks.
fn executable(message: &str) -> Option<String> {
    if !message.contains(r#""kind":["test"]"#) {
        return None;
    }
    let (_, rest) = message.split_once(r#""executable":""#)?;
    let (path, _) = rest.split_once('"')?;
    // A path with a quotation mark or backslash would be escaped.
    (!path.contains('\\')).then(|| path.to_owned())
}

/// Runs tests, showing what they print, and adds up their summaries.
///
/// # Errors
/// If they fail without a summary that says so: they did not compile, or broke off.
fn counted(command: &mut Command, show: &mut impl Write) -> Result<Tally> {
    let shown = step::shown(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let output = BufReader::new(child.stdout.take().context("the tests have no output")?);
    let mut tally = Tally::default();
    for line in output.split(b'\n') {
        let line = line?;
        show.write_all(&line)?;
        show.write_all(b"\n")?;
        tally.read(&String::from_utf8_lossy(&line));
    }
    let status = child.wait()?;
    if !status.success() && tally.counts.failed == 0 {
        bail!("`{shown}` failed: {status}");
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::{Tally, counted, executable};
    use crate::verdict::Counts;
    use std::process::Command;

    #[test]
    fn executable_of_a_test() {
        let test = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"e2e"},"#,
            r#""executable":"/t/e2e-1"}"#
        );
        assert_eq!(executable(test).as_deref(), Some("/t/e2e-1"));
        let library =
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"]},"executable":null}"#;
        assert_eq!(executable(library), None);
    }

    #[test]
    fn failures_are_repeated() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "---- model::waits stdout ----",
            "case passed alone: a::b: too late",
            "failures:",
        ] {
            tally.read(line);
        }
        assert_eq!(
            tally.told,
            ["unit test failed: model::waits", "case passed alone: a::b: too late"]
        );
    }

    #[test]
    fn summaries_are_added_up_and_a_crash_is_no_success() {
        let line =
            "echo 'test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out'";
        let mut shown = Vec::new();
        let mut sh = |script: String| counted(Command::new("sh").args(["-c", &script]), &mut shown);
        let twice = sh(format!("{line}; {line}")).expect("both succeed");
        assert_eq!(twice.counts, Counts { passed: 4, failed: 0, skipped: 2 });
        assert!(sh(format!("{line}; exit 101")).is_err());
        assert_eq!(String::from_utf8_lossy(&shown).lines().count(), 3);
    }
}

//! `cargo xtask test`: everything, in the order in which it fails early.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::step::{self, Step};
use crate::verdict::{self, Counts};
use crate::vm;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the virtual machines
    #[arg(long)]
    no_vm: bool,
}

/// Runs everything, prints the sum as its last line, and returns whether nothing failed.
pub(crate) fn run(args: &Args) -> Result<bool> {
    setup::run(&setup::Args::for_tests(args.no_vm))?;
    let mut sum = Counts::default();
    let mut faults = Vec::new();
    let mut add = |what: &str, result: Result<Counts>| match result {
        Ok(counts) => sum += counts,
        Err(error) => {
            // What could not run, or broke off without a count, is one failure.
            sum.failed += 1;
            faults.push(format!("{what}: {error:#}"));
        }
    };
    add("unit tests", unit_tests());
    add("end-to-end tests", end_to_end());
    if !args.no_vm {
        add("virtual machines", vm::run_all(&vm::Args::everything()));
    }
    for fault in faults {
        eprintln!("error: {fault}");
    }
    println!("{sum}");
    Ok(sum.failed == 0)
}

fn unit_tests() -> Result<Counts> {
    let step = Step::start("unit tests");
    let mut counts = Counts::default();
    let all_but_e2e = ["--workspace", "--exclude", "backscope-tests"].as_slice();
    for selection in [all_but_e2e, &["--package", "backscope-tests", "--lib", "--bins"]] {
        let mut cargo = step::cargo();
        cargo.current_dir(step::root()).args(["test", "--quiet", "--no-fail-fast"]).args(selection);
        counts += counted(&mut cargo, &mut std::io::stdout())?;
    }
    step.done(counts);
    Ok(counts)
}

/// Builds the end-to-end tests as the caller and runs them as root.
fn end_to_end() -> Result<Counts> {
    let step = Step::start("building the agent, the demo servers and the end-to-end tests");
    let mut build = step::cargo();
    build.current_dir(step::root()).args(["build", "--quiet", "--bins", "-p", "backscope", "-p", "demo-servers"]);
    step::run(&mut build)?;
    let test = e2e_binary()?;
    step.done("built");
    let step = Step::start("end-to-end tests on this kernel");
    let mut e2e = step::privileged(&test, "load BPF programs in the end-to-end tests");
    // Cases mostly wait, however few processors there are; those that need the machine for themselves see to that.
    let counts = counted(e2e.current_dir(step::root()).arg("--test-threads=4"), &mut std::io::stdout())?;
    step.done(counts);
    Ok(counts)
}

/// Builds the test binary and returns where cargo put it.
fn e2e_binary() -> Result<PathBuf> {
    let mut build = step::cargo();
    build.current_dir(step::root()).args(["test", "--no-run", "-p", "backscope-tests", "--test", "e2e"]);
    build.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let messages = step::output(&mut build)?;
    let path = messages.lines().find_map(executable).context("cargo names no executable for the test `e2e`")?;
    Ok(path.into())
}

/// The executable that one of cargo's messages names. Cargo writes JSON without blanks.
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
fn counted(command: &mut Command, show: &mut impl Write) -> Result<Counts> {
    let shown = step::shown(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{shown}`"))?;
    let output = BufReader::new(child.stdout.take().context("the tests have no output")?);
    let mut counts = Counts::default();
    for line in output.split(b'\n') {
        let line = line?;
        show.write_all(&line)?;
        show.write_all(b"\n")?;
        if let Some(summary) = verdict::parse_summary(&String::from_utf8_lossy(&line)) {
            counts += summary;
        }
    }
    let status = child.wait()?;
    if !status.success() && counts.failed == 0 {
        bail!("`{shown}` failed: {status}");
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::{counted, executable};
    use crate::verdict::Counts;
    use std::process::Command;

    #[test]
    fn executable_of_a_test() {
        let test = r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"e2e"},"executable":"/t/e2e-1"}"#;
        assert_eq!(executable(test).as_deref(), Some("/t/e2e-1"));
        let library = r#"{"reason":"compiler-artifact","target":{"kind":["lib"]},"executable":null}"#;
        assert_eq!(executable(library), None);
    }

    #[test]
    fn summaries_are_added_up_and_a_crash_is_no_success() {
        let line = "echo 'test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out'";
        let mut shown = Vec::new();
        let mut sh = |script: String| counted(Command::new("sh").args(["-c", &script]), &mut shown);
        let twice = sh(format!("{line}; {line}")).expect("both succeed");
        assert_eq!(twice, Counts { passed: 4, failed: 0, skipped: 2 });
        assert!(sh(format!("{line}; exit 101")).is_err());
        assert_eq!(String::from_utf8_lossy(&shown).lines().count(), 3);
    }
}

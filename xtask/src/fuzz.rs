//! `cargo xtask fuzz`: builds the targets in `fuzz/` for libFuzzer, and runs them.
//!
//! Stable Rust suffices: the instrumentation is a pass of LLVM, and safe code needs no sanitizer to
//! fail loudly. `cargo fuzz run -s none TARGET` does the same, where it is installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::reliability::Row;
use crate::step::{self, Step};

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Coverage as libFuzzer wants it, and the values of comparisons, with which it finds its way.
const RUSTFLAGS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg",
    "fuzzing",
    "-Ccodegen-units=1",
];
/// Seconds that one input may take, memory, and the longest input.
const BOUNDS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=65536"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// One target; without it all, one after the other
    target: Option<String>,
    /// How long each runs
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let rows = run_all(args.target.as_deref(), args.seconds)?;
    Ok(rows.iter().all(|row| row.held))
}

/// Builds and runs one target or all, each for so long. A row says what came of it.
pub(crate) fn run_all(target: Option<&str>, seconds: u64) -> Result<Vec<Row>> {
    let mut names = targets()?;
    if let Some(wanted) = target {
        if !names.iter().any(|name| name == wanted) {
            bail!("no target {wanted}; there are {}", names.join(", "));
        }
        names.retain(|name| name == wanted);
    }
    let programs = build(target)?;
    names.iter().map(|name| fuzz(name, &programs.join(name), seconds)).collect()
}

fn folder() -> PathBuf {
    step::root().join("fuzz")
}

/// Returns the names of the targets.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder().join("fuzz_targets")).context("no targets")? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Returns the folder of the programs.
fn build(target: Option<&str>) -> Result<PathBuf> {
    if step::which("g++").is_none() && step::which("c++").is_none() {
        bail!("libFuzzer is in C++: install g++, or run `cargo xtask setup`");
    }
    let step = Step::start("building the targets of fuzz/");
    let target_dir = step::target_dir().join("fuzz");
    let mut cargo = step::cargo();
    cargo
        .current_dir(folder())
        .args(["build", "--quiet", "--locked", "--target", TRIPLE, "--target-dir"])
        .arg(&target_dir)
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\u{1f}"));
    if let Some(target) = target {
        cargo.args(["--bin", target]);
    }
    step::run(&mut cargo)?;
    step.done("built");
    Ok(target_dir.join(TRIPLE).join("debug"))
}

/// Runs a target. What it finds of interest goes to `fuzz/found`, which is not committed, and inputs
/// that fail to `fuzz/artifacts`.
fn fuzz(name: &str, program: &Path, seconds: u64) -> Result<Row> {
    let step = Step::start(format_args!("fuzzing {name} for {seconds} s"));
    let (found, artifacts) =
        (folder().join("found").join(name), folder().join("artifacts").join(name));
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&artifacts)?;
    let log = artifacts.with_extension("log");
    let said = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(program);
    command.arg(&found).arg(folder().join("corpus").join(name)).args(BOUNDS);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .stdout(said.try_clone()?)
        .stderr(said);
    let shown = step::shown(&command);
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let row = row(name, seconds, status.success(), &said);
    step.done(&row.result);
    if !status.success() {
        tell(name, program, &artifacts, &log);
    }
    Ok(row)
}

fn row(name: &str, seconds: u64, held: bool, said: &str) -> Row {
    let stat = |wanted: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(wanted));
        line.map_or("?", str::trim).to_owned()
    };
    let inputs = stat("stat::number_of_executed_units:");
    let slowest = stat("stat::slowest_unit_time_sec:");
    let verdict = if held { "no fault" } else { "A FAULT" };
    Row {
        test: format!("fuzzing: {name}"),
        load: format!("{inputs} inputs in {seconds} s"),
        result: format!("{verdict}; the slowest input took {slowest} s"),
        held,
    }
}

/// Says how to reproduce a failure.
fn tell(name: &str, program: &Path, artifacts: &Path, log: &Path) {
    let mut newest = None;
    for entry in fs::read_dir(artifacts).into_iter().flatten().flatten() {
        let time = entry.metadata().and_then(|file| file.modified()).ok();
        newest = newest.max(Some((time, entry.path())));
    }
    let Some((_, input)) = newest else {
        eprintln!("    {name} failed without an input; see {}", log.display());
        return;
    };
    eprintln!(
        "    {name} fails on {input}: `{program} {input}` shows it again, {log} has what it said.\n\
         \x20   Mend it, and copy the input to fuzz/corpus/{name}: \
         `cargo test -p backscope --lib fuzzing` feeds it to the target from then on.",
        input = input.display(),
        program = program.display(),
        log = log.display()
    );
}

#[cfg(test)]
mod tests {
    use super::row;

    #[test]
    fn what_libfuzzer_says_becomes_a_row() {
        let said = "#12\tDONE\nstat::number_of_executed_units: 1234\n\
                    stat::slowest_unit_time_sec:   0\n";
        let row = row("tls", 60, true, said);
        assert_eq!(row.load, "1234 inputs in 60 s");
        assert_eq!(row.result, "no fault; the slowest input took 0 s");
    }
}

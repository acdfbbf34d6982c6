//! Measures how accurate the agent's verdicts are. Real servers with injected faults are watched,
//! and the verdicts are compared with the faults.
//!
//! `cargo xtask accuracy` builds what this needs and runs it as root.

mod cell;
mod client;
mod faults;
mod judge;
mod limits;
mod processes;
mod report;
mod stage;
mod subjects;
mod truth;
mod upstream;
mod wire;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;

use cell::Played;
use faults::Fault;
use report::Report;
use subjects::Subject;

/// Plays faults on real servers, and compares what backscope tells with what was injected.
#[derive(Parser)]
#[command(name = "accuracy", bin_name = "cargo xtask accuracy")]
struct Args {
    /// This server alone; repeatable
    #[arg(long, value_name = "SERVER")]
    only: Vec<String>,
    /// This fault alone; repeatable
    #[arg(long, value_name = "NAME")]
    fault: Vec<String>,
    /// Print one object of JSON in place of tables
    #[arg(long)]
    json: bool,
    /// Play so many cells at a time; those about processors one by one, afterwards
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Begin no cell after so many minutes; the others are left out, which is said
    #[arg(long, value_name = "MINUTES")]
    within: Option<u64>,
    /// List servers and faults
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if args.list {
        subjects::ALL.iter().for_each(|subject| println!("server {}", subject.name));
        faults::all().for_each(|fault| println!("fault {:<17} {}", fault.name, fault.about));
        return Ok(ExitCode::SUCCESS);
    }
    let report = play(
        &plan(&args)?,
        args.jobs.max(1),
        args.within.map(|minutes| Duration::from_secs(minutes * 60)),
    );
    if args.json {
        println!("{}", report.json());
    } else {
        report.print();
    }
    Ok(ExitCode::SUCCESS)
}

type Cells = Vec<(&'static Subject, &'static Fault)>;

/// Plays all cells, and prints the outcome of each.
fn play(plan: &Cells, jobs: usize, within: Option<Duration>) -> Report {
    let started = Instant::now();
    let (alone, together): (Vec<usize>, Vec<usize>) =
        (0..plan.len()).partition(|at| plan[*at].1.alone);
    let (done, count) = (AtomicUsize::new(0), plan.len());
    let played: Mutex<BTreeMap<usize, Played>> = Mutex::default();
    for (cells, workers) in [(together, jobs), (alone, 1)] {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(&at) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                let ((subject, fault), begun) = (plan[at], Instant::now());
                let outcome = match within {
                    Some(limit) if started.elapsed() > limit => {
                        Played::Skipped("there was no time left".to_owned())
                    }
                    _ => cell::play(subject, fault),
                };
                let line = Report::line(fault, subject, &outcome);
                let number = done.fetch_add(1, Ordering::Relaxed) + 1;
                let seconds = begun.elapsed().as_secs_f64();
                eprintln!(
                    "{number:>3}/{count} {:<10} {:<16} {line} ({seconds:.1} s)",
                    subject.name, fault.name
                );
                played.lock().unwrap_or_else(PoisonError::into_inner).insert(at, outcome);
            }
        };
        thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    }
    let mut report = Report::default();
    for (at, outcome) in played.into_inner().unwrap_or_else(PoisonError::into_inner) {
        report.add(plan[at].0, plan[at].1, outcome);
    }
    report
}

/// The cells to play: those that a server can have.
fn plan(args: &Args) -> anyhow::Result<Cells> {
    for name in &args.only {
        subjects::ALL
            .iter()
            .find(|subject| subject.name == name)
            .with_context(|| format!("no server is called {name}"))?;
    }
    for name in &args.fault {
        faults::all()
            .find(|fault| fault.name == name)
            .with_context(|| format!("no fault is called {name}"))?;
    }
    let wanted =
        |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
    let subjects = subjects::ALL.iter().filter(|subject| wanted(&args.only, subject.name));
    let cells =
        faults::all().flat_map(|fault| subjects.clone().map(move |subject| (subject, fault)));
    Ok(cells
        .filter(|(subject, fault)| {
            wanted(&args.fault, fault.name)
                && fault.needs.iter().all(|ask| (subject.can)(*ask))
                && (fault.fits)(subject)
        })
        .collect())
}

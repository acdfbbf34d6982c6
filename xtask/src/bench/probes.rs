//! Measures the time of each probe in a request to nginx, by the kernel's own statistics.

use anyhow::Result;

use super::Bench;
use super::beside::Beside;
use super::kernel::{self, Programs, Statistics};
use super::nginx::{Load, Nginx};
use crate::step::Step;

/// Probes that take less time of a request than this share a line, ns.
const SMALL_NS: f64 = 1.0;

/// Measures with each watch among these programs.
pub(super) fn run(bench: &Bench, nginx: &Nginx, loads: &[Load], besides: &[Beside]) -> Result<()> {
    let is_watch = |beside: &&Beside| matches!(beside, Beside::Watch { .. });
    let watches: Vec<&Beside> = besides.iter().filter(is_watch).collect();
    if watches.is_empty() {
        return Ok(());
    }
    let step = Step::start("the probes one by one");
    let mut tables = Vec::new();
    for &load in loads {
        for beside in &watches {
            let Some(watch) = beside.start(bench, &[nginx.pid()])? else { continue };
            let statistics = Statistics::on()?;
            let before = kernel::programs(watch.pid())?;
            let answered = nginx.load(load, bench.extent.seconds)?;
            let after = kernel::programs(watch.pid())?;
            drop(statistics);
            watch.finish()?;
            let title = format!("{}, {}", load.name(), beside.name());
            tables.push((title, since(&before, after), answered.requests));
        }
    }
    step.done("measured");
    println!("{:<48} {:>14} {:>9} {:>13}", "PROBES", "RUNS A REQUEST", "NS A RUN", "NS A REQUEST");
    for (title, programs, requests) in &tables {
        print(title, programs, *requests);
    }
    println!();
    Ok(())
}

fn since(before: &Programs, mut after: Programs) -> Programs {
    for (name, runs) in &mut after {
        let earlier = before.get(name).copied().unwrap_or_default();
        runs.runs = runs.runs.saturating_sub(earlier.runs);
        runs.ns = runs.ns.saturating_sub(earlier.ns);
    }
    after
}

fn print(title: &str, programs: &Programs, requests: f64) {
    let line = |name: &str, runs: u64, ns: u64| {
        let (each, a_run, a_request) =
            (runs as f64 / requests, ns as f64 / runs.max(1) as f64, ns as f64 / requests);
        println!("{name:<48} {each:>14.2} {a_run:>9.0} {a_request:>13.0}");
    };
    let total = programs
        .values()
        .fold((0, 0), |(runs, ns), program| (runs + program.runs, ns + program.ns));
    line(title, total.0, total.1);
    let mut sorted: Vec<_> = programs.iter().collect();
    sorted.sort_by_key(|(_, program)| std::cmp::Reverse(program.ns));
    let large =
        sorted.iter().take_while(|(_, program)| program.ns as f64 / requests >= SMALL_NS).count();
    for (name, program) in &sorted[..large] {
        line(&format!("  {name}"), program.runs, program.ns);
    }
    let rest = sorted[large..]
        .iter()
        .fold((0, 0), |(runs, ns), (_, program)| (runs + program.runs, ns + program.ns));
    if rest.0 > 0 {
        line("  the others", rest.0, rest.1);
    }
}

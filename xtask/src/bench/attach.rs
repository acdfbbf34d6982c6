//! Measures what clients notice while a program attaches to a server under load, and detaches:
//! failed requests, and the longest latency.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::beside::{Beside, Kind};
use super::fixed_rate::{Client, Outcome};
use super::nginx::Load;
use super::report::Report;
use super::table::Table;
use super::web::{Role, Software, Web};
use super::{Args, Bench, tail, turns};
use crate::stats::Spread;
use crate::step::Step;

/// The length of a phase in which nothing happens, and what follows an attach or a detach. An
/// attach takes up to half a second, so the phases are about equally long.
const STILL: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_millis(500);

/// The names of the phases, of which the longest latency is shown.
const PHASES: [&str; 4] = ["nothing", "attaching", "observed", "detaching"];

/// What came of the requests in each phase.
type Phases = [Outcome; PHASES.len()];

pub(super) fn run(bench: &Bench, args: &Args, report: &mut Report) -> Result<()> {
    let kinds = args.beside_or(&[Kind::Queues, Kind::Exchanges, Kind::Tcpdump]);
    let besides = Beside::chosen(kinds, &bench.builds);
    for load in args.loads() {
        let Some(web) = Web::start(bench, Software::Nginx, Role::Server)? else { return Ok(()) };
        let plan = tail::plan(bench, &web, 1_000, load == Load::ConnectionEach)?;
        let rate = plan.rate.unwrap_or_default();
        let rounds = bench.extent.rounds;
        let name = format!("{}, {rate:.0} requests a second", load.name());
        let step =
            Step::start(format_args!("attach and detach under load, {name}, {rounds} times"));
        let client = Client::start(plan)?;
        let mut besides = besides.clone();
        besides.retain(|beside| turns::works(bench, beside, &[web.pid()]));
        let mut seen: Vec<Vec<Phases>> = besides.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (beside, seen) in besides.iter().zip(&mut seen) {
                seen.push(phases(bench, beside, &client, web.pid())?);
            }
        }
        step.done("measured");
        report.table("Attach and detach", table(&name, &besides, &seen)?);
    }
    Ok(())
}

/// Attaches and detaches once. No request between the phases is left out.
fn phases(bench: &Bench, beside: &Beside, client: &Client, pid: u32) -> Result<Phases> {
    client.catch_up();
    client.take()?;
    sleep(STILL);
    let nothing = client.take()?;
    let observer = beside.start(bench, &[pid])?;
    if observer.is_none() {
        sleep(AFTER);
    }
    sleep(AFTER);
    let attaching = client.take()?;
    sleep(STILL);
    let observed = client.take()?;
    observer.map(|observer| observer.finish()).transpose()?;
    sleep(AFTER);
    Ok([nothing, attaching, observed, client.take()?])
}

fn table(name: &str, besides: &[Beside], seen: &[Vec<Phases>]) -> Result<Table> {
    let longest = PHASES.map(|phase| format!("{phase}, ms"));
    let mut columns = vec![name.to_owned(), "requests".to_owned(), "failed".to_owned()];
    columns.extend(longest);
    let mut table = Table { columns, rows: Vec::new() };
    for (beside, seen) in besides.iter().zip(seen) {
        let mut sum = Outcome::new()?;
        for outcome in seen.iter().flatten() {
            sum.add(outcome)?;
        }
        let requests = sum.latencies.len() + sum.failed;
        let mut cells = vec![beside.name(), requests.to_string(), sum.failed.to_string()];
        for phase in 0..PHASES.len() {
            let longest = |phases: &Phases| phases[phase].quantile_us(1.0) / 1e3;
            cells.push(spread_with_most(seen.iter().map(longest)));
        }
        table.row(cells);
    }
    Ok(table)
}

/// Returns the median, the outer tenths and the largest.
fn spread_with_most(values: impl Iterator<Item = f64> + Clone) -> String {
    let most = values.clone().fold(0.0, f64::max);
    let Some(Spread { low, median, high }) = Spread::wide(values) else { return String::new() };
    format!("{median:.1} ({low:.1} to {high:.1}; {most:.1})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_outliers_of_every_phase_are_shown() {
        let outcome = |ms: u64, failed| {
            let mut outcome = Outcome::new().expect("a histogram");
            outcome.latencies.saturating_record(ms * 1_000_000);
            outcome.failed = failed;
            outcome
        };
        let phases = [outcome(1, 0), outcome(7, 1), outcome(2, 0), outcome(3, 2)];
        let table = table("load", &[Beside::Control], &[vec![phases]]).expect("a table");
        let row = &table.rows[0];
        assert_eq!(row[1..3], ["7", "3"]);
        assert_eq!(row[4], "7.0 (7.0 to 7.0; 7.0)");
    }
}

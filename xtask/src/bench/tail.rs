//! Measures the latency of requests that come at a fixed rate, below saturation, with each program
//! beside the server and with nothing by turns.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::beside::{Beside, Kind};
use super::fixed_rate::{Client, Outcome, Plan};
use super::process::cpu_us;
use super::report::Report;
use super::table::{Table, cell, signed};
use super::turns::{self, PAUSE, Series, Setting, Turn};
use super::web::{self, CONNECTIONS, Role, Software, Web};
use super::{Args, Bench};
use crate::step::Step;

/// Responses of so many bytes, and the words for it.
const SIZES: [(usize, &str); 3] = [(1_000, "1 kB"), (100_000, "100 kB"), (1_000_000, "1 MB")];

/// The rate, as a share of what client and server together can do.
const SHARE: f64 = 0.4;

/// Quantiles that are reported, with their names.
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

/// What was measured in one turn.
#[derive(Clone, Debug)]
struct Tail {
    outcome: Outcome,
    /// Processor time of the server for each request, ns.
    server_ns: f64,
    /// Processor time of the client for each request, ns.
    client_ns: f64,
}

/// A server, and what it is asked for.
struct Case {
    software: Software,
    role: Role,
    bytes: usize,
    size: &'static str,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for software in [Software::Nginx, Software::Apache] {
            for role in [Role::Server, Role::Proxy] {
                for (bytes, size) in SIZES {
                    cases.push(Self { software, role, bytes, size });
                }
            }
        }
        cases
    }

    fn name(&self) -> String {
        format!("{} as {}, {}", self.software.name(), self.role.name(), self.size)
    }
}

pub(super) fn run(bench: &Bench, args: &Args, report: &mut Report) -> Result<()> {
    let kinds = args.beside_or(&[Kind::Queues, Kind::Exchanges]);
    let besides = Beside::chosen(kinds, &bench.builds);
    let quick = args.quick.then_some("nginx as server, 1 kB");
    let chosen = args.case.as_deref().or(quick).unwrap_or_default();
    let mut table = heads();
    for case in Case::all() {
        if case.name().contains(chosen) {
            measure(bench, &case, &besides, &mut table)?;
        }
    }
    report.table("Tail latency", table);
    Ok(())
}

fn heads() -> Table {
    let mut columns = vec!["latency".to_owned()];
    for (_, name) in QUANTILES {
        columns.extend([format!("{name}, µs"), "ratio (p10 to p90)".to_owned()]);
    }
    columns.extend(["server's ns", "client's ns", "failed"].map(str::to_owned));
    Table { columns, rows: Vec::new() }
}

fn measure(bench: &Bench, case: &Case, besides: &[Beside], table: &mut Table) -> Result<()> {
    let Some(web) = Web::start(bench, case.software, case.role)? else { return Ok(()) };
    let plan = plan(bench, &web, case.bytes, false)?;
    let rate = plan.rate.unwrap_or_default();
    let name = format!("{}: {rate:.0} requests a second", case.name());
    let rounds = bench.extent.rounds.div_ceil(2);
    let step = Step::start(format_args!("{name}, {rounds} rounds"));
    let client = Client::start(plan)?;
    let setting = Setting { pids: &[web.pid()], lead: &|_| PAUSE, rounds };
    let window = Duration::from_secs(bench.extent.seconds);
    let series = turns::run(bench, besides, &setting, || look(&client, web.pid(), window))?;
    step.done("measured");
    rows(&name, &series, table)
}

/// Returns what to ask the server for, at a rate below its saturation.
pub(super) fn plan(bench: &Bench, web: &Web, bytes: usize, connection_each: bool) -> Result<Plan> {
    let path = web::file(bench, bytes)?;
    let mut plan = Plan {
        address: web.address(),
        path,
        connections: CONNECTIONS,
        connection_each,
        rate: None,
        processor: 1,
    };
    let client = Client::start(plan.clone())?;
    sleep(PAUSE / 2);
    client.take()?;
    sleep(PAUSE);
    let most = client.take()?.latencies.len() as f64 / PAUSE.as_secs_f64();
    plan.rate = Some(rounded(most * SHARE).max(1.0));
    Ok(plan)
}

/// Returns the number with its first two digits.
fn rounded(number: f64) -> f64 {
    let unit = 10f64.powi(number.max(1.0).log10().floor() as i32 - 1);
    (number / unit).floor() * unit
}

fn look(client: &Client, server: u32, window: Duration) -> Result<Tail> {
    client.catch_up();
    client.take()?;
    let before = (cpu_us(server)?, client.cpu_ns()?);
    sleep(window);
    let after = (cpu_us(server)?, client.cpu_ns()?);
    let outcome = client.take()?;
    let requests = (outcome.latencies.len() as f64).max(1.0);
    Ok(Tail {
        outcome,
        server_ns: (after.0 - before.0) * 1e3 / requests,
        client_ns: (after.1 - before.1) / requests,
    })
}

fn rows(name: &str, series: &[Series<Tail>], table: &mut Table) -> Result<()> {
    let turns = || series.iter().flat_map(|series| &series.turns);
    let quiet = sum(turns().map(|turn| &turn.before))?;
    let mut cells = vec![name.to_owned()];
    for (share, _) in QUANTILES {
        cells.extend([latency(&quiet, share), String::new()]);
    }
    cells.push(cell(turns().map(|turn| turn.before.server_ns), 0));
    cells.push(cell(turns().map(|turn| turn.before.client_ns), 0));
    cells.push(quiet.failed.to_string());
    table.row(cells);
    for Series { beside, turns } in series {
        let with = sum(turns.iter().map(|turn| &turn.with))?;
        let mut cells = vec![format!("— {}", beside.name())];
        for (share, _) in QUANTILES {
            let ratio = |turn: &Turn<Tail>| turn.ratio(|tail| tail.outcome.quantile_us(share));
            let counts = |turn: &&Turn<Tail>| turn.with.outcome.reaches(share);
            cells.push(latency(&with, share));
            cells.push(cell(turns.iter().filter(counts).map(ratio), 2));
        }
        let more = |of: fn(&Tail) -> f64| signed(turns.iter().map(|turn| turn.more(of)));
        cells.push(more(|tail| tail.server_ns));
        cells.push(more(|tail| tail.client_ns));
        cells.push(with.failed.to_string());
        table.row(cells);
    }
    Ok(())
}

/// Returns the latency in µs; nothing if too few requests were made.
fn latency(outcome: &Outcome, share: f64) -> String {
    if !outcome.reaches(share) {
        return String::new();
    }
    format!("{:.0}", outcome.quantile_us(share))
}

fn sum<'a>(tails: impl Iterator<Item = &'a Tail>) -> Result<Outcome> {
    let mut sum = Outcome::new()?;
    for tail in tails {
        sum.add(&tail.outcome)?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_two_digits() {
        assert_eq!([12_345.0, 999.0, 45.6, 3.2].map(rounded), [12_000.0, 990.0, 45.0, 3.2]);
    }

    #[test]
    fn every_server_is_asked_for_every_size() {
        let names: Vec<String> = Case::all().iter().map(Case::name).collect();
        assert_eq!(names.len(), 12);
        assert!(names.contains(&"Apache as proxy, 1 MB".to_owned()), "{names:?}");
    }
}

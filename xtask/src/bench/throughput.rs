//! Measures the requests a second that servers answer, with each program beside them and with
//! nothing by turns, while one load generator asks on.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::beside::Beside;
use super::chart::Panel;
use super::nginx::{Load, Nginx};
use super::postgresql::PostgreSql;
use super::process::{MIB, cpu_us};
use super::redis::Redis;
use super::report::Report;
use super::table::{Table, cell, median, signed};
use super::turns::{self, PAUSE, Series, Setting, Turn};
use super::{Args, Bench, probes};
use crate::stats::Spread;
use crate::step::Step;

/// A server that its load generator keeps busy until this is dropped.
pub(super) trait Subject {
    /// Returns its name in the tables.
    fn name(&self) -> String;

    /// Returns the processes of the server. The first has started the others.
    fn server(&self) -> &[u32];

    /// Returns the process of the load generator.
    fn client(&self) -> u32;

    /// Returns the requests that the server has answered so far.
    fn count(&mut self) -> Result<f64>;
}

/// What was counted in one turn.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// Requests a second.
    rate: f64,
    /// Processor time of the server for each request, ns.
    server_ns: f64,
    /// Processor time of the client for each request, ns: the hooks of its sockets are in it.
    client_ns: f64,
}

impl Counted {
    /// Time on the clock for each request, ns.
    fn elapsed_ns(&self) -> f64 {
        1e9 / self.rate
    }
}

/// Time in which a watch has suspended the hooks of accept, where very many connections come.
const RUSH: Duration = Duration::from_secs(4);

/// The heading of the tables.
const HEADING: &str = "Throughput";

pub(super) fn run(bench: &Bench, args: &Args, report: &mut Report) -> Result<()> {
    let Some(nginx) = Nginx::start(bench)? else { return Ok(()) };
    let besides = Beside::chosen(&args.beside, &bench.builds);
    let loads =
        Load::ALL.into_iter().filter(|load| args.load.is_empty() || args.load.contains(load));
    let loads: Vec<Load> = loads.collect();
    for &load in &loads {
        let mut loaded = nginx.load_on(load)?;
        measure(bench, &mut loaded, load == Load::KeepAlive, &besides, report)?;
        loaded.end()?;
    }
    probes::run(bench, &nginx, &loads, &besides)
}

/// Measures databases under their own load generators.
pub(super) fn databases(bench: &Bench, args: &Args, report: &mut Report) -> Result<()> {
    let besides = Beside::chosen(&args.beside, &bench.builds);
    if let Some(mut redis) = Redis::start()? {
        measure(bench, &mut redis, true, &besides, report)?;
    }
    if let Some(mut postgresql) = PostgreSql::start(bench)? {
        measure(bench, &mut postgresql, true, &besides, report)?;
    }
    Ok(())
}

/// Measures one server. A watch is given the time to suspend hooks: longer on connections that stay
/// open.
fn measure(
    bench: &Bench,
    subject: &mut dyn Subject,
    stays_open: bool,
    besides: &[Beside],
    report: &mut Report,
) -> Result<()> {
    let (name, rounds) = (subject.name(), bench.extent.rounds);
    let step = Step::start(format_args!("{name}, {rounds} rounds"));
    let lead = |beside: &Beside| match bench.extent.lead {
        Some(lead) => lead,
        None if !beside.suspends() => PAUSE,
        None if stays_open => bench.extent.settle,
        None => PAUSE.max(RUSH),
    };
    let window = Duration::from_secs(bench.extent.seconds);
    let pids = subject.server().to_vec();
    let setting = Setting { pids: &pids, lead: &lead, rounds };
    let series = turns::run(bench, besides, &setting, || count(subject, window))?;
    step.done("measured");
    report.panels.push(panel(&name, &series));
    report.table(HEADING, table(&name, &series));
    if let Some(table) = builds(&series) {
        report.table(HEADING, table);
    }
    Ok(())
}

fn count(subject: &mut dyn Subject, window: Duration) -> Result<Counted> {
    // Counting may wait, so the clock is read after it.
    let requests = subject.count()?;
    let (begin, before) = (Instant::now(), spent_ns(subject)?);
    sleep(window);
    let requests = (subject.count()? - requests).max(1.0);
    let (took, after) = (begin.elapsed().as_secs_f64(), spent_ns(subject)?);
    Ok(Counted {
        rate: requests / took,
        server_ns: (after.0 - before.0) / requests,
        client_ns: (after.1 - before.1) / requests,
    })
}

/// Returns the processor time of server and client so far, ns.
fn spent_ns(subject: &dyn Subject) -> Result<(f64, f64)> {
    let mut server = 0.0;
    for pid in subject.server() {
        server += cpu_us(*pid)? * 1e3;
    }
    Ok((server, cpu_us(subject.client())? * 1e3))
}

fn table(name: &str, series: &[Series<Counted>]) -> Table {
    let mut table = Table::new(&[
        name,
        "a second",
        "ratio (p10 to p90)",
        "ns more",
        "server's ns",
        "client's ns",
        "CPU %",
        "RSS MiB",
        "lost",
    ]);
    let quiet = || series.iter().flat_map(|series| &series.turns).map(|turn| turn.before);
    table.row(vec![
        "nothing".to_owned(),
        cell(quiet().map(|counted| counted.rate), 0),
        String::new(),
        cell(quiet().map(|counted| counted.elapsed_ns()), 0),
        cell(quiet().map(|counted| counted.server_ns), 0),
        cell(quiet().map(|counted| counted.client_ns), 0),
    ]);
    for Series { beside, turns } in series {
        let own = || turns.iter().filter_map(|turn| turn.own);
        let mut cells = vec![
            beside.name(),
            cell(turns.iter().map(|turn| turn.with.rate), 0),
            cell(turns.iter().map(|turn| turn.ratio(|counted| counted.rate)), 3),
        ];
        cells.extend(more(turns));
        if own().next().is_some() {
            cells.push(median(own().map(|own| own.cpu * 100.0), 1));
            cells.push(median(own().map(|own| own.rss_bytes / MIB), 1));
            cells.push(own().map(|own| own.lost).sum::<u64>().to_string());
        }
        table.row(cells);
    }
    table
}

/// Returns the loss of requests a second with each program.
fn panel(name: &str, series: &[Series<Counted>]) -> Panel {
    let loss = |turn: &Turn<Counted>| (1.0 - turn.ratio(|counted| counted.rate)) * 100.0;
    let bars = series.iter().filter_map(|Series { beside, turns }| {
        Spread::wide(turns.iter().map(loss)).map(|spread| (beside.name(), spread))
    });
    Panel { title: name.to_owned(), bars: bars.collect() }
}

/// The figures that a request has more: on the clock, of the server and of the client.
const FIGURES: [fn(&Counted) -> f64; 3] =
    [Counted::elapsed_ns, |counted| counted.server_ns, |counted| counted.client_ns];

fn more(turns: &[Turn<Counted>]) -> [String; 3] {
    FIGURES.map(|of| signed(turns.iter().map(|turn| turn.more(of))))
}

/// Compares each build of backscope with the first, round by round.
fn builds(series: &[Series<Counted>]) -> Option<Table> {
    let mut table = Table::new(&["ns more than", "on the clock", "server's ns", "client's ns"]);
    for (at, Series { beside, turns }) in series.iter().enumerate() {
        let Beside::Watch { options, watched, .. } = beside else { continue };
        let is_first = |other: &&Series<Counted>| match &other.beside {
            Beside::Watch { options: others, watched: whom, .. } => {
                (others, whom) == (options, watched)
            }
            _ => false,
        };
        let Some(first) = series[..at].iter().find(is_first) else { continue };
        let Beside::Watch { build: other, .. } = &first.beside else { continue };
        let pairs = || turns.iter().zip(&first.turns);
        let mut cells = vec![format!("{} than {}", beside.name(), other.name)];
        cells.extend(
            FIGURES.map(|of| signed(pairs().map(|(turn, first)| turn.more(of) - first.more(of)))),
        );
        table.row(cells);
    }
    (!table.rows.is_empty()).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::super::beside::{Build, Watched};
    use super::*;

    fn series(name: &str, server_ns: f64) -> Series<Counted> {
        let quiet = Counted { rate: 100_000.0, server_ns: 6_000.0, client_ns: 3_000.0 };
        let with = Counted { server_ns, ..quiet };
        let build = Build { name: name.to_owned(), program: "/a".into() };
        let turn = Turn { before: quiet, with, after: quiet, own: None };
        Series {
            beside: Beside::Watch {
                build,
                options: &["--detail", "queues"],
                watched: Watched::Server,
            },
            turns: vec![turn],
        }
    }

    #[test]
    fn builds_are_compared_with_the_first() {
        let both = [series("old", 6_500.0), series("new", 6_300.0)];
        let compared = builds(&both).expect("two builds");
        assert_eq!(compared.rows.len(), 1);
        assert_eq!(compared.rows[0][0], "new: watch --detail queues than old");
        assert_eq!(compared.rows[0][2], "-200 (-200 to -200)");
        assert!(builds(&both[..1]).is_none());
        assert_eq!(table("nginx", &both).rows.len(), 3);
    }
}

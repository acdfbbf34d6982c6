//! Measures one connection or one request, in pairs without and with a watch, and reports the
//! agent's own figures.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::nginx::{Load, Nginx};
use super::observer::{self, Observer};
use super::process::{MIB, children_cpu_us, cpu_us};
use super::{Bench, row};
use crate::stats::{Pair, Spread, Taken};
use crate::step::{self, Step};

const JSON: [&str; 3] = ["--json", "--detail", "queues"];
const LOCALHOST: &str = "127.0.0.1";

pub(super) fn run(bench: &Bench) -> Result<()> {
    let mut pairs = Pairs { bench, own: Own::default() };
    let mut lines = vec![pairs.control()?, pairs.unwatched()?, pairs.watched()?];
    lines.extend(pairs.keep_alive()?);
    pairs.own_cost()?;
    pairs.print(&lines)
}

/// One line of the table.
struct Line {
    what: &'static str,
    pairs: Vec<(Taken, Taken)>,
}

impl Line {
    fn print(&self, quantity: &str, of: fn(&Taken) -> f64) {
        let pairs: Vec<Pair> =
            self.pairs.iter().map(|(without, with)| (of(without), of(with))).collect();
        let (without, with) = (
            Spread::of(pairs.iter().map(|pair| pair.0)),
            Spread::of(pairs.iter().map(|pair| pair.1)),
        );
        let (Some(without), Some(with), Some(ratio)) = (without, with, Spread::of_ratios(&pairs))
        else {
            return;
        };
        println!(
            "{:<42} {quantity:<8} {:>9.2} {:>9.2}  {:.3} ({:.3} to {:.3})",
            self.what, without.median, with.median, ratio.median, ratio.low, ratio.high
        );
    }
}

/// Figures from the summaries of the watches.
#[derive(Default)]
struct Own {
    attach_us: Vec<f64>,
    rss_bytes: Vec<f64>,
    probe_ns: Vec<f64>,
    /// Runs of probes for each accepted connection.
    runs_each: Vec<f64>,
    /// CPU time of the agent for each accepted connection, µs.
    agent_us_each: Vec<f64>,
    lost: u64,
}

struct Pairs<'a> {
    bench: &'a Bench,
    own: Own,
}

impl Pairs<'_> {
    /// Measures without a watch on both sides of the pair: this shows how far from 1 a ratio gets
    /// by chance.
    fn control(&mut self) -> Result<Line> {
        let (server, port) = self.bench.server(&["slow-acceptor", "--accept-delay", "0s"])?;
        let pid = server.0.id();
        let pairs = self
            .alternate("connections without any watch", None, |bench| connect(bench, pid, port))?;
        Ok(Line { what: "control: no watch on either side", pairs })
    }

    /// A connection to a server that nobody watches, while another is watched.
    fn unwatched(&mut self) -> Result<Line> {
        let (server, port) = self.bench.server(&["slow-acceptor", "--accept-delay", "0s"])?;
        let (idle, _) = self.bench.server(&["never-accept"])?;
        let pid = server.0.id();
        let pairs =
            self.alternate("connections to an unwatched server", Some(idle.0.id()), |bench| {
                connect(bench, pid, port)
            })?;
        Ok(Line { what: "connection, unwatched", pairs })
    }

    /// A connection with one request and one response, to a server that is watched.
    fn watched(&mut self) -> Result<Line> {
        let (server, port) =
            self.bench.server(&["slow-acceptor", "--accept-delay", "0s", "--reply"])?;
        let pid = server.0.id();
        let pairs = self.alternate("connections to a watched server", Some(pid), |bench| {
            connect(bench, pid, port)
        })?;
        Ok(Line { what: "connection with a request, watched", pairs })
    }

    /// A request on a connection that stays open, to an nginx that is watched.
    fn keep_alive(&mut self) -> Result<Option<Line>> {
        let Some(nginx) = Nginx::start(self.bench)? else { return Ok(None) };
        let pairs =
            self.alternate("requests to a watched nginx under wrk", Some(nginx.pid()), |bench| {
                let before = spent_us(nginx.pid())?;
                let answered = nginx.load(Load::KeepAlive, bench.extent.seconds)?;
                let cpu = spent_us(nginx.pid())? - before;
                Ok(Taken { elapsed: 1e6 / answered.rate, cpu: cpu / answered.requests })
            })?;
        Ok(Some(Line { what: "keep-alive request, nginx watched", pairs }))
    }

    /// Measures the time of a run of the probes. The watch is long enough for the kernel's
    /// statistics, which are on for one refresh in eight.
    fn own_cost(&mut self) -> Result<()> {
        let step = Step::start("the probes themselves");
        let (server, port) =
            self.bench.server(&["slow-acceptor", "--accept-delay", "0s", "--reply"])?;
        for _ in 0..self.bench.extent.pairs.div_ceil(3) {
            let options = [&JSON[..], &["--interval", "100ms"]].concat();
            let watch =
                Observer::watch(self.bench, self.bench.backscope(), &[server.0.id()], &options)?;
            let mut load = Command::new(&self.bench.demo);
            let seconds = format!("{}s", 2 * self.bench.extent.seconds);
            load.args(["load", "--target", &format!("{LOCALHOST}:{port}"), "--duration", &seconds]);
            step::output(load.args(["--connections", "100000000", "--concurrency", "4"]))?;
            let summary = self.note(watch)?;
            let number = |pointer: &str| summary.pointer(pointer).and_then(Value::as_f64);
            self.own.probe_ns.extend(number("/overhead/probe_ns_avg"));
            let accepted = number("/accepted").context("the summary names no accepts")?.max(1.0);
            self.own.runs_each.extend(number("/overhead/probe_runs").map(|runs| runs / accepted));
            self.own
                .agent_us_each
                .extend(number("/overhead/agent_cpu_us").map(|spent| spent / accepted));
        }
        step.done("measured");
        Ok(())
    }

    /// Measures without and with `watch --pid` in turn. The order changes from pair to pair, so
    /// that no drift favours either side.
    fn alternate(
        &mut self,
        what: &str,
        pid: Option<u32>,
        measure: impl Fn(&Bench) -> Result<Taken>,
    ) -> Result<Vec<(Taken, Taken)>> {
        let step = Step::start(format_args!("{what}, {} pairs", self.bench.extent.pairs));
        measure(self.bench)?;
        let mut pairs = Vec::new();
        for turn in 0..self.bench.extent.pairs {
            let before = (turn % 2 == 0).then(|| measure(self.bench)).transpose()?;
            let watch = pid
                .map(|pid| Observer::watch(self.bench, self.bench.backscope(), &[pid], &JSON))
                .transpose()?;
            let with = measure(self.bench)?;
            watch.map(|watch| self.note(watch)).transpose()?;
            let without = before.map_or_else(|| measure(self.bench), Ok)?;
            pairs.push((without, with));
        }
        step.done("measured");
        Ok(pairs)
    }

    /// Ends a watch and keeps the figures of its summary.
    fn note(&mut self, watch: Observer) -> Result<Value> {
        let text = watch.finish()?;
        let summary = observer::summary(&text)?;
        self.own.attach_us.push(observer::attach_us(&text)?);
        self.own
            .rss_bytes
            .extend(summary.pointer("/overhead/agent_rss_bytes").and_then(Value::as_f64));
        self.own.lost += summary.pointer("/events/lost").and_then(Value::as_u64).unwrap_or(0);
        Ok(summary)
    }

    fn print(&self, lines: &[Line]) -> Result<()> {
        println!(
            "{:<42} {:<8} {:>9} {:>9}  RATIO (QUARTILES)",
            "µs FOR EACH", "", "WITHOUT", "WITH"
        );
        for line in lines {
            line.print("elapsed", |taken| taken.elapsed);
            line.print("CPU", |taken| taken.cpu);
        }
        println!();
        row("attach", &self.own.attach_us, 1e3, "ms");
        row("memory of the agent, resident", &self.own.rss_bytes, MIB, "MiB");
        row("run of a probe", &self.own.probe_ns, 1.0, "ns");
        row("runs of probes for each watched connection", &self.own.runs_each, 1.0, "");
        row("CPU of the agent for each watched connection", &self.own.agent_us_each, 1.0, "µs");
        println!(
            "{:<48} {:>11.2} MiB",
            "binary",
            fs::metadata(self.bench.backscope())?.len() as f64 / MIB
        );
        println!("{:<48} {:>11}", "records lost", self.own.lost);
        println!();
        Ok(())
    }
}

/// Measures the time of a connection, four at a time.
fn connect(bench: &Bench, server: u32, port: u16) -> Result<Taken> {
    let count = bench.extent.connections;
    let mut load = Command::new(&bench.demo);
    load.args(["load", "--target", &format!("{LOCALHOST}:{port}"), "--concurrency", "4"]);
    load.args(["--connections", &count.to_string()]);
    let (begin, before) = (Instant::now(), spent_us(server)?);
    let said = step::output(&mut load)?;
    let (took, cpu) = (begin.elapsed(), spent_us(server)? - before);
    if said.trim() != format!("connected {count} failed 0") {
        bail!("the load did not get through: {}", said.trim());
    }
    Ok(Taken { elapsed: took.as_secs_f64() * 1e6 / count as f64, cpu: cpu / count as f64 })
}

/// Returns the CPU time so far of the server and of every process that was started and has ended,
/// µs.
fn spent_us(server: u32) -> Result<f64> {
    Ok(cpu_us(server)? + children_cpu_us())
}

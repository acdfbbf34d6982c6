//! `cargo xtask bench`: what watching costs, by measurements with and without it in turns. No pass,
//! no fail.

mod answer;
mod attach;
mod beside;
mod chart;
mod connections;
mod counter;
mod fixed_rate;
mod instructions;
mod kernel;
mod nginx;
mod observer;
mod pairs;
mod postgresql;
mod probes;
mod process;
mod publish;
mod redis;
mod report;
mod table;
mod tail;
mod throughput;
mod turns;
mod web;

use std::cell::OnceCell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use self::beside::{Build, Kind};
use self::nginx::{Load, Nginx};
use self::report::Report;

use crate::background::Background;
use crate::step::{self, Step};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Pairs of measurements
    #[arg(long, value_name = "N", default_value_t = 15)]
    pairs: usize,
    /// Rounds of throughput: in each, nginx is measured with each program beside it, and with
    /// nothing between any two
    #[arg(long, value_name = "N", default_value_t = 10)]
    rounds: usize,
    /// Seconds for which requests are counted in each turn [default: 3; with --quick 1]
    #[arg(long, value_name = "N")]
    window: Option<u64>,
    /// Seconds from the attach to the count [default: 1; with a watch 4, on connections that stay
    /// open 13: by then it has detached the hooks that it does not need]
    #[arg(long, value_name = "N")]
    lead: Option<u64>,
    /// Put this load alone on nginx; repeatable
    #[arg(long, value_enum, value_name = "LOAD")]
    load: Vec<Load>,
    /// Measure only those latencies whose name has this in it: "nginx as proxy"
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,
    /// Run this program alone beside the server; repeatable
    #[arg(long, value_enum, value_name = "PROGRAM")]
    beside: Vec<Kind>,
    /// Measure this program instead of building backscope; repeatable, to compare builds in the
    /// same run
    #[arg(long, value_name = "[NAME=]PATH", value_parser = Build::parse)]
    backscope: Vec<Build>,
    /// Open connections to measure memory with [default: 100000; with --quick none]
    #[arg(long, value_name = "N")]
    connections: Option<usize>,
    /// Seconds for which each real server is loaded
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Measure this part alone; repeatable
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// A few short measurements: a look, no figures to quote
    #[arg(long)]
    quick: bool,
    /// Write the results of throughput, databases, attach and tail into docs/benchmarks.md, with a
    /// chart; measures these alone by default
    #[arg(long)]
    publish: bool,
    /// Leave what --publish writes in this folder; set when this runs itself as root
    #[arg(long, value_name = "DIR", hide = true)]
    leave: Option<PathBuf>,
    /// The programs to measure; set when this runs itself as root in a network namespace of its own
    #[arg(long, value_name = "DIR", hide = true)]
    programs: Option<PathBuf>,
    /// Hold so many connections to --port open; set when this starts itself as a client
    #[arg(long, value_name = "N", hide = true, requires = "port")]
    hold: Option<usize>,
    /// See --hold
    #[arg(long, hide = true)]
    port: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// One connection or request, attach, memory, size
    Pairs,
    /// Requests a second of nginx, and the probes one by one
    Throughput,
    /// Requests a second of Redis and PostgreSQL
    Databases,
    /// Attach and detach under load
    Attach,
    /// Latency at a fixed rate
    Tail,
    /// Memory with many connections open
    Connections,
    /// Output of watch for each real server under load
    Servers,
    /// Instructions for a request on each tier, in a virtual machine
    Instructions,
}

impl Part {
    /// Returns whether `--publish` writes its results.
    fn is_published(self) -> bool {
        matches!(self, Self::Throughput | Self::Databases | Self::Attach | Self::Tail)
    }
}

/// Extent of the measurements.
struct Extent {
    pairs: usize,
    rounds: usize,
    /// Connections of one measurement.
    connections: u64,
    /// Length of one measurement.
    seconds: u64,
    /// Connections to hold open.
    open: Option<usize>,
    /// Length of the load on each real server.
    load_seconds: u64,
    /// Time for a watch on open connections to detach the hooks that it does not need.
    settle: Duration,
    /// Time from the attach to the count, if it is given.
    lead: Option<Duration>,
}

impl Args {
    fn extent(&self) -> Extent {
        if self.quick {
            Extent {
                pairs: 3,
                rounds: 2,
                connections: 5_000,
                seconds: self.window.unwrap_or(1),
                open: self.connections,
                load_seconds: 3,
                settle: Duration::from_secs(1),
                lead: self.lead.map(Duration::from_secs),
            }
        } else {
            let (pairs, rounds) = (self.pairs.max(1), self.rounds.max(1));
            let open = Some(self.connections.unwrap_or(100_000));
            let settle = Duration::from_secs(13);
            Extent {
                pairs,
                rounds,
                connections: 20_000,
                seconds: self.window.unwrap_or(3).max(1),
                open,
                load_seconds: self.seconds,
                settle,
                lead: self.lead.map(Duration::from_secs),
            }
        }
    }

    fn includes(&self, part: Part) -> bool {
        if self.only.is_empty() {
            return !self.publish || part.is_published();
        }
        self.only.contains(&part)
    }

    /// Returns the loads to put on nginx.
    fn loads(&self) -> Vec<Load> {
        let is_chosen = |load: &Load| self.load.is_empty() || self.load.contains(load);
        Load::ALL.into_iter().filter(is_chosen).collect()
    }

    /// Returns the programs to run beside the server, which are these by default.
    fn beside_or<'a>(&'a self, kinds: &'a [Kind]) -> &'a [Kind] {
        if self.beside.is_empty() { kinds } else { &self.beside }
    }

    /// Returns the builds to measure.
    fn builds(&self, programs: &Path) -> Vec<Build> {
        if self.backscope.is_empty() {
            return vec![Build { name: String::new(), program: programs.join("backscope") }];
        }
        self.backscope.clone()
    }

    /// Returns whether programs of the checkout are measured or measure.
    fn needs_build(&self) -> bool {
        let is_bare = |part: &Part| part.is_published() || *part == Part::Instructions;
        let parts = || Part::value_variants().iter().filter(|part| self.includes(**part));
        self.backscope.is_empty() || !parts().all(is_bare)
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if let (Some(count), Some(port)) = (args.hold, args.port) {
        return connections::hold(count, port);
    }
    if let Some(programs) = &args.programs {
        let dir = std::env::temp_dir().join(format!("backscope-bench-{}", std::process::id()));
        fs::create_dir(&dir)?;
        let outcome = Bench::new(programs, &dir, args).and_then(|bench| measure(&bench, args));
        fs::remove_dir_all(&dir)?;
        return outcome;
    }
    if args.includes(Part::Instructions) && !args.quick {
        instructions::run()?;
        if args.only == [Part::Instructions] {
            return Ok(());
        }
    }
    if args.needs_build() {
        let step = Step::start("building backscope and the demo servers, with optimisation");
        let mut build = step::cargo();
        build.current_dir(step::root()).args(["build", "--quiet", "--release", "--bins"]);
        step::run(build.args([
            "-p",
            "backscope",
            "-p",
            "backscope-demo-servers",
            "-p",
            "backscope-tests",
        ]))?;
        step.done("built");
    }
    let mut inside = step::privileged("unshare", "measure in namespaces of its own");
    // Runs with the same arguments again, and with the place of the programs.
    inside
        .args(["--net", "--mount"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1));
    inside.arg("--programs").arg(step::target_dir().join("release"));
    if !args.publish {
        return step::run(&mut inside);
    }
    let folder = step::target_dir().join("bench");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    step::run(inside.arg("--leave").arg(&folder))?;
    publish::write(&folder)
}

fn measure(bench: &Bench, args: &Args) -> Result<()> {
    let mut report = Report::default();
    if args.includes(Part::Pairs) {
        pairs::run(bench)?;
    }
    if args.includes(Part::Throughput) {
        throughput::run(bench, args, &mut report)?;
    }
    if args.includes(Part::Databases) {
        throughput::databases(bench, args, &mut report)?;
    }
    if args.includes(Part::Attach) {
        attach::run(bench, args, &mut report)?;
    }
    if args.includes(Part::Tail) {
        tail::run(bench, args, &mut report)?;
    }
    match bench.extent.open {
        Some(count) if args.includes(Part::Connections) => connections::run(bench, count.max(2))?,
        _ => {}
    }
    if args.includes(Part::Servers) {
        servers(bench)?;
    }
    args.leave.as_ref().map_or(Ok(()), |folder| publish::leave(&report, &bench.extent, folder))
}

/// Loads the real servers of the end-to-end tests, one after the other.
fn servers(bench: &Bench) -> Result<()> {
    let seconds = bench.extent.load_seconds;
    let step = Step::start(format_args!(
        "real servers, each loaded for {seconds} s and watched with --json"
    ));
    let mut load = Command::new(&bench.load_servers);
    step::run(load.arg(seconds.to_string()).env("BACKSCOPE_BIN", bench.backscope()))?;
    step.done("measured");
    Ok(())
}

/// Programs and settings with which every part measures.
struct Bench {
    /// The builds of backscope. There is at least one.
    builds: Vec<Build>,
    demo: PathBuf,
    load_servers: PathBuf,
    /// Folder for files, removed when the bench ends.
    dir: PathBuf,
    extent: Extent,
    /// A server to watch beside the one that is measured, once it is asked for.
    idle: OnceCell<Background>,
}

impl Bench {
    fn new(programs: &Path, dir: &Path, args: &Args) -> Result<Self> {
        step::run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        mount_tracing();
        // Tens of thousands of connections in TIME_WAIT would hold every local port. The
        // measurement would then be of the search for a free one.
        fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0")
            .context("cannot switch TIME_WAIT off")?;
        fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65000")
            .context("cannot widen the port range")?;
        let [demo, load_servers] =
            ["demo-servers", "load-servers"].map(|program| programs.join(program));
        let (builds, extent) = (args.builds(programs), args.extent());
        Ok(Self { builds, demo, load_servers, dir: dir.to_owned(), extent, idle: OnceCell::new() })
    }

    /// Returns the build that is measured where only one is.
    fn backscope(&self) -> &Path {
        &self.builds[0].program
    }

    /// Starts a demo server on a free port of loopback, and returns it with the port.
    fn server(&self, words: &[&str]) -> Result<(Background, u16)> {
        let mut command = Command::new(&self.demo);
        command
            .args(words)
            .args(["--listen", "127.0.0.1:0", "--backlog", "1024"])
            .stdout(Stdio::piped());
        let mut server = Background::start(&mut command)?;
        let mut lines =
            BufReader::new(server.0.stdout.take().context("the server has no output")?).lines();
        let line = lines.next().context("the server ended before it listened")??;
        let address = line
            .strip_prefix("listening on ")
            .context("the server does not say where it listens")?;
        let address = address.split_whitespace().next().unwrap_or_default();
        let (_, port) = address.rsplit_once(':').context("the server names no port")?;
        Ok((server, port.parse().context("the server names no port")?))
    }

    /// Returns a server that nobody uses.
    fn idle_server(&self) -> Result<u32> {
        if let Some(idle) = self.idle.get() {
            return Ok(idle.0.id());
        }
        let idle = Nginx::idle(&self.dir)?;
        Ok(self.idle.get_or_init(|| idle).0.id())
    }
}

/// Mounts the tracepoints' files where the programs beside look for them, in this mount namespace
/// alone. A program that does not find them is left out.
fn mount_tracing() {
    for (kind, place) in [("tracefs", "/sys/kernel/tracing"), ("debugfs", "/sys/kernel/debug")] {
        let is_there = fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some());
        if !is_there {
            let mut mount = Command::new("mount");
            let _ = mount.args(["-t", kind, kind, place]).stderr(Stdio::null()).status();
        }
    }
}

/// A line of the table: the median with the quartiles.
fn row(what: &str, values: &[f64], scale: f64, unit: &str) {
    use crate::stats::Spread;
    match Spread::of(values.iter().map(|value| value / scale)) {
        Some(Spread { low, median, high }) => {
            println!("{what:<48} {median:>11.2} {unit} ({low:.2} to {high:.2})")
        }
        None => println!("{what:<48} {:>11}", "unknown"),
    }
}

//! `cargo xtask bench`: what watching costs, by pairs of measurements with and without it. No pass, no fail.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::background::Background;
use crate::stats::{Pair, Spread, Taken};
use crate::step::{self, Step};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Pairs of measurements
    #[arg(long, value_name = "N", default_value_t = 15)]
    pairs: usize,
    /// Three pairs of short measurements: a look, no figures to quote
    #[arg(long)]
    quick: bool,
    /// The programs to measure; set when this runs itself as root in a network namespace of its own
    #[arg(long, value_name = "DIR", hide = true)]
    programs: Option<PathBuf>,
}

/// How much is measured.
struct Extent {
    pairs: usize,
    connections: u64,
    seconds: u64,
}

impl Args {
    fn extent(&self) -> Extent {
        if self.quick {
            Extent { pairs: 3, connections: 5_000, seconds: 1 }
        } else {
            Extent { pairs: self.pairs.max(1), connections: 20_000, seconds: 3 }
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(programs) = &args.programs {
        let dir = std::env::temp_dir().join(format!("backscope-bench-{}", std::process::id()));
        fs::create_dir(&dir)?;
        let outcome = Bench::new(programs, &dir, args.extent()).and_then(Bench::run);
        fs::remove_dir_all(&dir)?;
        return outcome;
    }
    let step = Step::start("building backscope and the demo servers, with optimisation");
    let mut build = step::cargo();
    build.current_dir(step::root()).args(["build", "--quiet", "--release", "-p", "backscope", "-p", "demo-servers"]);
    step::run(&mut build)?;
    step.done("built");
    let mut inside = step::privileged("unshare", "measure in a network namespace of its own");
    inside.arg("--net").arg(std::env::current_exe()?).args(["bench", "--programs"]);
    inside.arg(step::target_dir().join("release")).args(["--pairs", &args.pairs.to_string()]);
    if args.quick {
        inside.arg("--quick");
    }
    step::run(&mut inside)
}

/// One line of the table.
struct Line {
    what: &'static str,
    pairs: Vec<(Taken, Taken)>,
}

impl Line {
    fn print(&self, quantity: &str, of: fn(&Taken) -> f64) {
        let pairs: Vec<Pair> = self.pairs.iter().map(|(without, with)| (of(without), of(with))).collect();
        let (without, with) =
            (Spread::of(pairs.iter().map(|pair| pair.0)), Spread::of(pairs.iter().map(|pair| pair.1)));
        let (Some(without), Some(with), Some(ratio)) = (without, with, Spread::of_ratios(&pairs)) else { return };
        println!(
            "{:<42} {quantity:<8} {:>9.2} {:>9.2}  {:.3} ({:.3} to {:.3})",
            self.what, without.median, with.median, ratio.median, ratio.low, ratio.high
        );
    }
}

/// What the summaries of the watches said.
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

struct Bench {
    backscope: PathBuf,
    demo: PathBuf,
    /// For files that are gone when the bench ends.
    dir: PathBuf,
    extent: Extent,
    own: Own,
}

impl Bench {
    fn new(programs: &Path, dir: &Path, extent: Extent) -> Result<Self> {
        step::run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        // Tens of thousands of closed connections would hold every local port, and the search for a free one would be
        // what is measured.
        fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0").context("cannot switch TIME_WAIT off")?;
        fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65000").context("cannot widen the port range")?;
        let (backscope, demo) = (programs.join("backscope"), programs.join("demo-servers"));
        Ok(Self { backscope, demo, dir: dir.to_owned(), extent, own: Own::default() })
    }

    fn run(mut self) -> Result<()> {
        let mut lines = vec![self.control()?, self.unwatched()?, self.watched()?];
        lines.extend(self.keep_alive()?);
        self.own_cost()?;
        self.print(&lines)
    }

    /// The same on both sides of the pair: how far from 1 a ratio gets by chance.
    fn control(&mut self) -> Result<Line> {
        let (server, address) = self.server(&["slow-acceptor", "--accept-delay", "0s"])?;
        let pairs = self.alternate("connections without any watch", None, |bench| bench.connect(&server, &address))?;
        Ok(Line { what: "control: no watch on either side", pairs })
    }

    /// A connection to a server that nobody watches, while another is watched.
    fn unwatched(&mut self) -> Result<Line> {
        let (server, address) = self.server(&["slow-acceptor", "--accept-delay", "0s"])?;
        let (idle, _) = self.server(&["never-accept"])?;
        let pairs = self.alternate("connections to an unwatched server", Some(idle.0.id()), |bench| {
            bench.connect(&server, &address)
        })?;
        Ok(Line { what: "connection, unwatched", pairs })
    }

    /// A connection with one request and one response, to a server that is watched.
    fn watched(&mut self) -> Result<Line> {
        let (server, address) = self.server(&["slow-acceptor", "--accept-delay", "0s", "--reply"])?;
        let pairs = self.alternate("connections to a watched server", Some(server.0.id()), |bench| {
            bench.connect(&server, &address)
        })?;
        Ok(Line { what: "connection with a request, watched", pairs })
    }

    /// A request on a connection that stays open, to an nginx that is watched.
    fn keep_alive(&mut self) -> Result<Option<Line>> {
        let (Some(nginx), Some(wrk)) = (step::which("nginx"), step::which("wrk")) else {
            eprintln!("    nginx or wrk is not installed (`cargo xtask setup`): no keep-alive requests measured");
            return Ok(None);
        };
        self.nginx_under_wrk(&nginx, &wrk).map(Some)
    }

    fn nginx_under_wrk(&mut self, nginx: &Path, wrk: &Path) -> Result<Line> {
        let config = self.dir.join("nginx.conf");
        fs::write(&config, NGINX)?;
        let mut command = Command::new(nginx);
        command.arg("-p").arg(&self.dir).arg("-c").arg(&config).args(["-e", "stderr"]).stderr(Stdio::null());
        let nginx = Background::start(&mut command)?;
        wait_for_port("127.0.0.1:8099")?;
        let seconds = self.extent.seconds;
        let pairs = self.alternate("requests to a watched nginx under wrk", Some(nginx.0.id()), |_| {
            let mut wrk = Command::new(wrk);
            wrk.args(["-t1", "-c16", &format!("-d{seconds}s"), "http://127.0.0.1:8099/"]);
            let before = cpu_us(&nginx)?;
            let said = step::output(&mut wrk)?;
            let cpu = cpu_us(&nginx)? - before;
            let rate = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
            let rate: f64 = rate.context("wrk names no rate")?.trim().parse()?;
            Ok(Taken { elapsed: 1e6 / rate, cpu: cpu / (rate * seconds as f64) })
        })?;
        Ok(Line { what: "keep-alive request, nginx watched", pairs })
    }

    /// Time a run inside the probes: a watch long enough for the kernel's statistics, which are on one refresh in eight.
    fn own_cost(&mut self) -> Result<()> {
        let step = Step::start("the probes themselves");
        let (server, address) = self.server(&["slow-acceptor", "--accept-delay", "0s", "--reply"])?;
        for _ in 0..self.extent.pairs.div_ceil(3) {
            let watch = Watch::start(self, server.0.id(), &["--interval", "100ms"])?;
            let mut load = Command::new(&self.demo);
            let seconds = format!("{}s", 2 * self.extent.seconds);
            load.args(["load", "--target", &address, "--connections", "100000000", "--duration", &seconds]);
            step::output(load.arg("--concurrency").arg("4"))?;
            let summary = self.note(watch)?;
            let number = |pointer: &str| summary.pointer(pointer).and_then(Value::as_f64);
            self.own.probe_ns.extend(number("/overhead/probe_ns_avg"));
            let accepted = number("/accepted").context("the summary names no accepts")?.max(1.0);
            self.own.runs_each.extend(number("/overhead/probe_runs").map(|runs| runs / accepted));
            self.own.agent_us_each.extend(number("/overhead/agent_cpu_us").map(|spent| spent / accepted));
        }
        step.done("measured");
        Ok(())
    }

    /// Measures without and with `watch --pid`, by turns, and swaps the turns so that no drift favours either.
    fn alternate(
        &mut self,
        what: &str,
        pid: Option<u32>,
        measure: impl Fn(&Self) -> Result<Taken>,
    ) -> Result<Vec<(Taken, Taken)>> {
        let step = Step::start(format_args!("{what}, {} pairs", self.extent.pairs));
        measure(self)?;
        let mut pairs = Vec::new();
        for turn in 0..self.extent.pairs {
            let before = (turn % 2 == 0).then(|| measure(self)).transpose()?;
            let watch = pid.map(|pid| Watch::start(self, pid, &[])).transpose()?;
            let with = measure(self)?;
            watch.map(|watch| self.note(watch)).transpose()?;
            let without = before.map_or_else(|| measure(self), Ok)?;
            pairs.push((without, with));
        }
        step.done("measured");
        Ok(pairs)
    }

    /// Ends a watch and keeps what it says of itself.
    fn note(&mut self, watch: Watch) -> Result<Value> {
        self.own.attach_us.push(watch.attach_us);
        let summary = watch.finish()?;
        self.own.rss_bytes.extend(summary.pointer("/overhead/agent_rss_bytes").and_then(Value::as_f64));
        self.own.lost += summary.pointer("/events/lost").and_then(Value::as_u64).unwrap_or(0);
        Ok(summary)
    }

    fn server(&self, words: &[&str]) -> Result<(Background, String)> {
        let mut command = Command::new(&self.demo);
        command.args(words).args(["--listen", "127.0.0.1:0", "--backlog", "1024"]).stdout(Stdio::piped());
        let mut server = Background::start(&mut command)?;
        let mut lines = BufReader::new(server.0.stdout.take().context("the server has no output")?).lines();
        let line = lines.next().context("the server ended before it listened")??;
        let address = line.strip_prefix("listening on ").context("the server does not say where it listens")?;
        Ok((server, address.split_whitespace().next().unwrap_or_default().to_owned()))
    }

    /// What a connection takes, four at a time.
    fn connect(&self, server: &Background, address: &str) -> Result<Taken> {
        let count = self.extent.connections;
        let mut load = Command::new(&self.demo);
        load.args(["load", "--target", address, "--concurrency", "4", "--connections", &count.to_string()]);
        let (begin, before) = (Instant::now(), cpu_us(server)?);
        let said = step::output(&mut load)?;
        let (took, cpu) = (begin.elapsed(), cpu_us(server)? - before);
        if said.trim() != format!("connected {count} failed 0") {
            bail!("the load did not get through: {}", said.trim());
        }
        Ok(Taken { elapsed: took.as_secs_f64() * 1e6 / count as f64, cpu: cpu / count as f64 })
    }

    fn print(&self, lines: &[Line]) -> Result<()> {
        println!("{:<42} {:<8} {:>9} {:>9}  RATIO (QUARTILES)", "µs FOR EACH", "", "WITHOUT", "WITH");
        for line in lines {
            line.print("elapsed", |taken| taken.elapsed);
            line.print("CPU", |taken| taken.cpu);
        }
        println!();
        row("attach", &self.own.attach_us, 1e3, "ms");
        row("memory of the agent, resident", &self.own.rss_bytes, 1024.0 * 1024.0, "MiB");
        row("run of a probe", &self.own.probe_ns, 1.0, "ns");
        row("runs of probes for each watched connection", &self.own.runs_each, 1.0, "");
        row("CPU of the agent for each watched connection", &self.own.agent_us_each, 1.0, "µs");
        println!("{:<48} {:>11.2} MiB", "binary", fs::metadata(&self.backscope)?.len() as f64 / (1024.0 * 1024.0));
        println!("{:<48} {:>11}", "records lost", self.own.lost);
        Ok(())
    }
}

fn row(what: &str, values: &[f64], scale: f64, unit: &str) {
    match Spread::of(values.iter().map(|value| value / scale)) {
        Some(Spread { low, median, high }) => println!("{what:<48} {median:>11.2} {unit} ({low:.2} to {high:.2})"),
        None => println!("{what:<48} {:>11}", "unknown"),
    }
}

/// No file is read and no line is logged: a request costs the least that nginx can make it cost.
const NGINX: &str = "daemon off; master_process off; pid nginx.pid; error_log /dev/null;
events { worker_connections 256; }
http {
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    server { listen 127.0.0.1:8099; location / { return 200 ok; } }
}
";

/// CPU time so far, µs: of the server, and of every process that was started and has ended.
fn cpu_us(server: &Background) -> Result<f64> {
    let mut total_us = 0.0;
    for task in fs::read_dir(format!("/proc/{}/task", server.0.id())).context("the server has ended")? {
        // `schedstat` begins with the nanoseconds on a processor; `stat` has ticks only.
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let ns: f64 = text.split(' ').next().unwrap_or_default().parse().context("schedstat")?;
        total_us += ns / 1e3;
    }
    // SAFETY: rusage is plain data for which all zeroes is valid, and the pointer is to one of ours.
    let children = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let us = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    Ok(total_us + us(children.ru_utime) + us(children.ru_stime))
}

fn wait_for_port(address: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            bail!("nobody listens on {address}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A running `backscope watch`. It writes into a file, as a reader at a pipe would take time from what is measured.
struct Watch {
    process: Background,
    output: PathBuf,
    attach_us: f64,
}

impl Watch {
    /// Returns once the probes are attached.
    fn start(bench: &Bench, pid: u32, options: &[&str]) -> Result<Self> {
        let output = bench.dir.join("watch.json");
        let mut command = Command::new(&bench.backscope);
        command.args(["watch", "--pid", &pid.to_string(), "--json", "--detail", "queues"]).args(options);
        let mut process = Background::start(command.stdout(File::create(&output)?))?;
        let attached = loop {
            if let Some(line) = BufReader::new(File::open(&output)?).lines().next().transpose()?
                && let Ok(object) = serde_json::from_str::<Value>(&line)
            {
                break object;
            }
            if let Some(status) = process.0.try_wait()? {
                bail!("the watch did not begin: {status}");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let attach_us = attached["attach_us"].as_f64().context("the watch does not say how long attaching took")?;
        Ok(Self { process, output, attach_us })
    }

    /// Ends it, and returns its summary.
    fn finish(mut self) -> Result<Value> {
        // SAFETY: a plain system call; the process has not been waited for, so the id is still its own.
        unsafe { libc::kill(self.process.0.id() as libc::pid_t, libc::SIGINT) };
        let status = self.process.0.wait()?;
        let last = BufReader::new(File::open(&self.output)?).lines().last().context("the watch said nothing")??;
        let summary: Value = serde_json::from_str(&last)?;
        if summary["type"] != "summary" {
            bail!("the watch ended ({status}) without a summary, with {last}");
        }
        Ok(summary)
    }
}

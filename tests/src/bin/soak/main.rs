//! Loads a watched server for minutes, and checks that the watch stays bounded and counts exactly.
//!
//! `cargo xtask soak` builds and runs it. Connections come and go as fast as the machine lets them,
//! many more stay open and idle, processes fork and execute, and network namespaces with listeners
//! and refusals of their own come and go. It says what it saw in a table, and fails if a promise is
//! broken. All of it is in a network namespace of its own.

mod agent;
mod clients;
mod guest;
mod limits;
mod report;
mod server;

use std::net::Ipv4Addr;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use backscope_tests::harness::net::{self, Counters};
use backscope_tests::harness::{Process, World};
use clap::{Parser, Subcommand};

use agent::Agent;
use report::{Loads, Report};
use server::Counts;

/// Where the server listens: for connections that stay, with a port for each of its processes that
/// keep them; for those that come and go; and never accepting.
const IDLE: u16 = 7100;
const CHURN: u16 = 7002;
const FULL: u16 = 7003;
const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Time between two forks, and between two guests.
const FORK_EVERY: Duration = Duration::from_millis(200);
const GUEST_EVERY: Duration = Duration::from_secs(5);
/// Time for what must come to an end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Loads a watched server, and checks that the watch stays bounded and counts exactly
#[derive(Parser)]
struct Args {
    /// How long connections come and go
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Connections that stay open
    #[arg(long, default_value_t = 100_000)]
    idle: usize,
    /// Print the rows of the table as JSON, too
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// Processes that it starts itself.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Serve { keepers: u16 },
    #[command(hide = true)]
    Keep { port: u16 },
    #[command(hide = true)]
    Guest,
    #[command(hide = true)]
    Hold { number: u8, count: usize },
    #[command(hide = true)]
    Churn,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.part {
        Some(Part::Serve { keepers }) => server::run(keepers).map(|()| true),
        Some(Part::Keep { port }) => server::keep(port).map(|()| true),
        Some(Part::Guest) => guest::run().map(|()| true),
        Some(Part::Hold { number, count }) => clients::hold(number, count).map(|()| true),
        Some(Part::Churn) => clients::churn().map(|()| true),
        None => soak(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program in another part.
fn start(words: &[&str]) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(words);
    Process::start(command)
}

fn soak(args: &Args) -> anyhow::Result<bool> {
    net::isolate()?;
    limits::raise(args.idle)?;
    let keepers = args.idle.div_ceil(limits::A_PROCESS);
    let mut server = start(&["serve", &keepers.to_string()])?;
    expect(&server, "listening", PATIENCE)?;
    let world = World::new(false, None);
    let mut agent = Agent::start(&world.agent(), server.pid())?;
    let before = Counters::read()?;
    eprintln!("    attached; opening {} connections that stay", args.idle);
    let holders = hold(args.idle)?;
    let begin = Instant::now();
    let churn = start(&["churn"])?;
    eprintln!("    they are open; for {} min others come and go", args.minutes);
    let length = Duration::from_secs_f64(60.0 * args.minutes);
    while begin.elapsed() < length {
        for _ in 0..GUEST_EVERY.as_millis() / FORK_EVERY.as_millis() {
            server.write_line("fork")?;
            thread::sleep(FORK_EVERY);
            agent.measure()?;
        }
        server.write_line("guest")?;
    }
    let made = stop(churn)?;
    let took = begin.elapsed();
    let counts = settle(&mut server)?;
    let refused = refusals(&before)?;
    let agrees = agent.await_accepted(&counts, PATIENCE);
    let (seen, peak) = agent.end()?;
    drop((holders, server));
    let loads = Loads { idle: args.idle, took, made, counts, refused };
    let report = Report::new(&loads, &seen, peak, agrees);
    report.print(args.json);
    Ok(report.held())
}

/// Opens so many connections that stay, and returns the processes that hold them.
fn hold(idle: usize) -> anyhow::Result<Vec<Process>> {
    let mut holders = Vec::new();
    for at in 0..idle.div_ceil(limits::A_PROCESS) {
        let count = limits::A_PROCESS.min(idle - at * limits::A_PROCESS);
        holders.push(start(&["hold", &at.to_string(), &count.to_string()])?);
    }
    for holder in &mut holders {
        expect(holder, "open", Duration::from_secs(600))
            .map_err(|error| anyhow::anyhow!("{error:#}: {}", holder.finish()))?;
    }
    Ok(holders)
}

/// Waits for a line that begins so, and returns the rest of it.
fn expect(process: &Process, begin: &str, patience: Duration) -> anyhow::Result<String> {
    let deadline = Instant::now() + patience;
    while let Some(line) = process.next_line(deadline)? {
        if let Some(rest) = line.strip_prefix(begin) {
            return Ok(rest.trim().to_owned());
        }
    }
    anyhow::bail!("{} ended before it said `{begin}`", process.name())
}

/// Ends the clients that come and go, and returns how many connections they made.
fn stop(mut churn: Process) -> anyhow::Result<u64> {
    churn.write_line("stop")?;
    let made = expect(&churn, "made", PATIENCE)?;
    let status = churn.wait(PATIENCE)?;
    ensure!(status.success(), "the clients ended with {status}: {}", churn.finish());
    made.parse().context("the clients' count")
}

/// Waits until the server's guests have ended, and returns its counts once they stand.
fn settle(server: &mut Process) -> anyhow::Result<Counts> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = None;
    loop {
        server.write_line("counts")?;
        let counts = Counts::parse(&expect(server, "counts", PATIENCE)?)?;
        if counts.guests_running == 0 && before == Some(counts) {
            return Ok(counts);
        }
        before = Some(counts);
        ensure!(Instant::now() < deadline, "the server does not come to rest: {counts:?}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// Refusals of full queues in this namespace, as the kernel counts them.
fn refusals(before: &Counters) -> anyhow::Result<u64> {
    let after = Counters::read()?;
    let since = |name| after.get(name) - before.get(name);
    let refused = since("ListenOverflows");
    let drops = since("ListenDrops");
    ensure!(drops == refused, "{drops} ListenDrops, {refused} ListenOverflows");
    Ok(refused)
}

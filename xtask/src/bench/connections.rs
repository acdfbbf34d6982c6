//! Memory with many connections open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use backscope_abi::counter;
use serde_json::Value;

use super::Bench;
use super::counter::Counters;
use super::kernel::Maps;
use super::observer::{self, Observer};
use super::process::{self, MIB};
use crate::background::Background;
use crate::step::Step;

/// Most connections of one server and of one client: nearly every system lets a process open so
/// many files.
const A_SERVER: usize = 10_000;
/// The goal: so many connections, and their state in MB at most.
const GOAL: (f64, f64) = (100_000.0, 64.0);

/// Memory of the agent and its maps with so many connections open, bytes.
#[derive(Clone, Debug)]
struct Footprint {
    connections: usize,
    /// The agent's own memory.
    own: f64,
    /// Pages of its program and of libraries that it has mapped. They are backed by files.
    program: f64,
    maps: f64,
    /// Idle connections, of which the probes keep less.
    idle: u64,
    /// An estimate of the socket storage, which the kernel does not count.
    storage: f64,
}

impl Footprint {
    fn of(watch: &mut Observer, connections: usize) -> Result<Self> {
        refresh(watch)?;
        let idle = await_idle(watch.pid(), connections as u64)?;
        // The memory for reporting the connections is freed at the refresh after the next.
        refresh(watch)?;
        let maps = Maps::of(watch.pid())?;
        Ok(Self {
            connections,
            own: process::memory(watch.pid(), "RssAnon")?,
            program: process::memory(watch.pid(), "RssFile")? - process::mapped_maps(watch.pid())?,
            maps: maps.bytes as f64,
            idle,
            storage: maps.storage(connections as u64, idle) as f64,
        })
    }

    /// Returns the memory for connections and listeners.
    fn state(&self) -> f64 {
        self.own + self.maps + self.storage
    }

    fn together(&self) -> f64 {
        self.state() + self.program
    }
}

pub(super) fn run(bench: &Bench, count: usize) -> Result<()> {
    let step = Step::start(format_args!("{count} open connections"));
    let halves = [count / 2, count - count / 2].map(shares);
    let start = |_: &usize| bench.server(&["serve", "--epoll"]);
    let servers = halves.iter().flatten().map(start).collect::<Result<Vec<_>>>()?;
    let pids: Vec<u32> = servers.iter().map(|(server, _)| server.0.id()).collect();
    let mut watch =
        Observer::watch(bench, bench.backscope(), &pids, &["--json", "--detail", "exchanges"])?;
    let mut footprints = vec![Footprint::of(&mut watch, 0)?];
    let (mut clients, mut open) = (Vec::new(), 0);
    let mut ports = servers.iter().map(|(_, port)| *port);
    for half in &halves {
        for (share, port) in half.iter().zip(&mut ports) {
            clients.push(client(*share, port)?);
            open += share;
        }
        footprints.push(Footprint::of(&mut watch, open)?);
    }
    let begin = Instant::now();
    let summary = observer::summary(&watch.finish()?)?;
    let ended = begin.elapsed();
    step.done("measured");
    print(&footprints, &summary);
    println!("{:<46} {:>8.2} s", "ending the watch", ended.as_secs_f64());
    Ok(())
}

/// Splits so many connections among servers.
fn shares(count: usize) -> Vec<usize> {
    (0..count).step_by(A_SERVER).map(|from| A_SERVER.min(count - from)).collect()
}

/// Starts a client that holds so many connections open, and returns once each has had its
/// exchanges.
fn client(count: usize, port: u16) -> Result<Background> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "--hold", &count.to_string(), "--port", &port.to_string()]);
    let mut client = Background::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let mut line = String::new();
    BufReader::new(client.0.stdout.take().context("the client has no output")?)
        .read_line(&mut line)?;
    if line.trim() != READY {
        bail!("the client did not get its connections");
    }
    Ok(client)
}

const READY: &str = "ready";

/// Runs the client: opens the connections, says so, and keeps them until its input ends.
pub(super) fn hold(count: usize, port: u16) -> Result<()> {
    process::allow_open_files()?;
    let connect = |number| -> Result<TcpStream> {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("connection {number}"))?;
        ask(&client)?;
        Ok(client)
    };
    let clients = (0..count).map(connect).collect::<Result<Vec<_>>>()?;
    // The second request ends the first exchange, which is reported; the second exchange stays
    // under way.
    clients.iter().try_for_each(ask)?;
    println!("{READY}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// One exchange with the server.
fn ask(mut client: &TcpStream) -> Result<()> {
    client.write_all(b"ask\n")?;
    client.read_exact(&mut [0; 200]).context("no answer")?;
    Ok(())
}

/// Waits for the second refresh from now on: by then the agent has looked at everything once.
fn refresh(watch: &mut Observer) -> Result<()> {
    let refreshes = |text: &str| text.matches(r#""type":"listener""#).count();
    let now = refreshes(&watch.text()?);
    watch.wait_until(|text| refreshes(text) >= now + 2)
}

/// Waits until the probes have seen that all connections are idle, without a time limit. Returns
/// the number that they hold to be idle.
fn await_idle(pid: u32, connections: u64) -> Result<u64> {
    let counters = Counters::of(pid)?;
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let idle =
            counters.get(counter::COMPACTED)?.saturating_sub(counters.get(counter::EXPANDED)?);
        if idle >= connections || Instant::now() > deadline {
            return Ok(idle);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn print(footprints: &[Footprint], summary: &Value) {
    let (Some(none), Some(full)) = (footprints.first(), footprints.last()) else { return };
    let count = full.connections as f64;
    print!("{:<46}", "MiB WITH OPEN CONNECTIONS");
    footprints.iter().for_each(|footprint| print!(" {:>8}", footprint.connections));
    println!("   BYTES FOR EACH");
    let row = |what: &str, of: fn(&Footprint) -> f64| {
        print!("{what:<46}");
        footprints.iter().for_each(|footprint| print!(" {:>8.2}", of(footprint) / MIB));
        println!(" {:>16.0}", (of(full) - of(none)) / count);
    };
    row("agent, its own memory", |footprint| footprint.own);
    row("agent, pages of its program's files", |footprint| footprint.program);
    row("maps", |footprint| footprint.maps);
    row("storage in sockets, estimated by its size", |footprint| footprint.storage);
    // This one goes without the unit of the other rows.
    print!("{:<46}", "    of so many idle connections");
    footprints.iter().for_each(|footprint| print!(" {:>8}", footprint.idle));
    println!();
    row("together", Footprint::together);
    let (many, goal) = GOAL;
    // Tables grow by doubling, and the number of detailed records is bounded. A line through two
    // points is therefore only a rough guide.
    let expected =
        |of: fn(&Footprint) -> f64| (of(none) + (of(full) - of(none)) / count * many) / 1e6;
    let roughly = if count == many { "" } else { "roughly " };
    println!(
        "With {many} connections {roughly}{:.1} MB of state, where {goal} are the goal; with the \
         pages of files {:.1}.",
        expected(Footprint::state),
        expected(Footprint::together)
    );
    let number = |pointer: &str| summary.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    println!(
        "The watch counted {} connections and {} exchanges, and lost {} records.",
        number("/connections"),
        number("/exchanges"),
        number("/events/lost")
    );
    println!();
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn no_server_has_too_many() {
        assert_eq!(shares(25_000), [10_000, 10_000, 5_000]);
        assert_eq!(shares(10_000), [10_000]);
        assert_eq!(shares(1), [1]);
    }
}

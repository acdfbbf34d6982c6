//! Memory with many connections open.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Bench;
use super::kernel::Maps;
use super::observer::{self, Observer};
use super::process::{self, MIB};
use crate::step::Step;

/// Connections to one address: fewer than there are local ports.
const AN_ADDRESS: usize = 50_000;
/// The goal: memory for so many connections, MiB.
const GOAL: (f64, f64) = (100_000.0, 64.0);

/// What the agent and its maps hold, bytes.
#[derive(Clone, Debug)]
struct Footprint {
    resident: f64,
    /// Of that, what is the process's own: not the program, nor the ring buffer, which counts among the maps too.
    own: f64,
    maps: Maps,
}

impl Footprint {
    fn of(pid: u32) -> Result<Self> {
        let (resident, own) = (process::memory(pid, "VmRSS")?, process::memory(pid, "RssAnon")?);
        Ok(Self { resident, own, maps: Maps::of(pid)? })
    }
}

pub(super) fn run(bench: &Bench, count: usize) -> Result<()> {
    let step = Step::start(format_args!("{count} open connections"));
    process::allow_open_files(count + 1_000)?;
    let (server, port) = bench.server("0.0.0.0", &["serve", "--epoll"])?;
    let mut watch = Observer::watch(bench, server.0.id(), &["--json", "--detail", "exchanges"])?;
    refresh(&mut watch)?;
    let before = Footprint::of(watch.pid())?;
    let mut clients = Vec::with_capacity(count);
    for number in 0..count {
        let ip = Ipv4Addr::LOCALHOST.to_bits() + (number / AN_ADDRESS) as u32;
        let address = SocketAddr::from((Ipv4Addr::from_bits(ip), port));
        let client = TcpStream::connect(address).with_context(|| format!("connection {number}"))?;
        clients.push(client);
        ask(&clients[number])?;
    }
    // With the second request the first exchange is over and reported, and the second is the one under way.
    clients.iter().try_for_each(ask)?;
    refresh(&mut watch)?;
    let after = Footprint::of(watch.pid())?;
    let summary = observer::summary(&watch.finish()?)?;
    step.done("measured");
    print(count, &before, &after, &summary);
    Ok(())
}

/// One exchange with the server.
fn ask(mut client: &TcpStream) -> Result<()> {
    client.write_all(b"ask\n")?;
    client.read_exact(&mut [0; 200]).context("no answer")?;
    Ok(())
}

/// Waits until the agent has looked at everything once more: for the second refresh from now on.
fn refresh(watch: &mut Observer) -> Result<()> {
    let refreshes = |text: &str| text.matches(r#""type":"listener""#).count();
    let now = refreshes(&watch.text()?);
    watch.wait_until(|text| refreshes(text) >= now + 2)
}

fn print(count: usize, before: &Footprint, after: &Footprint, summary: &Value) {
    let row = |what: &str, before: f64, after: f64| {
        println!("{what:<48} {:>9.2} {:>9.2} {:>13.0}", before / MIB, after / MIB, (after - before) / count as f64);
    };
    let storage = (after.maps.storage_a_connection() * count as u64) as f64;
    let (maps_before, maps_after) = (before.maps.bytes as f64, after.maps.bytes as f64);
    // The ring buffer is both resident and a map, so the sum is more than there is.
    let sum_before = before.resident + maps_before;
    let sum_after = after.resident + maps_after + storage;
    println!("{:<48} {:>9} {:>9} {:>13}", format!("MiB WITH {count} CONNECTIONS"), "BEFORE", "WITH", "BYTES FOR EACH");
    row("agent, resident", before.resident, after.resident);
    row("  of that its own (anonymous)", before.own, after.own);
    row("maps", maps_before, maps_after);
    row("storage in sockets (estimated by its size)", 0.0, storage);
    row("together", sum_before, sum_after);
    let (many, goal) = GOAL;
    let expected = sum_before + (sum_after - sum_before) / count as f64 * many;
    println!(
        "{:<48} {:>9} {:>9.2}  (goal: {goal} MiB)",
        format!("the same for {many} connections"),
        "",
        expected / MIB
    );
    let number = |pointer: &str| summary.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    println!(
        "the watch counted {} connections and {} exchanges, and lost {} records",
        number("/connections"),
        number("/exchanges"),
        number("/events/lost")
    );
    println!();
}

//! `backscope listeners`: every listening socket once.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;

use super::target;
use crate::{
    cli::ListenersArgs,
    model::event::{ListenerSample, UnixListener},
    sensor,
    text::{count, escape},
};

#[derive(Serialize)]
struct ListenerRow<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sock: String,
    family: &'static str,
    local: String,
    pid: u32,
    comm: &'a str,
    holders: &'a [u32],
    netns: u32,
    limit: u32,
    accept_depth: u32,
    syn_depth: u32,
    drops: u64,
    refused_at_most: Option<u64>,
    defer_accept_s: Option<u64>,
}

/// A Unix-domain socket.
#[derive(Serialize)]
struct UnixRow<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sock: String,
    family: &'static str,
    local: String,
    path: &'a str,
    pid: u32,
    comm: &'a str,
    holders: &'a [u32],
    netns: u32,
    limit: u32,
    accept_depth: u32,
    syn_depth: Option<u32>,
    drops: Option<u64>,
    refused_at_most: Option<u64>,
    defer_accept_s: Option<u64>,
}

pub(super) fn run(args: &ListenersArgs) -> anyhow::Result<ExitCode> {
    let mut target = args.target.clone();
    target.all |= target.pid.is_empty() && target.port.is_empty() && target.comm.is_none();
    let resolved = target::resolve(&target)?;
    let sample = sensor::look(&resolved.targets)?;
    let mut out = io::stdout().lock();
    if args.json {
        for listener in &sample.listeners {
            writeln!(out, "{}", serde_json::to_string(&row(listener))?)?;
        }
        for listener in &sample.unix {
            writeln!(out, "{}", serde_json::to_string(&unix_row(listener))?)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if sample.listeners.is_empty() && sample.unix.is_empty() {
        writeln!(out, "Nobody listens.")?;
    }
    if !sample.listeners.is_empty() {
        table(&mut out, &sample.listeners)?;
    }
    if !sample.unix.is_empty() {
        if !sample.listeners.is_empty() {
            writeln!(out)?;
        }
        unix_table(&mut out, &sample.unix)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(listener: &ListenerSample) -> ListenerRow<'_> {
    ListenerRow {
        kind: "listener",
        sock: listener.sock.to_string(),
        family: if listener.local.is_ipv4() { "ipv4" } else { "ipv6" },
        local: listener.local.to_string(),
        pid: listener.pid,
        comm: &listener.comm,
        holders: &listener.holders,
        netns: listener.netns,
        limit: listener.limit,
        accept_depth: listener.depth,
        syn_depth: listener.syn_depth,
        drops: listener.drops,
        refused_at_most: sensor::refused_at_most(listener),
        defer_accept_s: listener.defer_accept_s(),
    }
}

fn unix_row(listener: &UnixListener) -> UnixRow<'_> {
    UnixRow {
        kind: "listener",
        sock: listener.sock.to_string(),
        family: "unix",
        local: format!("unix:{}", listener.path),
        path: &listener.path,
        pid: listener.pid,
        comm: &listener.comm,
        holders: &listener.holders,
        netns: listener.netns,
        limit: listener.limit,
        accept_depth: listener.depth,
        syn_depth: None,
        drops: None,
        refused_at_most: None,
        defer_accept_s: None,
    }
}

fn table(out: &mut dyn Write, listeners: &[ListenerSample]) -> io::Result<()> {
    let mut rows = Vec::new();
    for listener in listeners {
        rows.push(vec![
            listener.local.to_string(),
            count(listener.depth.into()),
            count(listener.limit.into()),
            count(listener.syn_depth.into()),
            count(listener.drops),
            refused(listener),
            process(&listener.comm, listener.pid, &listener.holders),
        ]);
    }
    let head =
        ["LISTENER", ">ACCEPT QUEUE", ">LIMIT", ">SYN QUEUE", ">DROPS", ">REFUSED", "PROCESS"];
    super::table::write(out, &head, &rows)?;
    if listeners.iter().any(|listener| listener.drops > 0) {
        writeln!(out, "{DROPS}")?;
    }
    Ok(())
}

/// Explanation of the drops: the kernel counts harmless ones and refusals in one.
const DROPS: &str = "\
DROPS are packets: refused SYNs and final ACKs, but also what costs nobody anything, as an RST to a
half-open connection (health checks) or a bare ACK under TCP_DEFER_ACCEPT. \
`backscope watch` tells them apart.";

/// Refusals among its drops; a bound where others of the namespace refused some, too.
fn refused(listener: &ListenerSample) -> String {
    match sensor::refused_at_most(listener) {
        Some(0) => "0".to_owned(),
        Some(most) => format!("≤ {}", count(most)),
        None if listener.drops == 0 => "0".to_owned(),
        None => "?".to_owned(),
    }
}

fn unix_table(out: &mut dyn Write, listeners: &[UnixListener]) -> io::Result<()> {
    let mut rows = Vec::new();
    for listener in listeners {
        let full = if listener.is_full() { " full" } else { "" };
        rows.push(vec![
            escape(&listener.path).into_owned(),
            format!("{}{full}", count(listener.depth.into())),
            count(listener.limit.into()),
            process(&listener.comm, listener.pid, &listener.holders),
        ]);
    }
    super::table::write(out, &["UNIX LISTENER", ">ACCEPT QUEUE", ">LIMIT", "PROCESS"], &rows)
}

/// "nginx 4242 +3": a process, and how many others hold the socket.
fn process(comm: &str, pid: u32, holders: &[u32]) -> String {
    let others = holders.len().saturating_sub(1);
    let more = if others > 0 { format!(" +{others}") } else { String::new() };
    format!("{} {pid}{more}", escape(comm))
}

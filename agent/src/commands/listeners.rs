//! `backscope listeners`: every listening socket once.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;

use super::target;
use crate::{
    cli::ListenersArgs,
    model::event::ListenerSample,
    report::{count, escape},
    sensor,
};

#[derive(Serialize)]
struct Row<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sock: String,
    local: String,
    pid: u32,
    comm: &'a str,
    holders: &'a [u32],
    netns: u32,
    limit: u32,
    accept_depth: u32,
    syn_depth: u32,
    drops: u64,
}

pub(super) fn run(args: &ListenersArgs) -> anyhow::Result<ExitCode> {
    let mut target = args.target.clone();
    target.all |= target.pid.is_empty() && target.port.is_empty() && target.comm.is_none();
    let resolved = target::resolve(&target)?;
    let sample = sensor::look(&resolved.targets)?;
    let mut out = io::stdout().lock();
    if args.json {
        for listener in &sample {
            writeln!(out, "{}", serde_json::to_string(&row(listener))?)?;
        }
    } else if sample.is_empty() {
        writeln!(out, "Nobody listens.")?;
    } else {
        table(&mut out, &sample)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(listener: &ListenerSample) -> Row<'_> {
    Row {
        kind: "listener",
        sock: listener.sock.to_string(),
        local: listener.local.to_string(),
        pid: listener.pid,
        comm: &listener.comm,
        holders: &listener.holders,
        netns: listener.netns,
        limit: listener.limit,
        accept_depth: listener.depth,
        syn_depth: listener.syn_depth,
        drops: listener.drops,
    }
}

fn table(out: &mut dyn Write, sample: &[ListenerSample]) -> io::Result<()> {
    let rows: Vec<Vec<String>> = sample
        .iter()
        .map(|listener| {
            let others = listener.holders.len().saturating_sub(1);
            let more = if others > 0 { format!(" +{others}") } else { String::new() };
            vec![
                listener.local.to_string(),
                count(listener.depth.into()),
                count(listener.limit.into()),
                count(listener.syn_depth.into()),
                count(listener.drops),
                format!("{} {}{more}", escape(&listener.comm), listener.pid),
            ]
        })
        .collect();
    super::table::write(out, &["LISTENER", ">ACCEPT QUEUE", ">LIMIT", ">SYN QUEUE", ">DROPS", "PROCESS"], &rows)
}

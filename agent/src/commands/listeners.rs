//! `backscope listeners`: every listening socket once.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use rustix::thread::CapabilitySet;
use serde::Serialize;

use super::target;
use crate::{
    cli::ListenersArgs,
    model::{
        event::{ListenerSample, UnixListener, count_holders},
        workload::Workload,
    },
    privileges::sandbox::{self, Calls, Needs},
    report::json::{Placed, holders_total},
    sensor::{self, Look},
    text::{Untrusted, count, to_json},
};

/// Listener of TCP.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ListenerRow<'a> {
    /// Type of the object.
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(extend("const" = "listener")))]
    kind: &'static str,
    /// Id of the listener.
    sock: String,
    /// Address family; `"unix"` of a Unix-domain socket.
    #[cfg_attr(test, schemars(extend("enum" = ["ipv4", "ipv6"])))]
    family: &'static str,
    /// Address on which it listens.
    local: String,
    /// Process that holds it.
    pid: u32,
    /// Name of that process.
    comm: &'a Untrusted,
    /// Processes that have it open, 64 at most.
    holders: &'a [u32],
    /// Number of processes that have it open, if they are more than `holders` names; absent
    /// otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    holders_total: Option<u64>,
    /// Inode of its network namespace.
    netns: u32,
    /// Limit of the accept queue that is in force.
    limit: u32,
    /// Connections in the accept queue.
    accept_depth: u32,
    /// Handshakes that are not finished.
    syn_depth: u32,
    /// Packets that the kernel dropped at the socket.
    drops: u64,
    /// Upper bound of the refusals among these; `null` where that cannot be read.
    refused_at_most: Option<u64>,
    /// TCP_DEFER_ACCEPT in seconds, 0 without; `null` where it was not read.
    defer_accept_s: Option<u64>,
}

/// Unix-domain socket that listens: what only TCP has is `null`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct UnixRow<'a> {
    /// Type of the object.
    #[serde(rename = "type")]
    #[cfg_attr(test, schemars(extend("const" = "listener")))]
    kind: &'static str,
    /// Id of the listener.
    sock: String,
    /// Address family.
    #[cfg_attr(test, schemars(extend("enum" = ["unix"])))]
    family: &'static str,
    /// Name of the socket: `unix:PATH`.
    local: Untrusted,
    /// Path of a Unix-domain socket, absent of others. A name in the abstract namespace begins with
    /// `@`.
    path: &'a Untrusted,
    /// Process that holds it.
    pid: u32,
    /// Name of that process.
    comm: &'a Untrusted,
    /// Processes that have it open, 64 at most.
    holders: &'a [u32],
    /// Number of processes that have it open, if they are more than `holders` names; absent
    /// otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    holders_total: Option<u64>,
    /// Inode of its network namespace.
    netns: u32,
    /// Limit of the accept queue that is in force.
    limit: u32,
    /// Connections in the accept queue.
    accept_depth: u32,
    /// Always `null`.
    syn_depth: Option<u32>,
    /// Always `null`.
    drops: Option<u64>,
    /// Always `null`.
    refused_at_most: Option<u64>,
    /// Always `null`.
    defer_accept_s: Option<u64>,
}

pub(super) fn run(args: &ListenersArgs) -> anyhow::Result<ExitCode> {
    let mut target = args.target.clone();
    target.all |= target.is_empty();
    let resolved = target::resolve(&target)?;
    let look = sensor::look(&resolved.targets)?;
    let sample = &look.sample;
    let capabilities = CapabilitySet::empty();
    let needs = Needs { capabilities, calls: Calls::default(), processes: true };
    sandbox::enter(needs).context("cannot give up the rights that are no longer needed")?;
    let mut out = io::stdout().lock();
    if args.json {
        for listener in &sample.listeners {
            let workload = look.workloads.get(&listener.pid);
            line(&mut out, &Placed::new(row(listener), workload))?;
        }
        for listener in &sample.unix {
            let workload = look.workloads.get(&listener.pid);
            line(&mut out, &Placed::new(unix_row(listener), workload))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if sample.listeners.is_empty() && sample.unix.is_empty() {
        writeln!(out, "Nothing listens.")?;
    }
    if !sample.listeners.is_empty() {
        table(&mut out, &look)?;
    }
    if !sample.unix.is_empty() {
        if !sample.listeners.is_empty() {
            writeln!(out)?;
        }
        unix_table(&mut out, &look)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(out: &mut dyn Write, row: &impl Serialize) -> io::Result<()> {
    out.write_all(&to_json(row)?)?;
    writeln!(out)
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
        holders_total: holders_total(&listener.holders, listener.unnamed_holders),
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
        local: compose!("unix:{}", listener.path),
        path: &listener.path,
        pid: listener.pid,
        comm: &listener.comm,
        holders: &listener.holders,
        holders_total: holders_total(&listener.holders, listener.unnamed_holders),
        netns: listener.netns,
        limit: listener.limit,
        accept_depth: listener.depth,
        syn_depth: None,
        drops: None,
        refused_at_most: None,
        defer_accept_s: None,
    }
}

fn table(out: &mut dyn Write, look: &Look) -> io::Result<()> {
    let listeners = &look.sample.listeners;
    let mut rows = Vec::new();
    for listener in listeners {
        rows.push(vec![
            listener.local.to_string(),
            count(listener.depth.into()),
            count(listener.limit.into()),
            count(listener.syn_depth.into()),
            count(listener.drops),
            refused(listener),
            process(
                look,
                &listener.comm,
                listener.pid,
                count_holders(&listener.holders, listener.unnamed_holders),
            ),
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
DROPS counts packets: refused SYNs and final ACKs, but also harmless ones, such as a RST to a
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

fn unix_table(out: &mut dyn Write, look: &Look) -> io::Result<()> {
    let mut rows = Vec::new();
    for listener in &look.sample.unix {
        let full = if listener.is_full() { " full" } else { "" };
        rows.push(vec![
            listener.path.for_terminal().to_string(),
            format!("{}{full}", count(listener.depth.into())),
            count(listener.limit.into()),
            process(
                look,
                &listener.comm,
                listener.pid,
                count_holders(&listener.holders, listener.unnamed_holders),
            ),
        ]);
    }
    super::table::write(out, &["UNIX LISTENER", ">ACCEPT QUEUE", ">LIMIT", "PROCESS"], &rows)
}

/// "nginx 4242 +3 (web)": a process, how many others hold the socket, and its container or unit.
fn process(look: &Look, comm: &Untrusted, pid: u32, holders: u64) -> String {
    let others = holders.saturating_sub(1);
    let more = if others > 0 { format!(" +{}", count(others)) } else { String::new() };
    let label = look.workloads.get(&pid).and_then(Workload::label);
    let place = match label {
        Some(label) => format!(" ({})", label.for_terminal()),
        None => String::new(),
    };
    format!("{} {pid}{more}{place}", comm.for_terminal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::world::listener;
    use crate::report::tests::schema::keeps_to;

    #[test]
    fn objects_keep_to_the_schema() {
        let told = ListenerSample { drops: 3, defer_accept: None, ..listener(1, 8) };
        let ipv6 = ListenerSample {
            local: "[::1]:80".parse().expect("an address"),
            defer_accept: Some(2),
            ..listener(2, 8)
        };
        for listener in [told, ipv6] {
            let object = keeps_to("listeners", &Placed::new(row(&listener), None));
            assert_eq!(object["limit"], 8);
            assert_eq!(object["drops"], listener.drops);
        }
        let unix = UnixListener {
            sock: 3,
            path: "@agent".into(),
            pid: 4242,
            comm: "server".into(),
            holders: vec![4242],
            netns: 1,
            depth: 1,
            limit: 8,
            refused: None,
            unnamed_holders: 70_000,
        };
        let object = keeps_to("listeners", &Placed::new(unix_row(&unix), None));
        assert_eq!(object["holders_total"], 70_001);
        assert_eq!((&object["family"], &object["path"]), (&"unix".into(), &"@agent".into()));
    }
}

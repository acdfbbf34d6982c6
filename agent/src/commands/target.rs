//! Turns the command line's targets into the sensor's.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use crate::{
    cli::TargetArgs,
    sensor::{Targets, targets},
    text::escape,
};

/// Targets, and notices on them for the user.
pub(super) struct Resolved {
    pub(super) targets: Targets,
    pub(super) notices: Vec<String>,
}

/// Finds the processes that were named.
pub(super) fn resolve(args: &TargetArgs) -> anyhow::Result<Resolved> {
    let mut notices = Vec::new();
    let mut pids = Vec::new();
    for id in &args.pid {
        let resolved = targets::resolve_pid(*id)?;
        notices.extend(resolved.notice);
        if !pids.contains(&resolved.pid) {
            pids.push(resolved.pid);
        }
    }
    let mut targets = Targets {
        pids,
        follow: !args.no_follow,
        ports: args.port.clone(),
        comm: args.comm.clone().map(OsString::into_vec),
        all: args.all,
        ..Targets::default()
    };
    targets.resolve_running();
    Ok(Resolved { targets, notices })
}

/// Describes the targets, one entry each. Names are escaped.
pub(super) fn describe(targets: &Targets) -> Vec<String> {
    let mut words = Vec::new();
    for pid in &targets.pids {
        let comm = targets::comm_of(*pid).unwrap_or_default();
        words.push(format!("{} {pid}", escape(&comm)));
    }
    for port in &targets.ports {
        words.push(format!("port {port}"));
    }
    if let Some(name) = &targets.comm {
        let name = String::from_utf8_lossy(name);
        words.push(format!("every process called {}", escape(&name)));
    }
    if targets.all {
        words.push("every process".to_owned());
    }
    words
}

//! Turns the command line's targets into the sensor's.

use crate::{
    cli::TargetArgs,
    sensor::{Targets, targets},
    text::Untrusted,
};

/// Targets, and notices on them for the user.
pub(super) struct Resolved {
    pub(super) targets: Targets,
    pub(super) notices: Vec<Untrusted>,
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
        comm: args.comm.clone(),
        all: args.all,
        named: Vec::new(),
    };
    targets.resolve_running();
    Ok(Resolved { targets, notices })
}

/// Describes the targets, one entry each.
pub(super) fn describe(targets: &Targets) -> Vec<Untrusted> {
    let mut words = Vec::new();
    for pid in &targets.pids {
        let comm = targets::comm_of(*pid).unwrap_or_default();
        words.push(compose!("{} {pid}", comm));
    }
    for port in &targets.ports {
        words.push(format!("port {port}").into());
    }
    if let Some(name) = &targets.comm {
        words.push(format!("every process called {name}").into());
    }
    if targets.all {
        words.push("every process".into());
    }
    words
}

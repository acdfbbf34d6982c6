//! Turns the command line's targets into the sensor's.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use crate::{
    cli::TargetArgs,
    privileges::{self, Caller},
    sensor::{self, GroupNames, SensorError, Targets, targets},
    text::{Untrusted, named},
};

/// Targets, and notices on them for the user.
pub(super) struct Resolved {
    pub(super) targets: Targets,
    /// Description of the targets, one entry each.
    pub(super) words: Vec<Untrusted>,
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
    let resolved = sensor::resolve_groups(&GroupNames {
        cgroups: args.cgroup.clone(),
        containers: args.container.clone(),
        pods: args.pod.clone(),
        units: args.unit.clone(),
    })?;
    notices.extend(resolved.notices);
    for pid in resolved.pids {
        if !pids.contains(&pid) {
            pids.push(pid);
        }
    }
    let mut targets = Targets {
        pids,
        groups: resolved.groups,
        follow: !args.no_follow,
        ports: args.port.clone(),
        comm: args.comm.clone().map(OsString::into_vec),
        all: args.all,
        ..Targets::default()
    };
    targets.resolve_running();
    let words = describe(&targets);
    notices.extend(of_32_bits(&targets));
    if privileges::caller() == Caller::Anybody {
        let is_wide = !targets.only_processes();
        only_traceable(&mut targets)?;
        if is_wide {
            notices.push(ONLY_TRACEABLE.into());
        }
        if !targets.groups.is_empty() {
            notices.push(ONLY_TRACEABLE_MEMBERS.into());
        }
    }
    Ok(Resolved { targets, words, notices })
}

/// A notice on processes that run programs of 32 bits, whose calls the probes do not recognise.
fn of_32_bits(targets: &Targets) -> Option<Untrusted> {
    const NAMED: usize = 3;
    let pids: Vec<u32> = targets.every_process().filter(|pid| targets::is_32_bit(*pid)).collect();
    let mut names = Vec::new();
    for pid in pids.iter().take(NAMED) {
        names.push(named(&targets::comm_of(*pid).unwrap_or_default(), *pid));
    }
    let verb = match pids.len() {
        0 => return None,
        1 => "runs a 32-bit program, whose",
        _ => "run 32-bit programs, whose",
    };
    if pids.len() > NAMED {
        names.push(format!("{} more", pids.len() - NAMED).into());
    }
    Some(compose!(
        "{} {verb} system calls have numbers of their own. They are not recognised: not observed \
         are the protocol, the backlog asked for and what threads wait for, and without function \
         hooks the wait and the descriptor of an accept",
        Untrusted::join(&names, ", ")
    ))
}

const ONLY_TRACEABLE: &str = "only processes that you may trace are watched: those that were there \
                              at the start, and their children";

const ONLY_TRACEABLE_MEMBERS: &str = "of the processes in a cgroup, only those that you may trace \
                                      are watched";

/// Leaves the processes that the caller may trace, each by its number.
///
/// # Errors
/// One that was named is another's, or there is none.
fn only_traceable(targets: &mut Targets) -> anyhow::Result<()> {
    if let Some(pid) = targets.pids.iter().find(|pid| !privileges::may_trace(**pid)) {
        let name = targets::comm_of(*pid).unwrap_or_default();
        return Err(SensorError::Blocked(format!(
            "you may not watch {}: you could not trace it. The capabilities of this \
             program's file let you watch what is yours; the group of a file that only its group \
             can run may watch everything, as root may (sudo)",
            named(&name, *pid).for_terminal()
        ))
        .into());
    }
    let is_empty = targets.is_empty();
    let listening = match &targets.ports[..] {
        [] => Vec::new(),
        ports => sensor::listening_on(ports)?,
    };
    targets.only_traceable(listening);
    if !is_empty && targets.every_process().next().is_none() {
        let nobody = "there is no such process that you may watch: you could trace none";
        return Err(SensorError::Blocked(nobody.to_owned()).into());
    }
    Ok(())
}

/// Describes the targets, one entry each.
fn describe(targets: &Targets) -> Vec<Untrusted> {
    let mut words = Vec::new();
    for pid in &targets.pids {
        let comm = targets::comm_of(*pid).unwrap_or_default();
        words.push(named(&comm, *pid));
    }
    for port in &targets.ports {
        words.push(format!("port {port}").into());
    }
    words.extend(targets.groups.words().cloned());
    if let Some(name) = &targets.comm {
        let name =
            Untrusted::from(String::from_utf8_lossy(targets::kernel_comm(name)).into_owned());
        words.push(compose!("every process called {}", name));
    }
    if targets.all {
        words.push("every process".into());
    }
    words
}

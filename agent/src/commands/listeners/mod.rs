//! `backscope listeners`: every listening socket, once or again and again.

mod order;
mod rows;
mod table;
mod watch;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use rustix::thread::CapabilitySet;
use serde::Serialize;

use self::order::Seen;
#[cfg(test)]
pub(crate) use self::rows::{ListenerRow, UnixRow};
use super::target;
use crate::{
    cli::ListenersArgs,
    privileges::sandbox::{self, Calls, Needs},
    report::json::Placed,
    sensor::{Look, Looker, NetNamespaces},
    text::to_json,
};

pub(super) fn run(args: &ListenersArgs) -> anyhow::Result<ExitCode> {
    let mut target = args.target.clone();
    target.all |= target.is_empty();
    let resolved = target::resolve(&target)?;
    let mut looker = Looker::begin(&resolved.targets)?;
    if args.watch {
        let needs = Needs::of_watch(looker.needed(), false);
        sandbox::enter(needs).context("cannot give up the rights that are no longer needed")?;
        return watch::run(args, looker);
    }
    let mut look = looker.look();
    drop(looker);
    let capabilities = CapabilitySet::empty();
    let needs = Needs { capabilities, calls: Calls::default(), processes: true };
    sandbox::enter(needs).context("cannot give up the rights that are no longer needed")?;
    let seen = Seen { namespaces: NetNamespaces::read(), ..Seen::default() };
    seen.sort(&mut look);
    write(&mut io::stdout().lock(), args.json, &look, &seen)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes one look.
fn write(out: &mut dyn Write, json: bool, look: &Look, seen: &Seen) -> io::Result<()> {
    if !json {
        return table::write(out, look, seen);
    }
    for listener in &look.sample.listeners {
        line(out, &Placed::new(rows::row(listener, seen), look.workloads.get(&listener.pid)))?;
    }
    for listener in &look.sample.unix {
        line(out, &Placed::new(rows::unix_row(listener, seen), look.workloads.get(&listener.pid)))?;
    }
    Ok(())
}

fn line(out: &mut dyn Write, row: &impl Serialize) -> io::Result<()> {
    out.write_all(&to_json(row)?)?;
    writeln!(out)
}

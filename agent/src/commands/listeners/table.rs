//! `listeners`: two tables for people.

use std::io::{self, Write};

use super::order::{Seen, is_full};
use crate::{
    commands::table,
    model::{
        event::{ListenerSample, count_holders},
        workload::Workload,
    },
    sensor::{self, Look},
    text::{Untrusted, count, named},
};

/// Writes the tables.
pub(super) fn write(out: &mut dyn Write, look: &Look, seen: &Seen) -> io::Result<()> {
    let (tcp, unix) = (&look.sample.listeners, &look.sample.unix);
    if tcp.is_empty() && unix.is_empty() {
        return writeln!(out, "Nothing listens.");
    }
    if !tcp.is_empty() {
        write_tcp(out, look, seen)?;
    }
    if !unix.is_empty() {
        if !tcp.is_empty() {
            writeln!(out)?;
        }
        write_unix(out, look, seen)?;
    }
    Ok(())
}

fn write_tcp(out: &mut dyn Write, look: &Look, seen: &Seen) -> io::Result<()> {
    let listeners = &look.sample.listeners;
    let places = Places::new(look, seen);
    let mut rows = Vec::new();
    for listener in listeners {
        let full = if is_full(listener) { " full" } else { "" };
        let holders = count_holders(&listener.holders, listener.unnamed_holders);
        let mut row = vec![
            listener.local.to_string(),
            format!("{}{full}", count(listener.depth.into())),
            count(listener.limit.into()),
            count(listener.syn_depth.into()),
            drops(listener, seen),
            refused(listener),
        ];
        row.extend(places.of(listener.netns));
        row.push(process(look, &listener.comm, listener.pid, holders));
        rows.push(row);
    }
    let mut head = vec!["LISTENER", ">ACCEPT QUEUE", ">LIMIT", ">SYN QUEUE", ">DROPS", ">REFUSED"];
    head.extend(places.head());
    head.push("PROCESS");
    table::write(out, &head, &rows)?;
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

/// "687", with `--watch` "687 (+12)" where some came since the look before.
fn drops(listener: &ListenerSample, seen: &Seen) -> String {
    match seen.drops_since(listener) {
        Some(new) if new > 0 => format!("{} (+{})", count(listener.drops), count(new)),
        _ => count(listener.drops),
    }
}

/// Refusals among its drops; a bound where others of the namespace refused some, too.
fn refused(listener: &ListenerSample) -> String {
    match sensor::refused_at_most(listener) {
        Some(0) => "0".to_owned(),
        Some(most) => format!("≤ {}", count(most)),
        None if listener.drops == 0 => "0".to_owned(),
        None => "?".to_owned(),
    }
}

fn write_unix(out: &mut dyn Write, look: &Look, seen: &Seen) -> io::Result<()> {
    let places = Places::new(look, seen);
    let mut rows = Vec::new();
    for listener in &look.sample.unix {
        let full = if listener.is_full() { " full" } else { "" };
        let holders = count_holders(&listener.holders, listener.unnamed_holders);
        let mut row = vec![
            listener.path.for_terminal().to_string(),
            format!("{}{full}", count(listener.depth.into())),
            count(listener.limit.into()),
        ];
        row.extend(places.of(listener.netns));
        row.push(process(look, &listener.comm, listener.pid, holders));
        rows.push(row);
    }
    let mut head = vec!["UNIX LISTENER", ">ACCEPT QUEUE", ">LIMIT"];
    head.extend(places.head());
    head.push("PROCESS");
    table::write(out, &head, &rows)
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
    format!("{}{more}{place}", named(comm, pid).for_terminal())
}

/// The column of network namespaces, where there is more than our own.
struct Places<'a> {
    look: &'a Look,
    seen: &'a Seen,
    is_shown: bool,
}

impl<'a> Places<'a> {
    fn new(look: &'a Look, seen: &'a Seen) -> Self {
        let tcp = look.sample.listeners.iter().map(|listener| listener.netns);
        let unix = look.sample.unix.iter().map(|listener| listener.netns);
        let is_shown = tcp.chain(unix).any(|netns| seen.namespaces.is_own(netns) != Some(true));
        Self { look, seen, is_shown }
    }

    fn head(&self) -> Option<&'static str> {
        self.is_shown.then_some("NETWORK")
    }

    /// "here", "4026532281 blue" by its name in `ip netns`, else by a container or a process in it.
    fn of(&self, netns: u32) -> Option<String> {
        if !self.is_shown {
            return None;
        }
        if self.seen.namespaces.is_own(netns) == Some(true) {
            return Some("here".to_owned());
        }
        let known = match self.seen.namespaces.name(netns) {
            Some(name) => name.for_terminal().to_string(),
            None => self.somebody_in(netns)?,
        };
        Some(format!("{netns} {known}"))
    }

    /// "web", the container of a process that listens in it, otherwise "of nginx 4242".
    fn somebody_in(&self, netns: u32) -> Option<String> {
        let sample = &self.look.sample;
        let tcp = sample.listeners.iter().map(|one| (one.netns, one.pid, &one.comm));
        let unix = sample.unix.iter().map(|one| (one.netns, one.pid, &one.comm));
        let inside = tcp.chain(unix).filter(|(of, ..)| *of == netns);
        let (_, pid, comm) = inside.min_by_key(|(_, pid, _)| *pid)?;
        let workload = self.look.workloads.get(&pid);
        if let Some(workload) = workload
            && workload.container.is_some()
            && let Some(label) = workload.label()
        {
            return Some(label.for_terminal().to_string());
        }
        Some(format!("of {}", named(comm, pid).for_terminal()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{event::Sample, tests::world::listener};

    fn text(seen: &Seen, listeners: Vec<ListenerSample>) -> String {
        let sample = Sample { listeners, ..Sample::default() };
        let mut text = Vec::new();
        write(&mut text, &Look { sample, ..Look::default() }, seen).expect("a vector");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn new_drops_are_marked() {
        let before = ListenerSample { drops: 5, ..listener(1, 8) };
        let mut seen = Seen::default();
        let now = vec![ListenerSample { drops: 17, ..before.clone() }];
        assert!(!text(&seen, now.clone()).contains('+'), "there was no look before");
        seen.note(std::slice::from_ref(&before));
        assert!(text(&seen, now).contains("17 (+12)"));
        assert!(!text(&seen, vec![before]).contains("(+"), "none came");
    }

    #[test]
    fn a_network_namespace_is_named_by_a_process_in_it() {
        let told = text(&Seen::default(), vec![ListenerSample { netns: 77, ..listener(1, 8) }]);
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].contains("NETWORK") && lines[1].contains("77 of "), "{told}");
    }

    #[test]
    fn a_full_queue_says_so() {
        let full = ListenerSample { depth: 9, ..listener(1, 8) };
        assert!(text(&Seen::default(), vec![full]).contains("9 full"));
        assert!(!text(&Seen::default(), vec![listener(1, 8)]).contains("full"));
        assert_eq!(text(&Seen::default(), Vec::new()), "Nothing listens.\n");
    }
}

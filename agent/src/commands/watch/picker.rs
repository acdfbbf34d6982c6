//! The choice of a process for a bare `watch`.

use std::io::{self, BufRead, Write};

use crate::{
    commands::table,
    model::event::ListenerSample,
    sensor::{self, Targets},
    text::{Untrusted, count},
};

/// Shows who listens and asks for one of them; `None` if the answer is empty or `q`.
pub(super) fn pick() -> anyhow::Result<Option<u32>> {
    let listeners = sensor::look(&Targets { all: true, ..Targets::default() })?.sample.listeners;
    if listeners.is_empty() {
        let nobody =
            "Nothing listens on this machine. Start a server, or run: backscope watch -- CMD";
        writeln!(io::stdout(), "{nobody}")?;
        return Ok(None);
    }
    let pids = by_process(&listeners);
    let mut rows = Vec::new();
    for (at, pid) in pids.iter().enumerate() {
        rows.push(row(at + 1, *pid, &listeners));
    }
    let mut out = io::stdout().lock();
    table::write(&mut out, &[">#", "PROCESS", "LISTENS ON", ">WAITING"], &rows)?;
    loop {
        write!(out, "Watch which one? [1-{}, q] ", pids.len())?;
        out.flush()?;
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer)? == 0 {
            return Ok(None);
        }
        match answer.trim() {
            "" | "q" => return Ok(None),
            text => match chosen(text, &pids) {
                Some(pid) => return Ok(Some(pid)),
                None => {
                    writeln!(out, "{} is not one of them.", Untrusted::from(text).for_terminal())?
                }
            },
        }
    }
}

/// The process of that number; they are counted from 1.
fn chosen(text: &str, pids: &[u32]) -> Option<u32> {
    let number: usize = text.parse().ok()?;
    pids.get(number.checked_sub(1)?).copied()
}

/// Processes in the order of their first listener.
fn by_process(listeners: &[ListenerSample]) -> Vec<u32> {
    let mut pids: Vec<u32> = Vec::new();
    for listener in listeners {
        if !pids.contains(&listener.pid) {
            pids.push(listener.pid);
        }
    }
    pids
}

fn row(number: usize, pid: u32, listeners: &[ListenerSample]) -> Vec<String> {
    let (mut name, mut places, mut waiting) = (String::new(), Vec::new(), 0);
    for listener in listeners {
        if listener.pid != pid {
            continue;
        }
        if name.is_empty() {
            name = format!("{} {pid}", listener.comm.for_terminal());
        }
        places.push(listener.local.to_string());
        waiting += u64::from(listener.depth);
    }
    vec![number.to_string(), name, places.join(" "), count(waiting)]
}

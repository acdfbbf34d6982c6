//! Whom to watch.

use std::{fs, path::Path};

use thiserror::Error;

use crate::text::escape;

/// Whom to watch: a union.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Processes, named one by one.
    pub pids: Vec<u32>,
    /// Their children, too.
    pub follow: bool,
    /// Local ports.
    pub ports: Vec<u16>,
    /// A command name.
    pub comm: Option<String>,
    /// Every process.
    pub all: bool,
    /// Processes that have the command name at the start.
    pub named: Vec<u32>,
}

/// Why a target cannot be watched.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// There is no such process.
    #[error("there is no process {pid}{hint}")]
    NoProcess {
        /// The id.
        pid: u32,
        /// Where it may be.
        hint: String,
    },
}

/// What a given id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The process.
    pub pid: u32,
    /// What the user should know: the id was a thread's, or the process sees itself by another id.
    pub notice: Option<String>,
}

impl Targets {
    /// True if only processes were named, so that watching ends with the last of them.
    pub fn only_processes(&self) -> bool {
        !self.all && self.ports.is_empty() && self.comm.is_none()
    }

    /// True if nothing was named.
    pub fn is_empty(&self) -> bool {
        self.only_processes() && self.pids.is_empty()
    }

    /// Every process to watch from the start.
    pub fn every_process(&self) -> impl Iterator<Item = u32> {
        self.pids.iter().chain(&self.named).copied()
    }

    /// Finds the processes that have the command name now, and with `follow` the children of all.
    pub fn resolve_running(&mut self) {
        if let Some(name) = &self.comm {
            let wanted: String = kernel_comm(name);
            self.named = processes()
                .filter(|pid| comm_of(*pid).is_some_and(|comm| comm == wanted))
                .collect();
        }
        if self.follow {
            let mut all = descendants(&self.every_process().collect::<Vec<_>>());
            self.named.append(&mut all);
        }
        let own = std::process::id();
        self.named.retain(|pid| *pid != own);
    }
}

/// A name as the kernel keeps it: 15 bytes.
fn kernel_comm(name: &str) -> String {
    String::from_utf8_lossy(&name.as_bytes()[..name.len().min(15)]).into_owned()
}

/// Every process in `/proc`.
fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Children of these processes, and theirs, without the processes themselves.
fn descendants(roots: &[u32]) -> Vec<u32> {
    let parents: Vec<(u32, u32)> =
        processes().filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
    let mut found: Vec<u32> = Vec::new();
    let mut next: Vec<u32> = roots.to_vec();
    while let Some(parent) = next.pop() {
        for (pid, _) in parents.iter().filter(|(_, of)| *of == parent) {
            if !found.contains(pid) && !roots.contains(pid) {
                found.push(*pid);
                next.push(*pid);
            }
        }
    }
    found
}

fn parent_of(pid: u32) -> Option<u32> {
    status_field(pid, "PPid:")?.parse().ok()
}

fn status_field(pid: u32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field)).map(|value| value.trim().to_owned())
}

/// True if the process runs: it is there and is no zombie.
pub fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
        && !status_field(pid, "State:")
            .is_some_and(|state| state.starts_with('Z') || state.starts_with('X'))
}

/// Command name of a process.
pub fn comm_of(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// The same for a sentence: a name comes from outside.
fn escaped_comm(pid: u32) -> String {
    escape(&comm_of(pid).unwrap_or_default()).into_owned()
}

/// Finds the process that an id stands for.
///
/// # Errors
/// There is none.
pub fn resolve_pid(id: u32) -> Result<Resolved, TargetError> {
    if !exists(id) {
        return Err(TargetError::NoProcess { pid: id, hint: hint(id) });
    }
    let pid = status_field(id, "Tgid:").and_then(|tgid| tgid.parse().ok()).unwrap_or(id);
    if pid != id {
        let name = escaped_comm(pid);
        return Ok(Resolved {
            pid,
            notice: Some(format!("{id} is a thread of {pid} ({name}); watching the process")),
        });
    }
    let inside = status_field(pid, "NSpid:").and_then(|ids| {
        ids.split_whitespace().nth(1).and_then(|_| ids.split_whitespace().last().map(str::to_owned))
    });
    let notice =
        inside.map(|inside| format!("{pid} is process {inside} inside its own PID namespace"));
    Ok(Resolved { pid, notice })
}

/// If no process has this id here, one may have it inside a container.
fn hint(id: u32) -> String {
    let wanted = id.to_string();
    let found = processes().find(|pid| {
        status_field(*pid, "NSpid:").is_some_and(|ids| {
            let mut ids = ids.split_whitespace();
            ids.next();
            ids.last() == Some(wanted.as_str())
        })
    });
    match found {
        Some(pid) => {
            let name = escaped_comm(pid);
            format!(
                ". Inside a container's PID namespace, {pid} ({name}) has that id: try --pid {pid}"
            )
        }
        None => ". `ss -ltnp` and `backscope listeners` show who listens".to_owned(),
    }
}

//! The processes and ports to watch.

use thiserror::Error;

use super::procfs;
pub use super::procfs::{comm as comm_of, exists};
use crate::{privileges::may_trace, text::escape};

/// The processes and ports to watch: all that any of these fields names.
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
    /// No process that the caller may not trace, even if it is a child of one of these.
    pub traceable_only: bool,
}

/// A reason why a target cannot be watched.
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

/// The process that a given id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The process.
    pub pid: u32,
    /// A word for the user: the id was a thread's, or the process sees itself by another id.
    pub notice: Option<String>,
}

impl Targets {
    /// True if only processes were named, so that watching ends with the last of them.
    pub fn only_processes(&self) -> bool {
        !self.all && self.ports.is_empty() && self.comm.is_none()
    }

    /// Names processes one by one in place of what was named in another way: `listening` are those
    /// that listen on the ports. A port or a name would be anybody's.
    pub fn only_traceable(&mut self, listening: Vec<u32>) {
        self.traceable_only = true;
        if self.all {
            self.named = procfs::processes();
        }
        self.named.extend(listening);
        self.named.sort_unstable();
        self.named.dedup();
        (self.all, self.comm) = (false, None);
        self.ports.clear();
        self.resolve_running();
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
            let wanted = Some(kernel_comm(name));
            self.named = procfs::processes();
            self.named.retain(|pid| comm_of(*pid) == wanted);
        }
        if self.follow {
            let mut all = descendants(&self.every_process().collect::<Vec<_>>());
            self.named.append(&mut all);
        }
        if self.traceable_only {
            self.named.retain(|pid| may_trace(*pid));
        }
        let own = std::process::id();
        self.named.retain(|pid| *pid != own);
    }
}

/// A command name as the kernel keeps it: 15 bytes.
fn kernel_comm(name: &str) -> String {
    String::from_utf8_lossy(&name.as_bytes()[..name.len().min(15)]).into_owned()
}

/// Children of these processes, and theirs, without the processes themselves.
fn descendants(roots: &[u32]) -> Vec<u32> {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for pid in procfs::processes() {
        if let Some(parent) = procfs::parent(pid) {
            parents.push((pid, parent));
        }
    }
    let mut found: Vec<u32> = Vec::new();
    let mut next: Vec<u32> = roots.to_vec();
    while let Some(of) = next.pop() {
        for &(pid, parent) in &parents {
            if parent == of && !found.contains(&pid) && !roots.contains(&pid) {
                found.push(pid);
                next.push(pid);
            }
        }
    }
    found
}

/// The command name of a process for a sentence: it comes from outside.
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
    let pid = thread_group(id).unwrap_or(id);
    if pid != id {
        let name = escaped_comm(pid);
        return Ok(Resolved {
            pid,
            notice: Some(format!("{id} is a thread of {pid} ({name}); watching the process")),
        });
    }
    // The first is the one here, the last that in its own namespace.
    let notice = match ids_in_namespaces(pid)[..] {
        [_, .., inside] => Some(format!("{pid} is process {inside} inside its own PID namespace")),
        _ => None,
    };
    Ok(Resolved { pid, notice })
}

/// The process that a thread belongs to.
fn thread_group(id: u32) -> Option<u32> {
    procfs::status_field(id, "Tgid:")?.parse().ok()
}

/// The ids of a process, in each PID namespace from ours to its own.
fn ids_in_namespaces(pid: u32) -> Vec<u32> {
    let ids = procfs::status_field(pid, "NSpid:").unwrap_or_default();
    ids.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Says where a process with this id may be, if none has it here: one may have it inside a
/// container.
fn hint(id: u32) -> String {
    for pid in procfs::processes() {
        if let [_, .., inside] = ids_in_namespaces(pid)[..]
            && inside == id
        {
            let name = escaped_comm(pid);
            return format!(
                ". Inside a container's PID namespace, {pid} ({name}) has that id: try --pid {pid}"
            );
        }
    }
    ". `ss -ltnp` and `backscope listeners` show who listens".to_owned()
}

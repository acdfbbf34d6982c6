//! The processes and ports to watch.

use std::collections::{HashMap, HashSet, hash_map};

use thiserror::Error;

pub use super::procfs::{comm as comm_of, exists, is_32_bit};
use super::{procfs, workload::Groups};
use crate::{privileges::may_trace, text::Untrusted};

/// The processes and ports to watch: all that any of these fields names.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Processes, named one by one.
    pub pids: Vec<u32>,
    /// Their children, too.
    pub follow: bool,
    /// Local ports.
    pub ports: Vec<u16>,
    /// A command name: any bytes.
    pub comm: Option<Vec<u8>>,
    /// Every process.
    pub all: bool,
    /// Processes that have the command name at the start.
    pub named: Vec<u32>,
    /// Beginnings of those that were named one by one, in ticks since the machine's start: with its
    /// number a process is known by this.
    pub started: HashMap<u32, u64>,
    /// Cgroups: whoever is in them, now or later.
    pub groups: Groups,
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
    pub notice: Option<Untrusted>,
}

impl Targets {
    /// True if only processes and cgroups were named: every process that is watched is among the
    /// targets of the probes, and watching ends with the last of them.
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

    /// True if cgroups alone were named: a process that leaves them is no target any more.
    pub(super) fn only_groups(&self) -> bool {
        self.only_processes() && self.pids.is_empty() && !self.groups.is_empty()
    }

    /// True if nothing was named.
    pub fn is_empty(&self) -> bool {
        self.only_processes() && self.pids.is_empty() && self.groups.is_empty()
    }

    /// Every process to watch from the start.
    pub fn every_process(&self) -> impl Iterator<Item = u32> {
        self.pids.iter().chain(&self.named).copied()
    }

    /// Returns every process to watch from the start, but no more than `most`: those that were
    /// named one by one, then those that hold a listening socket, come first.
    pub(super) fn first_processes(&self, most: usize) -> Vec<u32> {
        let all: Vec<u32> = self.every_process().collect();
        if all.len() <= most {
            return all;
        }
        let mut listening = Listening::default();
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        let mut known = HashSet::new();
        for pid in all {
            if !known.insert(pid) {
                continue;
            }
            if self.pids.contains(&pid) || listening.is_held_by(pid) {
                first.push(pid);
            } else {
                rest.push(pid);
            }
        }
        first.append(&mut rest);
        first.truncate(most);
        first
    }

    /// Returns whether a process that was named is the one that still has this number. True of
    /// others.
    pub(super) fn is_still(&self, pid: u32) -> bool {
        match self.started.get(&pid) {
            Some(started) => procfs::started(pid) == Some(*started),
            None => true,
        }
    }

    /// Finds the processes that have the command name now, and with `follow` the children of all.
    pub fn resolve_running(&mut self) {
        for &pid in &self.pids {
            if let hash_map::Entry::Vacant(place) = self.started.entry(pid)
                && let Some(started) = procfs::started(pid)
            {
                place.insert(started);
            }
        }
        if let Some(name) = &self.comm {
            self.named = processes_named(name);
        }
        if !self.groups.is_empty() {
            self.groups.read();
            self.named.extend(self.groups.pids());
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

/// Finds out which processes hold listening sockets of TCP, by `/proc`.
#[derive(Debug, Default)]
struct Listening {
    /// Inodes of the sockets, by network namespace.
    sockets: HashMap<u32, HashSet<u64>>,
}

impl Listening {
    fn is_held_by(&mut self, pid: u32) -> bool {
        let Some(netns) = procfs::netns_of(pid) else { return false };
        let listening = self.sockets.entry(netns).or_insert_with(|| procfs::listening_sockets(pid));
        let Some(mut descriptors) = procfs::descriptors(pid) else { return false };
        descriptors.any(|(_, file)| {
            procfs::socket_of(&file).is_some_and(|socket| listening.contains(&socket))
        })
    }
}

/// Returns the network namespace of a process, as the number that the kernel gives it.
pub fn network_of(pid: u32) -> Option<u32> {
    procfs::netns_of(pid)
}

/// Returns that of the calling thread.
pub fn own_network() -> Option<u32> {
    procfs::own_netns()
}

/// Bytes of a command name that the kernel keeps (TASK_COMM_LEN, without the NUL).
pub const COMM_BYTES: usize = 15;

/// A command name as the kernel keeps it.
pub fn kernel_comm(name: &[u8]) -> &[u8] {
    &name[..name.len().min(COMM_BYTES)]
}

/// Returns the processes with this command name, other than this one.
pub fn processes_named(name: &[u8]) -> Vec<u32> {
    processes_where(|comm| comm == kernel_comm(name))
}

/// Returns the command names of running processes that differ from this one in case alone, each
/// once.
pub fn names_in_another_case(name: &[u8]) -> Vec<Untrusted> {
    let wanted = kernel_comm(name);
    let mut names = Vec::new();
    processes_where(|comm| {
        if comm != wanted && comm.eq_ignore_ascii_case(wanted) {
            names.push(Untrusted::from(String::from_utf8_lossy(comm).into_owned()));
        }
        false
    });
    names.sort();
    names.dedup();
    names
}

/// Returns every process with its command name, but for the kernel's own.
pub fn running() -> Vec<(u32, Untrusted)> {
    const KTHREADD: u32 = 2;
    let mut found = Vec::new();
    for pid in procfs::processes() {
        if pid != KTHREADD
            && procfs::parent(pid).is_some_and(|parent| parent != KTHREADD)
            && let Some(comm) = comm_of(pid)
        {
            found.push((pid, comm));
        }
    }
    found
}

fn processes_where(mut is_meant: impl FnMut(&[u8]) -> bool) -> Vec<u32> {
    let own = std::process::id();
    let mut pids = procfs::processes();
    pids.retain(|pid| *pid != own && procfs::comm_bytes(*pid).is_some_and(|comm| is_meant(&comm)));
    pids
}

/// Children of these processes, and theirs, without the processes themselves.
fn descendants(roots: &[u32]) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in procfs::processes() {
        if let Some(parent) = procfs::parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut known: HashSet<u32> = roots.iter().copied().collect();
    let mut found: Vec<u32> = Vec::new();
    let mut next: Vec<u32> = roots.to_vec();
    while let Some(of) = next.pop() {
        for pid in children.remove(&of).unwrap_or_default() {
            if known.insert(pid) {
                found.push(pid);
                next.push(pid);
            }
        }
    }
    found
}

/// Finds the process that an id stands for.
///
/// # Errors
/// There is none.
pub fn resolve_pid(id: u32) -> Result<Resolved, TargetError> {
    if !exists(id) {
        return Err(TargetError::NoProcess { pid: id, hint: hint(id) });
    }
    let pid = procfs::thread_group(id).unwrap_or(id);
    if pid != id {
        let name = comm_of(pid).unwrap_or_default();
        return Ok(Resolved {
            pid,
            notice: Some(compose!("{id} is a thread of {pid} ({}); watching the process", name)),
        });
    }
    // The first is the one here, the last that in its own namespace.
    let notice = match ids_in_namespaces(pid)[..] {
        [_, .., inside] => {
            Some(format!("{pid} is process {inside} inside its own PID namespace").into())
        }
        _ => None,
    };
    Ok(Resolved { pid, notice })
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
            let name = comm_of(pid).unwrap_or_default();
            return format!(
                ". Inside a container's PID namespace, {pid} ({}) has that id: try --pid {pid}",
                // Errors hold what they tell of as it came: `note` escapes them.
                name.as_came()
            );
        }
    }
    ". `ss -ltnp` and `backscope listeners` show who listens".to_owned()
}

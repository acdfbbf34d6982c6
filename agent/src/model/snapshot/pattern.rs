//! Roles in a family of processes: listening, accepting, reading and writing.

use super::WaitView;
use crate::text::Untrusted;

/// Way in which a server shares its connections among threads or processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "kebab-case"))]
pub enum PatternName {
    /// One thread accepts, reads and writes.
    SingleThread,
    /// Some accept, others read and write.
    AcceptorPlusReaders,
    /// One accepts and reads, and hands messages to others.
    MessageLoadBalancing,
    /// Several accept on one listener, and serve what they took.
    MultipleAcceptors,
    /// Several accept, each on a listener of its own (`SO_REUSEPORT`), and serve what they took.
    SocketSharding,
    /// A new thread for each connection.
    ThreadPerConnection,
    /// A new process for each connection.
    ProcessPerConnection,
    /// Too little was seen, or what was seen fits none of these.
    Unknown,
}

impl PatternName {
    /// As JSON spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleThread => "single-thread",
            Self::AcceptorPlusReaders => "acceptor-plus-readers",
            Self::MessageLoadBalancing => "message-load-balancing",
            Self::MultipleAcceptors => "multiple-acceptors",
            Self::SocketSharding => "socket-sharding",
            Self::ThreadPerConnection => "thread-per-connection",
            Self::ProcessPerConnection => "process-per-connection",
            Self::Unknown => "unknown",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::SingleThread => "one thread for all",
            Self::AcceptorPlusReaders => "acceptor + readers",
            Self::MessageLoadBalancing => "message load balancing",
            Self::MultipleAcceptors => "multiple acceptors",
            Self::SocketSharding => "socket sharding",
            Self::ThreadPerConnection => "thread per connection",
            Self::ProcessPerConnection => "process per connection",
            Self::Unknown => "unknown",
        }
    }
}

/// Units that share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum Units {
    /// Threads of one process, perhaps in each of several.
    Threads,
    /// Processes.
    Processes,
}

impl Units {
    /// As JSON spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Processes => "processes",
        }
    }
}

/// Way in which servers wait for their connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "kebab-case"))]
pub enum Io {
    /// Each for one connection at a time.
    Blocking,
    /// For many at once.
    EventLoop,
    /// Some so, some so.
    Mixed,
}

impl Io {
    /// As JSON spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::EventLoop => "event-loop",
            Self::Mixed => "mixed",
        }
    }
}

/// The pattern of one family of processes: those that share listeners, with those that serve what
/// was accepted there.
#[derive(Clone, Debug, PartialEq)]
pub struct PatternView {
    /// The family's root: the eldest process that holds the listener.
    pub pid: u32,
    /// Its command name: escape before printing.
    pub comm: Untrusted,
    /// The pattern.
    pub name: PatternName,
    /// Threads or processes that share the work; `None` while that is unknown.
    pub units: Option<Units>,
    /// Way in which they wait; `None` while that is unknown.
    pub io: Option<Io>,
    /// From 0 to 0.99: the share of the seen connections that fit the name. It is lower if few were
    /// seen.
    pub confidence: f64,
    /// One clause: "1 thread accepts, 4 read and write, hand-off 38 µs".
    pub headline: String,
    /// Grounds for the name, with numbers; no text from outside.
    pub evidence: Vec<String>,
    /// From accept by one thread, and the first byte, to the first read by another, µs.
    pub handoff: WaitView,
    /// Those that take part, most connections first; bounded.
    pub threads: Vec<PatternThread>,
    /// Threads that do far more than their part of the reads.
    pub uneven: Vec<u32>,
}

/// Work of a thread for the family's connections since the attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternThread {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Command name: escape before printing; empty if it ended before it was looked at.
    pub comm: Untrusted,
    /// Connections accepted.
    pub accepts: u64,
    /// Reads that took bytes.
    pub reads: u64,
    /// Writes that took bytes.
    pub writes: u64,
    /// Connections that it was the first to read from, or to write to where nobody read.
    pub connections: u64,
}

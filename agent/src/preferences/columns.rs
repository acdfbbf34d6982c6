//! Columns of the lists, by the names that the configuration file has for them.

/// Columns of QUEUES.
pub const QUEUES: &[&str] = &[
    "listener", "process", "queue", "limit", "trend", "syn", "queued", "accepts", "wait-p50",
    "wait-p99", "wait-max", "overflow",
];
/// Columns of CONNECTIONS.
pub const CONNECTIONS: &[&str] = &[
    "connection",
    "thread",
    "speaks",
    "state",
    "exchanges",
    "last",
    "recent",
    "held-by",
    "worst",
    "in",
    "out",
    "resent",
];
/// Columns of THREADS.
pub const THREADS: &[&str] =
    &["thread", "accepts", "reads", "writes", "on-cpu", "no-cpu", "asleep", "time", "serves"];

/// The columns that a user wants to see of each list, in this order. An empty list leaves the choice
/// to the screen. Where there is not room for all, the last ones give way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// Some of [`QUEUES`].
    pub queues: Vec<&'static str>,
    /// Some of [`CONNECTIONS`].
    pub connections: Vec<&'static str>,
    /// Some of [`THREADS`].
    pub threads: Vec<&'static str>,
}

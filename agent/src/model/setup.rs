//! What is known when a watch begins.

use serde::{Deserialize, Serialize};

use crate::text::Untrusted;

/// Facts that are known when the watch begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Time of the attach, ns of `CLOCK_MONOTONIC`.
    pub attached_ns: u64,
    /// The watched processes and ports: "api-server 4242".
    pub target: Untrusted,
    /// "full" or "tracepoint".
    pub tier: Untrusted,
    /// Every single event is reported too: SYNs, changes of processes, events on connections
    /// (`--detail events`).
    pub detail_events: bool,
    /// Exchanges are watched, not queues alone. Without them no connection is seen to end.
    pub exchanges: bool,
}

impl Setup {
    /// Whether the watch sees what processes call. With ports alone it sees only what they serve.
    pub(super) fn sees_calls(&self) -> bool {
        !self.target.as_came().split(", ").all(is_port)
    }
}

/// Whether one part of the target is a port: "port 8080".
fn is_port(part: &str) -> bool {
    let Some(port) = part.strip_prefix("port ") else { return false };
    port.parse::<u16>().is_ok()
}

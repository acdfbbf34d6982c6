//! Sums of the run so far, for whoever keeps metrics.

use super::{
    Model,
    event::{Cost, Role, TcpState},
    snapshot::{ConnectTotals, Finding, ResetTotals},
};
use crate::text::Untrusted;

/// Sums of the run so far. They only grow, except for [`connections`](Self::connections).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Their time, ns of `CLOCK_MONOTONIC`.
    pub now_ns: u64,
    /// Connects of watched processes; `None` where they are not watched (`--detail queues`).
    pub connects: Option<ConnectTotals>,
    /// Ends that are no plain FIN; likewise.
    pub resets: Option<ResetTotals>,
    /// Segments sent again, on connections that were accepted and on those that were made;
    /// likewise.
    pub retransmits: Option<[u64; 2]>,
    /// Open connections; `None` likewise, and in a pause, when nobody counts them.
    pub connections: Option<Vec<ConnectionCount>>,
    /// Exchanges are watched at the moment.
    pub watches_exchanges: bool,
    /// Time in which exchanges were not watched, to keep to a budget, µs; `None` if there was none.
    pub paused_us: Option<u64>,
    /// Standing findings, worst first.
    pub findings: Vec<Finding>,
    /// Records that probes wanted to deliver.
    pub seen: u64,
    /// Records and map entries lost, by probe or table.
    pub lost: Vec<(Untrusted, u64)>,
    /// Cost of backscope itself; `None` before the first sample.
    pub cost: Option<Cost>,
}

/// Open connections of one side in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionCount {
    /// On which side the process is.
    pub role: Role,
    /// The state.
    pub state: TcpState,
    /// Their number.
    pub count: u64,
}

impl Model {
    /// Returns the sums of the run so far. It walks over the connections: call it at a refresh.
    pub fn figures(&self) -> Figures {
        let exchanges = self.setup.exchanges;
        Figures {
            now_ns: self.now_ns,
            connects: exchanges.then(|| self.connections.connects.totals()),
            resets: exchanges.then_some(self.connections.ended.totals),
            retransmits: exchanges.then_some(self.connections.retransmits),
            connections: self.watches_exchanges().then(|| self.connections.by_state()),
            watches_exchanges: self.watches_exchanges(),
            paused_us: self.pauses.total_ns(self.now_ns).map(|ns| ns / 1_000),
            findings: self.findings.view(),
            seen: self.seen,
            lost: self.lost.iter().map(|(probe, total)| (probe.clone(), *total)).collect(),
            cost: self.cost.map(|(_, cost)| cost),
        }
    }
}

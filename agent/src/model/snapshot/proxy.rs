//! Processes that serve and call others: proxies, balancers, services in front of services.

use std::net::SocketAddr;

use super::WaitView;
use crate::model::event::SockId;
use crate::text::Untrusted;

/// The other side of an exchange: of one that a process served a call that it made for it, or the
/// other way round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Join {
    /// The connection of the other exchange.
    pub sock: SockId,
    /// Its number there.
    pub seq: u32,
    /// The peer of that connection.
    pub peer: SocketAddr,
    /// Confidence of the join, up to 1.
    pub confidence: f64,
}

/// Connections of one side of a proxy, and exchanges on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxySide {
    /// Connections on which there was an exchange.
    pub connections: u64,
    /// Exchanges that are over.
    pub exchanges: u64,
}

/// Use of upstream connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "kebab-case"))]
pub enum Reuse {
    /// One after the other, for several downstream connections.
    Pooled,
    /// Each for one downstream connection.
    PerConnection,
    /// Each for one request.
    PerRequest,
    /// Each for several requests at a time.
    Multiplexed,
}

impl Reuse {
    /// As JSON spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pooled => "pooled",
            Self::PerConnection => "per-connection",
            Self::PerRequest => "per-request",
            Self::Multiplexed => "multiplexed",
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Pooled => "a pool of upstream connections",
            Self::PerConnection => "an upstream connection for each client connection",
            Self::PerRequest => "a new upstream connection for each request",
            Self::Multiplexed => "upstream connections that take many requests at a time",
        }
    }
}

/// Unit that is balanced over upstream addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "kebab-case"))]
pub enum Spreading {
    /// Each downstream connection stays with one address.
    PerConnection,
    /// Requests of one downstream connection go to several addresses.
    PerRequest,
}

impl Spreading {
    /// As JSON spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PerConnection => "per-connection",
            Self::PerRequest => "per-request",
        }
    }
}

/// One address that a process calls.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamView {
    /// Where.
    pub peer: SocketAddr,
    /// Connections and exchanges with it.
    pub side: ProxySide,
    /// Its share of all exchanges.
    pub share: f64,
    /// Exchanges that it did not answer.
    pub unanswered: u64,
    /// Durations of exchanges, µs.
    pub time: WaitView,
    /// It takes clearly longer than the others of late.
    pub slow: bool,
    /// Connects to it that failed.
    pub connect_fails: u64,
}

/// A process that serves and calls others.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyView {
    /// Process.
    pub pid: u32,
    /// Its command name: escape before printing.
    pub comm: Untrusted,
    /// Its callers.
    pub downstream: ProxySide,
    /// Whom it calls.
    pub upstream: ProxySide,
    /// Upstream exchanges whose downstream exchange was found.
    pub joined: u64,
    /// Use of upstream connections; `None` while that cannot be told.
    pub reuse: Option<Reuse>,
    /// Spread of requests over upstream addresses; `None` while that cannot be told, and with
    /// a single one.
    pub spreading: Option<Spreading>,
    /// The largest share against an even one; `None` with a single address.
    pub imbalance: Option<f64>,
    /// By address, those with most exchanges first; bounded.
    pub upstreams: Vec<UpstreamView>,
}

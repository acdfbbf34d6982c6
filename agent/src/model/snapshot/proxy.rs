//! Processes that serve and call others: proxies, balancers, services in front of services.

use std::net::SocketAddr;

use super::{CallFault, WaitView};
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
    /// The beginning and the end of the other exchange, as far as they are known.
    pub start_ns: u64,
    /// See [`Self::start_ns`].
    pub end_ns: u64,
    /// Of a call: its time counts as the request's wait for an upstream. One that is only likely
    /// to be the request's does not.
    pub counts: bool,
    /// The other exchange goes on.
    pub open: bool,
    /// Of a call: it failed.
    pub fault: Option<CallFault>,
}

impl Join {
    /// A join of which only the ends are known.
    pub fn new(sock: SockId, seq: u32, peer: SocketAddr, confidence: f64) -> Self {
        Self {
            sock,
            seq,
            peer,
            confidence,
            start_ns: 0,
            end_ns: 0,
            counts: false,
            open: false,
            fault: None,
        }
    }
}

/// A call or a connect that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedCall {
    /// How.
    pub fault: CallFault,
    /// The time at which it had failed.
    pub ts_ns: u64,
    /// Its duration, µs.
    pub us: u64,
    /// The request that waited for it, as connection, number and client; `None` while that is not
    /// known.
    pub request: Option<(SockId, u32, SocketAddr)>,
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
    /// The last call or connect that failed.
    pub last_failure: Option<FailedCall>,
    /// Calls and connects that have no answer yet.
    pub waiting: u64,
    /// The time for which the longest of them has waited, µs.
    pub waiting_us: u64,
}

impl UpstreamView {
    /// An upstream of which nothing is known yet.
    pub fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            side: ProxySide::default(),
            share: 0.0,
            unanswered: 0,
            time: WaitView::default(),
            slow: false,
            connect_fails: 0,
            last_failure: None,
            waiting: 0,
            waiting_us: 0,
        }
    }

    /// Calls and connects that failed.
    pub fn failures(&self) -> u64 {
        self.connect_fails.saturating_add(self.unanswered)
    }
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

impl ProxyView {
    /// Returns an upstream's figures, if need be new ones.
    pub(in crate::model) fn upstream_mut(&mut self, peer: SocketAddr) -> &mut UpstreamView {
        let known = self.upstreams.iter().position(|upstream| upstream.peer == peer);
        let at = known.unwrap_or_else(|| {
            self.upstreams.push(UpstreamView::new(peer));
            self.upstreams.len() - 1
        });
        &mut self.upstreams[at]
    }
}

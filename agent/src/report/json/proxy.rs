//! The body of `proxy`.

use serde::Serialize;

use super::parts::{WaitBody, gaps};
use crate::model::snapshot::{ProxySide, ProxyView, Reuse, Spreading, UpstreamView};
use crate::text::Untrusted;

/// State of a process that serves and calls others, at each refresh if it changed, and at the end.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ProxyBody<'a> {
    /// The process.
    pid: u32,
    /// Its name.
    comm: &'a Untrusted,
    /// Those who call it; connections without an exchange do not count.
    downstream: SideBody,
    /// Those whom it calls, likewise.
    upstream: SideBody,
    /// Upstream exchanges whose downstream exchange was found.
    joined: u64,
    /// Use of upstream connections: `"pooled"` (one serves several downstream connections; a fifth
    /// of its exchanges, as a few may be joined wrongly), `"per-connection"` (one for each
    /// downstream connection), `"per-request"` (one for each request), `"multiplexed"` (as of
    /// `exchange`); `null` while it cannot be told: with one client, a pool of one looks like a
    /// connection of its own.
    #[cfg_attr(test, schemars(with = "Option<Reuse>"))]
    reuse: Option<&'static str>,
    /// Exchanges for each upstream connection.
    exchanges_per_connection: f64,
    /// Unit that is balanced: `"per-connection"`: each downstream connection stays with one
    /// upstream address; `"per-request"`: at least a tenth of those with several requests go to
    /// several, with a fifth of these; `null` with a single address, or too few.
    #[cfg_attr(test, schemars(with = "Option<Spreading>"))]
    spreading: Option<&'static str>,
    /// Largest share against an even one; `null` with a single address.
    imbalance: Option<f64>,
    /// Figures by upstream address, 64 at most, those with most exchanges first.
    upstreams: Vec<UpstreamBody>,
    /// Reasons for what is `null`; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

impl<'a> From<&'a ProxyView> for ProxyBody<'a> {
    fn from(view: &'a ProxyView) -> Self {
        let ProxySide { connections, exchanges } = view.upstream;
        Self {
            pid: view.pid,
            comm: &view.comm,
            downstream: view.downstream.into(),
            upstream: view.upstream.into(),
            joined: view.joined,
            reuse: view.reuse.map(Reuse::name),
            exchanges_per_connection: rounded(exchanges as f64 / connections.max(1) as f64),
            spreading: view.spreading.map(Spreading::name),
            imbalance: view.imbalance.map(rounded),
            upstreams: view.upstreams.iter().map(UpstreamBody::from).collect(),
            gaps: gaps([
                (
                    view.reuse.is_none(),
                    "reuse: too few connections with exchanges that were joined",
                ),
                (
                    view.spreading.is_none(),
                    "spreading: a single upstream address, or too few connections with several \
                     requests",
                ),
                (view.imbalance.is_none(), "imbalance: a single upstream address"),
            ]),
        }
    }
}

/// Those who call a proxy, or those whom it calls.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ProxySide"))]
struct SideBody {
    /// Connections on which there was an exchange.
    connections: u64,
    /// Exchanges.
    exchanges: u64,
}

impl From<ProxySide> for SideBody {
    fn from(side: ProxySide) -> Self {
        Self { connections: side.connections, exchanges: side.exchanges }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct UpstreamBody {
    /// The address.
    peer: String,
    /// Connections to it.
    connections: u64,
    /// Exchanges with it.
    exchanges: u64,
    /// Its share of the exchanges, 0 to 1.
    share: f64,
    /// Calls to it that got no answer.
    unanswered: u64,
    /// Time that calls to it took.
    time_us: WaitBody,
    /// `true` of the one of the finding `upstream-imbalance`.
    slow: bool,
    /// Connects to it that failed.
    connect_fails: u64,
}

impl From<&UpstreamView> for UpstreamBody {
    fn from(view: &UpstreamView) -> Self {
        Self {
            peer: view.peer.to_string(),
            connections: view.side.connections,
            exchanges: view.side.exchanges,
            share: rounded(view.share),
            unanswered: view.unanswered,
            time_us: view.time.into(),
            slow: view.slow,
            connect_fails: view.connect_fails,
        }
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

//! The body of a `proxy` object, and the other side of an exchange.

use serde::Serialize;

use super::body::{WaitBody, gaps};
use crate::model::snapshot::{Join, ProxySide, ProxyView, Reuse, Spreading, UpstreamView};

#[derive(Serialize)]
pub(super) struct JoinBody {
    sock: String,
    seq: u32,
    peer: String,
    confidence: f64,
}

impl From<&Join> for JoinBody {
    fn from(join: &Join) -> Self {
        let Join { sock, seq, peer, confidence } = *join;
        Self { sock: sock.to_string(), seq, peer: peer.to_string(), confidence }
    }
}

#[derive(Serialize)]
struct SideBody {
    connections: u64,
    exchanges: u64,
}

impl From<ProxySide> for SideBody {
    fn from(side: ProxySide) -> Self {
        Self { connections: side.connections, exchanges: side.exchanges }
    }
}

#[derive(Serialize)]
pub(super) struct ProxyBody<'a> {
    pid: u32,
    comm: &'a str,
    downstream: SideBody,
    upstream: SideBody,
    joined: u64,
    reuse: Option<&'static str>,
    exchanges_per_connection: f64,
    spreading: Option<&'static str>,
    imbalance: Option<f64>,
    upstreams: Vec<UpstreamBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

#[derive(Serialize)]
struct UpstreamBody {
    peer: String,
    connections: u64,
    exchanges: u64,
    share: f64,
    unanswered: u64,
    time_us: WaitBody,
    slow: bool,
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

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

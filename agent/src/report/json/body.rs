//! The bodies of the objects but the last, field by field.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::model::Attached;
use crate::model::event::{
    Accept, LeftQueue, OtherListener, Process, ProcessChange, Stage, Syn, SynAckRetransmit,
    UnixListener,
};
use crate::model::output::{FindingOutput, Lost, OverflowOutput};
use crate::model::snapshot::{ListenerView, Severity, Totals, WaitView};

#[derive(Serialize)]
pub(super) struct AttachedBody<'a> {
    kernel: &'a str,
    tier: &'a str,
    hooks: &'a BTreeMap<String, Option<String>>,
    targets: &'a [String],
    attach_us: u64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    gaps: &'a [String],
}

impl<'a> From<&'a Attached> for AttachedBody<'a> {
    fn from(attached: &'a Attached) -> Self {
        Self {
            kernel: &attached.kernel,
            tier: &attached.tier,
            hooks: &attached.hooks,
            targets: &attached.targets,
            attach_us: attached.attach_us,
            gaps: &attached.gaps,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Overflows {
    syn: u64,
    ack: Option<u64>,
}

impl From<&Totals> for Overflows {
    fn from(totals: &Totals) -> Self {
        Self { syn: totals.overflow_syn, ack: totals.overflow_ack }
    }
}

/// Quantiles of a wait; unknown where nothing waited.
#[derive(Serialize)]
pub(super) struct WaitBody {
    p50: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
    max: Option<u64>,
    count: u64,
}

impl From<WaitView> for WaitBody {
    fn from(wait: WaitView) -> Self {
        let known = |us| if wait.count > 0 { Some(us) } else { None };
        Self {
            p50: known(wait.p50),
            p90: known(wait.p90),
            p99: known(wait.p99),
            max: known(wait.max),
            count: wait.count,
        }
    }
}

/// Connections that did not wait in the queue until they were accepted.
#[derive(Serialize)]
pub(super) struct LeftBody {
    peer_closed: u64,
    peer_reset: u64,
    late: u64,
    late_us: u64,
    reset_by_close: u64,
}

impl From<LeftQueue> for LeftBody {
    fn from(left: LeftQueue) -> Self {
        let LeftQueue { closed, reset, late, late_us, cut } = left;
        Self { peer_closed: closed, peer_reset: reset, late, late_us, reset_by_close: cut }
    }
}

#[derive(Serialize)]
struct OtherBody<'a> {
    pid: u32,
    comm: &'a str,
    local: String,
    accept_depth: u32,
    limit: u32,
}

impl<'a> From<&'a OtherListener> for OtherBody<'a> {
    fn from(other: &'a OtherListener) -> Self {
        let OtherListener { pid, ref comm, local, depth, limit } = *other;
        Self { pid, comm, local: local.to_string(), accept_depth: depth, limit }
    }
}

/// Address family of a listener.
pub(crate) fn family(local: SocketAddr) -> &'static str {
    if local.is_ipv4() { "ipv4" } else { "ipv6" }
}

#[derive(Serialize)]
pub(super) struct ListenerBody<'a> {
    sock: String,
    family: &'static str,
    local: String,
    pid: u32,
    comm: &'a str,
    holders: &'a [u32],
    closed: bool,
    backlog: Option<u32>,
    limit: u32,
    defer_accept_s: Option<u64>,
    accept_depth: u32,
    accept_peak: u32,
    syn_depth: u32,
    syn_peak: u32,
    overflows: Overflows,
    syn_dropped: Option<u64>,
    cookies_sent: Option<u64>,
    synack_retransmits: u64,
    queued: u64,
    accepted: u64,
    abandoned: u64,
    left_queue: Option<LeftBody>,
    accept_fails: Option<u64>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    accept_errors: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<OtherBody<'a>>,
    accept_wait_us: WaitBody,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

impl<'a> From<&'a ListenerView> for ListenerBody<'a> {
    fn from(view: &'a ListenerView) -> Self {
        let totals = &view.totals;
        let mut accept_errors = Map::new();
        for (name, count) in &view.accept_errors {
            accept_errors.insert(name.clone(), json!(count));
        }
        Self {
            sock: view.sock.to_string(),
            family: family(view.local),
            local: view.local.to_string(),
            pid: view.pid,
            comm: &view.comm,
            holders: &view.holders,
            closed: view.closed,
            backlog: view.backlog,
            limit: view.limit,
            defer_accept_s: view.defer_accept_s,
            accept_depth: view.depth,
            accept_peak: view.peak,
            syn_depth: view.syn_depth,
            syn_peak: view.syn_peak,
            overflows: totals.into(),
            syn_dropped: totals.syn_dropped,
            cookies_sent: totals.cookies_sent,
            synack_retransmits: totals.synack_retransmits,
            queued: totals.queued,
            accepted: totals.accepted,
            abandoned: totals.abandoned,
            left_queue: totals.left.map(LeftBody::from),
            accept_fails: totals.accept_fails,
            accept_errors,
            others: view.others.iter().map(OtherBody::from).collect(),
            accept_wait_us: view.wait.into(),
            gaps: gaps([
                (view.backlog.is_none(), "backlog: listen() ran before the attach"),
                (view.defer_accept_s.is_none(), "defer_accept_s: not in recordings of version 2"),
                (totals.overflow_ack.is_none(), ACK_GAP),
                (
                    totals.syn_dropped.is_none(),
                    "syn_dropped: no hook on this kernel tells these drops apart",
                ),
                (
                    totals.cookies_sent.is_none(),
                    "cookies_sent: no hook on this kernel sees syncookies",
                ),
                (
                    totals.left.is_none(),
                    "left_queue: no hook on this kernel sees who enters the queue",
                ),
                (
                    totals.accept_fails.is_none(),
                    "accept_fails: no hook on this kernel sees every call that fails",
                ),
                (view.wait.count == 0, "accept_wait_us: no accept with a known wait yet"),
            ]),
        }
    }
}

/// A listener that is a Unix-domain socket has the fields of any other; most are of TCP and `null`.
#[derive(Serialize)]
pub(super) struct UnixBody<'a> {
    sock: String,
    family: &'static str,
    local: String,
    path: &'a str,
    pid: u32,
    comm: &'a str,
    holders: &'a [u32],
    closed: bool,
    backlog: Option<u32>,
    limit: u32,
    defer_accept_s: Option<u64>,
    accept_depth: u32,
    accept_peak: Option<u32>,
    refused: Option<u64>,
    syn_depth: Option<u32>,
    overflows: UnixOverflows,
    cookies_sent: Option<u64>,
    accepted: Option<u64>,
    accept_wait_us: WaitBody,
    gaps: Vec<&'static str>,
}

#[derive(Serialize)]
struct UnixOverflows {
    syn: Option<u64>,
    ack: Option<u64>,
}

impl<'a> From<&'a UnixListener> for UnixBody<'a> {
    fn from(view: &'a UnixListener) -> Self {
        Self {
            sock: view.sock.to_string(),
            family: "unix",
            local: format!("unix:{}", view.path),
            path: &view.path,
            pid: view.pid,
            comm: &view.comm,
            holders: &view.holders,
            closed: false,
            backlog: None,
            limit: view.limit,
            defer_accept_s: None,
            accept_depth: view.depth,
            accept_peak: None,
            refused: view.refused,
            syn_depth: None,
            overflows: UnixOverflows { syn: None, ack: None },
            cookies_sent: None,
            accepted: None,
            accept_wait_us: WaitView::default().into(),
            gaps: gaps([
                (true, UNIX_GAP),
                (
                    view.refused.is_none(),
                    "refused: no hook counts who finds the queue of this socket full",
                ),
            ]),
        }
    }
}

const UNIX_GAP: &str = "backlog, defer_accept_s, accept_peak, syn_depth, overflows, cookies_sent, \
     accepted, accept_wait_us: of a Unix-domain socket the queue is looked at, and no hook watches \
     its connections";

const ACK_GAP: &str = "overflows.ack: this kernel does not tell ignored final ACKs from dropped \
     SYNs; both are in overflows.syn";

#[derive(Serialize)]
pub(super) struct SynBody {
    listener: String,
    peer: String,
    accept_depth: u32,
    syn_depth: u32,
    tfo_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_by: Option<&'static str>,
}

impl From<&Syn> for SynBody {
    fn from(syn: &Syn) -> Self {
        Self {
            listener: syn.listener.to_string(),
            peer: syn.peer.to_string(),
            accept_depth: syn.depth,
            syn_depth: syn.syn_depth,
            tfo_bytes: syn.tfo_bytes,
            observed_by: if syn.tfo_bytes.is_none() { Some("synack") } else { None },
        }
    }
}

#[derive(Serialize)]
pub(super) struct OverflowBody {
    listener: String,
    peer: Option<String>,
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    accept_depth: u32,
    limit: u32,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

impl OverflowBody {
    /// On the tracepoint tier dropped SYNs are known by the socket's own drop count alone; other
    /// refusals that have no name were counted by a probe whose record was lost.
    pub(super) fn new(overflow: &OverflowOutput, tier: &str) -> Self {
        let counter = if overflow.stage == Stage::Syn && tier == "tracepoint" {
            "sk_drops"
        } else {
            "probe_counter"
        };
        Self {
            listener: overflow.listener.to_string(),
            peer: overflow.peer.map(|peer| peer.to_string()),
            stage: match overflow.stage {
                Stage::Syn | Stage::SynQueue => "syn",
                Stage::Ack => "ack",
                Stage::Cookie => "cookie",
            },
            reason: match overflow.stage {
                Stage::SynQueue => Some("syn-queue-full"),
                _ => None,
            },
            accept_depth: overflow.depth,
            limit: overflow.limit,
            count: overflow.count,
            observed_by: if overflow.peer.is_none() { Some(counter) } else { None },
            gaps: gaps([
                (overflow.peer.is_none(), "peer: the kernel counted these and named nobody"),
                (
                    !overflow.stage_certain,
                    "stage: this kernel does not tell ignored final ACKs from dropped SYNs",
                ),
            ]),
        }
    }
}

#[derive(Serialize)]
pub(super) struct AcceptBody<'a> {
    sock: String,
    listener: String,
    local: String,
    peer: String,
    pid: u32,
    tid: u32,
    comm: &'a str,
    fd: Option<i32>,
    handshake_us: Option<u64>,
    queued_us: Option<u64>,
    blocked_us: Option<u64>,
    depth: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

impl<'a> From<&'a Accept> for AcceptBody<'a> {
    fn from(accept: &'a Accept) -> Self {
        Self {
            sock: accept.sock.to_string(),
            listener: accept.listener.to_string(),
            local: accept.local.to_string(),
            peer: accept.peer.to_string(),
            pid: accept.pid,
            tid: accept.tid,
            comm: &accept.comm,
            fd: accept.fd,
            handshake_us: accept.handshake_us,
            queued_us: accept.queued_us(),
            blocked_us: accept.blocked_us(),
            depth: accept.depth,
            observed_by: match (accept.queued_estimated, accept.late) {
                (true, _) => Some("lsndtime"),
                (_, true) => Some("first_read_or_write"),
                _ => None,
            },
            gaps: gaps([
                (
                    accept.fd.is_none(),
                    "fd: a direct descriptor of io_uring, or the hooks of accept rested",
                ),
                (
                    accept.handshake_us.is_none(),
                    "handshake_us: the kernel took no sample of it alone (syncookie, SYN-ACK sent \
                     again, TCP_DEFER_ACCEPT)",
                ),
                (
                    accept.late,
                    "queued_us: the kernel skipped the probe at the return; ts_ns is that of the \
                     first read or write",
                ),
                (
                    accept.queued_ns.is_none() && !accept.late,
                    "queued_us: it was queued before the attach, or its stamp found no room",
                ),
                (
                    accept.queued_ns.is_some() && accept.entered_ns.is_none(),
                    "blocked_us: the call began before the attach, while the hooks rested, or its \
                     stamp found no room",
                ),
                (
                    accept.queued_ns.is_none() && accept.entered_ns.is_some(),
                    "blocked_us: not known without the moment of queueing",
                ),
                (
                    accept.queued_ns.is_none() && accept.entered_ns.is_none(),
                    "blocked_us: the call's beginning was not seen",
                ),
            ]),
        }
    }
}

pub(super) fn retransmitted(retransmit: &SynAckRetransmit) -> Value {
    json!({
        "sock": retransmit.listener.to_string(),
        "name": "synack_retransmit",
        "tid": null,
        "peer": retransmit.peer.to_string(),
        "count": retransmit.count,
    })
}

#[derive(Serialize)]
pub(super) struct ProcessBody<'a> {
    pid: u32,
    comm: &'a str,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u32>,
}

impl<'a> From<&'a Process> for ProcessBody<'a> {
    fn from(process: &'a Process) -> Self {
        let (change, parent) = match process.change {
            ProcessChange::Forked { parent } => ("forked", Some(parent)),
            ProcessChange::Executed => ("executed", None),
            ProcessChange::Exited => ("exited", None),
        };
        Self { pid: process.pid, comm: &process.comm, change, parent }
    }
}

#[derive(Serialize)]
pub(super) struct FindingBody<'a> {
    kind: &'static str,
    state: &'static str,
    severity: &'static str,
    owner: &'static str,
    subject: &'a str,
    sock: String,
    headline: &'a str,
    text: &'a str,
    inferred: bool,
    evidence: Map<String, Value>,
    fix: &'a str,
}

impl<'a> From<&'a FindingOutput> for FindingBody<'a> {
    fn from(output: &'a FindingOutput) -> Self {
        let finding = &output.finding;
        let mut evidence = Map::new();
        for &(name, value) in &finding.evidence {
            evidence.insert(name.to_owned(), number(value));
        }
        Self {
            kind: finding.kind,
            state: output.state.name(),
            severity: severity_name(finding.severity),
            owner: finding.owner.name(),
            subject: &finding.subject,
            sock: finding.sock.to_string(),
            headline: &finding.headline,
            text: &finding.text,
            inferred: finding.inferred,
            evidence,
            fix: &finding.fix,
        }
    }
}

#[derive(Serialize)]
pub(super) struct LostBody<'a> {
    probe: &'a str,
    count: u64,
    total: u64,
}

impl<'a> From<&'a Lost> for LostBody<'a> {
    fn from(lost: &'a Lost) -> Self {
        Self { probe: &lost.probe, count: lost.count, total: lost.total }
    }
}

/// The reasons that apply.
pub(super) fn gaps<const N: usize>(reasons: [(bool, &'static str); N]) -> Vec<&'static str> {
    let mut gaps = Vec::new();
    for (applies, reason) in reasons {
        if applies {
            gaps.push(reason);
        }
    }
    gaps
}

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// Whole numbers without a fraction, others to four digits after the point.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        json!(value as i64)
    } else {
        json!((value * 1e4).round() / 1e4)
    }
}

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

/// The hooks are attached: once, first.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AttachedBody<'a> {
    /// Release of the kernel.
    kernel: &'a str,
    /// Tier of the hooks.
    #[cfg_attr(test, schemars(extend("enum" = ["full", "tracepoint"])))]
    tier: &'a str,
    /// Hooks by the signal that they serve; `null` where no hook does.
    hooks: &'a BTreeMap<String, Option<String>>,
    /// Processes, ports and names that are watched.
    targets: &'a [String],
    /// Time that the attach took.
    attach_us: u64,
    /// Sentences on what this kernel does not show; absent if there are none.
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

/// Refusals since the accept queue was full.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Overflows {
    /// SYNs that were dropped since the accept queue was full.
    syn: u64,
    /// Final ACKs that were ignored for the same reason; `null` where the kernel does not tell them
    /// from dropped SYNs.
    ack: Option<u64>,
}

impl From<&Totals> for Overflows {
    fn from(totals: &Totals) -> Self {
        Self { syn: totals.overflow_syn, ack: totals.overflow_ack }
    }
}

/// Quantiles of a wait; `null` where nothing waited.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Wait"))]
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

/// Connections that left the accept queue and that nobody accepted.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "LeftQueue"))]
pub(super) struct LeftBody {
    /// Connections whose peer sent a FIN while they waited.
    peer_closed: u64,
    /// Connections whose peer sent a RST while they waited.
    peer_reset: u64,
    /// Those of both that had waited for 50 ms or longer: a client that gave up, and no health
    /// check.
    late: u64,
    /// Sum of the waits of those.
    late_us: u64,
    /// Connections that the kernel reset since the listener closed.
    reset_by_close: u64,
}

impl From<LeftQueue> for LeftBody {
    fn from(left: LeftQueue) -> Self {
        let LeftQueue { closed, reset, late, late_us, cut } = left;
        Self { peer_closed: closed, peer_reset: reset, late, late_us, reset_by_close: cut }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct OtherBody<'a> {
    /// Process that holds it.
    pid: u32,
    /// Name of that process.
    comm: &'a str,
    /// Address on which it listens.
    local: String,
    /// Connections in its accept queue.
    accept_depth: u32,
    /// Limit of its accept queue.
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

/// Listener of TCP. Peaks run since the last object, counts since the attach.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ListenerBody<'a> {
    /// Id of the listener.
    sock: String,
    /// Address family; `"unix"` of a Unix-domain socket.
    #[cfg_attr(test, schemars(extend("enum" = ["ipv4", "ipv6"])))]
    family: &'static str,
    /// Address on which it listens.
    local: String,
    /// Process that holds it.
    pid: u32,
    /// Name of that process.
    comm: &'a str,
    /// Processes that have it open.
    holders: &'a [u32],
    /// `true` if it has stopped listening.
    closed: bool,
    /// Backlog that `listen` asked for; `null` if that was before the attach.
    backlog: Option<u32>,
    /// Limit of the accept queue that is in force.
    limit: u32,
    /// TCP_DEFER_ACCEPT in seconds, 0 without; `null` in recordings of version 2.
    defer_accept_s: Option<u64>,
    /// Connections in the accept queue.
    accept_depth: u32,
    /// Most of them since the last object.
    accept_peak: u32,
    /// Handshakes that are not finished.
    syn_depth: u32,
    /// Most of them since the last object.
    syn_peak: u32,
    /// Refusals since the accept queue was full.
    overflows: Overflows,
    /// SYNs that were dropped since the SYN queue was full; `null` where no hook tells.
    syn_dropped: Option<u64>,
    /// SYN cookies that were sent; `null` where no hook tells.
    cookies_sent: Option<u64>,
    /// SYN-ACKs that were sent again.
    synack_retransmits: u64,
    /// Connections that entered the accept queue.
    queued: u64,
    /// Connections that were accepted.
    accepted: u64,
    /// Connections that left the queue and that nobody accepted.
    abandoned: u64,
    /// Causes for which connections left the queue; `null` where no hook tells.
    left_queue: Option<LeftBody>,
    /// Calls of `accept` that returned an error; not EAGAIN, EINTR, or an end of the listener.
    /// `null` where no hook tells.
    accept_fails: Option<u64>,
    /// Number of these calls by the error that they returned; absent if there are none.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(test, schemars(with = "BTreeMap<String, u64>"))]
    accept_errors: Map<String, Value>,
    /// Sockets at the same address, or a nearer one, that nobody watched holds (a member of a
    /// SO_REUSEPORT group, an old process after a reload), looked for every 5 s; absent if there
    /// are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<OtherBody<'a>>,
    /// Time that connections spent in the accept queue.
    accept_wait_us: WaitBody,
    /// Reasons for what is `null`; absent if there are none.
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct UnixBody<'a> {
    /// Id of the listener.
    sock: String,
    /// Address family.
    #[cfg_attr(test, schemars(extend("enum" = ["unix"])))]
    family: &'static str,
    /// Name of the socket: `unix:PATH`.
    local: String,
    /// Path of a Unix-domain socket, absent of others. A name in the abstract namespace begins with
    /// `@`.
    path: &'a str,
    /// Process that holds it.
    pid: u32,
    /// Name of that process.
    comm: &'a str,
    /// Processes that have it open.
    holders: &'a [u32],
    /// `true` if it has stopped listening.
    closed: bool,
    /// Always `null`.
    backlog: Option<u32>,
    /// Limit of the accept queue that is in force.
    limit: u32,
    /// Always `null`.
    defer_accept_s: Option<u64>,
    /// Connections in the accept queue.
    accept_depth: u32,
    /// Always `null`.
    accept_peak: Option<u32>,
    /// Of a Unix-domain socket, calls of `connect` that did not wait and found the queue full;
    /// `null` where no hook counts them. Absent of others.
    refused: Option<u64>,
    /// Always `null`.
    syn_depth: Option<u32>,
    /// Refusals, always `null`.
    overflows: UnixOverflows,
    /// Always `null`.
    cookies_sent: Option<u64>,
    /// Always `null`.
    accepted: Option<u64>,
    /// Time in the accept queue, always `null`.
    accept_wait_us: WaitBody,
    /// Reasons for what is `null`.
    gaps: Vec<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// A SYN came for a listener: with `--detail events`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SynBody {
    /// Id of the listener.
    listener: String,
    /// Sender of the SYN.
    peer: String,
    /// Connections in the accept queue at that time.
    accept_depth: u32,
    /// Handshakes that were not finished.
    syn_depth: u32,
    /// Data in the SYN (TCP Fast Open); `null` if it is known by its SYN-ACK alone.
    tfo_bytes: Option<u32>,
    /// `"synack"` if it is known by its SYN-ACK alone, else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = ["synack"])))]
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

/// Connections were refused.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct OverflowBody {
    /// Id of the listener.
    listener: String,
    /// Client that was refused; `null` if the kernel counted and named nobody.
    peer: Option<String>,
    /// Step of the handshake that was refused.
    #[cfg_attr(test, schemars(extend("enum" = ["syn", "ack", "cookie"])))]
    stage: &'static str,
    /// `"syn-queue-full"` if that was the reason; absent if it was the accept queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = ["syn-queue-full"])))]
    reason: Option<&'static str>,
    /// Connections in the accept queue at that time.
    accept_depth: u32,
    /// Limit of the accept queue.
    limit: u32,
    /// Number of refusals.
    count: u64,
    /// Counter that tells of them where no probe saw each; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = ["sk_drops", "probe_counter"])))]
    observed_by: Option<&'static str>,
    /// Reasons for what is `null` or not certain; absent if there are none.
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

/// A connection was handed to the application.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AcceptBody<'a> {
    /// Id of the connection.
    sock: String,
    /// Id of the listener.
    listener: String,
    /// Address of this host; an IPv4-mapped one as IPv4.
    local: String,
    /// Address of the client, likewise.
    peer: String,
    /// Process that accepted it.
    pid: u32,
    /// Thread that accepted it.
    tid: u32,
    /// Name of that process.
    comm: &'a str,
    /// Descriptor that it got; `null` of a direct one of io_uring.
    fd: Option<i32>,
    /// Time from SYN-ACK to final ACK: one round trip to the peer.
    handshake_us: Option<u64>,
    /// Time in the accept queue, to the return of `accept`.
    queued_us: Option<u64>,
    /// Time for which the thread had waited in `accept` before the connection came; 0 if the
    /// connection was there first.
    blocked_us: Option<u64>,
    /// Connections that still wait behind it.
    depth: u32,
    /// `"lsndtime"`: `queued_us` is an estimate; `"first_read_or_write"`: it is told late. Else
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = ["lsndtime", "first_read_or_write"])))]
    observed_by: Option<&'static str>,
    /// Reasons for what is `null`; absent if there are none.
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

/// A SYN-ACK was sent again.
// Fields are in the order of their names: so they were always written.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SynAckRetransmitBody {
    /// Number of times that it was sent again.
    count: u32,
    /// Name of the event.
    #[cfg_attr(test, schemars(extend("const" = "synack_retransmit")))]
    name: &'static str,
    /// Client that it goes to.
    peer: String,
    /// Id of the listener.
    sock: String,
    /// Always `null`.
    tid: Option<u32>,
}

impl From<&SynAckRetransmit> for SynAckRetransmitBody {
    fn from(retransmit: &SynAckRetransmit) -> Self {
        Self {
            count: retransmit.count,
            name: "synack_retransmit",
            peer: retransmit.peer.to_string(),
            sock: retransmit.listener.to_string(),
            tid: None,
        }
    }
}

/// A watched process began, executed a program or ended: with `--detail events`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ProcessBody<'a> {
    /// The process.
    pid: u32,
    /// Its name.
    comm: &'a str,
    /// Change that it went through.
    #[cfg_attr(test, schemars(extend("enum" = ["forked", "executed", "exited"])))]
    change: &'static str,
    /// Process that forked it; absent of other changes.
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

/// Something is wrong: when it begins, when it changes and when it ends.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct FindingBody<'a> {
    /// Kind of finding; the table below says what each means.
    kind: &'static str,
    /// `"begun"`; `"changed"`: it became worse, or its owner, what it says or its fix changed;
    /// `"ended"`: its condition has not held for three seconds, the figures are its last.
    #[cfg_attr(test, schemars(with = "crate::model::output::FindingState"))]
    state: &'static str,
    /// Severity.
    #[cfg_attr(test, schemars(with = "Severity"))]
    severity: &'static str,
    /// Holder of the time, and so whoever can change it.
    #[cfg_attr(test, schemars(with = "crate::model::snapshot::Owner"))]
    owner: &'static str,
    /// Listener, process or address that it is on.
    subject: &'a str,
    /// Id of the listener or UDP socket; the process id where the subject is a process.
    sock: String,
    /// Sentence that names it.
    headline: &'a str,
    /// Sentences on what was seen.
    text: &'a str,
    /// `true` if a sentence of it was inferred from facts, and not itself observed.
    inferred: bool,
    /// Numbers by name.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, f64>"))]
    evidence: Map<String, Value>,
    /// Advice on what to change.
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

/// Records or places in a table were lost.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct LostBody<'a> {
    /// Kind of loss; the table below says what each means.
    probe: &'a str,
    /// Number since the last object.
    count: u64,
    /// Number since the attach.
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

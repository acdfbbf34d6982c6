//! The bodies of `exchange` and `connection`.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::body::gaps;
use super::connect::FailureBody;
use super::proxy::JoinBody;
use crate::model::event::{Ending, HoldReason, Http2Streams, Role, Side, SockId, TcpState};
use crate::model::output::{ConnectionOutput, ExchangeOutput};
use crate::model::snapshot::{
    Cause, ConnectionView, FirstAnswer, OwnerTimes, Pieces, Protocol, Slice, SliceKind, TlsView,
    Verdict,
};

const NO_PROTOCOL: &str =
    "protocol: nothing was recognised in its first bytes, or they were not looked at";

const MULTIPATH: &str = "exchanges, bytes, phases_us, times_us: reads and writes of Multipath TCP \
     are not seen, its handshake, its wait and its end are those of its first subflow";

const MULTIPLEXED: &str = "multiplexed: the kernel sees one stream of bytes, the app sees \
     requests; how many is not visible";

#[derive(Serialize)]
pub(super) struct ExchangeBody {
    sock: String,
    seq: u32,
    role: &'static str,
    start_ns: u64,
    request_bytes: u64,
    response_bytes: u64,
    total_us: u64,
    slices: Vec<SliceBody>,
    tids: Tids,
    reads: u32,
    writes: u32,
    protocol: Option<&'static str>,
    verdict: Option<VerdictBody>,
    done: bool,
    midway: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inside: Vec<InsideBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    within: Vec<InsideBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connects: Vec<FailureBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upstream: Vec<JoinBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    downstream: Option<JoinBody>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    multiplexed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    handshake: bool,
    unanswered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pieces: Option<PiecesBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed_after_us: Option<u64>,
    gaps: Vec<&'static str>,
}

#[derive(Serialize)]
struct SliceBody {
    owner: &'static str,
    kind: &'static str,
    us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'static str>,
}

/// Pieces of a response that was not written at once.
#[derive(Serialize)]
struct PiecesBody {
    first_byte_us: u64,
    rest_us: u64,
    pauses: u32,
    longest_pause_us: u64,
}

impl From<&Pieces> for PiecesBody {
    fn from(pieces: &Pieces) -> Self {
        let &Pieces { first_byte_us, rest_us, pauses, longest_pause_us } = pieces;
        Self { first_byte_us, rest_us, pauses, longest_pause_us }
    }
}

#[derive(Serialize)]
struct Tids {
    read: Option<u32>,
    write: Option<u32>,
}

#[derive(Serialize)]
struct VerdictBody {
    owner: &'static str,
    kind: &'static str,
    share: f64,
}

/// A client exchange on the same thread at the same time: a hint.
#[derive(Serialize)]
struct InsideBody {
    sock: String,
    seq: u32,
}

impl From<&ExchangeOutput> for ExchangeBody {
    fn from(exchange: &ExchangeOutput) -> Self {
        let view = &exchange.view;
        Self {
            sock: exchange.sock.to_string(),
            seq: view.seq,
            role: role_name(exchange.role),
            start_ns: view.start_ns,
            request_bytes: view.request_bytes,
            response_bytes: view.response_bytes,
            total_us: view.total_us,
            slices: view.slices.iter().map(slice).collect(),
            tids: Tids { read: view.read_tid, write: view.write_tid },
            reads: view.reads,
            writes: view.writes,
            protocol: exchange.protocol.map(Protocol::name),
            verdict: view.verdict.as_ref().map(verdict),
            done: view.done,
            midway: exchange.midway,
            inside: view.inside.iter().map(inside).collect(),
            within: view.within.iter().map(inside).collect(),
            connects: view.connects.iter().map(FailureBody::from).collect(),
            upstream: view.upstream.iter().map(JoinBody::from).collect(),
            downstream: view.downstream.as_ref().map(JoinBody::from),
            multiplexed: view.multiplexed,
            handshake: view.handshake,
            unanswered: view.unanswered,
            pieces: view.pieces.as_ref().map(PiecesBody::from),
            pushed_after_us: view.pushed_after_us,
            gaps: gaps([
                (exchange.protocol.is_none(), NO_PROTOCOL),
                (
                    exchange.midway,
                    "slices: it had begun when the connection became known; what came before is \
                     not in them",
                ),
                (view.multiplexed, MULTIPLEXED),
                (
                    view.read_tid.is_none() && view.reads > 0,
                    "tids.read: no thread was seen reading",
                ),
                (
                    view.write_tid.is_none() && view.writes > 0,
                    "tids.write: no thread was seen writing",
                ),
            ]),
        }
    }
}

fn slice(slice: &Slice) -> SliceBody {
    SliceBody {
        owner: slice.kind.owner().name(),
        kind: slice.kind.name(),
        us: slice.us,
        cpu_us: slice.cpu_us,
        upstream_us: slice.upstream_us,
        evidence: match slice.kind {
            SliceKind::DelayedAck if slice.proved => Some("proved"),
            SliceKind::DelayedAck | SliceKind::Throttled => Some("inferred"),
            SliceKind::Streaming if !slice.proved => Some("inferred"),
            _ => None,
        },
    }
}

fn verdict(verdict: &Verdict) -> VerdictBody {
    let share = (verdict.share * 1e4).round() / 1e4;
    VerdictBody { owner: verdict.kind.owner().name(), kind: verdict.kind.name(), share }
}

fn inside(&(sock, seq): &(SockId, u32)) -> InsideBody {
    InsideBody { sock: sock.to_string(), seq }
}

#[derive(Serialize)]
pub(super) struct ConnectionBody<'a> {
    sock: String,
    listener: Option<String>,
    local: String,
    peer: String,
    role: &'static str,
    pid: u32,
    comm: &'a str,
    protocol: Option<&'static str>,
    tls: Option<TlsBody<'a>>,
    fast_open: Option<bool>,
    first_answer: Option<FirstAnswerBody>,
    tids: Value,
    since_ns: u64,
    handshake_us: Option<u64>,
    queued_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<Value>,
    phases_us: Option<Map<String, Value>>,
    times_us: Option<TimesBody>,
    bytes: Value,
    exchanges: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    multipath: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    multiplexed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<StreamsBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipelined: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_request: Option<Value>,
    nagle: Value,
    delayed_acks: Value,
    trailing_acks: Value,
    retransmits: u64,
    state: &'static str,
    close: Option<Value>,
    attached_midway: bool,
    gaps: Vec<&'static str>,
}

impl<'a> From<&'a ConnectionOutput> for ConnectionBody<'a> {
    fn from(output: &'a ConnectionOutput) -> Self {
        let view = &output.view;
        // Reads and writes of Multipath TCP are not seen.
        let (phases_us, times_us, exchanges, bytes) = if view.multipath {
            (None, None, None, json!({ "in": null, "out": null }))
        } else {
            (
                Some(phases(&output.phases_us)),
                Some((&view.times).into()),
                Some(view.exchanges),
                json!({ "in": view.bytes_in, "out": view.bytes_out }),
            )
        };
        Self {
            sock: view.sock.to_string(),
            listener: view.listener.map(|listener| listener.to_string()),
            local: view.local.to_string(),
            peer: view.peer.to_string(),
            role: role_name(view.role),
            pid: view.pid,
            comm: &view.comm,
            protocol: view.protocol.map(Protocol::name),
            tls: view.tls.as_ref().map(TlsBody::from),
            fast_open: match view.protocol {
                None if !view.fast_open => None,
                _ => Some(view.fast_open),
            },
            first_answer: first_answer(view)
                .map(|answer| FirstAnswerBody::new(answer, view.fast_open)),
            tids: tids(output),
            since_ns: view.since_ns,
            handshake_us: view.handshake_us,
            queued_us: view.queued_us,
            connect: view.connect_us.map(|us| json!({ "us": us, "syns": view.syns_again + 1 })),
            phases_us,
            times_us,
            bytes,
            exchanges,
            multipath: view.multipath,
            multiplexed: view.multiplexed,
            streams: view.streams.map(StreamsBody::from),
            pipelined: if view.pipelined > 1 { Some(view.pipelined) } else { None },
            first_request: view
                .first_request
                .as_ref()
                .map(|request| json!({ "method": request.method, "path": request.path })),
            nagle: nagle(view),
            delayed_acks: delayed_acks(output),
            trailing_acks: json!({ "count": view.trailing.count, "us": view.trailing.us }),
            retransmits: view.retransmits,
            state: state_name(view.state),
            close: close(view),
            attached_midway: view.midway,
            gaps: connection_gaps(output),
        }
    }
}

fn tids(output: &ConnectionOutput) -> Value {
    let accept = output.view.acceptor.as_ref().map(|(tid, _)| tid);
    let (read, write) = output.tids;
    json!({ "accept": accept, "read": read, "write": write })
}

fn nagle(view: &ConnectionView) -> Value {
    for hold in &view.holds {
        if hold.reason == HoldReason::Nagle {
            return json!({ "holds": hold.count, "held_us": hold.us });
        }
    }
    json!({ "holds": 0, "held_us": 0 })
}

fn delayed_acks(output: &ConnectionOutput) -> Value {
    let (sent, waited_us) = output.delayed_acks_sent.unzip();
    json!({ "sent": sent, "waited_us": waited_us })
}

fn connection_gaps(output: &ConnectionOutput) -> Vec<&'static str> {
    let view = &output.view;
    let (no_version, alpn_hidden, may_be_http2) = match &view.tls {
        Some(tls) => (
            tls.version.is_none(),
            tls.version.is_some() && tls.alpn.is_none() && !tls.offered.is_empty(),
            tls.may_be_http2(),
        ),
        None => (false, false, false),
    };
    gaps([
        (view.multipath, MULTIPATH),
        (view.protocol.is_none(), NO_PROTOCOL),
        (
            view.protocol == Some(Protocol::Tls) && view.tls.is_none(),
            "tls: its hellos were not kept, there were too many",
        ),
        (no_version, "tls.version: the server was not seen to answer"),
        (alpn_hidden, "tls.alpn: what the server chose is encrypted, or it chose none"),
        (
            view.tls.is_some() && first_answer(view).is_none(),
            "first_answer: none was seen yet, or its records could not be followed",
        ),
        (view.multiplexed && view.streams.is_none(), MULTIPLEXED),
        (
            matches!(view.streams, Some(streams) if streams.partly),
            "streams: not everything was looked at; there were so many at least",
        ),
        (may_be_http2, "multiplexed: HTTP/2 was offered, what was chosen is encrypted"),
        (view.closed_ns.is_none() && !has_ended(view.state), "close: it is open"),
        (is_half_closed(view), "close: the peer has closed, this host has not"),
        (
            view.closed_ns.is_none() && view.state == TcpState::Closed,
            "close: it has ended, this host keeps its socket",
        ),
        (view.closed_ns.is_some() && view.ended.is_none(), "close: its end began unobserved"),
        (
            output.delayed_acks_sent.is_none(),
            "delayed_acks: known from its first exchange on, where this kernel shows them",
        ),
        (view.midway, "phases_us, bytes: from the attach on; it was open before"),
    ])
}

/// True if at least the peer sends nothing any more.
fn has_ended(state: TcpState) -> bool {
    matches!(state, TcpState::CloseWait | TcpState::Closed)
}

/// True if the peer has closed, and this host has not.
fn is_half_closed(view: &ConnectionView) -> bool {
    view.closed_ns.is_none() && view.state == TcpState::CloseWait
}

/// The end of it: by whom, how, and why, as far as that was observed.
fn close(view: &ConnectionView) -> Option<Value> {
    if is_half_closed(view) {
        return Some(json!({ "by": "peer", "how": "fin", "pending": true }));
    }
    let ((by, how), end) = (view.ended?, &view.end);
    let mut close = json!({
        "by": side_name(by),
        "how": ending_name(how),
        "why": end.cause.map(Cause::name),
        "reset_by": end.reset_by.map(side_name),
        "idle_us": end.idle_us,
    });
    if end.reset_by == Some(Side::Local) && how == Ending::Reset {
        close["unread_bytes"] = json!(end.unread_bytes);
        close["unacked_bytes"] = json!(end.unacked_bytes);
    }
    Some(close)
}

fn state_name(state: TcpState) -> &'static str {
    match state {
        TcpState::Established => "established",
        TcpState::SynSent => "syn-sent",
        TcpState::Closing => "closing",
        TcpState::CloseWait => "close-wait",
        TcpState::Closed => "closed",
    }
}

/// Facts of the hellos.
#[derive(Serialize)]
struct TlsBody<'a> {
    version: Option<&'static str>,
    alpn: Option<&'a str>,
    alpn_offered: &'a [String],
    sni: Option<&'a str>,
    resumed: Option<bool>,
    early_data: bool,
}

impl<'a> From<&'a TlsView> for TlsBody<'a> {
    fn from(tls: &'a TlsView) -> Self {
        Self {
            version: tls.version,
            alpn: tls.alpn.as_deref(),
            alpn_offered: &tls.offered,
            sni: tls.server_name.as_deref(),
            resumed: tls.resumed,
            early_data: tls.early_data,
        }
    }
}

fn first_answer(view: &ConnectionView) -> Option<&FirstAnswer> {
    view.tls.as_ref()?.first_answer.as_ref()
}

/// The streams of HTTP/2 in the clear.
#[derive(Serialize)]
struct StreamsBody {
    opened: u32,
    most_at_once: u32,
    partly: bool,
}

impl From<Http2Streams> for StreamsBody {
    fn from(Http2Streams { opened, most, partly }: Http2Streams) -> Self {
        Self { opened, most_at_once: most, partly }
    }
}

/// Round trips and time of a TLS connection until its first answer.
#[derive(Serialize)]
struct FirstAnswerBody {
    round_trips: u32,
    tcp: u32,
    tls: u32,
    request: u32,
    us: u64,
    handshake_us: TimesBody,
}

impl FirstAnswerBody {
    fn new(answer: &FirstAnswer, fast_open: bool) -> Self {
        let [tcp, tls, request] = answer.steps(fast_open);
        let round_trips = answer.round_trips(fast_open);
        Self {
            round_trips,
            tcp,
            tls,
            request,
            us: answer.us,
            handshake_us: (&answer.handshake).into(),
        }
    }
}

/// Time by owner, as objects have it.
#[derive(Serialize)]
pub(super) struct TimesBody {
    kernel: u64,
    app: u64,
    network: u64,
    peer: u64,
    unknown: u64,
}

impl From<&OwnerTimes> for TimesBody {
    fn from(times: &OwnerTimes) -> Self {
        Self {
            kernel: times.kernel_us,
            app: times.app_us,
            network: times.network_us,
            peer: times.peer_us,
            unknown: times.unknown_us,
        }
    }
}

/// Time by the contract's name, which two kinds may share.
pub(super) fn phases(phases: &[(SliceKind, u64)]) -> Map<String, Value> {
    let mut by_name: Vec<(&str, u64)> = Vec::new();
    for (kind, us) in phases {
        match by_name.iter_mut().find(|(name, _)| *name == kind.name()) {
            Some((_, sum)) => *sum += us,
            None => by_name.push((kind.name(), *us)),
        }
    }
    let mut out = Map::new();
    for (name, us) in by_name {
        out.insert(name.to_owned(), json!(us));
    }
    out
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Server => "server",
        Role::Client => "client",
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Peer => "peer",
    }
}

fn ending_name(ending: Ending) -> &'static str {
    match ending {
        Ending::Fin => "fin",
        Ending::Reset => "reset",
        Ending::Timeout => "timeout",
    }
}

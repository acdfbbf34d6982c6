//! The bodies of `exchange` and `connection`.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::body::gaps;
use super::connect::FailureBody;
use super::proxy::JoinBody;
use crate::model::event::{
    Ending, HoldReason, Http2Streams, RequestLine, Role, Side, SockId, TcpState,
};
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

/// An exchange is over: a burst in each direction.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ExchangeBody {
    /// Id of the connection.
    sock: String,
    /// Number of the exchange on its connection, from 1. Gaps in the numbers were lost.
    seq: u32,
    /// `"server"`: inbound first; `"client"`: outbound first.
    #[cfg_attr(test, schemars(with = "Role"))]
    role: &'static str,
    /// Moment at which it began. `ts_ns` is its end.
    start_ns: u64,
    /// Bytes of the request, as the application read or wrote them.
    request_bytes: u64,
    /// Bytes of the response, likewise.
    response_bytes: u64,
    /// Sum of its slices.
    total_us: u64,
    /// Stretches of its time, one behind the other, without gap or overlap.
    slices: Vec<SliceBody>,
    /// Threads that served it; each `null` if none was seen.
    tids: Tids,
    /// Calls that read bytes.
    reads: u32,
    /// Calls that wrote bytes.
    writes: u32,
    /// Protocol of its connection; `null` if nothing was recognised.
    #[cfg_attr(test, schemars(with = "Option<Protocol>"))]
    protocol: Option<&'static str>,
    /// Kind of time that took most of it; a trailing `delayed_ack` does not count. `null` for an
    /// exchange without time.
    verdict: Option<VerdictBody>,
    /// `true`.
    done: bool,
    /// `true` if it had begun when the connection became known.
    midway: bool,
    /// Calls of the same thread to others that ran inside it: a hint. Absent if there are none, or
    /// if they ended later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inside: Vec<InsideBody>,
    /// Of such a call, the served exchange that was over before it: a hint. Absent if there is
    /// none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    within: Vec<InsideBody>,
    /// Connects of the process that failed while this exchange waited for them; their time is in
    /// the slices `connect`. Absent if there were none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connects: Vec<FailureBody>,
    /// Of a served exchange, the calls that the process made for it; absent if none was found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upstream: Vec<JoinBody>,
    /// Of a call, the served exchange that it was made for; absent if none was found. Each call has
    /// one at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    downstream: Option<JoinBody>,
    /// `true` of HTTP/2, gRPC and TLS with `h2` inside, else absent: the kernel sees one stream of
    /// bytes, the app sees requests. An exchange is a burst of it; how many requests is not
    /// visible.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    multiplexed: bool,
    /// `true` of an exchange that was nothing but the handshake of TLS, else absent: its slices say
    /// who held that time, `app` is the server computing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    handshake: bool,
    /// `true` if somebody waited and no answer came: the wait ends when the client left (a FIN 20
    /// ms or more after the request, a RST), or with the end of the connection, and `total_us` is
    /// that wait. Nothing that gets no answer by design counts: a goodbye (closed within 20 ms),
    /// WebSocket, short messages under TLS or of HTTP/2, messages of whoever pauses as long between
    /// them.
    unanswered: bool,
    /// Times of a response that was not written at once; absent of others, and in recordings of
    /// version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pieces: Option<PiecesBody>,
    /// Of data that a server wrote unasked, on a connection on which it had written before: time
    /// since then, where it is known; else absent. If its thread computed for most of that time,
    /// the exchange begins with that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed_after_us: Option<u64>,
    /// Reasons for what is `null` or not complete.
    gaps: Vec<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SliceBody {
    /// Holder of the time, and so whoever can change it.
    #[cfg_attr(test, schemars(with = "crate::model::snapshot::Owner"))]
    owner: &'static str,
    /// Kind of time; the table below says what each means.
    #[cfg_attr(test, schemars(with = "SliceKind"))]
    kind: &'static str,
    /// Length.
    us: u64,
    /// Time on a CPU, of `app` and `receive_queue` where known; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us: Option<u64>,
    /// Part of `us` for which the application waited for calls in `upstream`, of `app`; else
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_us: Option<u64>,
    /// Evidence of `delayed_ack`, `throttled` and `streaming`, see below; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = ["proved", "inferred"])))]
    evidence: Option<&'static str>,
}

/// Pieces of a response that was not written at once.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PiecesBody {
    /// Time from the beginning to the first write.
    first_byte_us: u64,
    /// Time from there to the last write.
    rest_us: u64,
    /// Number of times that nothing was written for a millisecond or longer.
    pauses: u32,
    /// Longest of these pauses.
    longest_pause_us: u64,
}

impl From<&Pieces> for PiecesBody {
    fn from(pieces: &Pieces) -> Self {
        let &Pieces { first_byte_us, rest_us, pauses, longest_pause_us } = pieces;
        Self { first_byte_us, rest_us, pauses, longest_pause_us }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Tids {
    /// Thread of the first read.
    read: Option<u32>,
    /// Thread of the first write.
    write: Option<u32>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct VerdictBody {
    /// Owner of that kind.
    #[cfg_attr(test, schemars(with = "crate::model::snapshot::Owner"))]
    owner: &'static str,
    /// The kind.
    #[cfg_attr(test, schemars(with = "SliceKind"))]
    kind: &'static str,
    /// Its share of the time, 0 to 1.
    share: f64,
}

/// A client exchange on the same thread at the same time: a hint.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct InsideBody {
    /// Id of its connection.
    sock: String,
    /// Its number there.
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

/// A connection ended; at the end of the run those that are open.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ConnectionBody<'a> {
    /// Id of the connection.
    sock: String,
    /// Id of the listener it was accepted from, `null` for others.
    listener: Option<String>,
    /// Address of this host.
    local: String,
    /// Address of the other end.
    peer: String,
    /// `"server"` if it was accepted, `"client"` if the process made it.
    #[cfg_attr(test, schemars(with = "Role"))]
    role: &'static str,
    /// Process that has it.
    pid: u32,
    /// Name of that process.
    comm: &'a str,
    /// Protocol, as of `exchange`.
    #[cfg_attr(test, schemars(with = "Option<Protocol>"))]
    protocol: Option<&'static str>,
    /// Facts from the hellos of TLS; `null` of a connection without TLS.
    tls: Option<TlsBody<'a>>,
    /// `true` if its SYN carried data that was taken (TCP Fast Open); `null` if its first bytes
    /// were not looked at.
    fast_open: Option<bool>,
    /// Round trips and time of a TLS connection until its first answer; `null` if that is not
    /// known.
    first_answer: Option<FirstAnswerBody>,
    /// Threads that accepted it, and that read and wrote last.
    tids: TidsBody,
    /// Moment at which it was accepted, made, or found.
    since_ns: u64,
    /// Time from SYN-ACK to final ACK; of a client from SYN to SYN-ACK. `null` where not observed.
    handshake_us: Option<u64>,
    /// Time in the accept queue, as of `accept`.
    queued_us: Option<u64>,
    /// Cost of a connection that the process made, until it was there; absent of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<ConnectedBody>,
    /// Time of its exchanges by kind; kinds that took no time are absent.
    #[cfg_attr(test, schemars(with = "Option<std::collections::BTreeMap<String, u64>>"))]
    phases_us: Option<Map<String, Value>>,
    /// Time of its exchanges by owner, without trailing delayed ACKs.
    times_us: Option<TimesBody>,
    /// Bytes that were read and written; both `null` like `exchanges`.
    bytes: BytesBody,
    /// Number of exchanges that were told; `null` of a connection of Multipath TCP, once it has
    /// ended, like `bytes`, `phases_us` and `times_us`.
    exchanges: Option<u64>,
    /// `true` if both sides speak Multipath TCP, so that reads and writes are not seen; known when
    /// it has ended, else absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    multipath: bool,
    /// `true` as of `exchange`, else absent; where HTTP/2 was offered and what was chosen is
    /// encrypted (TLS 1.3), `gaps` says so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    multiplexed: bool,
    /// Streams of HTTP/2 in the clear, each a request; absent if not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<StreamsBody>,
    /// Number of requests of HTTP/1 that began it at once, at least; absent if not several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pipelined: Option<u8>,
    /// First request of HTTP/1; absent without `--paths`.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_request: Option<RequestBody<'a>>,
    /// Holds by Nagle's algorithm.
    nagle: NagleBody,
    /// ACKs that this host delayed so far; both `null` before the first exchange or where the
    /// kernel does not show them.
    delayed_acks: DelayedAcksBody,
    /// Delayed ACKs of the peer that held nobody.
    trailing_acks: TrailingAcksBody,
    /// Segments that were sent again.
    retransmits: u64,
    /// State at the newest refresh: `"closing"` if this host has closed, `"close-wait"` if the peer
    /// has and this host has not.
    #[cfg_attr(test, schemars(with = "TcpState"))]
    state: &'static str,
    /// End of the connection; `null` while it is open, and if the end began before the attach.
    close: Option<CloseBody>,
    /// `true` if it was open at the attach: phases and bytes run from there.
    attached_midway: bool,
    /// Reasons for what is `null` or not complete.
    gaps: Vec<&'static str>,
}

impl<'a> From<&'a ConnectionOutput> for ConnectionBody<'a> {
    fn from(output: &'a ConnectionOutput) -> Self {
        let view = &output.view;
        // Reads and writes of Multipath TCP are not seen.
        let (phases_us, times_us, exchanges, bytes) = if view.multipath {
            (None, None, None, BytesBody { r#in: None, out: None })
        } else {
            (
                Some(phases(&output.phases_us)),
                Some((&view.times).into()),
                Some(view.exchanges),
                BytesBody { r#in: Some(view.bytes_in), out: Some(view.bytes_out) },
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
            connect: view.connect_us.map(|us| ConnectedBody { syns: view.syns_again + 1, us }),
            phases_us,
            times_us,
            bytes,
            exchanges,
            multipath: view.multipath,
            multiplexed: view.multiplexed,
            streams: view.streams.map(StreamsBody::from),
            pipelined: if view.pipelined > 1 { Some(view.pipelined) } else { None },
            first_request: view.first_request.as_ref().map(RequestBody::from),
            nagle: nagle(view),
            delayed_acks: delayed_acks(output),
            trailing_acks: TrailingAcksBody { count: view.trailing.count, us: view.trailing.us },
            retransmits: view.retransmits,
            state: state_name(view.state),
            close: close(view),
            attached_midway: view.midway,
            gaps: connection_gaps(output),
        }
    }
}

// Fields of the following bodies are in the order of their names: so they were always written.

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TidsBody {
    /// Thread that accepted it.
    accept: Option<u32>,
    /// Thread that read last.
    read: Option<u32>,
    /// Thread that wrote last.
    write: Option<u32>,
}

fn tids(output: &ConnectionOutput) -> TidsBody {
    let accept = output.view.acceptor.as_ref().map(|(tid, _)| *tid);
    let (read, write) = output.tids;
    TidsBody { accept, read, write }
}

/// Way of a connection that the process made.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ConnectedBody {
    /// SYNs that it took.
    syns: u64,
    /// Time from the first SYN to ESTABLISHED.
    us: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct BytesBody {
    /// Bytes read.
    r#in: Option<u64>,
    /// Bytes written.
    out: Option<u64>,
}

/// First request of HTTP/1.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RequestBody<'a> {
    /// Method.
    method: &'a str,
    /// Path, without the query.
    path: &'a str,
}

impl<'a> From<&'a RequestLine> for RequestBody<'a> {
    fn from(request: &'a RequestLine) -> Self {
        Self { method: &request.method, path: &request.path }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct NagleBody {
    /// Sum of their durations.
    held_us: u64,
    /// Number of holds.
    holds: u64,
}

fn nagle(view: &ConnectionView) -> NagleBody {
    for hold in &view.holds {
        if hold.reason == HoldReason::Nagle {
            return NagleBody { held_us: hold.us, holds: hold.count };
        }
    }
    NagleBody { held_us: 0, holds: 0 }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct DelayedAcksBody {
    /// Number of them.
    sent: Option<u64>,
    /// Sum of their delays.
    waited_us: Option<u64>,
}

fn delayed_acks(output: &ConnectionOutput) -> DelayedAcksBody {
    let (sent, waited_us) = output.delayed_acks_sent.unzip();
    DelayedAcksBody { sent, waited_us }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TrailingAcksBody {
    /// Number of them.
    count: u64,
    /// Sum of their delays.
    us: u64,
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

/// End of a connection, as far as it was observed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CloseBody {
    /// Side that sent the first FIN or RST; of a timeout `"local"`.
    #[cfg_attr(test, schemars(with = "Side"))]
    by: &'static str,
    /// Way in which it ended.
    #[cfg_attr(test, schemars(with = "Ending"))]
    how: &'static str,
    #[serde(flatten)]
    detail: CloseDetail,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
enum CloseDetail {
    /// The peer has closed, and this host has not.
    HalfClosed {
        /// `true` while the peer has closed, and this host has not; else absent, and the fields
        /// below are there.
        pending: bool,
    },
    Ended {
        /// Time from the newest data to the first FIN or RST, right to a tick; `null` if not known.
        idle_us: Option<u64>,
        /// Side that sent a RST, also after a FIN; `null` where that is not known.
        #[cfg_attr(test, schemars(with = "Option<Side>"))]
        reset_by: Option<&'static str>,
        /// Bytes sent and not acknowledged, which were lost when this host reset it; else absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        unacked_bytes: Option<u64>,
        /// Bytes that were not read when this host reset it; else absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        unread_bytes: Option<u64>,
        /// Cause, where it was observed, else `null`.
        #[cfg_attr(test, schemars(with = "Option<Cause>"))]
        why: Option<&'static str>,
    },
}

fn close(view: &ConnectionView) -> Option<CloseBody> {
    if is_half_closed(view) {
        let detail = CloseDetail::HalfClosed { pending: true };
        return Some(CloseBody { by: "peer", how: "fin", detail });
    }
    let ((by, how), end) = (view.ended?, &view.end);
    let reset_here = end.reset_by == Some(Side::Local) && how == Ending::Reset;
    let detail = CloseDetail::Ended {
        idle_us: end.idle_us,
        reset_by: end.reset_by.map(side_name),
        unacked_bytes: if reset_here { Some(end.unacked_bytes) } else { None },
        unread_bytes: if reset_here { Some(end.unread_bytes) } else { None },
        why: end.cause.map(Cause::name),
    };
    Some(CloseBody { by: side_name(by), how: ending_name(how), detail })
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TlsBody<'a> {
    /// Version that the server chose, such as `"1.3"`; `null` if it was not seen to answer.
    version: Option<&'static str>,
    /// Protocol that both agreed on (ALPN); `null` if that is encrypted, or none was chosen.
    alpn: Option<&'a str>,
    /// Protocols that the client offered.
    alpn_offered: &'a [String],
    /// Name of the server that the client asked for.
    sni: Option<&'a str>,
    /// `true` if an earlier session was resumed; `null` while the server has not said so.
    resumed: Option<bool>,
    /// `true` if the client sent a request along before the handshake was over.
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct StreamsBody {
    /// Streams that the client opened.
    opened: u32,
    /// Most that were open at a time.
    most_at_once: u32,
    /// `true` if there were at least so many, since not everything was looked at (the first 60
    /// calls in each direction, of `writev` the first buffer).
    partly: bool,
}

impl From<Http2Streams> for StreamsBody {
    fn from(Http2Streams { opened, most, partly }: Http2Streams) -> Self {
        Self { opened, most_at_once: most, partly }
    }
}

/// Round trips and time of a TLS connection until its first answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FirstAnswerBody {
    /// Round trips until the answer, the sum of the next three.
    round_trips: u32,
    /// Round trips of the handshake of TCP.
    tcp: u32,
    /// Round trips of the handshake of TLS.
    tls: u32,
    /// Round trips of the request.
    request: u32,
    /// Time from its beginning (a server: SYN-ACK sent; a client: SYN sent) to the last byte of the
    /// exchange with the answer.
    us: u64,
    /// Time of the exchanges before that, by owner.
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

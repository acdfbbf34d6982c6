//! The body of `exchange`.

use serde::Serialize;

use super::connect::error;
use super::parts::{MULTIPLEXED, NO_PROTOCOL, gaps, role_name};
use crate::model::event::SockId;
use crate::model::output::ExchangeOutput;
use crate::model::snapshot::{
    ConnectFailure, ExchangeVerdict, Join, Pieces, Protocol, Slice, SliceKind,
};

/// An exchange is over: a burst in each direction.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ExchangeBody {
    /// Id of the connection.
    sock: String,
    /// Number of the exchange on its connection, from 1. Gaps in the numbers were lost.
    seq: u32,
    /// `"server"`: inbound first; `"client"`: outbound first.
    #[cfg_attr(test, schemars(with = "crate::model::event::Role"))]
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
            midway: exchange.preexisting,
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
                    exchange.preexisting,
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
    /// absent. Calls with a `confidence` below 0.6 count only if all together fill four fifths of
    /// the time from the request to the response. Screens show it as U
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_us: Option<u64>,
    /// Evidence of `delayed_ack`, `throttled` and `streaming`, see below; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = ["proved", "inferred"])))]
    evidence: Option<&'static str>,
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

fn verdict(verdict: &ExchangeVerdict) -> VerdictBody {
    let share = (verdict.share * 1e4).round() / 1e4;
    VerdictBody { owner: verdict.kind.owner().name(), kind: verdict.kind.name(), share }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Tids {
    /// Thread of the first read.
    read: Option<u32>,
    /// Thread of the first write.
    write: Option<u32>,
}

/// Another exchange on the same thread at the same time: a hint.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Inside"))]
struct InsideBody {
    /// Id of its connection.
    sock: String,
    /// Its number there.
    seq: u32,
}

fn inside(&(sock, seq): &(SockId, u32)) -> InsideBody {
    InsideBody { sock: sock.to_string(), seq }
}

/// A failed connect that an exchange waited for.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FailureBody {
    /// Id of the socket.
    sock: String,
    /// Address that was asked for a connection.
    peer: String,
    /// Outcome, as of `connect`.
    #[cfg_attr(test, schemars(with = "crate::model::event::Outcome"))]
    outcome: &'static str,
    /// Name of the error that `connect` returned, or `null`.
    error: Option<String>,
    /// Time that it took.
    us: u64,
}

impl From<&ConnectFailure> for FailureBody {
    fn from(failure: &ConnectFailure) -> Self {
        Self {
            sock: failure.sock.to_string(),
            peer: failure.peer.to_string(),
            outcome: failure.outcome.name(),
            error: failure.error.map(error),
            us: failure.us,
        }
    }
}

/// Other side of an exchange of a proxy.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Join"))]
struct JoinBody {
    /// Id of its connection.
    sock: String,
    /// Its number there.
    seq: u32,
    /// Address of the other end of that connection.
    peer: String,
    /// Confidence that the two belong together; the table below says how each was found.
    confidence: f64,
}

impl From<&Join> for JoinBody {
    fn from(join: &Join) -> Self {
        let Join { sock, seq, peer, confidence, .. } = *join;
        Self { sock: sock.to_string(), seq, peer: peer.to_string(), confidence }
    }
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

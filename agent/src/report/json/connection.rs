//! The body of `connection`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::parts::{MULTIPLEXED, NO_PROTOCOL, TimesBody, gaps, phases, role_name, side_name};
use crate::model::event::{Ending, HoldReason, Http2Streams, RequestLine, Side, TcpState};
use crate::model::output::ConnectionOutput;
use crate::model::snapshot::{Cause, ConnectionView, FirstAnswer, Protocol, TlsView};
use crate::text::Untrusted;

const MULTIPATH: &str = "exchanges, bytes, phases_us, times_us: reads and writes of Multipath TCP \
     are not seen, its handshake, its wait and its end are those of its first subflow";

const UNTOLD: &str = "close: no record told its end, no process has it among its files any more; \
     exchanges, bytes: those that were told";

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
    #[cfg_attr(test, schemars(with = "crate::model::event::Role"))]
    role: &'static str,
    /// Process that has it.
    pid: u32,
    /// Name of that process.
    comm: &'a Untrusted,
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
    #[cfg_attr(test, schemars(with = "State"))]
    state: &'static str,
    /// The same as the kernel names it. A recording of an earlier version has `"closing"` for all
    /// states in which this host has closed.
    #[cfg_attr(test, schemars(with = "TcpState"))]
    tcp_state: &'static str,
    /// End of the connection; `null` while it is open, if the end began before the attach, and if
    /// its record was lost.
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
            connect: view
                .connect_us
                .map(|us| ConnectedBody { syns: view.syns_again.saturating_add(1), us }),
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
            tcp_state: view.state.name(),
            close: close(view),
            attached_midway: view.preexisting,
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
    method: &'a Untrusted,
    /// Path: no user, host, query, fragment or `;parameters`. Empty where the target has none
    /// (`CONNECT`).
    path: &'a Untrusted,
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
        (
            view.closed_ns.is_some() && view.ended.is_none() && !view.end.untold,
            "close: its end began unobserved",
        ),
        (view.end.untold, UNTOLD),
        (
            output.delayed_acks_sent.is_none(),
            "delayed_acks: known from its first exchange on, where this kernel shows them",
        ),
        (view.preexisting, "phases_us, bytes: from the attach on; it was open before"),
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

/// The values of `state`: those in which this host has closed are one.
#[cfg(test)]
#[derive(schemars::JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
enum State {
    Established,
    SynSent,
    Closing,
    CloseWait,
    Closed,
}

fn state_name(state: TcpState) -> &'static str {
    match state {
        TcpState::Established => "established",
        TcpState::SynSent => "syn-sent",
        TcpState::CloseWait => "close-wait",
        TcpState::Closed => "closed",
        TcpState::Closing | TcpState::FinWait1 | TcpState::FinWait2 | TcpState::LastAck => {
            "closing"
        }
    }
}

/// Facts of the hellos.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TlsBody<'a> {
    /// Version that the server chose, such as `"1.3"`; `null` if it was not seen to answer.
    version: Option<&'static str>,
    /// Protocol that both agreed on (ALPN); `null` if that is encrypted, or none was chosen.
    alpn: Option<&'a Untrusted>,
    /// Protocols that the client offered.
    alpn_offered: &'a [Untrusted],
    /// Name of the server that the client asked for.
    sni: Option<&'a Untrusted>,
    /// `true` if an earlier session was resumed; `null` while the server has not said so.
    resumed: Option<bool>,
    /// `true` if the client sent a request along before the handshake was over.
    early_data: bool,
}

impl<'a> From<&'a TlsView> for TlsBody<'a> {
    fn from(tls: &'a TlsView) -> Self {
        Self {
            version: tls.version,
            alpn: tls.alpn.as_ref(),
            alpn_offered: &tls.offered,
            sni: tls.server_name.as_ref(),
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

fn ending_name(ending: Ending) -> &'static str {
    match ending {
        Ending::Fin => "fin",
        Ending::Reset => "reset",
        Ending::Timeout => "timeout",
    }
}

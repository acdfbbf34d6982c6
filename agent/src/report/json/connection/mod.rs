//! The body of `connection`.

mod close;
mod gaps;
mod http;
mod tls;

use serde::Serialize;
use serde_json::{Map, Value};

use super::parts::{TimesBody, phases, role_name};
use crate::model::event::{HoldReason, TcpState};
use crate::model::output::ConnectionOutput;
use crate::model::snapshot::{ConnectionView, Protocol};
use crate::text::Untrusted;
use close::{CloseBody, close};
use gaps::connection_gaps;
use http::{RequestBody, StreamsBody};
use tls::{FirstAnswerBody, TlsBody, first_answer};

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

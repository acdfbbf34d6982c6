//! The body of the object of a UDP socket.

use serde::Serialize;

use super::body::{WaitBody, gaps};
use super::connection::role_name;
use crate::model::event::DatagramFlow;
use crate::model::output::QuicOutput;
use crate::model::snapshot::{DatagramProtocol, DatagramTotals, DatagramView, QuicAnswer};

/// Datagrams and their bytes in one direction; `null` where not observed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Flow"))]
struct FlowBody {
    datagrams: Option<u64>,
    bytes: Option<u64>,
}

impl From<Option<DatagramFlow>> for FlowBody {
    fn from(flow: Option<DatagramFlow>) -> Self {
        match flow {
            Some(flow) => Self { datagrams: Some(flow.datagrams), bytes: flow.bytes },
            None => Self { datagrams: None, bytes: None },
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct DatagramWaitBody {
    #[serde(flatten)]
    wait: WaitBody,
    at_least: u64,
}

/// State of a UDP socket, at each refresh and at the end.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DatagramBody<'a> {
    /// Id of the socket.
    sock: String,
    /// Address of this host.
    local: String,
    /// Address of the other end of a connected socket, else `null`.
    peer: Option<String>,
    /// Process that has it.
    pid: u32,
    /// Name of that process.
    comm: &'a str,
    /// Protocol; `null` if nothing was recognised.
    #[cfg_attr(test, schemars(extend("enum" = ["quic", "dtls", "stun", null])))]
    protocol: Option<&'static str>,
    /// Facts of QUIC on this socket; `null` of another protocol.
    quic: Option<QuicSocketBody>,
    /// `true` if nobody holds it any more: its last object.
    closed: bool,
    /// Datagrams that entered the receive queue; `bytes` on the full tier only.
    r#in: FlowBody,
    /// Datagrams that reads returned.
    read: FlowBody,
    /// Datagrams that were written.
    out: FlowBody,
    /// Datagrams that were dropped since the socket was made, by the kernel's count.
    drops: u64,
    /// Datagrams in the receive queue.
    waiting: u32,
    /// Bytes in the receive buffer, with the kernel's overhead.
    queued_bytes: u64,
    /// Size of the receive buffer.
    buffer_bytes: u64,
    /// Most bytes in the receive buffer since the last object.
    queue_peak_bytes: u64,
    /// Age of the oldest datagram in the queue; `null` if there is none.
    unread_us: Option<u64>,
    /// Time that datagrams waited to be read; `at_least` of the `count` are lower bounds.
    wait_us: DatagramWaitBody,
    /// Reasons for what is `null`; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

impl<'a> From<&'a DatagramView> for DatagramBody<'a> {
    fn from(view: &'a DatagramView) -> Self {
        let unsized_arrivals = matches!(view.arrived, Some(flow) if flow.bytes.is_none());
        Self {
            sock: view.sock.to_string(),
            local: view.local.to_string(),
            peer: view.peer.map(|peer| peer.to_string()),
            pid: view.pid,
            comm: &view.comm,
            protocol: view.protocol.map(DatagramProtocol::name),
            quic: quic(view),
            closed: view.closed,
            r#in: view.arrived.into(),
            read: view.read.into(),
            out: view.written.into(),
            drops: view.drops,
            waiting: view.waiting,
            queued_bytes: view.queued_bytes,
            buffer_bytes: view.buffer_bytes,
            queue_peak_bytes: view.peak_bytes,
            unread_us: view.unread_us,
            wait_us: DatagramWaitBody { wait: view.wait.into(), at_least: view.at_least },
            gaps: gaps([
                (
                    view.arrived.is_none(),
                    "in: no hook on this kernel sees reads, from which arrivals follow",
                ),
                (
                    unsized_arrivals,
                    "in.bytes: seen on the full tier only; read.bytes has what was read",
                ),
                (view.read.is_none(), "read: no hook on this kernel sees reads"),
                (view.written.is_none(), "out: no hook on this kernel sees writes"),
                (view.wait.count == 0, "wait_us: no read with a known wait yet"),
            ]),
        }
    }
}

/// Facts of a first datagram of QUIC.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct QuicSocketBody {
    /// Version of QUIC, 1 or 2.
    version: u8,
    /// `true` if a client of this socket sent early data (0-RTT).
    early_data: bool,
    /// Connections that began on it.
    connections: u64,
}

fn quic(view: &DatagramView) -> Option<QuicSocketBody> {
    match view.protocol {
        Some(DatagramProtocol::Quic { version, early_data }) => {
            Some(QuicSocketBody { version, early_data, connections: view.quic_connections })
        }
        _ => None,
    }
}

/// A QUIC connection, once it got its first answer; at the end of the run also those that got none.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct QuicBody<'a> {
    /// Id of its UDP socket, which may serve many.
    sock: String,
    /// Address of this host; `null` if the socket was closed before a refresh showed it.
    local: Option<String>,
    /// Address of the other end; `null` until a datagram went there.
    peer: Option<String>,
    /// Side that the process is on.
    #[cfg_attr(test, schemars(with = "crate::model::event::Role"))]
    role: &'static str,
    /// Process that has the socket; `null` like `local`.
    pid: Option<u32>,
    /// Name of that process; `null` like `local`.
    comm: Option<&'a str>,
    /// Moment of its first datagram.
    since_ns: u64,
    /// Version of QUIC, 1 or 2.
    version: u8,
    /// Connection id that the client goes by, in hexadecimal.
    client_id: String,
    /// Connection id that the server goes by, in hexadecimal; `null` if it was not seen to answer.
    server_id: Option<String>,
    /// `true` if the client sent early data (0-RTT).
    early_data: bool,
    /// `true` if the server had the client prove its address.
    retry: bool,
    /// `"app"`: the kernel knows nothing of the handshake.
    #[cfg_attr(test, schemars(extend("enum" = ["app"])))]
    handshake_by: &'static str,
    /// Round trips and time until its first answer; `null` if none was seen.
    first_answer: Option<QuicAnswerBody>,
    /// Reasons for what is `null`.
    gaps: Vec<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct QuicAnswerBody {
    /// Round trips until the answer.
    round_trips: u32,
    /// Time from its first datagram.
    us: u64,
}

impl From<QuicAnswer> for QuicAnswerBody {
    fn from(answer: QuicAnswer) -> Self {
        Self { round_trips: answer.round_trips, us: answer.us }
    }
}

impl<'a> From<&'a QuicOutput> for QuicBody<'a> {
    fn from(output: &'a QuicOutput) -> Self {
        let view = &output.view;
        let (pid, comm) = match &output.process {
            Some((pid, comm)) => (Some(*pid), Some(comm.as_str())),
            None => (None, None),
        };
        Self {
            sock: view.sock.to_string(),
            local: output.local.map(|local| local.to_string()),
            peer: view.peer.map(|peer| peer.to_string()),
            role: role_name(view.role),
            pid,
            comm,
            since_ns: view.since_ns,
            version: view.version,
            client_id: hex(&view.client_id),
            server_id: view.server_id.as_deref().map(hex),
            early_data: view.early_data,
            retry: view.retry,
            handshake_by: "app",
            first_answer: view.answer.map(QuicAnswerBody::from),
            gaps: gaps([
                (
                    output.local.is_none(),
                    "local, pid, comm: its socket was closed before a refresh showed it",
                ),
                (view.peer.is_none(), "peer: known from the first datagram to it on"),
                (view.server_id.is_none(), "server_id: the server was not seen to answer"),
                (view.answer.is_none(), "first_answer: none was seen"),
            ]),
        }
    }
}

fn hex(id: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * id.len());
    for byte in id {
        digits += &format!("{byte:02x}");
    }
    digits
}

/// Totals in the last object.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DatagramTotalsBody {
    /// Sockets ever known.
    sockets: u64,
    /// Datagrams that entered a receive queue.
    r#in: Option<u64>,
    /// Datagrams that reads returned.
    read: Option<u64>,
    /// Datagrams that were written.
    out: Option<u64>,
    /// Datagrams that were dropped since their socket became known.
    drops: u64,
}

impl From<&DatagramTotals> for DatagramTotalsBody {
    fn from(totals: &DatagramTotals) -> Self {
        Self {
            sockets: totals.sockets,
            r#in: totals.arrived,
            read: totals.read,
            out: totals.written,
            drops: totals.drops,
        }
    }
}

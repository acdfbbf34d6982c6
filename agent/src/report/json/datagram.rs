//! The body of the object of a UDP socket.

use serde::Serialize;

use super::body::{WaitBody, gaps};
use super::connection::role_name;
use crate::model::event::DatagramFlow;
use crate::model::output::QuicOutput;
use crate::model::snapshot::{DatagramProtocol, DatagramTotals, DatagramView, QuicAnswer};

#[derive(Serialize)]
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
struct DatagramWaitBody {
    #[serde(flatten)]
    wait: WaitBody,
    at_least: u64,
}

#[derive(Serialize)]
pub(super) struct DatagramBody<'a> {
    sock: String,
    local: String,
    peer: Option<String>,
    pid: u32,
    comm: &'a str,
    protocol: Option<&'static str>,
    quic: Option<QuicSocketBody>,
    closed: bool,
    r#in: FlowBody,
    read: FlowBody,
    out: FlowBody,
    drops: u64,
    waiting: u32,
    queued_bytes: u64,
    buffer_bytes: u64,
    queue_peak_bytes: u64,
    unread_us: Option<u64>,
    wait_us: DatagramWaitBody,
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
struct QuicSocketBody {
    version: u8,
    early_data: bool,
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

/// A QUIC connection.
#[derive(Serialize)]
pub(super) struct QuicBody<'a> {
    sock: String,
    local: Option<String>,
    peer: Option<String>,
    role: &'static str,
    pid: Option<u32>,
    comm: Option<&'a str>,
    since_ns: u64,
    version: u8,
    client_id: String,
    server_id: Option<String>,
    early_data: bool,
    retry: bool,
    handshake_by: &'static str,
    first_answer: Option<QuicAnswerBody>,
    gaps: Vec<&'static str>,
}

#[derive(Serialize)]
struct QuicAnswerBody {
    round_trips: u32,
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
pub(super) struct DatagramTotalsBody {
    sockets: u64,
    r#in: Option<u64>,
    read: Option<u64>,
    out: Option<u64>,
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

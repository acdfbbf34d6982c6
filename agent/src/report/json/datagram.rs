//! The body of the object of a UDP socket.

use serde::Serialize;

use super::body::{WaitBody, gaps};
use crate::model::event::DatagramFlow;
use crate::model::snapshot::{DatagramProtocol, DatagramTotals, DatagramView};

#[derive(Serialize)]
struct FlowBody {
    datagrams: Option<u64>,
    bytes: Option<u64>,
}

impl From<Option<DatagramFlow>> for FlowBody {
    fn from(flow: Option<DatagramFlow>) -> Self {
        Self { datagrams: flow.map(|flow| flow.datagrams), bytes: flow.and_then(|flow| flow.bytes) }
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
    quic: Option<QuicBody>,
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
        let unsized_arrivals = view.arrived.is_some_and(|flow| flow.bytes.is_none());
        Self {
            sock: view.sock.to_string(),
            local: view.local.to_string(),
            peer: view.peer.map(|peer| peer.to_string()),
            pid: view.pid,
            comm: &view.comm,
            protocol: view.protocol.map(DatagramProtocol::name),
            quic: view.protocol.and_then(quic),
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
                (view.arrived.is_none(), "in: no hook on this kernel sees reads, from which arrivals follow"),
                (unsized_arrivals, "in.bytes: seen on the full tier only; read.bytes has what was read"),
                (view.read.is_none(), "read: no hook on this kernel sees reads"),
                (view.written.is_none(), "out: no hook on this kernel sees writes"),
                (view.wait.count == 0, "wait_us: no read with a known wait yet"),
            ]),
        }
    }
}

/// What a first datagram of QUIC told.
#[derive(Serialize)]
struct QuicBody {
    version: u8,
    early_data: bool,
}

fn quic(protocol: DatagramProtocol) -> Option<QuicBody> {
    match protocol {
        DatagramProtocol::Quic { version, early_data } => Some(QuicBody { version, early_data }),
        _ => None,
    }
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

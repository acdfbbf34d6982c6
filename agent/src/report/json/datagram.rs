//! The body of `datagrams`.

use serde::Serialize;

use super::parts::{WaitBody, gaps};
use crate::model::event::DatagramFlow;
use crate::model::snapshot::{DatagramProtocol, DatagramView};
use crate::text::Untrusted;

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
    comm: &'a Untrusted,
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

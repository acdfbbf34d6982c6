//! The body of `quic`.

use serde::Serialize;

use super::parts::{gaps, role_name};
use crate::model::output::QuicOutput;
use crate::model::snapshot::QuicAnswer;
use crate::text::Untrusted;

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
    comm: Option<&'a Untrusted>,
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

impl<'a> From<&'a QuicOutput> for QuicBody<'a> {
    fn from(output: &'a QuicOutput) -> Self {
        let view = &output.view;
        let (pid, comm) = match &output.process {
            Some((pid, comm)) => (Some(*pid), Some(comm)),
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

fn hex(id: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * id.len());
    for byte in id {
        digits += &format!("{byte:02x}");
    }
    digits
}

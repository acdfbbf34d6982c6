//! The body of `syn`.

use serde::Serialize;

use crate::model::event::Syn;

/// A SYN came for a listener: with `--detail events`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SynBody {
    /// Id of the listener.
    listener: String,
    /// Sender of the SYN.
    peer: String,
    /// Connections in the accept queue at that time.
    accept_depth: u32,
    /// Handshakes that were not finished.
    syn_depth: u32,
    /// Data in the SYN (TCP Fast Open); `null` if it is known by its SYN-ACK alone.
    tfo_bytes: Option<u32>,
    /// `"synack"` if it is known by its SYN-ACK alone, else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = ["synack"])))]
    observed_by: Option<&'static str>,
}

impl From<&Syn> for SynBody {
    fn from(syn: &Syn) -> Self {
        Self {
            listener: syn.listener.to_string(),
            peer: syn.peer.to_string(),
            accept_depth: syn.depth,
            syn_depth: syn.syn_depth,
            tfo_bytes: syn.tfo_bytes,
            observed_by: if syn.tfo_bytes.is_none() { Some("synack") } else { None },
        }
    }
}

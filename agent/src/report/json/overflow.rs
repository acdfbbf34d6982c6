//! The body of `overflow`.

use serde::Serialize;

use super::parts::gaps;
use crate::model::event::Stage;
use crate::model::output::OverflowOutput;
use crate::text::Untrusted;

/// Connections were refused.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct OverflowBody {
    /// Id of the listener.
    listener: String,
    /// Client that was refused; `null` if the kernel counted and named nobody.
    peer: Option<String>,
    /// Step of the handshake that was refused.
    #[cfg_attr(test, schemars(extend("enum" = ["syn", "ack", "cookie"])))]
    stage: &'static str,
    /// `"syn-queue-full"` if that was the reason; absent if it was the accept queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = ["syn-queue-full"])))]
    reason: Option<&'static str>,
    /// Connections in the accept queue at that time.
    accept_depth: u32,
    /// Limit of the accept queue.
    limit: u32,
    /// Number of refusals.
    count: u64,
    /// Counter that tells of them where no probe saw each; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("enum" = ["sk_drops", "probe_counter"])))]
    observed_by: Option<&'static str>,
    /// Reasons for what is `null` or not certain; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<&'static str>,
}

impl OverflowBody {
    /// On the tracepoint tier dropped SYNs are known by the socket's own drop count alone; other
    /// refusals that have no name were counted by a probe whose record was lost.
    pub(super) fn new(overflow: &OverflowOutput, tier: &Untrusted) -> Self {
        let counter = if overflow.stage == Stage::Syn && *tier == "tracepoint" {
            "sk_drops"
        } else {
            "probe_counter"
        };
        Self {
            listener: overflow.listener.to_string(),
            peer: overflow.peer.map(|peer| peer.to_string()),
            stage: match overflow.stage {
                Stage::Syn | Stage::SynQueue => "syn",
                Stage::Ack => "ack",
                Stage::Cookie => "cookie",
            },
            reason: match overflow.stage {
                Stage::SynQueue => Some("syn-queue-full"),
                _ => None,
            },
            accept_depth: overflow.depth,
            limit: overflow.limit,
            count: overflow.count,
            observed_by: if overflow.peer.is_none() { Some(counter) } else { None },
            gaps: gaps([
                (overflow.peer.is_none(), "peer: the kernel counted these and named nobody"),
                (
                    !overflow.stage_certain,
                    "stage: this kernel does not tell ignored final ACKs from dropped SYNs",
                ),
            ]),
        }
    }
}

//! How a connection ended.

use serde::Serialize;

use crate::model::event::{Ending, Side, TcpState};
use crate::model::snapshot::{Cause, ConnectionView};
use crate::report::json::parts::side_name;

/// End of a connection, as far as it was observed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct CloseBody {
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

pub(super) fn close(view: &ConnectionView) -> Option<CloseBody> {
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

/// True if at least the peer sends nothing any more.
pub(super) fn has_ended(state: TcpState) -> bool {
    matches!(state, TcpState::CloseWait | TcpState::Closed)
}

/// True if the peer has closed, and this host has not.
pub(super) fn is_half_closed(view: &ConnectionView) -> bool {
    view.closed_ns.is_none() && view.state == TcpState::CloseWait
}

fn ending_name(ending: Ending) -> &'static str {
    match ending {
        Ending::Fin => "fin",
        Ending::Reset => "reset",
        Ending::Timeout => "timeout",
    }
}

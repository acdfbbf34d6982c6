//! Ends of connections.

use crate::model::event::Side;

/// Cause of a connection's end, where that was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename_all = "snake_case"))]
pub enum Cause {
    /// This host closed with data unread: the kernel sent a RST, which may cut off what it had
    /// written.
    UnreadData,
    /// A request met a connection that its server had closed when it was idle.
    LateRequest,
    /// More data came when this host had closed, right after the last.
    DataAfterClose,
    /// SO_LINGER with a time of 0: closed by a RST.
    Linger,
    /// Data that this host had sent were not acknowledged.
    Unacknowledged,
    /// Keepalive probes were not answered.
    Keepalive,
    /// The network reported that the peer cannot be reached.
    Unreachable,
    /// Somebody else had the kernel end it.
    Aborted,
}

impl Cause {
    /// As JSON spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnreadData => "unread_data",
            Self::LateRequest => "late_request",
            Self::DataAfterClose => "data_after_close",
            Self::Linger => "linger",
            Self::Unacknowledged => "unacknowledged",
            Self::Keepalive => "keepalive",
            Self::Unreachable => "unreachable",
            Self::Aborted => "aborted",
        }
    }

    /// In words, behind who closed and how.
    pub fn words(self) -> &'static str {
        match self {
            Self::UnreadData => "data was unread",
            Self::LateRequest => "a request came too late",
            Self::DataAfterClose => "more data came",
            Self::Linger => "SO_LINGER 0",
            Self::Unacknowledged => "nothing was acknowledged",
            Self::Keepalive => "no keepalive probe was answered",
            Self::Unreachable => "the peer is unreachable",
            Self::Aborted => "somebody else ended it",
        }
    }
}

/// More on the end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndView {
    /// Its cause.
    pub cause: Option<Cause>,
    /// Side that sent a RST, where one was seen: at once, or after a FIN.
    pub reset_by: Option<Side>,
    /// From the newest data to the first FIN or RST, µs.
    pub idle_us: Option<u64>,
    /// Bytes unread when this host reset it.
    pub unread_bytes: u64,
    /// Bytes written and not acknowledged then.
    pub unacked_bytes: u64,
    /// No record told it: complete scans do not show the connection any more.
    pub untold: bool,
}

/// Ends that are no plain FIN, over all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetTotals {
    /// Connections that this host reset, also after its FIN.
    pub sent: u64,
    /// Connections that the peer reset.
    pub received: u64,
    /// Connections that the kernel gave up.
    pub timeouts: u64,
    /// Requests that met a connection which its server had closed.
    pub late_requests: u64,
    /// Responses that a RST followed since the request was not read to its end.
    pub truncated: u64,
}

impl ResetTotals {
    /// There were any.
    pub fn are_any(&self) -> bool {
        *self != Self::default()
    }
}

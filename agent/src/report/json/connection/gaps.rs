//! What is not known of a connection.

use super::close::{has_ended, is_half_closed};
use super::tls::first_answer;
use crate::model::event::TcpState;
use crate::model::output::ConnectionOutput;
use crate::model::snapshot::Protocol;
use crate::report::json::parts::{MULTIPLEXED, NO_PROTOCOL, gaps};

const MULTIPATH: &str = "exchanges, bytes, phases_us, times_us: reads and writes of Multipath TCP \
     are not seen, its handshake, its wait and its end are those of its first subflow";

const UNTOLD: &str = "close: no record told its end, no process has it among its files any more; \
     exchanges, bytes: those that were told";

pub(super) fn connection_gaps(output: &ConnectionOutput) -> Vec<&'static str> {
    let view = &output.view;
    let (no_version, alpn_hidden, may_be_http2) = match &view.tls {
        Some(tls) => (
            tls.version.is_none(),
            tls.version.is_some() && tls.alpn.is_none() && !tls.offered.is_empty(),
            tls.may_be_http2(),
        ),
        None => (false, false, false),
    };
    gaps([
        (view.multipath, MULTIPATH),
        (view.protocol.is_none(), NO_PROTOCOL),
        (
            view.protocol == Some(Protocol::Tls) && view.tls.is_none(),
            "tls: its hellos were not kept, there were too many",
        ),
        (no_version, "tls.version: the server was not seen to answer"),
        (alpn_hidden, "tls.alpn: what the server chose is encrypted, or it chose none"),
        (
            view.tls.is_some() && first_answer(view).is_none(),
            "first_answer: none was seen yet, or its records could not be followed",
        ),
        (view.multiplexed && view.streams.is_none(), MULTIPLEXED),
        (
            matches!(view.streams, Some(streams) if streams.partly),
            "streams: not everything was looked at; there were so many at least",
        ),
        (may_be_http2, "multiplexed: HTTP/2 was offered, what was chosen is encrypted"),
        (view.closed_ns.is_none() && !has_ended(view.state), "close: it is open"),
        (is_half_closed(view), "close: the peer has closed, this host has not"),
        (
            view.closed_ns.is_none() && view.state == TcpState::Closed,
            "close: it has ended, this host keeps its socket",
        ),
        (
            view.closed_ns.is_some() && view.ended.is_none() && !view.end.untold,
            "close: its end began unobserved",
        ),
        (view.end.untold, UNTOLD),
        (
            output.delayed_acks_sent.is_none(),
            "delayed_acks: known from its first exchange on, where this kernel shows them",
        ),
        (view.preexisting, "phases_us, bytes: from the attach on; it was open before"),
    ])
}

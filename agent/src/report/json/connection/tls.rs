//! The hellos of TLS, and the way to the first answer.

use serde::Serialize;

use crate::model::snapshot::{ConnectionView, FirstAnswer, TlsView};
use crate::report::json::parts::TimesBody;
use crate::text::Untrusted;

/// Facts of the hellos.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct TlsBody<'a> {
    /// Version that the server chose, such as `"1.3"`; `null` if it was not seen to answer.
    version: Option<&'static str>,
    /// Protocol that both agreed on (ALPN); `null` if that is encrypted, or none was chosen.
    alpn: Option<&'a Untrusted>,
    /// Protocols that the client offered.
    alpn_offered: &'a [Untrusted],
    /// Name of the server that the client asked for.
    sni: Option<&'a Untrusted>,
    /// `true` if an earlier session was resumed; `null` while the server has not said so.
    resumed: Option<bool>,
    /// `true` if the client sent a request along before the handshake was over.
    early_data: bool,
}

impl<'a> From<&'a TlsView> for TlsBody<'a> {
    fn from(tls: &'a TlsView) -> Self {
        Self {
            version: tls.version,
            alpn: tls.alpn.as_ref(),
            alpn_offered: &tls.offered,
            sni: tls.server_name.as_ref(),
            resumed: tls.resumed,
            early_data: tls.early_data,
        }
    }
}

/// Round trips and time of a TLS connection until its first answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct FirstAnswerBody {
    /// Round trips until the answer, the sum of the next three.
    round_trips: u32,
    /// Round trips of the handshake of TCP.
    tcp: u32,
    /// Round trips of the handshake of TLS.
    tls: u32,
    /// Round trips of the request.
    request: u32,
    /// Time from its beginning (a server: SYN-ACK sent; a client: SYN sent) to the last byte of the
    /// exchange with the answer.
    us: u64,
    /// Time of the exchanges before that, by owner.
    handshake_us: TimesBody,
}

impl FirstAnswerBody {
    pub(super) fn new(answer: &FirstAnswer, fast_open: bool) -> Self {
        let [tcp, tls, request] = answer.steps(fast_open);
        let round_trips = answer.round_trips(fast_open);
        Self {
            round_trips,
            tcp,
            tls,
            request,
            us: answer.us,
            handshake_us: (&answer.handshake).into(),
        }
    }
}

pub(super) fn first_answer(view: &ConnectionView) -> Option<&FirstAnswer> {
    view.tls.as_ref()?.first_answer.as_ref()
}

//! The protocol of each connection, from what its first bytes were recognised as.

use super::details::Detail;
use super::tls_setup::TlsSetup;
use crate::bounded::Bounded;
use crate::model::event::{
    ClientHello, Exchange, Http2Streams, RequestLine, ServerHello, Sign, SockId,
};
use crate::model::snapshot::{ExchangeView, Protocol, TlsView};

/// Open TLS connections whose hellos are kept. Of more the one met first is known only to be TLS.
pub const MAX_HELLOS: usize = 16_384;

/// The protocol that a sign means on a connection on which `known` was spoken so far.
pub(super) fn spoken(known: Option<Protocol>, sign: &Sign) -> Option<Protocol> {
    let of_http = |minor| if minor == 0 { Protocol::Http10 } else { Protocol::Http11 };
    match sign {
        // A request inside another protocol, such as WebSocket, does not change it.
        Sign::HttpRequest { minor } | Sign::HttpRequests { minor, .. } => {
            known.or(Some(of_http(*minor)))
        }
        Sign::HttpResponse { websocket: true, .. } => Some(Protocol::WebSocket),
        Sign::HttpResponse { event_stream: true, .. } => Some(Protocol::ServerSentEvents),
        Sign::HttpResponse { minor, .. } => known.or(Some(of_http(*minor))),
        Sign::Http2 { grpc } => Some(if *grpc { Protocol::Grpc } else { Protocol::Http2 }),
        // PostgreSQL changes to TLS by a request of its own, and stays PostgreSQL.
        Sign::ClientHello(_) | Sign::ServerHello(_) => known.or(Some(Protocol::Tls)),
        Sign::Redis => Some(Protocol::Redis),
        Sign::Postgresql => Some(Protocol::Postgresql),
        Sign::Http2Streams(_)
        | Sign::TlsRecord(_)
        | Sign::FastOpen
        | Sign::Quic { .. }
        | Sign::Dtls
        | Sign::Stun => known,
    }
}

/// The hellos of open TLS connections: `add` takes each sign, `exchanged` each exchange, `view`
/// shows them.
#[derive(Clone, Debug)]
pub(super) struct Hellos(Bounded<SockId, Hello>);

impl Default for Hellos {
    fn default() -> Self {
        Self(Bounded::new(MAX_HELLOS))
    }
}

#[derive(Clone, Debug, Default)]
struct Hello {
    client: Option<ClientHello>,
    server: Option<ServerHello>,
    tls_setup: TlsSetup,
}

impl Hellos {
    pub(super) fn add(&mut self, sock: SockId, sign: &Sign) {
        if !matches!(sign, Sign::ClientHello(_) | Sign::ServerHello(_) | Sign::TlsRecord(_)) {
            return;
        }
        if !self.0.contains(sock) {
            self.0.insert(sock, Hello::default());
        }
        let Some(hello) = self.0.get_mut(sock) else { return };
        match sign {
            Sign::ClientHello(client) => hello.client = Some(client.clone()),
            Sign::ServerHello(server) => hello.server = Some(server.clone()),
            Sign::TlsRecord(record) => hello.tls_setup.record(*record),
            _ => {}
        }
    }

    /// Takes an exchange that is over. True if it was nothing but handshake.
    pub(super) fn exchanged(&mut self, exchange: &Exchange, view: &ExchangeView) -> bool {
        let Some(Hello { client, server, tls_setup }) = self.0.get_mut(exchange.sock) else {
            return false;
        };
        tls_setup.exchanged((client.as_ref(), server.as_ref()), exchange, view)
    }

    pub(super) fn forget(&mut self, sock: SockId) {
        self.0.remove(sock);
    }

    /// Connections whose hellos gave way to those of others.
    pub(super) fn gave_way(&self) -> u64 {
        self.0.gave_way()
    }

    /// Whether HTTP/2 is known to be spoken inside.
    pub(super) fn has_http2(&self, sock: SockId) -> bool {
        let Some(Hello { client, server: Some(server), .. }) = self.0.get(sock) else {
            return false;
        };
        match (&server.alpn, client) {
            (Some(chosen), _) => chosen == "h2",
            (None, Some(client)) => client.alpn == ["h2"],
            (None, None) => false,
        }
    }

    pub(super) fn view(&self, sock: SockId) -> Option<TlsView> {
        let Hello { client, server, tls_setup } = self.0.get(sock)?;
        let mut view = TlsView { first_answer: tls_setup.first_answer(), ..TlsView::default() };
        if let Some(client) = client {
            view.offered.clone_from(&client.alpn);
            view.server_name.clone_from(&client.server_name);
            view.early_data = client.early_data;
        }
        if let Some(server) = server {
            view.version = version(server.version);
            view.alpn.clone_from(&server.alpn);
            if view.alpn.is_none()
                && let [only] = &view.offered[..]
            {
                view.alpn = Some(only.clone());
            }
            if let Some(client) = client {
                view.resumed = Some(is_resumed(client, server));
            }
        }
        Some(view)
    }
}

/// The first requests of open connections, where more than their protocol is known: `add` takes
/// each sign; `calls_at_once` and `turns` say how many requests an exchange has.
#[derive(Clone, Debug)]
pub(super) struct Requests(Bounded<SockId, First>);

impl Default for Requests {
    fn default() -> Self {
        Self(Bounded::new(MAX_HELLOS))
    }
}

/// The first requests of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct First {
    /// Number that came at once; 0 if not more than one.
    pub(super) count: u8,
    /// Method and path of the first.
    pub(super) line: Option<RequestLine>,
    /// Of HTTP/2.
    pub(super) streams: Option<Http2Streams>,
}

/// Number of requests that the pieces of a response answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turns {
    /// Several that came at once, in turn.
    Several,
    /// One, or none: it is a stream.
    One,
    /// The protocol is not followed, and what came looks like either.
    Unclear,
}

/// The server read on between the first write and the last: that was another request.
fn reads_between(exchange: &Exchange) -> bool {
    let (Some(inbound), Some(outbound)) = (&exchange.inbound, &exchange.outbound) else {
        return false;
    };
    let Some(read_ns) = inbound.read_last_ns else { return false };
    inbound.reads > 1 && read_ns > outbound.first_ns && read_ns < outbound.last_ns
}

impl Requests {
    pub(super) fn add(&mut self, sock: SockId, sign: &Sign) {
        if !matches!(sign, Sign::HttpRequests { .. } | Sign::Http2Streams(_)) {
            return;
        }
        if !self.0.contains(sock) {
            self.0.insert(sock, First::default());
        }
        let Some(known) = self.0.get_mut(sock) else { return };
        match sign {
            Sign::HttpRequests { count, first, .. } => {
                (known.count, known.line) = (*count, first.clone())
            }
            Sign::Http2Streams(streams) => known.streams = Some(*streams),
            _ => {}
        }
    }

    pub(super) fn forget(&mut self, sock: SockId) {
        self.0.remove(sock);
    }

    /// Connections whose first requests gave way to those of others.
    pub(super) fn gave_way(&self) -> u64 {
        self.0.gave_way()
    }

    /// Most calls of HTTP/2 that were open at a time on a connection: 1, or more; `None` if that is
    /// not known.
    pub(super) fn calls_at_once(&self, sock: SockId) -> Option<u32> {
        let streams = self.0.get(sock)?.streams?;
        // If the connection was followed in part only, more may have been open.
        if streams.partly && streams.most <= 1 { None } else { Some(streams.most.max(1)) }
    }

    /// Number of requests that a response in pieces answers. `stored` are the connection's
    /// exchanges that are kept.
    pub(super) fn turns(
        &self,
        exchange: &Exchange,
        protocol: Option<Protocol>,
        stored: Option<&Detail>,
    ) -> Turns {
        if let Some(protocol) = protocol
            && protocol.is_multiplexed()
            && let Some(calls) = self.calls_at_once(exchange.sock)
        {
            return if calls == 1 { Turns::One } else { Turns::Several };
        }
        let http = protocol.is_some_and(Protocol::is_http1);
        let bytes = exchange.bytes_in();
        let pipelined = matches!(self.0.get(exchange.sock), Some(first) if first.count > 1);
        // A backend answers one statement after the other, and has no news to wait for but those of
        // LISTEN.
        let backend = protocol == Some(Protocol::Postgresql) && bytes > 0;
        if pipelined || backend || !http && reads_between(exchange) {
            return Turns::Several;
        }
        if let Some(stored) = stored
            && stored.recent().any(|one| is_multiple_of(bytes, &one))
        {
            return Turns::Several;
        }
        let is_stream = http || protocol.and_then(Protocol::waits_for).is_some();
        if is_stream { Turns::One } else { Turns::Unclear }
    }

    pub(super) fn get(&self, sock: SockId) -> First {
        self.0.get(sock).cloned().unwrap_or_default()
    }
}

/// The bytes of a request are as many as those of several that were answered at once.
fn is_multiple_of(bytes: u64, one: &ExchangeView) -> bool {
    let is_single = one.request_bytes > 0 && one.response_bytes > 0 && one.pieces.is_none();
    is_single && bytes >= 2 * one.request_bytes && bytes.is_multiple_of(one.request_bytes)
}

const TLS_1_3: u16 = 0x0304;

fn is_resumed(client: &ClientHello, server: &ServerHello) -> bool {
    // From 1.3 on the session's id means nothing: the server always repeats it.
    if server.version >= TLS_1_3 {
        server.took_session
    } else {
        server.session != 0 && server.session == client.session
    }
}

fn version(number: u16) -> Option<&'static str> {
    Some(match number {
        0x0300 => "ssl-3.0",
        0x0301 => "1.0",
        0x0302 => "1.1",
        0x0303 => "1.2",
        TLS_1_3 => "1.3",
        _ => return None,
    })
}

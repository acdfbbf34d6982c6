//! What is spoken on each connection, from what its first bytes were recognised as.

use rustc_hash::FxHashMap;

use super::details::Detail;
use super::tls_setup::TlsSetup;
use crate::model::event::{
    ClientHello, Exchange, Http2Streams, RequestLine, ServerHello, Sign, SockId,
};
use crate::model::snapshot::{ExchangeView, Protocol, TlsView};

/// Open TLS connections whose hellos are kept. Of further ones it is known only that they are TLS.
pub const MAX_HELLOS: usize = 16_384;

/// The protocol that a sign means on a connection on which `known` was spoken so far.
pub(super) fn spoken(known: Option<Protocol>, sign: &Sign) -> Option<Protocol> {
    let of_http = |minor| if minor == 0 { Protocol::Http10 } else { Protocol::Http11 };
    match sign {
        // What comes inside of another protocol is that one's.
        Sign::HttpRequest { minor } | Sign::HttpRequests { minor, .. } => {
            known.or(Some(of_http(*minor)))
        }
        Sign::HttpResponse { websocket: true, .. } => Some(Protocol::WebSocket),
        Sign::HttpResponse { event_stream: true, .. } => Some(Protocol::ServerSentEvents),
        Sign::HttpResponse { minor, .. } => known.or(Some(of_http(*minor))),
        Sign::Http2 { grpc } => Some(if *grpc { Protocol::Grpc } else { Protocol::Http2 }),
        // PostgreSQL changes to TLS of its own accord.
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

/// The hellos of open TLS connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Hellos(FxHashMap<SockId, Hello>);

#[derive(Clone, Debug, Default)]
struct Hello {
    client: Option<ClientHello>,
    server: Option<ServerHello>,
    tls_setup: TlsSetup,
}

impl Hellos {
    pub(super) fn add(&mut self, sock: SockId, sign: &Sign) {
        if !matches!(sign, Sign::ClientHello(_) | Sign::ServerHello(_) | Sign::TlsRecord(_))
            || self.0.len() >= MAX_HELLOS && !self.0.contains_key(&sock)
        {
            return;
        }
        let hello = self.0.entry(sock).or_default();
        match sign {
            Sign::ClientHello(client) => hello.client = Some(client.clone()),
            Sign::ServerHello(server) => hello.server = Some(server.clone()),
            Sign::TlsRecord(record) => hello.tls_setup.record(*record),
            _ => {}
        }
    }

    /// An exchange is over. True if it was nothing but handshake.
    pub(super) fn exchanged(&mut self, exchange: &Exchange, view: &ExchangeView) -> bool {
        self.0.get_mut(&exchange.sock).is_some_and(|Hello { client, server, tls_setup }| {
            tls_setup.exchanged((client.as_ref(), server.as_ref()), exchange, view)
        })
    }

    pub(super) fn forget(&mut self, sock: SockId) {
        self.0.remove(&sock);
    }

    /// Whether HTTP/2 is known to be spoken inside.
    pub(super) fn has_http2(&self, sock: SockId) -> bool {
        let Some(Hello { client, server: Some(server), .. }) = self.0.get(&sock) else {
            return false;
        };
        let only = || {
            client
                .as_ref()
                .and_then(|client| client.alpn.first().filter(|_| client.alpn.len() == 1))
        };
        server.alpn.as_ref().or_else(only).is_some_and(|chosen| chosen == "h2")
    }

    pub(super) fn view(&self, sock: SockId) -> Option<TlsView> {
        let Hello { client, server, tls_setup } = self.0.get(&sock)?;
        let offered = client.as_ref().map_or_else(Vec::new, |client| client.alpn.clone());
        let chosen = server.as_ref().and_then(|server| server.alpn.clone());
        let only = || offered.first().filter(|_| offered.len() == 1 && server.is_some()).cloned();
        Some(TlsView {
            version: server.as_ref().and_then(|server| version(server.version)),
            alpn: chosen.or_else(only),
            server_name: client.as_ref().and_then(|client| client.server_name.clone()),
            resumed: server.as_ref().and_then(|server| resumed(client.as_ref()?, server)),
            early_data: client.as_ref().is_some_and(|client| client.early_data),
            offered,
            first_answer: tls_setup.first_answer(),
        })
    }
}

/// What the first requests of open connections were, where more is told of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(FxHashMap<SockId, First>);

/// What is known of the first requests of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct First {
    /// How many came at once; 0 if not more than one.
    pub(super) count: u8,
    /// What the first asks for.
    pub(super) line: Option<RequestLine>,
    /// Of HTTP/2.
    pub(super) streams: Option<Http2Streams>,
}

/// How many requests the pieces of a response answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turns {
    /// Several that came at once, in turn.
    Several,
    /// One, or none: it is a stream.
    One,
    /// The protocol is not followed, and what came looks like either.
    Unclear,
}

/// More of what had come before was read once the first piece was written: it was another request.
fn reads_between(exchange: &Exchange) -> bool {
    let (Some(inbound), Some(outbound)) = (&exchange.inbound, &exchange.outbound) else {
        return false;
    };
    let later = inbound
        .read_last_ns
        .is_some_and(|read_ns| read_ns > outbound.first_ns && read_ns < outbound.last_ns);
    later && inbound.reads > 1
}

impl Requests {
    pub(super) fn add(&mut self, sock: SockId, sign: &Sign) {
        if !matches!(sign, Sign::HttpRequests { .. } | Sign::Http2Streams(_))
            || self.0.len() >= MAX_HELLOS && !self.0.contains_key(&sock)
        {
            return;
        }
        let known = self.0.entry(sock).or_default();
        match sign {
            Sign::HttpRequests { count, first, .. } => {
                (known.count, known.line) = (*count, first.clone())
            }
            Sign::Http2Streams(streams) => known.streams = Some(*streams),
            _ => {}
        }
    }

    pub(super) fn forget(&mut self, sock: SockId) {
        self.0.remove(&sock);
    }

    /// How many calls of HTTP/2 were open at a time on a connection, at the most: 1, or more;
    /// `None` if that is not known.
    pub(super) fn calls_at_once(&self, sock: SockId) -> Option<u32> {
        let streams = self.0.get(&sock)?.streams?;
        (streams.most > 1 || !streams.partly).then_some(streams.most.max(1))
    }

    /// How many requests a response in pieces answers, on a connection of which these exchanges are
    /// kept.
    pub(super) fn turns(
        &self,
        exchange: &Exchange,
        protocol: Option<Protocol>,
        stored: Option<&Detail>,
    ) -> Turns {
        let http = protocol.is_some_and(Protocol::is_http1);
        let bytes = exchange.inbound.as_ref().map_or(0, |inbound| inbound.bytes);
        // It has as many bytes as several of those that were answered at once.
        let multiple = |one: &ExchangeView| {
            let is_one = one.request_bytes > 0 && one.response_bytes > 0 && one.pieces.is_none();
            is_one && bytes >= 2 * one.request_bytes && bytes.is_multiple_of(one.request_bytes)
        };
        let pipelined = self.0.get(&exchange.sock).is_some_and(|first| first.count > 1);
        // A backend answers one statement after the other, and has no news to wait for but those of
        // LISTEN.
        let backend = protocol == Some(Protocol::Postgresql) && bytes > 0;
        let calls = protocol
            .filter(|protocol| protocol.is_multiplexed())
            .and_then(|_| self.calls_at_once(exchange.sock));
        match () {
            () if calls.is_some() => {
                if calls == Some(1) {
                    Turns::One
                } else {
                    Turns::Several
                }
            }
            () if pipelined || backend || !http && reads_between(exchange) => Turns::Several,
            () if stored.is_some_and(|stored| stored.recent().any(|one| multiple(&one))) => {
                Turns::Several
            }
            () if http || protocol.and_then(Protocol::waits_for).is_some() => Turns::One,
            () => Turns::Unclear,
        }
    }

    pub(super) fn get(&self, sock: SockId) -> First {
        self.0.get(&sock).cloned().unwrap_or_default()
    }
}

const TLS_1_3: u16 = 0x0304;

fn resumed(client: &ClientHello, server: &ServerHello) -> Option<bool> {
    // From 1.3 on the session's id means nothing, and the server repeats it always.
    Some(if server.version >= TLS_1_3 {
        server.took_session
    } else {
        server.session != 0 && server.session == client.session
    })
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

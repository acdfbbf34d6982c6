//! What first bytes tell.

use crate::model::event::{
    ClientHello, Event, Http2Streams, QuicDatagram, QuicPackets, Recognised, RequestLine,
    ServerHello, Sign, TlsRecord,
};
use crate::model::tests::world::{START, address};

/// Everything that can be recognised.
pub(super) fn signs() -> impl Iterator<Item = Event> {
    let everything = [
        Sign::HttpRequest { minor: 1 },
        Sign::HttpResponse { minor: 0, status: 101, websocket: true, event_stream: false },
        Sign::Http2 { grpc: true },
        Sign::ClientHello(ClientHello {
            version: 0x0304,
            server_name: Some("wörld\u{1b}".into()),
            alpn: vec!["h2".into(), "".into()],
            early_data: true,
            session: u32::MAX,
        }),
        Sign::ServerHello(ServerHello {
            version: 0x0303,
            alpn: None,
            took_session: true,
            session: 0,
        }),
        Sign::Redis,
        Sign::Postgresql,
        Sign::Quic { version: 2, early_data: true },
        Sign::Dtls,
        Sign::Stun,
        Sign::TlsRecord(TlsRecord { from_client: true, kind: 23, length: 53, at: 523 }),
        Sign::FastOpen,
        Sign::Http2Streams(Http2Streams { opened: 31, most: 10, partly: true }),
        Sign::HttpRequests {
            minor: 1,
            count: 3,
            first: Some(RequestLine { method: "GET".into(), path: "/wörld\u{1b}".into() }),
        },
    ];
    everything
        .into_iter()
        .map(|sign| Event::Recognised(Recognised { ts_ns: START, sock: 77, sign }))
}

pub(super) fn quic() -> Event {
    let packets = QuicPackets {
        version: Some(1),
        initial: true,
        source: vec![7; 20],
        ..QuicPackets::default()
    };
    Event::Quic(QuicDatagram {
        ts_ns: START,
        sock: 77,
        peer: Some(address("[2001:db8::9]:443")),
        outbound: true,
        packets,
    })
}

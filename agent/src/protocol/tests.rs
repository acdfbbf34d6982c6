use super::{Reading, detail, read};
use crate::model::event::{ClientHello, RequestLine, ServerHello, Sign};
use crate::text::Untrusted;

/// Bytes that real clients and servers sent.
const CURL_TLS: &[u8] = include_bytes!("samples/curl-tls.bin");
const CURL_TLS_1_2: &[u8] = include_bytes!("samples/curl-tls12.bin");
const OPENSSL_1_2: &[u8] = include_bytes!("samples/openssl-tls1_2.bin");
const OPENSSL_1_3: &[u8] = include_bytes!("samples/openssl-tls1_3.bin");
const CURL_HTTP: &[u8] = include_bytes!("samples/curl-http.bin");
const CURL_H2C: &[u8] = include_bytes!("samples/curl-h2c.bin");
const GRPCIO: &[u8] = include_bytes!("samples/grpcio.bin");
const GRPCIO_SECOND: &[u8] = include_bytes!("samples/grpcio-second.bin");
const REDIS_CLI: &[u8] = include_bytes!("samples/redis-cli.bin");
const PSQL: &[u8] = include_bytes!("samples/psql.bin");
const PSQL_PLAIN: &[u8] = include_bytes!("samples/psql-plain.bin");

fn sign(from_client: bool, bytes: &[u8]) -> Option<Sign> {
    read(from_client, bytes).sign
}

fn client_hello(bytes: &[u8]) -> ClientHello {
    match sign(true, bytes) {
        Some(Sign::ClientHello(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

fn server_hello(bytes: &[u8]) -> ServerHello {
    match sign(false, bytes) {
        Some(Sign::ServerHello(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_hellos_of_tls() {
    let hello = client_hello(CURL_TLS);
    assert_eq!(
        (hello.version, hello.server_name.as_ref().map(Untrusted::as_came)),
        (0x0304, Some("example.test"))
    );
    assert_eq!((hello.alpn, hello.early_data), (vec!["h2".into(), "http/1.1".into()], false));
    let hello = client_hello(CURL_TLS_1_2);
    assert_eq!(
        (hello.version, hello.server_name.as_ref().map(Untrusted::as_came)),
        (0x0303, Some("localhost"))
    );
    assert_eq!((hello.alpn.len(), hello.session), (0, 0));
    let hello = server_hello(OPENSSL_1_2);
    assert_eq!(
        (hello.version, hello.alpn.as_ref().map(Untrusted::as_came), hello.took_session),
        (0x0303, Some("http/1.1"), false)
    );
    let hello = server_hello(OPENSSL_1_3);
    assert_eq!((hello.version, hello.alpn, hello.took_session), (0x0304, None, false));
    assert_eq!(hello.session, client_hello(CURL_TLS).session, "from 1.3 on the server repeats it");
}

#[test]
fn a_hello_in_parts() {
    for cut in [5, 6, 100, CURL_TLS.len() - 1] {
        assert_eq!(read(true, &CURL_TLS[..cut]), Reading { sign: None, more: true }, "{cut} bytes");
    }
    // The same message in two records.
    let (head, body) = CURL_TLS.split_at(5);
    let (first, second) = body.split_at(200);
    let record = |part: &[u8]| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&head[..3], &length, part].concat()
    };
    assert_eq!(client_hello(&[record(first), record(second)].concat()), client_hello(CURL_TLS));
}

#[test]
fn http() {
    assert_eq!(sign(true, CURL_HTTP), Some(Sign::HttpRequest { minor: 1 }));
    assert_eq!(
        sign(true, b"GET / HTTP/1.0\r\nHost: a\r\nUser-Ag"),
        Some(Sign::HttpRequest { minor: 0 })
    );
    assert_eq!(sign(true, b"GET /a/path/that/is/cut/off"), None, "it may be anything");
    let response = |websocket, event_stream, status| {
        Some(Sign::HttpResponse { minor: 1, status, websocket, event_stream })
    };
    let plain = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(sign(false, plain), response(false, false, 200));
    let websocket =
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n";
    assert_eq!(sign(false, websocket), response(true, false, 101));
    let events = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nX-Cut-Of";
    assert_eq!(sign(false, events), response(false, true, 200));
    assert_eq!(sign(true, plain), None, "a client does not answer");
}

#[test]
fn http_2_and_grpc() {
    assert_eq!(
        read(true, CURL_H2C),
        Reading { sign: Some(Sign::Http2 { grpc: false }), more: true }
    );
    assert_eq!(read(true, GRPCIO), Reading { sign: Some(Sign::Http2 { grpc: false }), more: true });
    let both = [GRPCIO, GRPCIO_SECOND].concat();
    assert_eq!(read(true, &both), Reading { sign: Some(Sign::Http2 { grpc: true }), more: false });
    let huffman = [0x40, 0x8b, 0x1d, 0x75, 0xd0, 0x62, 0x0d, 0x26, 0x3d, 0x4c, 0x4d, 0x65, 0x64];
    let length = u8::try_from(huffman.len()).unwrap();
    let frame = [&[0, 0, length, 1, 4, 0, 0, 0, 1], huffman.as_slice()].concat();
    let first = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &frame].concat();
    assert_eq!(read(true, &first), Reading { sign: Some(Sign::Http2 { grpc: true }), more: false });
}

#[test]
fn databases() {
    assert_eq!(sign(true, REDIS_CLI), Some(Sign::Redis));
    assert_eq!(sign(true, PSQL), Some(Sign::Postgresql));
    assert_eq!(sign(true, PSQL_PLAIN), Some(Sign::Postgresql));
    assert_eq!((sign(true, b"PING\r\n"), sign(false, b"+PONG\r\n")), (None, Some(Sign::Redis)));
    assert_eq!(sign(true, b"*1\r\n$4\r\n\x01\x02\x03\x04\r\n"), None);
    assert_eq!(sign(true, b"*99999999999999999999999\r\n$1\r\na\r\n"), None);
}

/// Random numbers that are the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

#[test]
fn noise_has_no_name() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..200_000 {
        let bytes: Vec<u8> = (0..random.below(300)).map(|_| random.next() as u8).collect();
        for from_client in [true, false] {
            assert_eq!(sign(from_client, &bytes), None, "{bytes:?}");
        }
    }
}

/// Cut off anywhere or with bytes changed, a message of one protocol is never taken for one of
/// another.
#[test]
fn what_is_damaged_has_its_own_name_or_none() {
    let mut random = Random(42);
    let samples: [(bool, &[u8]); 10] = [
        (true, CURL_TLS),
        (true, CURL_TLS_1_2),
        (false, OPENSSL_1_2),
        (false, OPENSSL_1_3),
        (true, CURL_HTTP),
        (true, CURL_H2C),
        (true, GRPCIO),
        (true, REDIS_CLI),
        (true, PSQL),
        (true, PSQL_PLAIN),
    ];
    for (from_client, sample) in samples {
        let whole = sign(from_client, sample).map(|sign| std::mem::discriminant(&sign));
        let check = |bytes: &[u8]| {
            if let Some(told) = sign(from_client, bytes) {
                assert_eq!(Some(std::mem::discriminant(&told)), whole, "{told:?} of {bytes:?}");
            }
        };
        for length in 0..sample.len() {
            check(&sample[..length]);
            assert_eq!(
                sign(!from_client, &sample[..length]),
                None,
                "the other side says nothing of the kind"
            );
        }
        for _ in 0..20_000 {
            let mut bytes = sample.to_vec();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
            check(&bytes);
        }
    }
}

#[test]
fn datagrams() {
    let padded = |first: &[u8]| {
        let mut datagram = first.to_vec();
        datagram.resize(1_200, 0);
        datagram
    };
    // Version 1, an id of 8 bytes and one of none, no token, 64 bytes of packet, and 0-RTT behind
    // it.
    let initial = |version: [u8; 4], initial: u8, early: u8| {
        let head =
            |kind: u8| [&[kind], version.as_slice(), &[8, 1, 2, 3, 4, 5, 6, 7, 8, 0]].concat();
        let first = [head(initial), vec![0, 0x40, 64], vec![9; 64]].concat();
        (padded(&first), padded(&[first, head(early), vec![0x40, 80]].concat()))
    };
    let quic = |version, early_data| Some(Sign::Quic { version, early_data });
    let (alone, with_early) = initial([0, 0, 0, 1], 0xc3, 0xd3);
    assert_eq!(super::read_datagram(&alone, 1_200), quic(1, false));
    assert_eq!(super::read_datagram(&with_early, 1_200), quic(1, true));
    let (alone, with_early) = initial([0x6b, 0x33, 0x43, 0xcf], 0xd3, 0xe3);
    assert_eq!(super::read_datagram(&alone, 1_200), quic(2, false));
    assert_eq!(super::read_datagram(&with_early, 1_200), quic(2, true));
    assert_eq!(super::read_datagram(&alone, 1_199), None, "too small for a client's first");
    let mut hello = vec![
        22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 112, 1, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 100,
    ];
    assert_eq!(super::read_datagram(&hello, 125), Some(Sign::Dtls));
    hello[12] = 111;
    assert_eq!(super::read_datagram(&hello, 125), None);
    let request = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    assert_eq!(super::read_datagram(&request, 20), Some(Sign::Stun));
    assert_eq!(super::read_datagram(&request, 24), None);
    let mut random = Random(7);
    for _ in 0..200_000 {
        let bytes: Vec<u8> = (0..random.below(300)).map(|_| random.next() as u8).collect();
        assert_eq!(super::read_datagram(&bytes, 1_200), None, "{bytes:?}");
    }
}

/// Details of these bytes, which begin with a request of HTTP/1.1.
fn told(bytes: &[u8], paths: bool) -> Sign {
    detail(sign(true, bytes).expect("a request"), bytes, paths)
}

fn requests(count: u8, first: Option<(&str, &str)>) -> Sign {
    let first =
        first.map(|(method, path)| RequestLine { method: method.into(), path: path.into() });
    Sign::HttpRequests { minor: 1, count, first }
}

#[test]
fn what_a_request_asks_for_is_told_only_to_those_who_ask() {
    let request = b"GET /orders/7?token=secret HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(told(request, false), Sign::HttpRequest { minor: 1 });
    assert_eq!(told(request, true), requests(1, Some(("GET", "/orders/7"))), "without the query");
    let cut = b"POST /upload HTTP/1.1\r\nHost: a\r\nX-Long: 1234";
    assert_eq!(told(cut, true), requests(1, Some(("POST", "/upload"))));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(300));
    let Sign::HttpRequests { first: Some(first), .. } = told(long.as_bytes(), true) else {
        panic!("a request")
    };
    assert_eq!(first.path.as_came().len(), 256);
    assert_eq!(detail(Sign::Redis, b"*1\r\n", true), Sign::Redis);
}

#[test]
fn pipelined_requests_are_counted_as_far_as_they_are_there() {
    let one = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(told(one.repeat(3).as_bytes(), false), requests(3, None));
    assert_eq!(told(format!("{}GET /b HT", one.repeat(2)).as_bytes(), false), requests(2, None));
    assert_eq!(told(one.repeat(2).as_bytes(), true), requests(2, Some(("GET", "/a"))));
    // Nobody can tell where the next begins without the length of the body.
    let body = "POST /a HTTP/1.1\r\nContent-Length: 31\r\n\r\n";
    assert_eq!(told(format!("{body}{one}{one}").as_bytes(), false), Sign::HttpRequest { minor: 1 });
    assert_eq!(
        told(format!("{one}not a request\r\n\r\n").as_bytes(), false),
        Sign::HttpRequest { minor: 1 }
    );
}

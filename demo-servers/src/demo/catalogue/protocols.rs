//! Protocols: what one request looks like to the kernel in each of them.

use super::threads;
use crate::demo::{Demo, Expect};

const EVENT_LOOP: Option<Expect> = threads("single-thread", "event-loop");

pub(super) static DEMOS: &[Demo] = &[
    Demo {
        name: "same-message",
        title: "The same messages over one protocol or another",
        lectures: &[16, 17],
        about: "Each message of 100 bytes comes back as it was sent. Over TCP nothing is lost, but \
                nobody can see where a message ends; over UDP it is the other way round. What \
                HTTP, TLS and HTTP/2 add is paid for in bytes and round trips.",
        expect: None,
        server: &["echo"],
        client: &["echo"],
        variations: &[
            ("--over udp", "a datagram for each"),
            ("--over http1 --messages 10", "a request for each, one after another"),
            ("--over tls --messages 1", "a handshake before the first"),
            ("--over http2", "all at once on one connection"),
        ],
    },
    Demo {
        name: "layers",
        title: "One request, layer by layer",
        lectures: &[18],
        about: "The application writes once and reads once. TCP makes segments of that, with a \
                handshake before, acknowledgements in between and a close after. IP carries each \
                segment in a packet, and knows nothing of connections. The client counts at each \
                layer.",
        expect: threads("thread-per-connection", "blocking"),
        server: &["layers"],
        client: &["layers"],
        variations: &[
            ("--response 0", "most bytes are headers"),
            ("--response 100000", "many segments, hardly any headers"),
        ],
    },
    Demo {
        name: "udp",
        title: "UDP: datagrams",
        lectures: &[20],
        about: "Each send is a datagram, and each read takes one from the buffer: what the read has \
                no room for is lost. There is no connection, and nobody resends what was lost: the \
                application has to notice.",
        expect: None,
        server: &["udp"],
        client: &["udp"],
        variations: &[(
            "--burst 200 --read-delay 1ms --receive-buffer 4096",
            "the receive buffer is full, and the kernel silently drops the rest",
        )],
    },
    Demo {
        name: "tcp",
        title: "TCP: a connection from SYN to FIN",
        lectures: &[21],
        about: "The client writes five times and closes its half. The server reads one stream \
                until that end, without a trace of the five writes, and answers on the half that \
                is still open.",
        expect: threads("thread-per-connection", "blocking"),
        server: &["tcp"],
        client: &["tcp"],
        variations: &[
            ("--client-reset", "the client ends with RST: the server's read fails"),
            ("--server-reset", "the server ends with RST: no answer"),
            ("--no-half-close", "a stream has no messages: the server waits for more"),
        ],
    },
    Demo {
        name: "tls",
        title: "TLS: a handshake, then many requests",
        lectures: &[22],
        about: "One connection stays open. Only the first request pays for the TCP and TLS \
                handshakes; every later one takes a round trip, as without TLS.",
        expect: None,
        server: &["https"],
        client: &["https", "--requests=0", "--pause=20ms"],
        variations: &[
            ("--requests 1", "a handshake for each request"),
            ("--tls 1.2", "a handshake that takes longer"),
        ],
    },
    Demo {
        name: "http1",
        title: "HTTP/1.1: one request after another on a connection",
        lectures: &[23],
        about: "There are ten requests on each connection (keep-alive), each written when the \
                previous one is answered. The server takes 5 ms for an answer; another request can \
                only wait behind it, or have its own connection.",
        expect: EVENT_LOOP,
        server: &["http", "--sleep=5ms"],
        client: &["http1"],
        variations: &[
            ("--requests 1", "no keep-alive: a handshake for each request"),
            ("--pipeline 5", "five requests in one segment, answered one after another"),
            ("--pipeline 5 --sleep 50ms", "the last of five waits for all those before it"),
            ("--requests 0 --response 100000", "long answers on connections that stay open"),
        ],
    },
    Demo {
        name: "websocket",
        title: "WebSocket: a request that turns into messages in both directions",
        lectures: &[24],
        about: "One HTTP/1.1 request with `Upgrade: websocket` is answered with 101. From then on \
                the connection carries frames, and either side may begin. The server sends each \
                message back.",
        expect: EVENT_LOOP,
        server: &["websocket"],
        client: &["websocket"],
        variations: &[
            ("--push 100ms --pause 1s", "the server also speaks unasked, between requests"),
            ("--message-size 100000", "a message of many segments"),
            ("--pings 10", "pings, which the library answers and the application never sees"),
            ("--sleep 20ms", "an answer that takes time"),
        ],
    },
    Demo {
        name: "http2",
        title: "HTTP/2: many requests at once on one connection",
        lectures: &[25],
        about: "There are four connections with ten streams each, without TLS so that the bytes \
                are not encrypted. Each answer takes 20 ms and comes when it is ready. The kernel \
                sees one stream of bytes for each connection.",
        expect: EVENT_LOOP,
        server: &["http", "--h2c", "--sleep=20ms"],
        client: &["http", "--http2", "--clients=4", "--streams=10"],
        variations: &[
            ("--streams 1", "one request at a time: a tenth of the answers"),
            ("--streams 100", "as many at once as servers commonly allow"),
            ("--response 100000", "long answers share the connection"),
            ("--sleep 0ms --work 2ms", "concurrent on the connection, but one processor computes"),
        ],
    },
    Demo {
        name: "http3",
        title: "HTTP/3: streams over QUIC",
        lectures: &[26],
        about: "There are eight requests at a time on one connection, each on its own stream: a \
                lost datagram holds up its own stream and no other. To the kernel it is a UDP \
                socket and nothing more.",
        expect: None,
        server: &["quic"],
        client: &["quic", "--streams=8", "--requests=0", "--pause=20ms"],
        variations: &[
            ("--streams 1", "one after another"),
            ("--request-size 100000", "requests with a body"),
            ("--response 100000", "long answers share the connection"),
        ],
    },
    Demo {
        name: "grpc",
        title: "gRPC: four kinds of call, each a stream of HTTP/2",
        lectures: &[27],
        about: "Unary, server streaming, client streaming and bidirectional calls come in turn, \
                two at once on each of four connections. Whether a call is one message or many, to \
                the kernel it is bytes on the same connection.",
        expect: EVENT_LOOP,
        server: &["grpc"],
        client: &["grpc", "--clients=4"],
        variations: &[
            ("--kind unary", "a request and an answer, as with any HTTP/2"),
            ("--kind server-stream --sleep 50ms", "an answer that trickles in"),
            ("--kind client-stream --messages 10000", "one answer to ten thousand messages"),
            ("--kind bidirectional", "a conversation in one call"),
            ("--streams 50", "that many calls at once on a connection"),
        ],
    },
    Demo {
        name: "webrtc",
        title: "WebRTC: a data channel",
        lectures: &[28],
        about: "An offer and an answer over HTTP say who the two sides are. Everything after that \
                is UDP, on one socket: STUN finds a path that works (ICE), DTLS does its handshake \
                on it, and SCTP inside DTLS carries messages. A browser that opens the server's \
                address acts as the client.",
        expect: None,
        server: &["webrtc"],
        client: &["webrtc"],
        variations: &[
            ("--requests 1000", "messages need no new handshake"),
            ("--request-size 10000", "large messages go in many datagrams"),
        ],
    },
];

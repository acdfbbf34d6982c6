//! Protocols: what one request looks like to the kernel in each of them.

use super::threads;
use crate::demo::{Demo, Expect};

const EVENT_LOOP: Option<Expect> = threads("single-thread", "event-loop");

pub(super) static DEMOS: &[Demo] = &[
    Demo {
        name: "http1",
        title: "HTTP/1.1: one request after another on a connection",
        lectures: &[23],
        about: "Ten requests on each connection (keep-alive), each written when the last is answered. The server takes \
                5 ms for an answer; another request can only wait behind it, or have a connection of its own.",
        expect: EVENT_LOOP,
        server: &["http", "--sleep=5ms"],
        client: &["http1"],
        variations: &[
            ("--requests 1", "no keep-alive: a handshake for each request"),
            ("--pipeline 5", "five requests in one segment, answered one after another"),
            ("--pipeline 5 --sleep 50ms", "the last of five waits for all before it"),
            ("--requests 0 --response 100000", "long answers on connections that stay"),
        ],
    },
    Demo {
        name: "websocket",
        title: "WebSocket: a request that turns into messages both ways",
        lectures: &[24],
        about: "One HTTP/1.1 request with `Upgrade: websocket`, answered with 101: from then on the connection carries \
                frames, and either side may begin. The server sends each message back.",
        expect: EVENT_LOOP,
        server: &["websocket"],
        client: &["websocket"],
        variations: &[
            ("--push 100ms --pause 1s", "the server speaks of itself, between requests"),
            ("--message-size 100000", "a message of many segments"),
            ("--sleep 20ms", "an answer that takes time"),
        ],
    },
    Demo {
        name: "http2",
        title: "HTTP/2: many requests at once on one connection",
        lectures: &[25],
        about: "Four connections with ten streams each, without TLS so that the bytes are plain. The answers take 20 ms \
                    each and come as they are ready; the kernel sees one stream of bytes for each connection.",
        expect: EVENT_LOOP,
        server: &["http", "--h2c", "--sleep=20ms"],
        client: &["http", "--http2", "--clients=4", "--streams=10"],
        variations: &[
            ("--streams 1", "one request at a time: a tenth of the answers"),
            ("--streams 100", "as many at once as servers commonly allow"),
            ("--response 100000", "long answers share the connection"),
            ("--sleep 0ms --work 2ms", "at once on the connection, but one processor computes"),
        ],
    },
    Demo {
        name: "grpc",
        title: "gRPC: calls of four kinds, each a stream of HTTP/2",
        lectures: &[27],
        about: "Unary, server streaming, client streaming and bidirectional in turn, two at once on each of four \
                connections. Whether a call is one message or many, to the kernel it is bytes on the same connection.",
        expect: EVENT_LOOP,
        server: &["grpc"],
        client: &["grpc", "--clients=4"],
        variations: &[
            ("--kind unary", "a request and an answer, as with any HTTP/2"),
            ("--kind server-stream --sleep 50ms", "an answer that trickles"),
            ("--kind client-stream --messages 10000", "one answer to ten thousand messages"),
            ("--kind bidirectional", "a conversation in one call"),
            ("--streams 50", "as many calls at once on a connection"),
        ],
    },
];

//! Protocols: what is spoken on a connection.

use super::threads;
use crate::demo::Demo;

pub(super) static DEMOS: &[Demo] = &[
    Demo {
        name: "layers",
        title: "One request, layer by layer",
        lectures: &[17, 18, 19],
        about: "The application writes once and reads once. TCP makes segments of it, with a handshake before, \
                acknowledgments between and an end after; IP carries each segment in a packet, and knows nothing of \
                connections. The client counts at each layer.",
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
        about: "Each send is a datagram, each read gets one, whole or not at all. There is no connection, and nobody \
                sends again what was lost: the application has to notice.",
        expect: None,
        server: &["udp"],
        client: &["udp"],
        variations: &[(
            "--burst 200 --read-delay 1ms --receive-buffer 4096",
            "the receive buffer is full, and the kernel drops the rest without a word",
        )],
    },
    Demo {
        name: "tcp",
        title: "TCP: a connection from SYN to FIN",
        lectures: &[21],
        about: "The client writes five times and closes its half; the server reads one stream, without a trace of the \
                five writes, until that end, and answers on the half that is still open.",
        expect: threads("thread-per-connection", "blocking"),
        server: &["tcp"],
        client: &["tcp"],
        variations: &[
            ("--client-reset", "the client ends with RST: the server's read fails"),
            ("--server-reset", "the server does: no answer"),
            ("--no-half-close", "a stream has no messages: the server waits for more"),
        ],
    },
    Demo {
        name: "tls",
        title: "TLS: a handshake, and then many requests",
        lectures: &[22],
        about: "One connection stays open. Only the first request pays for the handshakes of TCP and TLS; every later \
                one takes a round trip, as without TLS.",
        expect: None,
        server: &["https"],
        client: &["https", "--requests=0", "--pause=20ms"],
        variations: &[("--requests 1", "a handshake for each request"), ("--tls 1.2", "one that takes longer")],
    },
    Demo {
        name: "http3",
        title: "HTTP/3: streams over QUIC",
        lectures: &[26],
        about: "Eight requests at a time on one connection, each on a stream of its own: a datagram that is lost holds \
                up its own stream and no other. For the kernel it is a UDP socket and nothing more.",
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
        name: "webrtc",
        title: "WebRTC: a data channel",
        lectures: &[28],
        about: "An offer and an answer over HTTP say who the two are. Then all is UDP, on one socket: STUN finds a path \
                that works (ICE), DTLS shakes hands on it, and SCTP within DTLS carries messages. Needs a build with \
                the feature `webrtc`. A browser that opens the server's address takes the part of the client.",
        expect: None,
        server: &["webrtc"],
        client: &["webrtc"],
        variations: &[
            ("--requests 1000", "messages need no new handshake"),
            ("--request-size 10000", "large messages go in many datagrams"),
        ],
    },
];

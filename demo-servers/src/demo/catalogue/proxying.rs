//! Proxies and balancers: one process with connections on both sides.

use super::threads;
use crate::demo::{Demo, Expect};

const EVENT_LOOP: Option<Expect> = threads("single-thread", "event-loop");

pub(super) static DEMOS: &[Demo] = &[
    Demo {
        name: "forward-proxy",
        title: "A proxy that the client knows, and tells where to",
        lectures: &[48],
        about: "With CONNECT the proxy connects and then copies bytes both ways without a look at \
                them: a tunnel, as for HTTPS. With a whole URL in the request it asks in the \
                client's place, and sees everything. Only it can find the origin, which is a \
                process of its own.",
        expect: EVENT_LOOP,
        server: &["forward-proxy"],
        client: &["through-proxy"],
        variations: &[
            ("--absolute-form", "the proxy asks, over connections that it keeps"),
            ("--origin-sleep 20ms", "the proxy waits for the origin, the client for both"),
        ],
    },
    Demo {
        name: "reverse-proxy",
        title: "A proxy that the client takes for the server",
        lectures: &[48],
        about: "It stands before one server, answers in its name and keeps connections to it: \
                clients come and go with five requests each, the server sees the same few \
                connections all along.",
        expect: EVENT_LOOP,
        server: &["layer7", "--backends=1"],
        client: &["http", "--requests=5"],
        variations: &[
            ("--pool 0", "a connection to the server for each request"),
            ("--backend-sleep 20ms", "the time is the server's, not the proxy's"),
            ("--work 2ms", "the time is the proxy's"),
        ],
    },
    Demo {
        name: "layer4-balancer",
        title: "A balancer of connections, which copies bytes",
        lectures: &[49],
        about: "For each connection it chooses one of three servers, connects to it and copies \
                what comes. It knows nothing of requests, so it can balance any protocol, and a \
                connection that asks much stays where it is.",
        expect: EVENT_LOOP,
        server: &["layer4"],
        client: &["http", "--clients=6", "--requests=10"],
        variations: &[
            ("--clients 1 --requests 0", "one connection, one server"),
            (
                "--h2c --http2 --clients 1 --streams 8 --requests 0",
                "all of HTTP/2's requests at one server, too",
            ),
            ("--balance least", "to whoever has fewest connections"),
            ("--balance uneven", "nine connections of ten to the first"),
        ],
    },
    Demo {
        name: "layer7-balancer",
        title: "A balancer of requests, which understands HTTP",
        lectures: &[49],
        about: "It reads each request and chooses one of three servers for it, over connections \
                that it keeps: even one client's requests are spread. For that it has to \
                understand the protocol, and each byte of it.",
        expect: EVENT_LOOP,
        server: &["layer7"],
        client: &["http", "--clients=6"],
        variations: &[
            ("--clients 1", "one connection, three servers"),
            ("--slow-backend 50ms", "each third request is slow"),
            ("--slow-backend 50ms --balance least", "the slow server gets fewer"),
            ("--balance uneven", "nine requests of ten to the first"),
            ("--upstream-protocol http2", "one connection to each server"),
            ("--pool 0", "a connection for each request"),
        ],
    },
];

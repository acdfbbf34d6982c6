//! Proxies and balancers: one process with connections on both sides.

use super::threads;
use crate::demo::{Demo, Expect};

const EVENT_LOOP: Option<Expect> = threads("single-thread", "event-loop");

pub(super) static DEMOS: &[Demo] = &[
    Demo {
        name: "forward-proxy",
        title: "A proxy that the client knows and tells where to connect",
        lectures: &[48],
        about: "With CONNECT, the proxy connects and then copies bytes in both directions without \
                looking at them: a tunnel, as for HTTPS. With a whole URL in the request, it asks \
                in the client's place and sees everything. Only the proxy can find the origin, \
                which is a separate process.",
        expect: EVENT_LOOP,
        server: &["forward-proxy"],
        client: &["through-proxy"],
        variations: &[
            ("--absolute-form", "the proxy asks, over connections that it keeps"),
            ("--origin-sleep 20ms", "the proxy waits for the origin, and the client for both"),
        ],
    },
    Demo {
        name: "reverse-proxy",
        title: "A proxy that the client takes for the server",
        lectures: &[48],
        about: "The proxy stands in front of one server, answers in its name and keeps connections \
                to it. Clients come and go with five requests each; the server sees the same few \
                connections all along.",
        expect: EVENT_LOOP,
        server: &["layer7", "--backends=1"],
        client: &["http", "--requests=5"],
        variations: &[
            ("--pool 0", "a connection to the server for each request"),
            ("--backend-sleep 20ms", "the time is spent by the server, not by the proxy"),
            ("--work 2ms", "the time is spent by the proxy"),
        ],
    },
    Demo {
        name: "layer4-balancer",
        title: "A balancer of connections, which copies bytes",
        lectures: &[49],
        about: "For each connection the balancer chooses one of three servers, connects to it and \
                copies what comes. It knows nothing of requests, so it can balance any protocol; \
                but a connection with many requests stays where it is.",
        expect: EVENT_LOOP,
        server: &["layer4"],
        client: &["http", "--clients=6", "--requests=10"],
        variations: &[
            ("--clients 1 --requests 0", "one connection, one server"),
            (
                "--h2c --http2 --clients 1 --streams 8 --requests 0",
                "all HTTP/2 requests go to one server, too",
            ),
            ("--balance least", "to the server with the fewest connections"),
            ("--balance uneven", "nine of ten connections to the first"),
        ],
    },
    Demo {
        name: "layer7-balancer",
        title: "A balancer of requests, which understands HTTP",
        lectures: &[49],
        about: "The balancer reads each request and chooses one of three servers for it, over \
                connections that it keeps: even the requests of one client are spread. For that it \
                has to understand the protocol, every byte of it.",
        expect: EVENT_LOOP,
        server: &["layer7"],
        client: &["http", "--clients=6"],
        variations: &[
            ("--clients 1", "one connection, three servers"),
            ("--slow-backend 50ms", "every third request is slow"),
            ("--slow-backend 50ms --balance least", "the slow server gets fewer"),
            ("--balance uneven", "nine of ten requests to the first"),
            ("--upstream-protocol http2", "one connection to each server"),
            ("--pool 0", "a connection for each request"),
        ],
    },
];

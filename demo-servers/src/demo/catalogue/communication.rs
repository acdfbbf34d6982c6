//! Communication patterns: who speaks when.

use super::threads;
use crate::demo::{Demo, Expect};

const EVENT_LOOP: Option<Expect> = threads("single-thread", "event-loop");

pub(super) static DEMOS: &[Demo] = &[
    Demo {
        name: "request-response",
        title: "The client asks, the server answers",
        lectures: &[6],
        about: "The pattern under most others: nothing moves unless the client asks. The server takes 5 ms for each \
                answer, in which both wait.",
        expect: EVENT_LOOP,
        server: &["http", "--sleep=5ms"],
        client: &["http"],
        variations: &[
            ("--sleep 100ms", "slow to the client, idle on the server"),
            ("--sleep 0ms --work 5ms", "busy: requests wait for one another"),
            ("--response 1000000", "most of the time is transfer"),
            ("--requests 1", "a connection for each request"),
        ],
    },
    Demo {
        name: "multiplexing",
        title: "Many connections onto one, or onto a pool",
        lectures: &[13],
        about: "A proxy has 16 clients with HTTP/1.1 and one connection with HTTP/2 to the server: their requests are \
                streams on it. With HTTP/1.1 to the server it needs a connection for each request at a time: a pool.",
        expect: EVENT_LOOP,
        server: &["layer7", "--backends=1", "--backend-sleep=10ms", "--upstream-protocol=http2"],
        client: &["http", "--clients=16"],
        variations: &[
            ("--upstream-protocol http1", "a pool: as many connections as requests at a time"),
            ("--upstream-protocol http1 --pool 2", "a pool that keeps only two"),
        ],
    },
    Demo {
        name: "sidecar",
        title: "A process beside the application speaks the network's protocol for it",
        lectures: &[15],
        about: "The client speaks plain HTTP/1.1 to a sidecar on its own machine. The sidecar speaks HTTP/2 with the \
                sidecar of the server, which speaks HTTP/1.1 with the server. Neither end knows; each request passes \
                two processes more.",
        expect: EVENT_LOOP,
        server: &["layer7", "--sidecar", "--name=sidecar-1"],
        client: &["http"],
        variations: &[
            ("--backend-sleep 20ms", "the time is that of the server at the far end"),
            ("--work 2ms", "the time is the sidecar's"),
        ],
    },
];

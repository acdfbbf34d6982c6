//! The knobs of each lesson, beside those that all have. Every value runs in a few seconds.

use crate::learn::knob::{BenchKnob, Turn};

const fn knob(
    label: &'static str,
    name: &'static str,
    values: &'static [&'static str],
    default: &'static str,
) -> BenchKnob {
    BenchKnob::knob(label, name, values, default)
}

/// An option of a named demo.
const fn demo(
    label: &'static str,
    options: &'static [&'static str],
    values: &'static [&'static str],
    default: &'static str,
) -> BenchKnob {
    BenchKnob::option(label, "demo", options, values, default)
}

/// An option of a server.
const fn server(
    label: &'static str,
    options: &'static [&'static str],
    values: &'static [&'static str],
    default: &'static str,
) -> BenchKnob {
    BenchKnob::option(label, "server", options, values, default)
}

/// A way of HTTPS.
const WAY: BenchKnob = BenchKnob::verb(
    "way",
    "demo",
    &[
        "https-tls12",
        "https-tls12-resumed",
        "https-tls13",
        "https-tls13-0rtt",
        "https-tfo-tls13",
        "https-tfo-0rtt",
        "https-quic",
        "https-quic-0rtt",
    ],
    &["--connections"],
);
const CONNECTIONS: BenchKnob = demo("connections", &["--connections"], &["1", "2", "3"], "1");
const HTTPS: &[BenchKnob] = &[WAY, CONNECTIONS];

const CLIENTS: BenchKnob = knob("clients", "clients", &["1", "2", "4", "8", "16"], "1");
const SLEEP: BenchKnob =
    server("the app waits", &["--sleep"], &["0ms", "1ms", "20ms", "50ms"], "0ms");
const WORK: BenchKnob =
    server("the app computes", &["--work"], &["0ms", "1ms", "5ms", "20ms"], "0ms");
const WORKERS: BenchKnob = server("workers", &["--workers"], &["1", "2", "4", "8"], "4");
const REQUESTED: BenchKnob = demo("requests", &["--requests"], &["1", "2", "5", "10"], "1");
const DEMO_SLEEP: BenchKnob =
    demo("the app waits", &["--sleep"], &["0ms", "5ms", "20ms", "50ms"], "0ms");
const DEMO_WORK: BenchKnob = demo("the app computes", &["--work"], &["0ms", "1ms", "5ms"], "0ms");
const BACKEND: BenchKnob =
    demo("the server behind waits", &["--backend-sleep"], &["0ms", "5ms", "20ms"], "0ms");
const EVERY: BenchKnob = demo("news every", &["--every"], &["20ms", "50ms", "100ms"], "100ms");
const SIDE_BY_SIDE: BenchKnob =
    demo("clients", &["--clients", "--connections"], &["1", "2", "4", "8"], "1");
const ENDS: BenchKnob = BenchKnob {
    label: "after its request it",
    turn: Turn::OneOf("demo", &["", "--no-half-close", "--client-reset"]),
    values: &["closes its half", "waits", "resets"],
    default: "closes its half",
};
const MODE: BenchKnob =
    knob("accept by", "mode", &["blocking", "epoll", "exclusive", "reuseport"], "epoll");
const ACCEPTORS: BenchKnob = knob("workers", "workers", &["1", "2", "4", "8"], "8");

/// The knobs by lesson.
static KNOBS: &[(&[&str], &[BenchKnob])] = &[
    (
        &["accept-queue"],
        &[
            knob("backlog", "backlog", &["0", "1", "2", "5", "20"], "2"),
            knob("clients", "clients", &["4", "10", "20"], "10"),
        ],
    ),
    (&["acceptors"], &[MODE, ACCEPTORS]),
    (&["sharding"], &[MODE, ACCEPTORS, knob("load", "option", &["none", "uneven"], "none")]),
    (
        &["async"],
        &[
            BenchKnob::flag("answers at once", "demo", "--asynchronous"),
            demo("the job takes", &["--job-time"], &["50ms", "300ms", "600ms"], "300ms"),
            demo("asks every", &["--poll"], &["5ms", "15ms", "50ms", "200ms"], "50ms"),
        ],
    ),
    (&["request-response"], &[SIDE_BY_SIDE, DEMO_SLEEP, DEMO_WORK]),
    (&["push"], &[EVERY, demo("clients", &["--clients"], &["1", "10", "30"], "1")]),
    (
        &["short-polling"],
        &[demo("asks every", &["--interval"], &["5ms", "20ms", "100ms", "350ms"], "20ms"), EVERY],
    ),
    (&["long-polling"], &[demo("holds for", &["--hold"], &["50ms", "200ms", "1s"], "1s"), EVERY]),
    (
        &["sse"],
        &[demo("by", &["--by"], &["short-polling", "long-polling", "events"], "events"), EVERY],
    ),
    (
        &["pub-sub"],
        &[
            demo("subscribers", &["--subscribers"], &["1", "4", "20", "50"], "4"),
            demo("messages", &["--messages"], &["1", "10", "50"], "10"),
        ],
    ),
    (
        &["multiplexing"],
        &[
            demo("to the server", &["--upstream-protocol"], &["http1", "http2"], "http1"),
            demo("pool", &["--pool"], &["0", "1", "8"], "8"),
            SIDE_BY_SIDE,
        ],
    ),
    (
        &["state"],
        &[
            demo("state in", &["--state"], &["memory", "shared", "request"], "memory"),
            BenchKnob::flag("keep-alive", "demo", "--keep-alive"),
            demo("workers", &["--workers"], &["1", "2", "4"], "4"),
        ],
    ),
    (&["sidecar"], &[BACKEND, demo("the proxies compute", &["--work"], &["0ms", "2ms"], "0ms")]),
    (&["layers"], &[demo("response", &["--response"], &["0", "1000", "100000"], "1000")]),
    (
        &["udp"],
        &[
            demo("reads every", &["--read-delay"], &["0ms", "1ms", "10ms"], "0ms"),
            demo("receive buffer", &["--receive-buffer"], &["4096", "50000", "1000000"], "50000"),
            demo("datagrams", &["--burst", "--requests"], &["10", "50", "200"], "50"),
        ],
    ),
    (&["tcp"], &[ENDS, demo("bytes", &["--bytes"], &["100", "10000", "1000000"], "10000")]),
    (
        &["tls"],
        &[
            demo("version", &["--tls"], &["1.2", "1.3"], "1.3"),
            BenchKnob::flag("resumes", "demo", "--resume"),
            REQUESTED,
        ],
    ),
    (
        &["http1"],
        &[
            demo("pipeline", &["--pipeline"], &["1", "5", "10"], "1"),
            DEMO_SLEEP,
            demo("response", &["--response"], &["100", "10000", "100000"], "100"),
        ],
    ),
    (&["http2"], &[demo("streams", &["--streams"], &["1", "2", "10", "50"], "10"), DEMO_SLEEP]),
    (
        &["http3"],
        &[
            demo("streams", &["--streams"], &["1", "8", "40"], "8"),
            demo("connections", &["--connections"], &["1", "5"], "1"),
        ],
    ),
    (
        &["websocket"],
        &[demo("message", &["--message-size"], &["1", "100", "1000", "100000"], "32"), DEMO_SLEEP],
    ),
    (
        &["grpc"],
        &[
            demo(
                "call",
                &["--kind"],
                &["unary", "server-stream", "client-stream", "bidirectional"],
                "unary",
            ),
            demo("messages", &["--messages"], &["1", "100", "1000"], "100"),
        ],
    ),
    (&["webrtc"], &[demo("connections", &["--connections"], &["1", "3"], "1")]),
    (&["https", "tls12", "tls13", "fast-open", "early-data", "quic", "quic-0rtt"], HTTPS),
    (
        &["cpu"],
        &[
            BenchKnob::verb(
                "server",
                "server",
                &["thread-per-connection", "process-per-connection"],
                &["--work", "--pin-cpu", "--spinners"],
            ),
            server("who compute beside it", &["--spinners"], &["0", "1", "3", "7"], "0"),
            WORK,
        ],
    ),
    (
        &["socket-data"],
        &[
            knob("bytes", "bytes", &["1000", "60000", "1000000", "16000000"], "60000"),
            knob("reads after, ms", "delay_ms", &["0", "100", "300"], "300"),
        ],
    ),
    (
        &["three-roles"],
        &[
            BenchKnob::verb(
                "server",
                "server",
                &[
                    "single-thread",
                    "thread-per-connection",
                    "process-per-connection",
                    "acceptor-plus-readers",
                ],
                &[],
            ),
            CLIENTS,
        ],
    ),
    (
        &["one-thread"],
        &[
            BenchKnob::verb(
                "server",
                "server",
                &["single-thread", "thread-per-connection", "process-per-connection"],
                &["--sleep", "--work"],
            ),
            SLEEP,
            CLIENTS,
        ],
    ),
    (&["readers"], &[WORKERS, SLEEP, BenchKnob::flag("uneven", "server", "--uneven"), CLIENTS]),
    (&["messages"], &[WORKERS, SLEEP, CLIENTS]),
    (
        &["idempotency"],
        &[
            knob("key", "key", &["none", "order"], "none"),
            knob("orders", "orders", &["5", "20"], "20"),
        ],
    ),
    (
        &["nagle"],
        &[
            knob("TCP_NODELAY", "option", &["none", "nodelay"], "none"),
            knob("writes of", "writes", &["4,200", "204", "4,100,100"], "4,200"),
        ],
    ),
    (
        &["proxies"],
        &[
            BenchKnob::verb(
                "proxy",
                "demo",
                &["reverse-proxy", "forward-proxy"],
                &["--clients", "--connections", "--requests", "--pause"],
            ),
            REQUESTED,
        ],
    ),
    (
        &["balancers"],
        &[
            BenchKnob::verb(
                "balancer",
                "demo",
                &["layer4-balancer", "layer7-balancer"],
                &["--clients", "--connections", "--requests", "--pause"],
            ),
            demo("clients", &["--clients", "--connections"], &["1", "2", "6", "12"], "1"),
            demo("servers", &["--backends"], &["1", "3", "5"], "3"),
        ],
    ),
];

/// Returns the knobs of a lesson, without those that all have.
pub(super) fn of_lesson(slug: &str) -> &'static [BenchKnob] {
    match KNOBS.iter().find(|(lessons, _)| lessons.contains(&slug)) {
        Some((_, knobs)) => knobs,
        None => &[],
    }
}

//! Protocols: what one request looks like to the kernel in each of them.

use super::threads;
use crate::demo::{Demo, Expect};

const EVENT_LOOP: Option<Expect> = threads("single-thread", "event-loop");

pub(super) static DEMOS: &[Demo] = &[Demo {
    name: "http2",
    title: "HTTP/2: many requests at once on one connection",
    lectures: &[25],
    about: "Two connections with ten streams each, without TLS so that the bytes are plain. The answers take 20 ms \
                each and come as they are ready; the kernel sees one stream of bytes for each connection.",
    expect: EVENT_LOOP,
    server: &["http", "--h2c", "--sleep=20ms"],
    client: &["http", "--http2", "--clients=2", "--streams=10"],
    variations: &[
        ("--streams 1", "one request at a time: a tenth of the answers"),
        ("--streams 100", "as many at once as servers commonly allow"),
        ("--response 100000", "long answers share the connection"),
        ("--sleep 0ms --work 2ms", "at once on the connection, but one processor computes"),
    ],
}];

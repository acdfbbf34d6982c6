//! Real servers.

use std::time::Duration;

use super::check;
use super::load::{Load, Manner};
use crate::cases::native;
use crate::harness::{Case, World};
use crate::servers::{PORT, Server};

pub(in crate::cases) const CASES: &[Case] = &[
    native("pattern::nginx", |world| {
        told(world, "nginx", "multiple-acceptors processes event-loop")
    }),
    native("pattern::nginx_reuseport", |world| {
        told(world, "nginx-reuseport", "socket-sharding processes event-loop")
    }),
    native("pattern::apache_prefork", |world| {
        told(world, "apache-prefork", "multiple-acceptors processes blocking")
    }),
    native("pattern::apache_event", |world| {
        told(world, "apache-event", "acceptor-plus-readers threads mixed")
    }),
    native("pattern::postgresql", |world| {
        told(world, "postgresql", "process-per-connection processes blocking")
    }),
    native("pattern::redis", |world| told(world, "redis", "single-thread threads event-loop")),
    native("pattern::redis_io_threads", |world| {
        told(world, "redis-io-threads", "acceptor-plus-readers threads")
    }),
    native("pattern::haproxy", |world| {
        told(world, "haproxy", "multiple-acceptors threads event-loop")
    }),
    native("pattern::node", |world| told(world, "node", "single-thread threads event-loop")),
    native("pattern::node_cluster", |world| {
        told(world, "node-cluster", "acceptor-plus-readers processes event-loop")
    }),
    native("pattern::node_cluster_shared", |world| {
        told(world, "node-cluster-shared", "multiple-acceptors processes event-loop")
    }),
    native("pattern::python_asyncio", |world| {
        told(world, "python-asyncio", "single-thread threads event-loop")
    }),
    native("pattern::python_threads", |world| {
        told(world, "python-threads", "thread-per-connection threads blocking")
    }),
    native("pattern::gunicorn_sync", |world| {
        told(world, "gunicorn-sync", "multiple-acceptors processes blocking")
    }),
    native("pattern::gunicorn_gthread", |world| {
        told(world, "gunicorn-gthread", "acceptor-plus-readers threads mixed")
    }),
    native("pattern::memcached", |world| {
        told(world, "memcached", "acceptor-plus-readers threads event-loop")
    }),
];

/// Name, units and, unless left out, io, as words.
fn told(world: &World, name: &str, expected: &'static str) -> anyhow::Result<()> {
    let server = Server::named(name)?;
    let mut words = expected.split(' ');
    let expected =
        (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next());
    let manner = match name {
        // Its threads read only while many clients ask at once.
        "redis-io-threads" => manner(server, 64, 200, Duration::ZERO),
        "gunicorn-sync" => manner(server, 8, 1, Duration::from_millis(5)),
        _ => manner(server, 8, 5, Duration::from_millis(5)),
    };
    let running = server.start(world)?;
    check(world, running.process.pid(), expected, || {
        Load::start(([127, 0, 0, 1], PORT).into(), manner)
    })
    .map(drop)
}

fn manner(server: Server, clients: usize, requests: usize, pause: Duration) -> Manner {
    Manner { protocol: server.protocol, clients, requests, pause }
}

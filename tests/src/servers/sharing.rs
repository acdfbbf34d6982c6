//! Servers that share connections in further ways.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::http::{NGINX, NODE, http};
use super::redis::REDIS;
use super::{PORT, Server, command, with_file};
use crate::harness::Protocol;

/// A listener for each worker.
pub(super) const NGINX_REUSEPORT: Server = http("nginx-reuseport", |folder| {
    let server = NGINX.command(folder)?;
    let config = folder.join("nginx.conf");
    let listen = format!("listen 127.0.0.1:{PORT}");
    fs::write(
        &config,
        fs::read_to_string(&config)?.replace(&listen, &format!("{listen} reuseport")),
    )?;
    Ok(server)
});

/// Threads read and write, while many clients ask at once.
pub(super) const REDIS_IO_THREADS: Server = Server {
    name: "redis-io-threads",
    protocol: REDIS.protocol,
    prepare: |folder| {
        let mut server = REDIS.command(folder)?;
        server.args(["--io-threads", "4", "--io-threads-do-reads", "yes"]);
        Ok(server)
    },
};

/// The primary accepts, and passes connections to its workers.
pub(super) const NODE_CLUSTER: Server =
    http("node-cluster", |folder| node_cluster(folder, "SCHED_RR"));

/// The workers accept.
pub(super) const NODE_CLUSTER_SHARED: Server =
    http("node-cluster-shared", |folder| node_cluster(folder, "SCHED_NONE"));

fn node_cluster(folder: &Path, policy: &str) -> anyhow::Result<Command> {
    let server = NODE.command(folder)?;
    let script = folder.join("serve.js");
    let serve = fs::read_to_string(&script)?;
    let text = format!(
        "const cluster = require('cluster'); cluster.schedulingPolicy = cluster.{policy};\n\
         if (cluster.isPrimary) {{ cluster.fork(); cluster.fork() }} else {{ {serve} }}\n"
    );
    fs::write(&script, text)?;
    Ok(server)
}

/// Two processes that answer once and close, and serve nobody else meanwhile.
pub(super) const GUNICORN_SYNC: Server = http("gunicorn-sync", |folder| gunicorn(folder, "sync"));

/// In each process one thread accepts and keeps idle connections, and the threads of its pool read.
pub(super) const GUNICORN_GTHREAD: Server =
    http("gunicorn-gthread", |folder| gunicorn(folder, "gthread --threads 4"));

fn gunicorn(folder: &Path, class: &str) -> anyhow::Result<Command> {
    let app = "def app(environ, start):\n\
        \x20   start('200 OK', [('Content-Length', '2')])\n\
        \x20   return [b'ok']\n";
    let place = folder.display();
    let arguments = format!(
        "--chdir {place} --bind 127.0.0.1:{PORT} --workers 2 --worker-class {class} app:app --pid"
    );
    fs::write(folder.join("app.py"), app)?;
    with_file("gunicorn", &arguments, &folder.join("pid"), "")
}

/// One thread accepts, four read.
pub(super) const MEMCACHED: Server = Server {
    name: "memcached",
    protocol: Protocol { greeting: b"", request: b"get none\r\n", end: b"END\r\n" },
    prepare: |_| command("memcached", &format!("-u nobody -l 127.0.0.1 -p {PORT} -U 0 -t 4")),
};

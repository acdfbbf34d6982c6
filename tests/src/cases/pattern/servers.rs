//! Servers that nobody here wrote.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::load::{Load, Manner};
use super::{Kind, check};
use crate::cases::loaded::{command, postgres_programs, user};
use crate::cases::native;
use crate::cases::server::{PORT, check_installed, nginx_config};
use crate::harness::{Case, Process, Protocol, World, net, skip};

pub(in crate::cases) const CASES: &[Case] = &[
    native("pattern::nginx", nginx),
    native("pattern::nginx_reuseport", nginx_reuseport),
    native("pattern::apache_prefork", apache_prefork),
    native("pattern::apache_event", apache_event),
    native("pattern::postgresql", postgresql),
    native("pattern::redis", redis),
    native("pattern::redis_io_threads", redis_io_threads),
    native("pattern::haproxy", haproxy),
    native("pattern::node", node),
    native("pattern::node_cluster", node_cluster),
    native("pattern::node_cluster_shared", node_cluster_shared),
    native("pattern::gunicorn_sync", gunicorn_sync),
    native("pattern::gunicorn_gthread", gunicorn_gthread),
    native("pattern::memcached", memcached),
];

const ADDR: ([u8; 4], u16) = ([127, 0, 0, 1], PORT);
const HTTP: Protocol = Protocol { greeting: b"", request: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", end: b"\r\n\r\nok" };

/// Eight clients of five requests a connection.
fn visits(protocol: Protocol) -> Manner {
    Manner { protocol, clients: 8, requests: 5, pause: Duration::from_millis(5) }
}

fn serves(world: &World, server: Command, expected: Kind, manner: Manner) -> anyhow::Result<()> {
    let server = Process::start(server)?;
    net::await_listening(PORT, world.patience())?;
    check(world, server.pid(), expected, || Load::start(SocketAddr::from(ADDR), manner)).map(drop)
}

fn with_nginx(world: &World, name: &'static str, change: (&str, &str)) -> anyhow::Result<()> {
    check_installed("nginx")?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("nginx.conf");
    fs::write(&config, nginx_config(folder.path()).replace(change.0, change.1))?;
    let server = command(&format!("nginx -p {} -c {}", folder.path().display(), config.display()));
    serves(world, server, (name, "processes", Some("event-loop")), visits(HTTP))
}

fn nginx(world: &World) -> anyhow::Result<()> {
    with_nginx(world, "multiple-acceptors", ("", ""))
}

fn nginx_reuseport(world: &World) -> anyhow::Result<()> {
    let listen = format!("listen 127.0.0.1:{PORT}");
    with_nginx(world, "socket-sharding", (&listen, &format!("{listen} reuseport")))
}

fn apache(world: &World, model: &str, expected: Kind) -> anyhow::Result<()> {
    check_installed("apache2")?;
    let modules = "/usr/lib/apache2/modules";
    let folder = tempfile::Builder::new().prefix("backscope").tempdir_in("/tmp")?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    fs::write(folder.path().join("index.html"), "ok")?;
    let place = folder.path().display();
    let text = format!(
        "LoadModule mpm_{model}_module {modules}/mod_mpm_{model}.so\n\
         LoadModule authz_core_module {modules}/mod_authz_core.so\n\
         LoadModule dir_module {modules}/mod_dir.so\n\
         ServerName localhost\nListen 127.0.0.1:{PORT}\nDocumentRoot {place}\nPidFile {place}/pid\n\
         DefaultRuntimeDir {place}\nErrorLog {place}/error.log\nUser www-data\nGroup www-data\n"
    );
    let config = folder.path().join("apache2.conf");
    fs::write(&config, text)?;
    serves(world, command(&format!("apache2 -D FOREGROUND -f {}", config.display())), expected, visits(HTTP))
}

fn apache_prefork(world: &World) -> anyhow::Result<()> {
    apache(world, "prefork", ("multiple-acceptors", "processes", Some("blocking")))
}

/// One thread of each process listens, and keeps idle connections; others read.
fn apache_event(world: &World) -> anyhow::Result<()> {
    apache(world, "event", ("acceptor-plus-readers", "threads", Some("mixed")))
}

fn postgresql(world: &World) -> anyhow::Result<()> {
    /// Version 3.0, user and database `postgres`.
    const STARTUP: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    let (Some(programs), Some((uid, gid))) = (postgres_programs()?, user("postgres")) else {
        return skip("postgresql is not installed");
    };
    let folder = tempfile::Builder::new().prefix("backscope").tempdir_in("/tmp")?;
    std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid))?;
    let as_user = |program: &str| {
        let mut command = Command::new(programs.join(program));
        command.uid(uid).gid(gid).current_dir("/").arg("-D").arg(folder.path().join("data"));
        command
    };
    let made = as_user("initdb").args(["-A", "trust", "-U", "postgres", "-N"]).output()?;
    anyhow::ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let mut server = as_user("postgres");
    server.args(["-p", &PORT.to_string(), "-h", "127.0.0.1", "-k"]).arg(folder.path());
    let select = Protocol { greeting: STARTUP, request: b"Q\0\0\0\x0eSELECT 1;\0", end: b"Z\0\0\0\x05I" };
    serves(world, server, ("process-per-connection", "processes", Some("blocking")), visits(select))
}

const PING: Protocol = Protocol { greeting: b"", request: b"PING\r\n", end: b"\r\n" };

fn redis_command(threads: &[&str]) -> anyhow::Result<Command> {
    check_installed("redis-server")?;
    let mut server = command(&format!("redis-server --port {PORT} --bind 127.0.0.1 --appendonly no"));
    server.args(["--save", ""]).args(threads);
    Ok(server)
}

fn redis(world: &World) -> anyhow::Result<()> {
    serves(world, redis_command(&[])?, ("single-thread", "threads", Some("event-loop")), visits(PING))
}

/// Its threads take part in reading only when many clients ask at once.
fn redis_io_threads(world: &World) -> anyhow::Result<()> {
    let server = redis_command(&["--io-threads", "4", "--io-threads-do-reads", "yes"])?;
    let many = Manner { clients: 64, requests: 200, pause: Duration::ZERO, ..visits(PING) };
    serves(world, server, ("acceptor-plus-readers", "threads", None), many)
}

fn haproxy(world: &World) -> anyhow::Result<()> {
    check_installed("haproxy")?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("haproxy.cfg");
    let text = format!(
        "global\n nbthread 2\n\
         defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 5s\n\
         frontend f\n bind 127.0.0.1:{PORT}\n http-request return status 200 content-type text/plain string ok\n"
    );
    fs::write(&config, text)?;
    let server = command(&format!("haproxy -f {}", config.display()));
    serves(world, server, ("multiple-acceptors", "threads", Some("event-loop")), visits(HTTP))
}

/// A script in a file that lives as long as the case.
fn script(world: &World, program: &str, text: &str, expected: Kind) -> anyhow::Result<()> {
    check_installed(program)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("server.js");
    fs::write(&file, text.replace("PORT", &PORT.to_string()))?;
    serves(world, command(&format!("{program} {}", file.display())), expected, visits(HTTP))
}

const NODE: &str = "require('http').createServer((request, response) => {\n\
    response.setHeader('Content-Length', 2); response.end('ok')\n\
    }).listen(PORT, '127.0.0.1')\n";

fn node(world: &World) -> anyhow::Result<()> {
    script(world, "node", NODE, ("single-thread", "threads", Some("event-loop")))
}

fn with_cluster(world: &World, policy: &str, expected: Kind) -> anyhow::Result<()> {
    let text = format!(
        "const cluster = require('cluster'); cluster.schedulingPolicy = cluster.{policy};\n\
         if (cluster.isPrimary) {{ cluster.fork(); cluster.fork() }} else {{ {NODE} }}\n"
    );
    script(world, "node", &text, expected)
}

/// The primary accepts, and passes connections to its workers.
fn node_cluster(world: &World) -> anyhow::Result<()> {
    with_cluster(world, "SCHED_RR", ("acceptor-plus-readers", "processes", Some("event-loop")))
}

/// The workers accept.
fn node_cluster_shared(world: &World) -> anyhow::Result<()> {
    with_cluster(world, "SCHED_NONE", ("multiple-acceptors", "processes", Some("event-loop")))
}

fn gunicorn(world: &World, options: &str, requests: usize, expected: Kind) -> anyhow::Result<()> {
    check_installed("gunicorn")?;
    let folder = tempfile::tempdir()?;
    let app = "def app(environ, start):\n\
        \x20   start('200 OK', [('Content-Length', '2')])\n\
        \x20   return [b'ok']\n";
    fs::write(Path::new(folder.path()).join("app.py"), app)?;
    let mut server = command(&format!("gunicorn --bind 127.0.0.1:{PORT} --workers 2 {options} app:app"));
    server.current_dir(folder.path());
    serves(world, server, expected, Manner { requests, ..visits(HTTP) })
}

/// It answers once and closes, and looks after nobody else meanwhile.
fn gunicorn_sync(world: &World) -> anyhow::Result<()> {
    gunicorn(world, "--worker-class sync", 1, ("multiple-acceptors", "processes", Some("blocking")))
}

/// One thread of each worker accepts and keeps idle connections; those of its pool read.
fn gunicorn_gthread(world: &World) -> anyhow::Result<()> {
    let options = "--worker-class gthread --threads 4";
    gunicorn(world, options, 5, ("acceptor-plus-readers", "threads", Some("mixed")))
}

fn memcached(world: &World) -> anyhow::Result<()> {
    check_installed("memcached")?;
    let server = command(&format!("memcached -u nobody -l 127.0.0.1 -p {PORT} -U 0 -t 4"));
    let version = Protocol { greeting: b"", request: b"get none\r\n", end: b"END\r\n" };
    serves(world, server, ("acceptor-plus-readers", "threads", Some("event-loop")), visits(version))
}

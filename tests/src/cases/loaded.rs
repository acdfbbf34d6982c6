//! Real servers under plain load: every byte accounted for, hardly any time unknown, nothing found.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::native;
use super::server::{PORT, check_installed, nginx_config};
use crate::harness::json::{is, number};
use crate::harness::ledger::{check_sums, connection_of, is_connection, unknown_share};
use crate::harness::{Case, Ended, Process, Protocol, Talk, World, net, skip, talk};

pub(super) const CASES: &[Case] = &[
    native("loaded::nginx", nginx).alone(),
    native("loaded::redis", redis).alone(),
    native("loaded::postgresql", postgresql).alone(),
    native("loaded::haproxy", haproxy).alone(),
    native("loaded::apache_prefork", |world| apache(world, "prefork")).alone(),
    native("loaded::apache_event", |world| apache(world, "event")).alone(),
    native("loaded::node", node).alone(),
    native("loaded::python_asyncio", python_asyncio).alone(),
    native("loaded::python_threads", python_threads).alone(),
];

const HTTP: Protocol = Protocol { greeting: b"", request: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", end: b"\r\n\r\nok" };
const CONNECTIONS: usize = 4;
const REQUESTS: u64 = 2_500;

/// Watches a server from before its first connection, under load, and checks all it shows.
fn check(world: &World, server: Command, protocol: Protocol) -> anyhow::Result<()> {
    let server = Process::start(server)?;
    net::await_listening(PORT, world.patience())?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let talks = talk(([127, 0, 0, 1], PORT).into(), protocol, CONNECTIONS, REQUESTS)?;
    for talk in &talks {
        agent.await_object("end of the connection", |object| is_connection(object, "server", talk.port))?;
    }
    let ended = agent.stop()?;
    talks.iter().try_for_each(|talk| check_connection(&ended, talk))?;
    let unknown = unknown_share(&ended.objects);
    ensure!(unknown < 0.02, "{:.1} % of the time is unknown", unknown * 100.0);
    let grave = |object: &&_| is(object, "finding") && ["warning", "critical"].iter().any(|s| object["severity"] == *s);
    match ended.objects.iter().find(grave) {
        Some(finding) => anyhow::bail!("a finding on a healthy server: {finding}"),
        None => Ok(()),
    }
}

fn check_connection(ended: &Ended, talk: &Talk) -> anyhow::Result<()> {
    let connection = connection_of(&ended.objects, "server", talk.port)?;
    let bytes = (number(connection, "/bytes/in"), number(connection, "/bytes/out"));
    ensure!(bytes == (Some(talk.sent), Some(talk.received)), "{talk:?}: {connection}");
    ensure!(number(connection, "/exchanges") == Some(talk.answers), "{talk:?}: {connection}");
    check_sums(&ended.objects, connection)
}

/// A shell's command, without the shell.
pub(super) fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

fn nginx(world: &World) -> anyhow::Result<()> {
    check_installed("nginx")?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("nginx.conf");
    let unlimited =
        nginx_config(folder.path()).replace("access_log off;", "access_log off; keepalive_requests 1000000;");
    fs::write(&config, unlimited)?;
    check(world, command(&format!("nginx -p {} -c {}", folder.path().display(), config.display())), HTTP)
}

fn redis(world: &World) -> anyhow::Result<()> {
    check_installed("redis-server")?;
    let ping = Protocol { greeting: b"", request: b"PING\r\n", end: b"\r\n" };
    let mut server = command(&format!("redis-server --port {PORT} --bind 127.0.0.1 --appendonly no"));
    server.args(["--save", ""]);
    check(world, server, ping)
}

/// Where the distribution puts PostgreSQL's programs.
pub(super) fn postgres_programs() -> anyhow::Result<Option<PathBuf>> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let places = versions.map(|version| version.path().join("bin")).chain([PathBuf::from("/usr/local/bin")]);
    let mut found: Vec<_> = places.filter(|place| place.join("initdb").exists()).collect();
    found.sort();
    Ok(found.into_iter().next())
}

/// The user of that name, as it refuses to run as root.
pub(super) fn user(name: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn postgresql(world: &World) -> anyhow::Result<()> {
    /// Version 3.0, user and database `postgres`.
    const STARTUP: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    let (Some(programs), Some((uid, gid))) = (postgres_programs()?, user("postgres")) else {
        return skip("postgresql is not installed");
    };
    // A folder of its own user must be within reach of it.
    let folder = tempfile::Builder::new().prefix("backscope").tempdir_in("/tmp")?;
    std::os::unix::fs::chown(folder.path(), Some(uid), Some(gid))?;
    let as_user = |program: &str| {
        let mut command = Command::new(programs.join(program));
        command.uid(uid).gid(gid).current_dir("/").arg("-D").arg(folder.path().join("data"));
        command
    };
    let made = as_user("initdb").args(["-A", "trust", "-U", "postgres", "-N"]).output()?;
    ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let mut server = as_user("postgres");
    server.args(["-p", &PORT.to_string(), "-h", "127.0.0.1", "-k"]).arg(folder.path());
    let select = Protocol { greeting: STARTUP, request: b"Q\0\0\0\x0eSELECT 1;\0", end: b"Z\0\0\0\x05I" };
    check(world, server, select)
}

fn haproxy(world: &World) -> anyhow::Result<()> {
    check_installed("haproxy")?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("haproxy.cfg");
    let text = format!(
        "defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 5s\n\
         frontend f\n bind 127.0.0.1:{PORT}\n http-request return status 200 content-type text/plain string ok\n"
    );
    fs::write(&config, text)?;
    check(world, command(&format!("haproxy -f {}", config.display())), HTTP)
}

fn apache(world: &World, model: &str) -> anyhow::Result<()> {
    check_installed("apache2")?;
    let modules = Path::new("/usr/lib/apache2/modules");
    let folder = tempfile::Builder::new().prefix("backscope").tempdir_in("/tmp")?;
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    fs::write(folder.path().join("index.html"), "ok")?;
    let (place, modules) = (folder.path().display(), modules.display());
    let text = format!(
        "LoadModule mpm_{model}_module {modules}/mod_mpm_{model}.so\n\
         LoadModule authz_core_module {modules}/mod_authz_core.so\n\
         LoadModule dir_module {modules}/mod_dir.so\n\
         ServerName localhost\nListen 127.0.0.1:{PORT}\nDocumentRoot {place}\nPidFile {place}/pid\n\
         DefaultRuntimeDir {place}\nErrorLog {place}/error.log\nMaxKeepAliveRequests 0\nUser www-data\nGroup www-data\n"
    );
    let config = folder.path().join("apache2.conf");
    fs::write(&config, text)?;
    check(world, command(&format!("apache2 -D FOREGROUND -f {}", config.display())), HTTP)
}

/// A script in a file that lives as long as the case.
fn script(world: &World, program: &str, text: &str) -> anyhow::Result<()> {
    check_installed(program)?;
    let file = tempfile::NamedTempFile::new().context("a file for the script")?;
    fs::write(file.path(), text.replace("PORT", &PORT.to_string()))?;
    check(world, command(&format!("{program} {}", file.path().display())), HTTP)
}

fn node(world: &World) -> anyhow::Result<()> {
    let text = "require('http').createServer((request, response) => {\n\
                response.setHeader('Content-Length', 2); response.end('ok')\n\
                }).listen(PORT, '127.0.0.1')\n";
    script(world, "node", text)
}

fn python_asyncio(world: &World) -> anyhow::Result<()> {
    let text = "import asyncio\n\
        async def serve(reader, writer):\n\
        \x20   while await reader.readline():\n\
        \x20       while (await reader.readline()).strip(): pass\n\
        \x20       writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n\
        \x20       await writer.drain()\n\
        \x20   writer.close()\n\
        async def main():\n\
        \x20   async with await asyncio.start_server(serve, '127.0.0.1', PORT) as server:\n\
        \x20       await server.serve_forever()\n\
        asyncio.run(main())\n";
    script(world, "python3", text)
}

fn python_threads(world: &World) -> anyhow::Result<()> {
    let text = "import socketserver\n\
        class Serve(socketserver.StreamRequestHandler):\n\
        \x20   def handle(self):\n\
        \x20       while self.rfile.readline():\n\
        \x20           while self.rfile.readline().strip(): pass\n\
        \x20           self.wfile.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n\
        class Server(socketserver.ThreadingTCPServer):\n\
        \x20   allow_reuse_address = True\n\
        \x20   daemon_threads = True\n\
        Server(('127.0.0.1', PORT), Serve).serve_forever()\n";
    script(world, "python3", text)
}

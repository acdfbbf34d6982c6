//! Servers that speak HTTP. Each answers "ok" as often as it is asked.

use std::path::Path;
use std::process::Command;

use super::{PORT, Server, command, with_file};
use crate::harness::Protocol;

pub(super) const fn http(
    name: &'static str,
    prepare: fn(&Path) -> anyhow::Result<Command>,
) -> Server {
    let protocol = Protocol {
        greeting: b"",
        request: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        end: b"\r\n\r\nok",
    };
    Server { name, protocol, prepare }
}

/// Two worker processes with an event loop each.
pub(super) const NGINX: Server = http("nginx", |folder| {
    let place = folder.display();
    let text = format!(
        "daemon off; user root; worker_processes 2; pid {place}/pid; error_log {place}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; \
         client_body_temp_path {place}/body;\n\
         proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi; \
         uwsgi_temp_path {place}/uwsgi;\n\
         scgi_temp_path {place}/scgi; server {{ listen 127.0.0.1:{PORT}; return 200 'ok'; }} }}\n"
    );
    with_file(
        "nginx",
        &format!("-p {place} -e {place}/error.log -c"),
        &folder.join("nginx.conf"),
        &text,
    )
});

/// One process with a thread a processor, each with an event loop.
pub(super) const HAPROXY: Server = http("haproxy", |folder| {
    let text = format!(
        "defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 5s\n\
         frontend f\n bind 127.0.0.1:{PORT}\n \
         http-request return status 200 content-type text/plain string ok\n"
    );
    with_file("haproxy", "-f", &folder.join("haproxy.cfg"), &text)
});

/// A process a connection.
pub(super) const APACHE_PREFORK: Server =
    http("apache-prefork", |folder| apache(folder, "prefork"));

/// Threads for requests, and one that waits for the next.
pub(super) const APACHE_EVENT: Server = http("apache-event", |folder| apache(folder, "event"));

fn apache(folder: &Path, model: &str) -> anyhow::Result<Command> {
    std::fs::write(folder.join("index.html"), "ok")?;
    let (place, modules) = (folder.display(), "/usr/lib/apache2/modules");
    let text = format!(
        "LoadModule mpm_{model}_module {modules}/mod_mpm_{model}.so\n\
         LoadModule authz_core_module {modules}/mod_authz_core.so\n\
         LoadModule dir_module {modules}/mod_dir.so\n\
         ServerName localhost\nListen 127.0.0.1:{PORT}\nDocumentRoot {place}\nPidFile {place}/pid\n\
         DefaultRuntimeDir {place}\nErrorLog {place}/error.log\nMaxKeepAliveRequests 0\n\
         User www-data\nGroup www-data\n"
    );
    with_file("apache2", "-D FOREGROUND -f", &folder.join("apache2.conf"), &text)
}

/// An event loop under a runtime that schedules callbacks.
pub(super) const NODE: Server = http("node", |folder| {
    let text = format!(
        "require('http').createServer((request, response) => {{\n\
         response.setHeader('Content-Length', 2); response.end('ok')\n\
         }}).listen({PORT}, '127.0.0.1')\n"
    );
    with_file("node", "", &folder.join("serve.js"), &text)
});

/// Coroutines on one thread.
pub(super) const PYTHON_ASYNCIO: Server = http("python-asyncio", |folder| {
    let text = format!(
        "import asyncio\n\
         async def serve(reader, writer):\n\
         \x20   while await reader.readline():\n\
         \x20       while (await reader.readline()).strip(): pass\n\
         \x20       writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n\
         \x20       await writer.drain()\n\
         \x20   writer.close()\n\
         async def main():\n\
         \x20   async with await asyncio.start_server(serve, '127.0.0.1', {PORT}) as server:\n\
         \x20       await server.serve_forever()\n\
         asyncio.run(main())\n"
    );
    with_file("python3", "", &folder.join("serve.py"), &text)
});

/// A thread a connection, and one lock for all of them.
pub(super) const PYTHON_THREADS: Server = http("python-threads", |folder| {
    let text = format!(
        "import socketserver\n\
         class Serve(socketserver.StreamRequestHandler):\n\
         \x20   def handle(self):\n\
         \x20       while self.rfile.readline():\n\
         \x20           while self.rfile.readline().strip(): pass\n\
         \x20           self.wfile.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n\
         class Server(socketserver.ThreadingTCPServer):\n\
         \x20   allow_reuse_address = True\n\
         \x20   daemon_threads = True\n\
         Server(('127.0.0.1', {PORT}), Serve).serve_forever()\n"
    );
    with_file("python3", "", &folder.join("serve.py"), &text)
});

/// Written in Go: goroutines that move between threads.
pub(super) const CADDY: Server = http("caddy", |folder| {
    let mut command = command("caddy", &format!("respond --listen 127.0.0.1:{PORT} ok"))?;
    // It keeps its configuration in the home directory.
    command.env("HOME", folder).env("XDG_CONFIG_HOME", folder).env("XDG_DATA_HOME", folder);
    Ok(command)
});

//! Tells the protocol from the first bytes: real clients with real servers, and every system call
//! that reads.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::ensure;

use super::ledger::serve;
use super::{any_tier, native};
use crate::harness::json::{Value, address, is, number};
use crate::harness::ledger::is_connection;
use crate::harness::{Agent, Case, Process, Skip, World, net};
use crate::servers::{PORT, installed};

pub(super) const CASES: &[Case] = &[
    any_tier("protocol::every_way_to_read", every_way_to_read).by_processor(),
    native("protocol::http_1_and_2", http),
    native("protocol::tls_1_3_and_1_2", tls),
    native("protocol::tls_resumed", tls_resumed),
    native("protocol::round_trips_saved", round_trips_saved),
    native("protocol::websocket_and_events", upgraded),
    native("protocol::quic", quic),
    native("protocol::never_a_wrong_name", nonsense),
    native("protocol::not_looked_at", not_looked_at),
];

/// Returns the connection of this client, once it has ended.
fn ended(agent: &mut Agent, port: u16) -> anyhow::Result<Value> {
    agent.await_object("end of the connection", |object| is_connection(object, "server", port))
}

/// Sends these bytes, waits for some answer and then for the end. Returns the client's port.
fn say(to: SocketAddr, bytes: &[u8]) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(stream.local_addr()?.port())
}

/// Each call puts the bytes in another place, where the probes have to read them. For io_uring they
/// mostly cannot.
fn every_way_to_read(world: &World) -> anyhow::Result<()> {
    const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const WAYS: [(&str, bool); 6] = [
        ("read", true),
        ("readv", true),
        ("recv", true),
        ("recvmsg", true),
        ("recvmmsg", true),
        ("io_uring", false),
    ];
    let mut servers = Vec::new();
    for (way, told) in WAYS {
        match serve(world, &["--io", way]) {
            Ok(server) => servers.push((server, way, told)),
            // A kernel without io_uring.
            Err(error) if error.is::<Skip>() => {}
            Err(error) => return Err(error),
        }
    }
    let watch = servers.iter().fold(world.watch(), |watch, (server, ..)| watch.pid(server.pid()));
    let mut agent = watch.start()?;
    for (server, way, told) in servers {
        // If the machine is too busy to take the records, no bytes were looked at, and the client
        // tries again.
        let looked_at = |agent: &mut Agent| {
            let port = say(server.ipv4(), REQUEST)?;
            let connection = ended(agent, port)?;
            // A worker thread of io_uring may read in a way that is seen.
            let is_told = connection["protocol"] == "http/1.1";
            ensure!(is_told || connection["protocol"].is_null(), "{way}: {connection}");
            let why = connection["gaps"].to_string().contains("protocol: ");
            ensure!(why != is_told, "{way}: the gap is named where there is one: {connection}");
            Ok(is_told)
        };
        let tries = if told { 5 } else { 1 };
        let is_told = (0..tries)
            .try_fold(false, |told, _| Ok::<_, anyhow::Error>(told || looked_at(&mut agent)?))?;
        ensure!(is_told || !told, "{way}: never told");
    }
    agent.stop().map(drop)
}

fn identity_files(folder: &Path) -> [String; 2] {
    ["key.pem", "certificate.pem"].map(|name| folder.join(name).display().to_string())
}

/// Makes a key and a certificate in this folder.
pub(super) fn identity(folder: &Path) -> anyhow::Result<[String; 2]> {
    let [key, certificate] = identity_files(folder);
    let made = Command::new(installed("openssl")?)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=a.test",
        ])
        .args(["-days", "2", "-keyout", &key, "-out", &certificate])
        .stderr(Stdio::null())
        .status()?;
    ensure!(made.success(), "openssl makes no certificate");
    Ok([key, certificate])
}

/// Fills a folder with nginx's configuration, and starts it: plain HTTP, HTTP/2 without TLS, and
/// TLS with both.
pub(super) fn nginx(world: &World, folder: &Path) -> anyhow::Result<Process> {
    let nginx = installed("nginx")?;
    let place = folder.display();
    let [key, certificate] = identity(folder)?;
    let [plain, h2c, tls] = PORTS;
    let config = folder.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; user root; pid {place}/pid; error_log {place}/error.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path {place}/body;\n\
         proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi; \
         uwsgi_temp_path {place}/uwsgi;\n\
         scgi_temp_path {place}/scgi; server {{ listen 127.0.0.1:{plain}; return 200 'ok'; }}\n\
         server {{ listen 127.0.0.1:{h2c} http2; return 200 'ok'; }}\n\
         server {{ listen 127.0.0.1:{tls} ssl http2 fastopen=8; ssl_protocols TLSv1.2 TLSv1.3; \
         ssl_session_cache shared:a:1m;\n\
         ssl_early_data on; ssl_ecdh_curve X25519:prime256v1; ssl_certificate {certificate}; \
         ssl_certificate_key {key}; return 200 'ok'; }} }}\n"
    );
    fs::write(&config, text)?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(&config);
    let process = Process::start(command)?;
    net::await_listening(tls, world.patience())?;
    Ok(process)
}

/// Ports of [`nginx`]: HTTP without TLS, HTTP/2 without TLS, and TLS.
pub(super) const PORTS: [u16; 3] = [PORT, PORT + 1, PORT + 2];

/// Runs a client to its end. Returns the next connection to the server at that port.
fn asked(agent: &mut Agent, server: u16, client: &mut Command) -> anyhow::Result<Value> {
    let begun_ns = net::monotonic_ns();
    let output = client.output()?;
    ensure!(output.status.success(), "{client:?}: {output:?}");
    agent.await_object("end of the connection", |object| {
        is(object, "connection")
            && number(object, "/since_ns") > Some(begun_ns)
            && address(object, "/local").is_some_and(|local| local.port() == server)
    })
}

fn curl(arguments: &[&str], url: &str) -> anyhow::Result<Command> {
    let mut curl = Command::new(installed("curl")?);
    curl.args(["--silent", "--insecure", "--max-time", "20"]).args(arguments).arg(url);
    Ok(curl)
}

fn http(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = nginx(world, folder.path())?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let [plain, h2c, _] = PORTS;
    for (argument, port, protocol) in [
        ("--http1.1", plain, "http/1.1"),
        ("--http1.0", plain, "http/1.0"),
        ("--http2-prior-knowledge", h2c, "http/2"),
    ] {
        let connection =
            asked(&mut agent, port, &mut curl(&[argument], &format!("http://127.0.0.1:{port}/"))?)?;
        ensure!(
            connection["protocol"] == protocol && connection["tls"].is_null(),
            "{argument}: {connection}"
        );
        let is_multiplexed = connection.get("multiplexed").is_some();
        ensure!(is_multiplexed == (protocol == "http/2"), "{argument}: {connection}");
    }
    let mut many = Command::new(installed("h2load")?);
    many.args(["-c1", "-m10", "-n40", &format!("http://127.0.0.1:{h2c}/")]);
    let streams = &asked(&mut agent, h2c, &mut many)?["streams"];
    let at_once = number(streams, "/most_at_once");
    ensure!(
        streams["opened"] == 40 && at_once.is_some_and(|most| (2..=10).contains(&most)),
        "{streams}"
    );
    let ended = agent.stop()?;
    let named = ended.of("exchange").all(|exchange| exchange["protocol"].is_string());
    ensure!(named, "each exchange has the protocol of its connection");
    Ok(())
}

fn tls(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = nginx(world, folder.path())?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let [_, _, port] = PORTS;
    let (resolve, url) = (format!("a.test:{port}:127.0.0.1"), format!("https://a.test:{port}/"));
    let newest = asked(&mut agent, port, &mut curl(&["--resolve", &resolve], &url)?)?;
    let tls = &newest["tls"];
    ensure!(
        newest["protocol"] == "tls" && tls["version"] == "1.3" && tls["sni"] == "a.test",
        "{newest}"
    );
    ensure!(
        tls["alpn"].is_null() && tls["alpn_offered"][0] == "h2",
        "what was chosen is encrypted: {newest}"
    );
    ensure!(newest["gaps"].to_string().contains("tls.alpn"), "and that is said: {newest}");
    ensure!(tls["resumed"] == false && tls["early_data"] == false, "{newest}");
    let older = ["--resolve", &resolve, "--tls-max", "1.2", "--http1.1"];
    let older = asked(&mut agent, port, &mut curl(&older, &url)?)?;
    ensure!(older["tls"]["version"] == "1.2" && older["tls"]["alpn"] == "http/1.1", "{older}");
    // The TLS 1.2 handshake takes a round trip more.
    for (connection, tls, round_trips) in [(&newest, 1, 3), (&older, 2, 4)] {
        let answer = &connection["first_answer"];
        ensure!(answer["round_trips"] == round_trips && answer["tls"] == tls, "{connection}");
        ensure!(answer["tcp"] == 1 && answer["request"] == 1, "{connection}");
        ensure!(
            number(answer, "/handshake_us/app") > Some(0),
            "the server signed its certificate: {connection}"
        );
    }
    let ended = agent.stop()?;
    let handshakes = ended.of("exchange").filter(|exchange| exchange["handshake"] == true).count();
    ensure!(handshakes >= 3, "one of TLS 1.3, two of TLS 1.2: {handshakes}");
    Ok(())
}

fn tls_resumed(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = nginx(world, folder.path())?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let [_, _, port] = PORTS;
    let session = folder.path().join("session");
    let request = folder.path().join("request");
    fs::write(&request, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")?;
    for version in ["-tls1_2", "-tls1_3"] {
        for (option, resumed) in [("-sess_out", false), ("-sess_in", true)] {
            let mut client = Command::new(installed("openssl")?);
            client.args([
                "s_client",
                "-connect",
                &format!("127.0.0.1:{port}"),
                version,
                "-ign_eof",
                option,
            ]);
            client.arg(&session).stdin(fs::File::open(&request)?);
            let connection = asked(&mut agent, port, &mut client)?;
            ensure!(connection["tls"]["resumed"] == resumed, "{version} {option}: {connection}");
            let round_trips = if version == "-tls1_2" && !resumed { 4 } else { 3 };
            let answer = &connection["first_answer"];
            ensure!(answer["round_trips"] == round_trips, "{version} {option}: {connection}");
        }
    }
    agent.stop().map(drop)
}

/// Counts the round trips that a client can save, and the one that a wrong guess of the server's
/// key exchange costs.
fn round_trips_saved(world: &World) -> anyhow::Result<()> {
    net::set("ipv4/tcp_fastopen", 0x1 | 0x2 | 0x400)?;
    let folder = tempfile::tempdir()?;
    let server = nginx(world, folder.path())?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let [_, _, port] = PORTS;
    let (session, request) = (folder.path().join("session"), folder.path().join("request"));
    fs::write(&request, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")?;
    let steps = |connection: &Value| {
        ["tcp", "tls", "request"].map(|step| connection["first_answer"][step].as_u64())
    };

    let mut first = openssl(port, &["-sess_out"], &session)?;
    asked(&mut agent, port, first.stdin(fs::File::open(&request)?))?;
    let mut early =
        openssl(port, &["-early_data", &request.display().to_string(), "-sess_in"], &session)?;
    let early = asked(&mut agent, port, early.stdin(Stdio::null()))?;
    ensure!(early["tls"]["early_data"] == true && early["tls"]["resumed"] == true, "{early}");
    // On loopback the client's last message may come before a busy server has answered.
    ensure!(matches!(steps(&early), [Some(1), Some(0 | 1), Some(1)]), "{early}");

    let url = format!("https://127.0.0.1:{port}/");
    // The first connection fetches the cookie.
    for fast_open in [false, true] {
        let connection = asked(&mut agent, port, &mut curl(&["--tcp-fastopen"], &url)?)?;
        ensure!(connection["fast_open"] == fast_open, "{connection}");
        ensure!(
            steps(&connection) == [Some(u64::from(!fast_open)), Some(1), Some(1)],
            "{connection}"
        );
    }

    let again = asked(&mut agent, port, &mut curl(&["--curves", "X448:P-256"], &url)?)?;
    ensure!(again["tls"]["version"] == "1.3", "the server asked for another hello: {again}");
    ensure!(steps(&again) == [Some(1), Some(2), Some(1)], "{again}");
    agent.stop().map(drop)
}

/// A client of TLS 1.3 that ends with the server; the session is the last option's value.
fn openssl(port: u16, options: &[&str], session: &Path) -> anyhow::Result<Command> {
    let mut client = Command::new(installed("openssl")?);
    client.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-tls1_3", "-ign_eof"]);
    client.args(options).arg(session);
    Ok(client)
}

/// A server that changes to WebSocket on one path, and streams events on another.
const UPGRADING: &str = "
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if self.path == '/socket':
            self.send_response(101)
            self.send_header('Upgrade', 'websocket')
            self.send_header('Connection', 'Upgrade')
        else:
            self.send_response(200)
            self.send_header('Content-Type', 'text/event-stream')
        self.end_headers()
        self.wfile.write(b'data: 1\\n\\n')
        self.close_connection = True
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
";

fn upgraded(world: &World) -> anyhow::Result<()> {
    let mut python = Command::new(installed("python3")?);
    python.args(["-c", UPGRADING, &PORT.to_string()]);
    let server = Process::start(python)?;
    net::await_listening(PORT, world.patience())?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    for (path, protocol) in [("/socket", "websocket"), ("/events", "sse")] {
        let port = say(
            ([127, 0, 0, 1], PORT).into(),
            format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
        )?;
        let connection = ended(&mut agent, port)?;
        ensure!(connection["protocol"] == protocol, "{path}: {connection}");
    }
    agent.stop().map(drop)
}

/// Starts a server of HTTP/3 for the files in this folder, with its [`identity`].
pub(super) fn gtlsserver(folder: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(installed("gtlsserver")?);
    command.arg("--quiet").arg("--htdocs").arg(folder).args(["127.0.0.1", &PORT.to_string()]);
    command.args(identity_files(folder));
    Process::start(command)
}

/// A QUIC connection, and one with early data to the same server. Neither end is ours.
fn quic(world: &World) -> anyhow::Result<()> {
    let client = installed("gtlsclient")?;
    let folder = tempfile::tempdir()?;
    identity(folder.path())?;
    fs::write(folder.path().join("index.html"), "ok")?;
    let server = gtlsserver(folder.path())?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let is_server = |object: &Value| {
        is(object, "datagrams")
            && address(object, "/local").is_some_and(|local| local.port() == PORT)
    };
    agent.await_object("the server's socket", is_server)?;
    for early_data in [false, true] {
        let mut command = Command::new(&client);
        command.args(["--quiet", "--exit-on-all-streams-close", "--timeout", "10s"]);
        command.arg("--session-file").arg(folder.path().join("session"));
        command.arg("--tp-file").arg(folder.path().join("parameters"));
        command.args(["127.0.0.1", &PORT.to_string(), "https://a.test/index.html"]);
        let output = command.output()?;
        ensure!(output.status.success(), "{command:?}: {output:?}");
        let connection = agent.await_object("the connection's first answer", |object| {
            is(object, "quic")
                && object["early_data"] == early_data
                && !object["first_answer"].is_null()
        })?;
        let round_trips = if early_data { 1 } else { 2 };
        ensure!(connection["first_answer"]["round_trips"] == round_trips, "{connection}");
        ensure!(
            connection["role"] == "server" && connection["handshake_by"] == "app",
            "{connection}"
        );
        let has_ids =
            [&connection["client_id"], &connection["server_id"]].iter().all(|id| id.is_string());
        ensure!(has_ids && connection["pid"] == server.pid(), "{connection}");
        let connections = 1 + u64::from(early_data);
        let told = serde_json::json!({
            "version": 1, "early_data": early_data, "connections": connections,
        });
        agent.await_object(if early_data { "QUIC with early data" } else { "QUIC" }, |object| {
            is_server(object) && object["protocol"] == "quic" && object["quic"] == told
        })?;
    }
    agent.stop().map(drop)
}

/// Bytes that only begin like a protocol, or are cut off, have no name.
fn nonsense(world: &World) -> anyhow::Result<()> {
    let demo = serve(world, &[])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let texts: [&[u8]; 6] = [
        b"GET",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n..........",
        b"*1\r\n$4\r\nab\x01\x02\r\n..........",
        b"\0\0\0\x40\0\x03\0\0nobody\0here\0\0..........",
        b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4\xf3\xf2\xf1\xf0",
    ];
    for text in texts {
        let port = say(demo.ipv4(), text)?;
        let connection = ended(&mut agent, port)?;
        ensure!(
            connection["protocol"].is_null() && connection["tls"].is_null(),
            "{text:?}: {connection}"
        );
    }
    agent.stop().map(drop)
}

/// With the option, no protocol is recognised.
fn not_looked_at(world: &World) -> anyhow::Result<()> {
    let demo = serve(world, &[])?;
    let mut agent = world.watch().pid(demo.pid()).args(["--no-protocols"]).start()?;
    let port = say(demo.ipv4(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let connection = ended(&mut agent, port)?;
    ensure!(connection["protocol"].is_null(), "{connection}");
    agent.stop().map(drop)
}

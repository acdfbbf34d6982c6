//! Whose time it is that a proxy waits for its upstream: the upstream's, and never the proxy's own.
//!
//! The upstreams are servers of this file, which know how long they took. What the lines of a
//! replay say is what the screen shows: both have it from one place.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use socket2::SockRef;

use super::native;
use crate::harness::json::{Value, address};
use crate::harness::{Case, Ended, Process, World, net};
use crate::servers::{PORT, installed};

pub(super) const CASES: &[Case] = &[
    native("upstream::nginx_waits_for_gunicorn", gunicorn),
    native("upstream::nginx_waits_for_a_frozen_server", frozen),
    native("upstream::nginx_is_refused", refused),
    native("upstream::nginx_is_reset", reset),
    native("upstream::nginx_waits_for_the_slow_one_of_two", slow_one_of_two),
    native("upstream::nginx_serves_a_file", file),
    native("upstream::haproxy_waits", haproxy),
    native("upstream::node_waits_where_it_calls", node),
    native("upstream::an_idle_connection_is_no_wait", idle_connection),
];

/// Time that an upstream takes.
const TOOK: Duration = Duration::from_millis(60);
const TOOK_US: u64 = 60_000;
const REQUESTS: usize = 20;
/// Time after which everything has been reported, ns.
const SETTLED_NS: u64 = 500_000_000;

/// What an upstream does with a request.
#[derive(Clone, Copy)]
enum Does {
    Answer,
    Reset,
}

/// Starts an upstream that takes so long for each request.
fn upstream(does: Does, took: Duration) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let at = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream, does, took));
        }
    });
    Ok(at)
}

/// Serves a connection until its peer leaves.
fn serve(stream: &TcpStream, does: Does, took: Duration) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        thread::sleep(took);
        match does {
            Does::Answer => {
                (&mut &*stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
            Does::Reset => return SockRef::from(stream).set_linger(Some(Duration::ZERO)),
        }
    }
}

/// Asks for a path on a new connection, and waits for the end of the answer.
fn ask(path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Asks so often, a few at a time.
fn ask_all(path: &'static str, status: &'static str) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(thread::spawn(move || -> anyhow::Result<()> {
            for _ in 0..REQUESTS / 4 {
                let answer = ask(path)?;
                ensure!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            }
            Ok(())
        }));
    }
    for client in clients {
        client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    Ok(())
}

/// Starts nginx with these locations.
fn nginx(world: &World, folder: &Path, locations: &str) -> anyhow::Result<Process> {
    let place = folder.display();
    let config = folder.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; user root; pid {place}/pid; error_log {place}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; client_body_temp_path {place}/body; \
         proxy_temp_path {place}/proxy;\n\
         fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; \
         scgi_temp_path {place}/scgi;\n\
         {locations} }}\n"
    );
    fs::write(&config, text)?;
    let mut command = Command::new(installed("nginx")?);
    command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(&config);
    started(world, command)
}

fn started(world: &World, command: Command) -> anyhow::Result<Process> {
    let process = Process::start(command)?;
    net::await_listening(PORT, world.patience())?;
    Ok(process)
}

/// A server that passes everything on, and waits for so long for an answer.
fn pass_to(upstream: SocketAddr, patience: &str) -> String {
    format!(
        "server {{ listen 127.0.0.1:{PORT}; \
         location / {{ proxy_pass http://{upstream}; proxy_read_timeout {patience}; }} }}"
    )
}

/// A watched run: what was reported, and the lines of its replay.
struct Run {
    ended: Ended,
    lines: String,
}

/// Watches a process while `asks` asks it.
fn watch(
    world: &World,
    pid: u32,
    asks: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.bsrec");
    let mut agent = world.watch().pid(pid).args(["-o".as_ref(), file.as_os_str()]).start()?;
    asks()?;
    // A call that was given up is reported when its connection is gone.
    agent.await_time(net::monotonic_ns() + SETTLED_NS)?;
    let ended = agent.stop()?;
    let mut command = world.agent_command(&["replay", "--plain"]);
    let output = command.arg(&file).output().context("backscope replay")?;
    Ok(Run { ended, lines: String::from_utf8(output.stdout).context("not UTF-8")? })
}

impl Run {
    /// The served exchanges, each with the time of the application and of that for upstreams, µs. The
    /// thread may have had the answer and no CPU: that is told apart from both.
    fn served(&self) -> Vec<(&Value, u64, u64)> {
        let mut served = Vec::new();
        for one in self.ended.of("exchange").filter(|one| one["role"] == "server") {
            let (mut app_us, mut upstream_us) = (0, 0);
            for slice in one["slices"].as_array().into_iter().flatten() {
                if slice["kind"] == "app" {
                    app_us += slice["us"].as_u64().unwrap_or(0);
                    upstream_us += slice["upstream_us"].as_u64().unwrap_or(0);
                }
            }
            served.push((one, app_us, upstream_us));
        }
        served
    }

    /// Share of a holder in the time of the run, in percent, as its last line has it.
    fn share(&self, holder: &str) -> anyhow::Result<Option<f64>> {
        let line = self.lines.lines().find(|line| line.trim_start().starts_with("their time"));
        let line = line.with_context(|| format!("no sum in {}", self.lines))?;
        for part in line.split(", ") {
            if let Some((_, share)) = part.split_once(&format!("{holder} ")) {
                let share = share.trim_start_matches("less than ").trim_end_matches(" %");
                return Ok(Some(share.parse().with_context(|| part.to_owned())?));
            }
        }
        Ok(None)
    }

    /// Nearly all of so many requests waited for their upstream at least for so long, and nearly all
    /// of their time is the upstream's. On a busy machine a few may be joined to no call: then their
    /// time is nobody's but the application's.
    fn check_waited(&self, requests: usize, least_us: u64) -> anyhow::Result<()> {
        let served = self.served();
        ensure!(served.len() == requests, "{} requests", served.len());
        let mut unjoined = 0;
        for (one, app_us, upstream_us) in served {
            ensure!(one["verdict"]["owner"] != "peer", "the contract knows no upstream: {one}");
            ensure!(one["total_us"].as_u64() >= Some(least_us), "{one}");
            if one.get("upstream").is_none() {
                unjoined += 1;
                ensure!(upstream_us == 0, "{one}");
            } else {
                ensure!(upstream_us * 10 >= app_us * 8, "{upstream_us} of {app_us} µs: {one}");
            }
        }
        ensure!(unjoined * 5 <= requests, "{unjoined} of {requests} were joined to no call");
        let upstream = self.share("upstream")?.context("no upstream in the sum")?;
        let own = self.share("A app")?.context("no app in the sum")?;
        ensure!(upstream > 2.0 * own, "{}", self.lines);
        // No slow request that was joined is the proxy's doing.
        let is_blamed = |line: &&str| line.contains(" slow ") && line.contains("(A)");
        let blamed = self.lines.lines().filter(is_blamed).count();
        ensure!(blamed <= unjoined * 2, "{}", self.lines);
        Ok(())
    }

    /// Nothing of it is an upstream's.
    fn check_own(&self) -> anyhow::Result<()> {
        for (one, _, upstream_us) in self.served() {
            ensure!(upstream_us == 0, "{one}");
        }
        ensure!(self.share("upstream")?.is_none(), "{}", self.lines);
        Ok(())
    }

    fn check_says(&self, words: &str) -> anyhow::Result<()> {
        ensure!(self.lines.contains(words), "“{words}” is not said:\n{}", self.lines);
        Ok(())
    }
}

/// One blocking worker for four clients at a time: requests wait for it most of their time.
fn gunicorn(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let app = "import time\n\
        def app(env, start):\n\
        \x20   time.sleep(0.06)\n\
        \x20   start('200 OK', [('Content-Length', '2')])\n\
        \x20   return [b'ok']\n";
    fs::write(folder.path().join("app.py"), app)?;
    let port = net::free_port()?;
    let mut command = Command::new(installed("gunicorn")?);
    command.current_dir(folder.path()).args(["--workers", "1", "--bind"]);
    command.arg(format!("127.0.0.1:{port}")).arg("app:app");
    let _gunicorn = Process::start(command)?;
    net::await_listening(port, world.patience())?;
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let nginx = nginx(world, folder.path(), &pass_to(upstream, "60s"))?;
    let run = watch(world, nginx.pid(), || ask_all("/", "200"))?;
    run.check_waited(REQUESTS, TOOK_US)?;
    run.check_says(&format!("waiting for upstream {upstream} (U)"))
}

/// A server that was stopped: its kernel takes the connections, and nobody answers.
fn frozen(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let port = net::free_port()?;
    let program = format!(
        "import http.server\n\
         http.server.HTTPServer(('127.0.0.1', {port}), http.server.BaseHTTPRequestHandler)\
         .serve_forever()"
    );
    let mut command = Command::new(installed("python3")?);
    command.args(["-c", &program]);
    let server = Process::start(command)?;
    net::await_listening(port, world.patience())?;
    server.signal(libc::SIGSTOP);
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let nginx = nginx(world, folder.path(), &pass_to(upstream, "1s"))?;
    let run = watch(world, nginx.pid(), || {
        let answer = ask("/")?;
        ensure!(answer.starts_with("HTTP/1.1 504"), "{answer}");
        Ok(())
    });
    server.signal(libc::SIGCONT);
    let run = run?;
    run.check_waited(1, 990_000)?;
    run.check_says(&format!(
        "waiting for upstream {upstream} (U), which failed: did not answer until given up"
    ))
}

fn refused(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, net::free_port()?));
    let nginx = nginx(world, folder.path(), &pass_to(upstream, "60s"))?;
    let run = watch(world, nginx.pid(), || ask_all("/", "502"))?;
    let served = run.served();
    ensure!(served.len() == REQUESTS, "{} requests", served.len());
    // Each connect once; of requests in one batch of the event loop one may have that of another.
    let mut connects = 0;
    for (one, ..) in &served {
        for connect in one["connects"].as_array().into_iter().flatten() {
            ensure!(address(connect, "/peer") == Some(upstream), "{one}");
            connects += 1;
        }
    }
    ensure!(connects == REQUESTS, "{connects} connects");
    ensure!(run.share("upstream")?.is_some_and(|share| share > 0.0), "{}", run.lines);
    run.check_says(&format!("{upstream} no calls, {REQUESTS} connects failed"))
}

fn reset(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let upstream = upstream(Does::Reset, TOOK)?;
    let nginx = nginx(world, folder.path(), &pass_to(upstream, "60s"))?;
    let run = watch(world, nginx.pid(), || ask_all("/", "502"))?;
    ensure!(run.served().len() == REQUESTS, "{}", run.served().len());
    let (upstreams, own) = (run.share("upstream")?, run.share("A app")?);
    ensure!(upstreams.zip(own).is_some_and(|(u, a)| u > 4.0 * a), "{}", run.lines);
    run.check_says(&format!("waiting for upstream {upstream} (U), which failed: reset"))
}

/// Requests go to each in turn. Only those to the slow one are slow.
fn slow_one_of_two(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let [quick, slow] =
        [upstream(Does::Answer, Duration::from_millis(1))?, upstream(Does::Answer, TOOK)?];
    let locations = format!(
        "upstream u {{ server {quick}; server {slow}; }}\n\
         server {{ listen 127.0.0.1:{PORT}; location / {{ proxy_pass http://u; }} }}"
    );
    let nginx = nginx(world, folder.path(), &locations)?;
    let run = watch(world, nginx.pid(), || ask_all("/", "200"))?;
    let (mut slow_ones, mut joined) = (0, 0);
    for (one, _, upstream_us) in run.served() {
        let Some(to) = address(one, "/upstream/0/peer") else {
            ensure!(upstream_us == 0, "{one}");
            continue;
        };
        joined += 1;
        ensure!(upstream_us > 0, "{one}");
        if to == slow {
            slow_ones += 1;
            ensure!(one["total_us"].as_u64() >= Some(TOOK_US), "{one}");
        } else {
            ensure!(to == quick, "{one}");
        }
    }
    // They take turns.
    ensure!(joined * 5 >= REQUESTS * 4 && slow_ones <= REQUESTS / 2, "{joined} {slow_ones}");
    run.check_says(&format!("waiting for upstream {slow} (U)"))
}

/// The healthy twin: nobody is called.
fn file(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("a"), vec![b'x'; 20_000])?;
    let place = folder.path().display();
    let locations = format!("server {{ listen 127.0.0.1:{PORT}; root {place}; }}");
    let nginx = nginx(world, folder.path(), &locations)?;
    let run = watch(world, nginx.pid(), || ask_all("/a", "200"))?;
    ensure!(run.served().len() == REQUESTS, "{}", run.served().len());
    run.check_own()
}

fn haproxy(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let upstream = upstream(Does::Answer, TOOK)?;
    let config = folder.path().join("haproxy.cfg");
    fs::write(
        &config,
        format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             listen in\n bind 127.0.0.1:{PORT}\n server a {upstream}\n"
        ),
    )?;
    let mut command = Command::new(installed("haproxy")?);
    command.arg("-db").arg("-f").arg(&config);
    let server = started(world, command)?;
    let run = watch(world, server.pid(), || ask_all("/", "200"))?;
    run.check_waited(REQUESTS, TOOK_US)
}

/// An event loop: some requests wait for calls, others for a timer, all at a time on one thread.
fn node(world: &World) -> anyhow::Result<()> {
    let upstream = upstream(Does::Answer, TOOK)?;
    let program = format!(
        "const http = require('http');\n\
         http.createServer((q, r) => {{\n\
         if (q.url == '/own') {{ setTimeout(() => r.end('own'.repeat(1000)), 50); return; }}\n\
         http.get('http://{upstream}/', (a) => a.pipe(r));\n\
         }}).listen({PORT}, '127.0.0.1');\n"
    );
    let mut command = Command::new(installed("node")?);
    command.args(["-e", &program]);
    let server = started(world, command)?;
    let run = watch(world, server.pid(), || {
        let own = thread::spawn(|| ask_all("/own", "200"));
        ask_all("/", "200")?;
        own.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
    })?;
    let (mut own, mut waited) = (0, 0);
    for (one, _, upstream_us) in run.served() {
        if one["response_bytes"].as_u64() > Some(3_000) {
            own += 1;
            ensure!(upstream_us == 0, "it called nobody: {one}");
        } else {
            waited += usize::from(upstream_us > 0);
            ensure!(one["total_us"].as_u64() >= Some(TOOK_US), "{one}");
        }
    }
    ensure!(own == REQUESTS && waited * 5 >= REQUESTS * 4, "{own} {waited}");
    Ok(())
}

/// A server that keeps a connection to another, and asks there for one of its requests.
fn idle_connection(world: &World) -> anyhow::Result<()> {
    let upstream = upstream(Does::Answer, TOOK)?;
    let (host, port) = (upstream.ip(), upstream.port());
    let program = format!(
        "import http.server, socket, time\n\
         other = socket.create_connection(('{host}', {port}))\n\
         class H(http.server.BaseHTTPRequestHandler):\n\
         \x20   def do_GET(self):\n\
         \x20       body = b'ok'\n\
         \x20       if self.path == '/db':\n\
         \x20           other.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')\n\
         \x20           body = other.recv(1000) * 100\n\
         \x20       else:\n\
         \x20           time.sleep(0.05)\n\
         \x20       head = f'HTTP/1.1 200 OK\\r\\nContent-Length: {{len(body)}}\\r\\n\\r\\n'\n\
         \x20       self.wfile.write(head.encode() + body)\n\
         \x20   def log_message(self, *_): pass\n\
         http.server.HTTPServer(('127.0.0.1', {PORT}), H).serve_forever()"
    );
    let mut command = Command::new(installed("python3")?);
    command.args(["-c", &program]);
    let server = started(world, command)?;
    let run = watch(world, server.pid(), || {
        for path in ["/", "/db", "/", "/"] {
            ask(path)?;
        }
        Ok(())
    })?;
    let served = run.served();
    ensure!(served.len() == 4, "{} requests", served.len());
    for (one, app_us, upstream_us) in served {
        let called = one["response_bytes"].as_u64() > Some(1_000);
        ensure!((upstream_us > 0) == called, "of {app_us} µs: {one}");
    }
    Ok(())
}

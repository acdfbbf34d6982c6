//! Real proxies and balancers, between clients and upstreams that know which request went where.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::native;
use crate::harness::json::{Value, address, finds, is, number};
use crate::harness::{Case, Ended, Process, World, net};
use crate::servers::{PORT, installed};

pub(super) const CASES: &[Case] = &[
    native("proxy::nginx_pool", |world| nginx(world, true)),
    native("proxy::nginx_without_pool", |world| nginx(world, false)),
    native("proxy::haproxy_tcp", haproxy),
    native("proxy::one_process", one_process),
];

const CLIENTS: u64 = 8;
const REQUESTS: u64 = 40;
/// Time that an upstream takes, and the slow one.
const FAST: Duration = Duration::from_millis(2);
const SLOW: Duration = Duration::from_millis(25);

/// The place of a request: the port of the end that connected, the port of the other end, and the
/// request's number on the connection. One port may connect to several peers at a time.
type Place = (u16, u16, u64);
/// Places by the number that is in each request.
type Places = Arc<Mutex<HashMap<u64, Place>>>;

/// Reads the head of a request or a response. Returns its first line, and the length of the body.
fn head(reader: &mut impl BufRead) -> std::io::Result<Option<(String, usize)>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            return Ok(Some((first, length)));
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
}

/// Starts an upstream that answers each request after so long, and notes its place.
fn upstream(took: Duration, places: &Places) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let at = listener.local_addr()?;
    let places = Arc::clone(places);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let places = Arc::clone(&places);
            thread::spawn(move || answer(stream, took, &places));
        }
    });
    Ok(at)
}

fn answer(mut stream: TcpStream, took: Duration, places: &Places) -> anyhow::Result<()> {
    let (from, to) = (stream.peer_addr()?.port(), stream.local_addr()?.port());
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut seq = 0;
    while let Some((first, _)) = head(&mut reader)? {
        seq += 1;
        let number = first
            .split(['/', ' '])
            .nth(2)
            .and_then(|number| number.parse().ok())
            .context("a number")?;
        places.lock().unwrap_or_else(PoisonError::into_inner).insert(number, (from, to, seq));
        // This stands for work of the upstream.
        thread::sleep(took);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
    }
    Ok(())
}

/// Runs clients at the same time, each on a connection of its own. Returns the place of each
/// request.
fn ask(to: SocketAddr) -> anyhow::Result<HashMap<u64, Place>> {
    let client = |client: u64| -> anyhow::Result<Vec<(u64, Place)>> {
        let mut stream = TcpStream::connect(to)?;
        let (from, to) = (stream.local_addr()?.port(), to.port());
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut asked = Vec::new();
        for seq in 1..=REQUESTS {
            let number = client * REQUESTS + seq;
            stream.write_all(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())?;
            let (first, length) = head(&mut reader)?.context("a response")?;
            ensure!(first.contains("200"), "{first}");
            reader.read_exact(&mut vec![0; length])?;
            asked.push((number, (from, to, seq)));
        }
        Ok(asked)
    };
    let asked: anyhow::Result<Vec<_>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|at| scope.spawn(move || client(at))).collect();
        clients
            .into_iter()
            .map(|one| one.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
            .collect()
    });
    Ok(asked?.into_iter().flatten().collect())
}

/// Returns each joined pair by the places of both, with its confidence. Either side may report it.
fn joined(objects: &[Value]) -> HashMap<Place, (Place, f64)> {
    let ports: HashMap<&str, (u16, u16)> = objects
        .iter()
        .filter(|object| is(object, "connection"))
        .filter_map(|connection| {
            let (local, peer) =
                (address(connection, "/local")?.port(), address(connection, "/peer")?.port());
            let ports = if connection["role"] == "server" { (peer, local) } else { (local, peer) };
            Some((connection["sock"].as_str()?, ports))
        })
        .collect();
    let place = |object: &Value| {
        let (from, to) = *ports.get(object["sock"].as_str()?)?;
        Some((from, to, number(object, "/seq")?))
    };
    let mut pairs = HashMap::new();
    for exchange in objects.iter().filter(|object| is(object, "exchange")) {
        let (calls, requests) = (exchange["upstream"].as_array(), exchange.get("downstream"));
        let of_request = calls.into_iter().flatten().map(|call| (Some(exchange), Some(call), call));
        let of_call = requests.into_iter().map(|request| (Some(request), Some(exchange), request));
        for (request, call, join) in of_request.chain(of_call) {
            let places = request.and_then(place).zip(call.and_then(place));
            pairs.extend(places.map(|(request, call)| {
                (call, (request, join["confidence"].as_f64().unwrap_or(0.0)))
            }));
        }
    }
    pairs
}

/// Checks that more than 95 of 100 requests are joined to the call that was made for them, and
/// hardly any to another.
fn check_joins(
    objects: &[Value],
    asked: &HashMap<u64, Place>,
    answered: &Places,
) -> anyhow::Result<()> {
    let answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
    let pairs = joined(objects);
    let all = asked.len();
    let mut right = 0;
    let mut wrong = Vec::new();
    for (number, request) in asked {
        let call = answered.get(number).context("an answered request")?;
        match pairs.get(call) {
            Some((found, _)) if found == request => right += 1,
            Some(found) => wrong.push((number, request, call, found)),
            None => {}
        }
    }
    ensure!(right * 100 > all * 95, "{right} of {all} are right; wrong: {wrong:?}");
    let sure = wrong.iter().filter(|(.., (_, confidence))| *confidence > 0.9).count();
    ensure!(sure * 100 <= all * 3, "{sure} of {all} are wrong, and it was sure: {wrong:?}");
    Ok(())
}

/// Returns the last object about the proxy that has joined something.
fn proxy(ended: &Ended) -> anyhow::Result<&Value> {
    ended.objects.iter().rfind(|object| is(object, "proxy")).context("no proxy")
}

/// Checks that a request's time in its call is reported as such. Here it is most of the time.
fn check_waits(objects: &[Value]) -> anyhow::Result<()> {
    let requests =
        objects.iter().filter(|object| is(object, "exchange") && !object["upstream"].is_null());
    let (mut app_us, mut upstream_us) = (0, 0);
    for slice in requests.flat_map(|request| request["slices"].as_array().into_iter().flatten()) {
        if slice["kind"] == "app" {
            app_us += number(slice, "/us").unwrap_or(0);
            upstream_us += number(slice, "/upstream_us").unwrap_or(0);
        }
    }
    ensure!(
        upstream_us <= app_us && upstream_us * 10 >= app_us * 7,
        "{upstream_us} of {app_us} µs upstream"
    );
    Ok(())
}

fn start_nginx(
    world: &World,
    folder: &Path,
    upstreams: &[SocketAddr],
    pool: bool,
) -> anyhow::Result<Process> {
    let place = folder.display();
    let servers: String = upstreams.iter().map(|at| format!("server {at};")).collect();
    let (keep, headers) = if pool {
        ("keepalive 16;", "proxy_http_version 1.1; proxy_set_header Connection '';")
    } else {
        ("", "")
    };
    let config = folder.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; user root; pid {place}/pid; error_log {place}/error.log;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; client_body_temp_path {place}/body; \
         proxy_temp_path {place}/proxy;\n\
         fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; \
         scgi_temp_path {place}/scgi;\n\
         upstream u {{ {servers} {keep} }}\n\
         server {{ listen 127.0.0.1:{PORT}; {headers} location / {{ proxy_pass http://u; }} }} }}\n"
    );
    fs::write(&config, text)?;
    let mut command = Command::new(installed("nginx")?);
    command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(&config);
    let process = Process::start(command)?;
    net::await_listening(PORT, world.patience())?;
    Ok(process)
}

fn to_proxy() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PORT).into()
}

/// One upstream is slow. Requests go to each upstream in turn, and wait where it is slow.
fn nginx(world: &World, pool: bool) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let places = Places::default();
    let upstreams = [upstream(FAST, &places)?, upstream(SLOW, &places)?];
    let server = start_nginx(world, folder.path(), &upstreams, pool)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let asked = ask(to_proxy())?;
    let finding = agent.await_finding("upstream-imbalance")?;
    let ended = agent.stop()?;
    check_joins(&ended.objects, &asked, &places)?;
    check_waits(&ended.objects)?;
    let proxy = proxy(&ended)?;
    ensure!(proxy["reuse"] == if pool { "pooled" } else { "per-request" }, "{proxy}");
    ensure!(proxy["spreading"] == "per-request", "{proxy}");
    ensure!(number(proxy, "/downstream/connections") == Some(CLIENTS), "{proxy}");
    let connections = number(proxy, "/upstream/connections").context("connections")?;
    ensure!(if pool { connections <= 32 } else { connections == CLIENTS * REQUESTS }, "{proxy}");
    let slow: Vec<_> = proxy["upstreams"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|one| one["slow"] == true)
        .collect();
    ensure!(finding["headline"].to_string().contains(&upstreams[1].to_string()), "{finding}");
    ensure!(slow.iter().all(|one| address(one, "/peer") == Some(upstreams[1])), "{proxy}");
    Ok(())
}

/// Only bytes are passed on: each connection goes to one upstream, on a connection of its own.
fn haproxy(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let places = Places::default();
    let upstreams = [upstream(FAST, &places)?, upstream(FAST, &places)?];
    let [one, other] = upstreams;
    let config = folder.path().join("haproxy.cfg");
    fs::write(
        &config,
        format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             listen in\n bind 127.0.0.1:{PORT}\n balance roundrobin\n server a {one}\n \
             server b {other}\n"
        ),
    )?;
    let mut command = Command::new(installed("haproxy")?);
    command.arg("-db").arg("-f").arg(&config);
    let server = Process::start(command)?;
    net::await_listening(PORT, world.patience())?;
    let agent = world.watch().pid(server.pid()).start()?;
    let asked = ask(to_proxy())?;
    let ended = agent.stop()?;
    check_joins(&ended.objects, &asked, &places)?;
    let proxy = proxy(&ended)?;
    ensure!(
        proxy["reuse"] == "per-connection" && proxy["spreading"] == "per-connection",
        "{proxy}"
    );
    let found = ended.objects.iter().find(|object| finds(object, "upstream-imbalance"));
    ensure!(found.is_none(), "balanced: {found:?}");
    Ok(())
}

/// A process that only serves is no proxy, whoever calls it.
fn one_process(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("nginx.conf");
    let place = folder.path().display();
    fs::write(
        &config,
        format!(
            "daemon off; master_process off; user root; pid {place}/pid; \
             error_log {place}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; client_body_temp_path {place}/body; \
             proxy_temp_path {place}/proxy;\n\
             fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; \
             scgi_temp_path {place}/scgi;\n\
             server {{ listen 127.0.0.1:{PORT}; return 200 'ok'; }} }}\n"
        ),
    )?;
    let mut command = Command::new(installed("nginx")?);
    command
        .arg("-p")
        .arg(folder.path())
        .arg("-e")
        .arg(folder.path().join("error.log"))
        .arg("-c")
        .arg(&config);
    let server = Process::start(command)?;
    net::await_listening(PORT, world.patience())?;
    let agent = world.watch().pid(server.pid()).start()?;
    ask(to_proxy())?;
    let ended = agent.stop()?;
    let kinds: BTreeSet<&str> =
        ended.objects.iter().filter_map(|object| object["type"].as_str()).collect();
    ensure!(kinds.contains("exchange") && !kinds.contains("proxy"), "{kinds:?}");
    let with_other = ended.objects.iter().find(|object| object.get("upstream").is_some());
    ensure!(with_other.is_none(), "{with_other:?}");
    Ok(())
}

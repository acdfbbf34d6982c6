//! Metrics and traces for a collector, which decodes them with OpenTelemetry's own messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::native;
use crate::harness::exporter::{Exporter, await_it, sum_of};
use crate::harness::json::Value;
use crate::harness::{Case, Process, Skip, World, ask, memory, net};
use crate::servers::{PORT, Server, installed};

pub(super) const CASES: &[Case] = &[
    native("otlp::metrics_are_taken_and_true", metrics),
    native("otlp::the_end_of_a_run_is_exported", at_the_end),
    native("otlp::a_collector_that_fails_costs_nothing_but_what_is_counted", failing),
    native("otlp::nobody_at_the_url_is_no_harm", nobody),
    native("otlp::a_request_through_nginx_gunicorn_and_postgresql_is_one_trace", chain),
];

/// A collector, which answers as its file of control says.
struct Collector {
    process: Process,
    folder: tempfile::TempDir,
    addr: SocketAddr,
    lines: Vec<Value>,
}

impl Collector {
    fn start(world: &World) -> anyhow::Result<Self> {
        let messages = messages()?;
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("python3");
        let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/servers/apps/otlp.py");
        command.arg(app).arg(messages).arg(folder.path().join("control"));
        let process = Process::start(command)?;
        let line = process.next_line(Instant::now() + world.patience())?.context("no line")?;
        let port: u16 = line.rsplit(' ').next().context("no port")?.parse()?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let collector = Self { process, folder, addr, lines: Vec::new() };
        collector.answers("ok")?;
        Ok(collector)
    }

    fn answers(&self, mode: &str) -> anyhow::Result<()> {
        // In one step: it may be read at any time.
        let place = self.folder.path().join("control");
        fs::write(place.with_extension("new"), mode)?;
        Ok(fs::rename(place.with_extension("new"), place)?)
    }

    fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every request so far.
    fn requests(&mut self) -> anyhow::Result<&[Value]> {
        while let Some(line) = self.process.ready_line() {
            self.lines.push(serde_json::from_str(&line).with_context(|| line.clone())?);
        }
        Ok(&self.lines)
    }

    /// Every span that was taken.
    fn spans(&mut self) -> anyhow::Result<Vec<Value>> {
        let mut spans = Vec::new();
        for request in self.requests()?.iter().filter(|it| it["mode"] == "ok") {
            for resource in each(&request["request"], "resourceSpans") {
                for scope in each(resource, "scopeSpans") {
                    for span in each(scope, "spans") {
                        let mut span = span.clone();
                        span["service"] = attribute(&resource["resource"], "service.name");
                        spans.push(span);
                    }
                }
            }
        }
        Ok(spans)
    }
}

fn messages() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own
        .ancestors()
        .skip(1)
        .map(|dir| dir.join("servers/otlp"))
        .chain([Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers/otlp")])
        .find(|place| place.join("opentelemetry/proto").is_dir());
    found.ok_or_else(|| {
        Skip("OpenTelemetry's messages are not there (cargo xtask setup)".into()).into()
    })
}

fn each<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of[name].as_array().into_iter().flatten()
}

/// The value of an attribute; null without it.
fn attribute(of: &Value, key: &str) -> Value {
    let found = each(of, "attributes").find(|one| one["key"] == key);
    let Some(value) = found.and_then(|one| one["value"].as_object()) else { return Value::Null };
    value.values().next().cloned().unwrap_or(Value::Null)
}

/// The metrics of a request, by name.
fn metrics_of(request: &Value) -> BTreeMap<String, Value> {
    let mut metrics = BTreeMap::new();
    for resource in each(&request["request"], "resourceMetrics") {
        for scope in each(resource, "scopeMetrics") {
            for metric in each(scope, "metrics") {
                let name = metric["name"].as_str().unwrap_or_default().to_owned();
                metrics.insert(name, metric.clone());
            }
        }
    }
    metrics
}

/// A number, which JSON of protobuf writes as text where it is long.
fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap_or(f64::NAN),
        other => other.as_f64().unwrap_or(f64::NAN),
    }
}

fn metrics(world: &World) -> anyhow::Result<()> {
    let mut collector = Collector::start(world)?;
    let demo = world.demo(&["serve", "--epoll", "--sleep", "10ms"])?;
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("token");
    fs::write(&token, "0123456789abcdef")?;
    let (url, pid, token) = (collector.url(), demo.pid_arg(), token.display().to_string());
    let args = ["--pid", &pid, "--otlp", &url, "--otlp-interval", "300ms", "--traces=100%"];
    let budget = ["--budget", "100%", "--otlp-token-file", &token];
    let exporter = Exporter::start(world, args.into_iter().chain(budget))?;
    let _socket = ask(demo.addr, 50)?;
    let is_it = |request: &Value| -> bool {
        let metrics = metrics_of(request);
        let Some(metric) = metrics.get("backscope.exchange.duration") else { return false };
        let points = &metric["exponentialHistogram"]["dataPoints"];
        each(&metric["exponentialHistogram"], "dataPoints")
            .any(|point| number(&point["count"]) == 50.0 && point["exemplars"].is_array())
            && points.is_array()
    };
    await_it(world.patience(), "50 exchanges in OTLP", || {
        Ok(collector.requests()?.iter().any(is_it))
    })?;
    let requests = collector.requests()?.to_vec();
    for request in &requests {
        ensure!(request["known"] == true, "not all of it is OTLP: {request}");
        ensure!(request["type"] == "application/x-protobuf", "{request}");
        ensure!(request["authorization"] == "Bearer 0123456789abcdef", "{request}");
    }
    let request = requests.iter().find(|one| is_it(one)).context("it was there")?;
    let resource = &request["request"]["resourceMetrics"][0]["resource"];
    ensure!(attribute(resource, "service.name") == "backscope", "{resource}");
    ensure!(attribute(resource, "host.name").is_string(), "{resource}");
    let metrics = metrics_of(request);
    let histogram = &metrics["backscope.exchange.duration"]["exponentialHistogram"];
    ensure!(histogram["aggregationTemporality"] == "AGGREGATION_TEMPORALITY_CUMULATIVE");
    let point = &histogram["dataPoints"][0];
    ensure!(attribute(point, "server.port") == demo.addr.port().to_string().as_str(), "{point}");
    // The bucket with most has the time that the server sleeps for.
    let counts: Vec<f64> = each(&point["positive"], "bucketCounts").map(number).collect();
    let most =
        (0..counts.len()).max_by(|a, b| counts[*a].total_cmp(&counts[*b])).context("none")?;
    let index = number(&point["positive"]["offset"]) + most as f64;
    let (scale, base) = (number(&point["scale"]), 2_f64);
    let lower = base.powf(index / base.powf(scale));
    let upper = base.powf((index + 1.0) / base.powf(scale));
    ensure!(upper > 0.010 && lower < 0.013, "from {lower} s to {upper} s: {point}");
    ensure!(counts.iter().sum::<f64>() == 50.0, "{point}");
    let trace = point["exemplars"][0]["traceId"].as_str().context("no trace")?.to_owned();
    let mut spans = Vec::new();
    await_it(world.patience(), "the trace of the exemplar", || {
        spans = collector.spans()?;
        Ok(spans.iter().any(|span| span["traceId"] == trace.as_str()))
    })?;
    let sum = &metrics["backscope.connections.accepted"]["sum"];
    ensure!(
        sum["isMonotonic"] == true && number(&sum["dataPoints"][0]["asDouble"]) == 1.0,
        "{sum}"
    );
    let page = exporter.page()?;
    ensure!(sum_of(&page, "backscope_export_otlp_total", &["\"metrics\"", "\"ok\""]) > Some(0.0));
    ensure!(sum_of(&page, "backscope_export_spans_lost_total", &[]).is_none(), "{page}");
    Ok(())
}

fn at_the_end(world: &World) -> anyhow::Result<()> {
    let mut collector = Collector::start(world)?;
    let demo = world.demo(&["serve", "--epoll"])?;
    let (url, pid) = (collector.url(), demo.pid_arg());
    let args = ["--pid", &pid, "--otlp", &url, "--otlp-interval", "10min", "--traces=100%"];
    let exporter = Exporter::start(world, args)?;
    drop(ask(demo.addr, 20)?);
    await_it(world.patience(), "accept", || {
        Ok(sum_of(&exporter.page()?, "backscope_connections_accepted_total", &[]) == Some(1.0))
    })?;
    ensure!(collector.requests()?.is_empty(), "it is not time yet");
    let (status, said) = exporter.stop()?;
    ensure!(status.success() && !said.contains("did not take"), "{status}: {said}");
    await_it(world.patience(), "metrics and spans", || {
        let metrics = collector.requests()?.iter().any(|it| it["signal"] == "metrics");
        Ok(metrics && !collector.spans()?.is_empty())
    })
}

fn failing(world: &World) -> anyhow::Result<()> {
    let mut collector = Collector::start(world)?;
    let demo = world.demo(&["serve", "--epoll"])?;
    let (url, pid) = (collector.url(), demo.pid_arg());
    let args = ["--pid", &pid, "--otlp", &url, "--otlp-interval", "200ms", "--traces=100%"];
    let exporter = Exporter::start(world, args.into_iter().chain(["--budget", "100%"]))?;
    let counted = |outcome: &str| -> anyhow::Result<f64> {
        let outcome = format!("outcome=\"{outcome}\"");
        Ok(sum_of(&exporter.page()?, "backscope_export_otlp_total", &[&outcome]).unwrap_or(0.0))
    };
    let lost = |reason: &str| -> anyhow::Result<f64> {
        let reason = format!("reason=\"{reason}\"");
        let page = exporter.page()?;
        Ok(sum_of(&page, "backscope_export_spans_lost_total", &[&reason]).unwrap_or(0.0))
    };
    await_it(world.patience(), "first export", || Ok(counted("ok")? > 0.0))?;

    // It is busy: spans wait, and beyond the queue's bound they are dropped and counted.
    collector.answers("busy")?;
    await_it(world.patience(), "refusal for now", || Ok(counted("busy")? > 0.0))?;
    let memory = memory::resident(exporter.pid())?;
    let mut socket = ask(demo.addr, 1)?;
    await_it(Duration::from_secs(60), "full queue", || {
        for _ in 0..1_000 {
            socket.write_all(b"ask\n")?;
            socket.read_exact(&mut [0; 200])?;
        }
        Ok(lost("queue_full")? > 10_000.0)
    })?;
    let grown = memory::resident(exporter.pid())?.saturating_sub(memory);
    ensure!(grown < 48 << 20, "it grew by {} MiB", grown >> 20);

    // It takes them again: those that waited come, and no more are lost.
    collector.answers("ok")?;
    await_it(Duration::from_secs(30), "spans", || Ok(collector.spans()?.len() >= 4_096))?;
    // What comes before the next refresh may find the table of those that wait for it full.
    let refreshed = exporter.page()?;
    await_it(Duration::from_secs(30), "refresh", || Ok(exporter.page()? != refreshed))?;
    let (before, known) = (lost("queue_full")?, collector.spans()?.len());
    await_it(Duration::from_secs(30), "newer spans", || {
        socket.write_all(b"ask\n")?;
        socket.read_exact(&mut [0; 200])?;
        Ok(collector.spans()?.len() > known)
    })?;
    ensure!(lost("queue_full")? == before, "there is room again");

    // It refuses for good: what it was sent is lost, and counted.
    collector.answers("partial")?;
    await_it(Duration::from_secs(30), "span that was rejected", || {
        socket.write_all(b"ask\n")?;
        socket.read_exact(&mut [0; 200])?;
        Ok(lost("rejected")? > 0.0)
    })?;
    collector.answers("refuse")?;
    await_it(Duration::from_secs(30), "spans that were refused", || {
        socket.write_all(b"ask\n")?;
        socket.read_exact(&mut [0; 200])?;
        Ok(lost("refused")? > 0.0)
    })?;

    // It hangs: the watch goes on, and ends at once.
    collector.answers("hang")?;
    await_it(Duration::from_secs(40), "timeout", || Ok(counted("timeout")? > 0.0))?;
    let begin = Instant::now();
    let (status, said) = exporter.stop()?;
    ensure!(status.success() && said.contains("did not take the end"), "{status}: {said}");
    ensure!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    Ok(())
}

fn nobody(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll"])?;
    let url = format!("http://127.0.0.1:{}", net::free_port()?);
    let pid = demo.pid_arg();
    let args = ["--pid", &pid, "--otlp", &url, "--otlp-interval", "100ms", "--traces=100%"];
    let exporter = Exporter::start(world, args)?;
    let _socket = ask(demo.addr, 50)?;
    await_it(world.patience(), "failed exports", || {
        let page = exporter.page()?;
        Ok(sum_of(&page, "backscope_export_otlp_total", &["\"unreachable\""]) >= Some(3.0))
    })?;
    let unknown = ["export", "--pid", &pid, "--otlp", "http://no-such-host.invalid:4318"];
    let output = world.agent_command(&unknown).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1) && said.contains("no-such-host"), "{output:?}");
    Ok(())
}

const APP: &str = r#"
import socket
STARTUP = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0"
QUERY = b"Q\0\0\0\x16SELECT pg_sleep(0);\0"
QUERY = QUERY[:1] + (len(QUERY) - 1).to_bytes(4, "big") + QUERY[5:]
database = None

def until_ready():
    data = b""
    while not data.endswith(b"Z\0\0\0\x05I"):
        data += database.recv(65536)

def app(environ, start_response):
    global database
    if database is None:
        database = socket.create_connection(("127.0.0.1", 7100))
        database.sendall(STARTUP)
        until_ready()
    database.sendall(QUERY)
    until_ready()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"#;

fn nginx_config(folder: &Path, port: u16, upstream: u16) -> String {
    let folder = folder.display();
    format!(
        "daemon off; worker_processes 1; error_log {folder}/error; pid {folder}/pid;\n\
         events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}/body; \
         proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; \
         scgi_temp_path {folder}/s;\n server {{ listen 127.0.0.1:{port}; \
         location / {{ proxy_pass http://127.0.0.1:{upstream}; }} }} }}\n"
    )
}

fn chain(world: &World) -> anyhow::Result<()> {
    let mut collector = Collector::start(world)?;
    let postgresql = Server::named("postgresql")?.start(world)?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("app.py"), APP)?;
    let (app_port, port) = (net::free_port()?, PORT + 1);
    let mut gunicorn = Command::new(installed("gunicorn")?);
    gunicorn.current_dir(folder.path()).args(["--workers", "1", "--bind"]);
    gunicorn.arg(format!("127.0.0.1:{app_port}")).arg("app:app");
    let gunicorn = Process::start(gunicorn)?;
    net::await_listening(app_port, world.patience())?;
    let file = folder.path().join("nginx.conf");
    fs::write(&file, nginx_config(folder.path(), port, app_port))?;
    let mut nginx = Command::new(installed("nginx")?);
    nginx.arg("-c").arg(&file).arg("-p").arg(folder.path());
    let nginx = Process::start(nginx)?;
    net::await_listening(port, world.patience())?;

    let pids = [postgresql.process.pid(), gunicorn.pid(), nginx.pid()].map(|pid| pid.to_string());
    let url = collector.url();
    let targets = ["--pid", &pids[0], "--pid", &pids[1], "--pid", &pids[2], "--budget", "100%"];
    let args = ["--otlp", &url, "--otlp-interval", "300ms", "--traces=100%"];
    let _exporter = Exporter::start(world, targets.into_iter().chain(args))?;
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    for _ in 0..10 {
        let mut socket = TcpStream::connect(addr)?;
        socket.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let mut told = String::new();
    await_it(Duration::from_secs(40), "whole traces", || {
        let spans = collector.spans()?;
        told = format!("{} spans", spans.len());
        Ok(whole_traces(&spans, &mut told) >= 5)
    })
    .with_context(|| told)
}

/// Counts the traces that go from nginx by gunicorn to PostgreSQL.
fn whole_traces(spans: &[Value], told: &mut String) -> usize {
    let mut by_id = BTreeMap::new();
    for span in spans {
        by_id.insert(span["spanId"].as_str().unwrap_or_default(), span);
    }
    let mut whole = BTreeSet::new();
    let mut paths = BTreeSet::new();
    for span in spans.iter().filter(|span| span["kind"] != "SPAN_KIND_INTERNAL") {
        let (mut path, mut next) = (Vec::new(), Some(span));
        while let Some(span) = next {
            let kind = span["kind"].as_str().unwrap_or_default().replace("SPAN_KIND_", "");
            path.push(format!("{} {kind}", span["service"].as_str().unwrap_or_default()));
            if path.len() > 9
                || span["traceId"] != by_id[span["spanId"].as_str().unwrap_or_default()]["traceId"]
            {
                break;
            }
            next = span["parentSpanId"].as_str().and_then(|id| by_id.get(id).copied());
        }
        let path = path.join(" < ");
        let is_whole = path.starts_with(
            "postgres SERVER < gunicorn CLIENT < gunicorn SERVER < nginx CLIENT < nginx SERVER",
        );
        if is_whole {
            whole.insert(span["traceId"].as_str().unwrap_or_default());
        }
        paths.insert(path);
    }
    *told = format!("{} spans: {paths:?}", spans.len());
    whole.len()
}

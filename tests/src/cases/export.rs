//! The exporter: what it says is true, a real Prometheus takes it, and nobody who scrapes it can
//! harm the watch.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::native;
use crate::harness::exporter::{Exporter, Prometheus, await_it, fleet, sum_of};
use crate::harness::json::Value;
use crate::harness::net::{self, Counters};
use crate::harness::{Case, Demo, World, ask, connect_nonblocking, memory, skip, web};

pub(super) const CASES: &[Case] = &[
    native("export::refusals_are_those_that_the_kernel_counts", refusals),
    native("export::exchanges_are_all_counted_and_timed", exchanges),
    native("export::prometheus_raises_the_alert_for_an_overflow", overflow),
    native("export::prometheus_is_silent_on_a_healthy_server", healthy),
    native("export::prometheus_takes_native_histograms", native_histograms),
    native("export::the_alert_rules_pass_their_tests", rules),
    native("export::of_two_at_one_port_the_second_is_told", two_at_one_port),
    native("export::others_read_it_only_with_a_token_or_over_tls", protected),
    native("export::a_unix_socket_is_for_owner_and_group", unix_socket),
    native("export::garbage_is_answered_or_cut_off", garbage),
    native("export::ten_thousand_scrapes_a_second_cost_little", flood),
    native("export::scrapers_that_do_not_read_give_way", slow),
];

const NOT_HERE: &str = "Prometheus is not installed; `cargo xtask setup` installs it";

/// A server that never accepts, and more clients than its queue takes.
fn overflowing(world: &World) -> anyhow::Result<Demo> {
    world.demo(&["never-accept", "--backlog", "2"])
}

fn port_label(port: u16) -> String {
    format!("server_port=\"{port}\"")
}

fn refusals(world: &World) -> anyhow::Result<()> {
    let demo = overflowing(world)?;
    let exporter = Exporter::start(world, ["--pid", &demo.pid_arg()])?;
    let before = Counters::read()?;
    let _clients = connect_nonblocking(demo.addr, 10)?;
    let label = port_label(demo.addr.port());
    let counted = || -> anyhow::Result<u64> {
        Ok(Counters::read()?.get("ListenOverflows") - before.get("ListenOverflows"))
    };
    await_it(world.patience(), "equal count of refusals", || {
        let page = exporter.page()?;
        let refused = sum_of(&page, "backscope_connections_refused_total", &[&label]);
        Ok(counted()? >= 7 && refused == Some(counted()? as f64))
    })?;
    let page = exporter.page()?;
    // Linux refuses above the limit, so that a limit of 2 lets 3 in.
    for (metric, expected) in [
        ("backscope_accept_queue_depth", 3.0),
        ("backscope_accept_queue_limit", 2.0),
        ("backscope_accept_queue_utilization_ratio", 1.5),
        ("backscope_connections_accepted_total", 0.0),
    ] {
        let shown = sum_of(&page, metric, &[&label]);
        ensure!(shown == Some(expected), "{metric} is {shown:?}, not {expected}: {page}");
    }
    let found = sum_of(&page, "backscope_finding", &["kind=\"accept-queue-overflow\""]);
    ensure!(found == Some(1.0), "{page}");
    let (status, said) = exporter.stop()?;
    ensure!(status.success(), "{status}: {said}");
    ensure!(said.contains("at most"), "its bound is printed: {said}");
    Ok(())
}

fn exchanges(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll", "--sleep", "10ms"])?;
    let exporter = Exporter::start(world, ["--pid", &demo.pid_arg(), "--budget", "100%"])?;
    let begin = Instant::now();
    let socket = ask(demo.addr, 50)?;
    let took = begin.elapsed().as_secs_f64();
    drop(socket);
    let label = port_label(demo.addr.port());
    let labels = [label.as_str(), "role=\"server\""];
    await_it(world.patience(), "50 exchanges", || {
        let page = exporter.page()?;
        Ok(sum_of(&page, "backscope_exchange_duration_seconds_count", &labels) == Some(50.0))
    })?;
    let page = exporter.page()?;
    let sum = sum_of(&page, "backscope_exchange_duration_seconds_sum", &labels).unwrap_or(0.0);
    ensure!(sum >= 0.5 && sum <= took + 0.1, "50 waits of 10 ms are {sum} s of {took} s");
    let slices = sum_of(&page, "backscope_exchange_time_seconds_total", &labels).unwrap_or(0.0);
    ensure!((slices - sum).abs() < 1e-6, "{slices} s by kind are not {sum} s");
    let app = sum_of(&page, "backscope_exchange_time_seconds_total", &[&label, "kind=\"app\""]);
    ensure!(app.unwrap_or(0.0) >= 0.5, "it is the application that sleeps: {page}");
    let below = |bound: &str| {
        let le = format!("le=\"{bound}\"");
        sum_of(&page, "backscope_exchange_duration_seconds_bucket", &[&label, &le])
    };
    ensure!(below("0.0078125") == Some(0.0) && below("+Inf") == Some(50.0), "{page}");
    let accepted = sum_of(&page, "backscope_accept_wait_duration_seconds_count", &[&label]);
    ensure!(accepted == Some(1.0), "{page}");
    let bytes = sum_of(&page, "backscope_exchange_io_bytes_total", &["direction=\"response\""]);
    ensure!(bytes == Some(10_000.0), "{bytes:?}");
    Ok(())
}

/// Every expression of the dashboard, as Grafana would ask it.
fn dashboard_queries() -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(fleet().join("dashboard.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().context("no panels")? {
        for target in panel["targets"].as_array().context("no targets")? {
            let query = target["expr"].as_str().context("no expression")?;
            let query = query
                .replace("$__rate_interval", "1m")
                .replace("$instance", ".*")
                .replace("$port", ".*");
            ensure!(!query.contains('$'), "{query}");
            queries.push(query);
        }
    }
    ensure!(queries.len() > 20, "{} queries", queries.len());
    Ok(queries)
}

fn overflow(world: &World) -> anyhow::Result<()> {
    let demo = overflowing(world)?;
    let server = world.demo(&["serve", "--epoll"])?;
    let (demo_pid, server_pid) = (demo.pid_arg(), server.pid_arg());
    let args = ["--pid", &demo_pid, "--pid", &server_pid, "--budget", "100%"];
    let exporter = Exporter::start(world, args)?;
    let Some(prometheus) = Prometheus::start(world, &[exporter.addr], false)? else {
        return skip(NOT_HERE);
    };
    let refused = "sum(backscope_connections_refused_total)";
    await_it(world.patience(), "first scrape", || Ok(prometheus.number(refused)? == Some(0.0)))?;
    ensure!(prometheus.alerts("firing")?.is_empty(), "nothing is wrong yet");
    let before = Counters::read()?;
    let _clients = connect_nonblocking(demo.addr, 10)?;
    let _socket = ask(server.addr, 100)?;
    await_it(Duration::from_secs(40), "alert", || {
        Ok(prometheus.alerts("firing")?.iter().any(|name| name == "ConnectionsRefused"))
    })?;
    await_it(world.patience(), "pending alert for the full queue", || {
        Ok(prometheus.alerts("pending")?.iter().any(|name| name == "AcceptQueueFilling"))
    })?;
    let counted = Counters::read()?.get("ListenOverflows") - before.get("ListenOverflows");
    let shown = prometheus.number(refused)?.unwrap_or(0.0);
    ensure!(shown >= 7.0 && shown <= counted as f64, "{shown} of {counted}");
    await_it(world.patience(), "figures of exchanges", || {
        let count = "sum(backscope_exchange_duration_seconds_count{role=\"server\"})";
        Ok(prometheus.number(count)? == Some(100.0))
    })?;
    // What shows a fault or an exchange has something to show by now.
    let mut empty = Vec::new();
    for query in dashboard_queries()? {
        if prometheus.query(&query)?.is_empty() {
            empty.push(query);
        }
    }
    // Nothing failed to connect.
    let may_be = |query: &String| query.contains("outcome!=") || query.contains("probe_time");
    ensure!(empty.iter().all(may_be), "nothing to show: {empty:#?}");
    Ok(())
}

fn healthy(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["serve", "--epoll"])?;
    let exporter = Exporter::start(world, ["--pid", &server.pid_arg()])?;
    let Some(prometheus) = Prometheus::start(world, &[exporter.addr], false)? else {
        return skip(NOT_HERE);
    };
    let count = "sum(backscope_exchange_duration_seconds_count{role=\"server\"})";
    await_it(Duration::from_secs(60), "ten scrapes, and exchanges", || {
        drop(ask(server.addr, 20)?);
        let scrapes = prometheus.number("count_over_time(up[5m])")?.unwrap_or(0.0);
        Ok(scrapes >= 10.0 && prometheus.number(count)?.unwrap_or(0.0) > 0.0)
    })?;
    for state in ["firing", "pending"] {
        let alerts = prometheus.alerts(state)?;
        ensure!(alerts.is_empty(), "{state}: {alerts:?}");
    }
    for query in dashboard_queries()? {
        prometheus.query(&query)?;
    }
    Ok(())
}

fn native_histograms(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["serve", "--epoll", "--sleep", "10ms"])?;
    let exporter = Exporter::start(world, ["--pid", &server.pid_arg(), "--budget", "100%"])?;
    let Some(prometheus) = Prometheus::start(world, &[exporter.addr], true)? else {
        return skip(NOT_HERE);
    };
    let _socket = ask(server.addr, 60)?;
    let count = "sum(histogram_count(backscope_exchange_duration_seconds{role=\"server\"}))";
    // The last one is over when something comes after it, or a second has passed.
    await_it(world.patience(), "native histogram", || Ok(prometheus.number(count)? == Some(60.0)))?;
    let median = "histogram_quantile(0.5, backscope_exchange_duration_seconds{role=\"server\"})";
    let median = prometheus.number(median)?.context("no median")?;
    ensure!((0.009..0.02).contains(&median), "{median} s, and it sleeps for 10 ms");
    for query in dashboard_queries()? {
        prometheus.query(&query)?;
    }
    Ok(())
}

fn rules(_: &World) -> anyhow::Result<()> {
    let run = |args: &[&str]| Command::new("promtool").args(args).current_dir(fleet()).output();
    let Ok(checked) = run(&["check", "rules", "alerts.yml"]) else { return skip(NOT_HERE) };
    let tested = run(&["test", "rules", "alerts_test.yml"])?;
    for output in [checked, tested] {
        ensure!(output.status.success(), "{output:?}");
    }
    Ok(())
}

fn two_at_one_port(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["serve", "--epoll"])?;
    let exporter = Exporter::start(world, ["--pid", &server.pid_arg()])?;
    let place = exporter.addr.to_string();
    let second = world
        .agent_command(&["export", "--pid", &server.pid_arg(), "--prometheus", &place])
        .output()?;
    let said = String::from_utf8_lossy(&second.stderr);
    ensure!(second.status.code() == Some(1), "{second:?}");
    ensure!(said.contains("another program listens there") && said.contains(&place), "{said}");
    ensure!(exporter.page()?.contains("backscope_watch_info"), "the first goes on");
    Ok(())
}

fn curl(args: &[&str]) -> anyhow::Result<Output> {
    Command::new("curl").args(["--silent", "--max-time", "10"]).args(args).output().context("curl")
}

fn protected(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["serve", "--epoll"])?;
    let pid = server.pid_arg();
    let open = format!("0.0.0.0:{}", net::free_port()?);
    let refused =
        world.agent_command(&["export", "--pid", &pid, "--prometheus", &open]).output()?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(2) && said.contains("--token-file"), "{refused:?}");

    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("token"), "0123456789abcdef0123\n")?;
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-keyout", &path("key"), "-out", &path("cert")])
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    let port = net::free_port()?;
    let mut command = world.agent_command(&["export", "--pid", &pid]);
    command.args(["--prometheus", &format!("0.0.0.0:{port}"), "--token-file", &path("token")]);
    command.args(["--tls-cert", &path("cert"), "--tls-key", &path("key")]);
    let _process = crate::harness::Process::start(command)?;
    let url = format!("https://localhost:{port}/metrics");
    let ca = path("cert");
    let right = "Authorization: Bearer 0123456789abcdef0123";
    await_it(world.patience(), "page over TLS", || {
        let output = curl(&["--cacert", &ca, "-H", right, &url])?;
        Ok(String::from_utf8_lossy(&output.stdout).contains("backscope_records_total"))
    })?;
    for wrong in ["Authorization: Bearer 0123456789abcdef0124", "X-Nothing: 1"] {
        let output = curl(&["--cacert", &ca, "-H", wrong, "-w", "%{http_code}", &url])?;
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(answer.ends_with("401") && !answer.contains("backscope_"), "{answer}");
    }
    let plain = curl(&[&format!("http://localhost:{port}/metrics"), "-H", right])?;
    ensure!(!plain.status.success() && plain.stdout.is_empty(), "{plain:?}");
    Ok(())
}

fn unix_socket(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["serve", "--epoll"])?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("metrics").display().to_string();
    let place = format!("unix:{path}");
    for _ in 0..2 {
        // The second one finds the first one's socket, where nobody listens any more.
        let mut process = crate::harness::Process::start(world.agent_command(&[
            "export",
            "--pid",
            &server.pid_arg(),
            "--prometheus",
            &place,
        ]))?;
        await_it(world.patience(), "page by a Unix socket", || {
            let output = curl(&["--unix-socket", &path, "http://localhost/metrics"])?;
            Ok(String::from_utf8_lossy(&output.stdout).contains("backscope_records_total"))
        })?;
        process.signal(libc::SIGTERM);
        let status = process.wait(world.patience())?;
        ensure!(status.success(), "{status}: {}", process.finish());
    }
    Ok(())
}

fn garbage(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["serve", "--epoll"])?;
    let exporter = Exporter::start(world, ["--pid", &server.pid_arg()])?;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1_000));
    for (request, expected) in [
        ("GET /metrics/../../etc/passwd HTTP/1.0\r\n\r\n", &[404][..]),
        ("GET /%00%ff HTTP/1.0\r\n\r\n", &[404]),
        ("POST /metrics HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", &[405]),
        ("DELETE /metrics HTTP/1.0\r\n\r\n", &[405]),
        ("\0\u{1}\u{2}\r\n\r\n", &[400]),
        ("GET /metrics HTTP/9.9\r\n\r\n", &[400]),
        (&long, &[414, 431, 400]),
        (&many, &[431, 400]),
    ] {
        let shown = &request[..request.len().min(60)];
        // The rest of a request that is not read may reset the connection before the answer is.
        let Ok(answer) = web::send(exporter.addr, request.as_bytes()) else { continue };
        ensure!(expected.contains(&answer.status), "{shown:?}: {answer:?}");
    }
    // TLS, and nothing at all.
    let _ = web::send(exporter.addr, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    drop(TcpStream::connect(exporter.addr)?);
    let page = exporter.page()?;
    let refused = sum_of(&page, "backscope_export_scrapes_total", &["outcome=\"refused\""]);
    ensure!(refused == Some(4.0), "{page}");
    ensure!(
        sum_of(&page, "backscope_export_scrapes_total", &["\"garbage\""]) >= Some(1.0),
        "{page}"
    );
    let (status, said) = exporter.stop()?;
    ensure!(status.success() && !said.contains("panicked"), "{status}: {said}");
    Ok(())
}

/// Processor time of a process, s.
fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit(')').next().context("no stat")?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

fn flood(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["serve", "--epoll"])?;
    let exporter = Exporter::start(world, ["--pid", &server.pid_arg()])?;
    let (addr, pid) = (exporter.addr, exporter.pid());
    let (memory, over) = (memory::resident(pid)?, Arc::new(AtomicBool::new(false)));
    let sent = Arc::new(AtomicU64::new(0));
    let mut floods = Vec::new();
    for kind in 0..4 {
        let (over, sent) = (Arc::clone(&over), Arc::clone(&sent));
        floods.push(thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let Ok(mut socket) = TcpStream::connect(addr) else { continue };
                let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
                let _ = socket.set_write_timeout(Some(Duration::from_millis(200)));
                // Half of them send as many as they can on one connection, and read nothing.
                for _ in 0..if kind % 2 == 0 { 1 } else { 10_000 } {
                    if socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").is_err() {
                        break;
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                let _ = socket.read(&mut [0; 64]);
            }
        }));
    }
    let (begin, before) = (Instant::now(), cpu_s(pid)?);
    thread::sleep(Duration::from_secs(5));
    let spent = (cpu_s(pid)? - before) / begin.elapsed().as_secs_f64();
    // The watch goes on meanwhile.
    let _socket = ask(server.addr, 10)?;
    over.store(true, Ordering::Relaxed);
    for flood in floods {
        let _ = flood.join();
    }
    let sent = sent.load(Ordering::Relaxed);
    ensure!(sent > 10_000, "only {sent} requests were sent");
    ensure!(spent < 0.3, "{sent} requests cost {spent} of a processor");
    let grown = memory::resident(pid)?.saturating_sub(memory);
    ensure!(grown < 16 << 20, "it grew by {grown} bytes");
    await_it(world.patience(), "page with what was asked", || {
        let label = port_label(server.addr.port());
        let page = exporter.page()?;
        Ok(sum_of(&page, "backscope_connections_accepted_total", &[&label]) == Some(1.0))
    })?;
    Ok(())
}

fn slow(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["serve", "--epoll"])?;
    let exporter = Exporter::start(world, ["--pid", &server.pid_arg()])?;
    let mut sockets = Vec::new();
    for number in 0..100 {
        let mut socket = TcpStream::connect(exporter.addr)?;
        // Some send half a request, some ask and never read.
        let request = if number % 2 == 0 { "GET /metr" } else { "GET /metrics HTTP/1.1\r\n\r\n" };
        socket.write_all(request.as_bytes())?;
        sockets.push(socket);
    }
    let page = exporter.page()?;
    let cut_off = sum_of(&page, "backscope_export_scrapes_total", &["\"cut_off\""]);
    ensure!(cut_off >= Some(60.0), "{page}");
    let open = fs::read_dir(format!("/proc/{}/fd", exporter.pid()))?.count();
    drop(sockets);
    let idle = fs::read_dir(format!("/proc/{}/fd", exporter.pid()))?.count();
    ensure!(open <= idle + 40, "{open} descriptors were open");
    Ok(())
}

//! Connects of a watched process that fail or hang: each is counted by address and error, with its
//! time.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::cases::finding::check_useful;
use crate::cases::{exchange, native};
use crate::harness::json::{Value, finds, is, number};
use crate::harness::net::{self, free_port};
use crate::harness::{Agent, Case, Client, Demo, Ended, Process, World, connect};
use crate::servers::installed;

pub(super) const CASES: &[Case] = &[
    exchange("connects::fail_by_address_and_error", by_address).by_processor().on_each_kernel(),
    exchange("connects::without_a_free_port", no_port).by_tier(),
    exchange("connects::that_work_are_no_finding", happy),
    native("connects::a_hang_is_the_networks_time_in_its_request", in_nginx),
    native("connects::a_hang_is_found_while_it_lasts", hangs),
];

/// One connect as its process saw it: address, error, time.
pub(in crate::cases) type Asked = (SocketAddr, i32, u64);

fn asked(line: &str) -> anyhow::Result<Asked> {
    let value =
        |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)).context("a value");
    let to = line.split(' ').nth(1).context("an address")?;
    Ok((to.parse()?, value("error=")?.parse()?, value("us=")?.parse()?))
}

/// Watches a process that connects to these. Returns its own view, and the agent's output.
fn watched(world: &World, knobs: &[&str]) -> anyhow::Result<(Vec<Asked>, Ended)> {
    let mut demo = world.demo_waiting(&[&["connects"], knobs].concat())?;
    demo.await_line("ready")?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let saw = connects(&mut demo, &mut agent)?;
    Ok((saw, agent.stop()?))
}

/// Lets a process connect. Returns its own view once the agent has told every failure.
pub(in crate::cases) fn connects(demo: &mut Demo, agent: &mut Agent) -> anyhow::Result<Vec<Asked>> {
    demo.go()?;
    demo.await_line("done")?;
    let saw = demo.lines("asked ").map(asked).collect::<anyhow::Result<Vec<_>>>()?;
    let failed = saw.iter().filter(|asked| asked.1 != 0).count();
    if failed > 0 {
        let told = Cell::new(0);
        agent.await_object("every connect that failed", |object| {
            told.set(told.get() + usize::from(is(object, "connect")));
            told.get() >= failed
        })?;
    }
    Ok(saw)
}

/// Starts a listener that takes no further connection: its queue is full, so that SYNs are silently
/// dropped.
fn silent(world: &World) -> anyhow::Result<(Demo, Client)> {
    let demo = world.demo(&["never-accept", "--backlog", "0"])?;
    let first = connect(demo.addr)?;
    Ok((demo, first))
}

/// Counts the failures of each address with each error.
fn counted(failures: impl Iterator<Item = (String, i32)>) -> BTreeMap<(String, i32), u64> {
    let mut counts = BTreeMap::new();
    failures.for_each(|failure| *counts.entry(failure).or_default() += 1);
    counts
}

fn number_of(error: &Value) -> i32 {
    match error.as_str() {
        Some("ECONNREFUSED") => libc::ECONNREFUSED,
        Some("ENETUNREACH") => libc::ENETUNREACH,
        Some("EHOSTUNREACH") => libc::EHOSTUNREACH,
        Some("EADDRNOTAVAIL") => libc::EADDRNOTAVAIL,
        Some("ETIMEDOUT") => libc::ETIMEDOUT,
        // A process that gives up has no error of the kernel.
        _ => -1,
    }
}

fn check_counts(saw: &[Asked], ended: &Ended) -> anyhow::Result<()> {
    let truth =
        counted(saw.iter().filter(|one| one.1 != 0).map(|&(to, error, _)| (to.to_string(), error)));
    let told = counted(ended.of("connect").map(|one| {
        (one["peer"].as_str().unwrap_or_default().to_owned(), number_of(&one["error"]))
    }));
    ensure!(truth == told, "the process saw {truth:?}, told is {told:?}");
    let totals = &ended.summary()?["connects"];
    let made = saw.iter().filter(|one| one.1 == 0).count() as u64;
    let failed = saw.len() as u64 - made;
    ensure!(
        number(totals, "/made") == Some(made) && number(totals, "/failed") == Some(failed),
        "{totals}"
    );
    Ok(())
}

/// Addresses at which connects are refused, hang, and find no way.
pub(in crate::cases) struct Failing {
    refuses: String,
    hangs: String,
    away: &'static str,
    _full: (Demo, Client),
}

impl Failing {
    pub(in crate::cases) fn new(world: &World) -> anyhow::Result<Self> {
        let full = silent(world)?;
        Ok(Self {
            refuses: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)).to_string(),
            hangs: full.0.ipv4().to_string(),
            away: "192.0.2.1:80",
            _full: full,
        })
    }

    /// What a process is to do that connects to each.
    pub(in crate::cases) fn knobs(&self) -> [&str; 10] {
        let Self { refuses, hangs, away, .. } = self;
        ["--to", refuses, "--to", hangs, "--to", away, "--count", "3", "--limit", "1300ms"]
    }
}

fn by_address(world: &World) -> anyhow::Result<()> {
    let failing = Failing::new(world)?;
    let (saw, ended) = watched(world, &failing.knobs())?;
    check_by_address(&failing, &saw, &ended)
}

/// Checks that each failure was told as its process saw it.
pub(in crate::cases) fn check_by_address(
    failing: &Failing,
    saw: &[Asked],
    ended: &Ended,
) -> anyhow::Result<()> {
    check_counts(saw, ended)?;
    for one in ended.of("connect") {
        let outcome = one["outcome"].as_str().unwrap_or_default();
        let wanted = match one["peer"].as_str() {
            Some(peer) if peer == failing.refuses => "refused",
            Some(peer) if peer == failing.hangs => "given_up",
            _ => "no_route",
        };
        ensure!(outcome == wanted, "{wanted}: {one}");
        let us = number(one, "/us").context("its time")?;
        // The second SYN is sent after a second.
        let is_long = us >= 1_200_000 && number(one, "/syns") >= Some(2);
        ensure!((outcome == "given_up") == is_long, "its time and SYNs: {one}");
        ensure!(one["pid"].is_u64() && one["tid"].is_u64(), "who asked: {one}");
    }
    let found = ended
        .objects
        .iter()
        .find(|object| finds(object, "connect-fails") && object["severity"] == "warning");
    let found = found.context("a finding")?;
    check_useful(found)
}

fn no_port(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["serve"])?;
    // An even number of ports: of an odd number the kernel may leave the last one untried
    // (`__inet_hash_connect`).
    net::set("ipv4/ip_local_port_range", "40000\t40003")?;
    let target = server.ipv4().to_string();
    let (saw, ended) = watched(world, &["--to", &target, "--count", "9", "--keep"])?;
    ensure!(
        saw.iter().filter(|one| one.1 == libc::EADDRNOTAVAIL).count() == 5,
        "five find no port: {saw:?}"
    );
    check_counts(&saw, &ended)?;
    for one in ended.of("connect") {
        ensure!(one["outcome"] == "no_port", "{one}");
        ensure!(
            number(one, "/ports/0") == Some(40_000) && number(one, "/ports/1") == Some(40_003),
            "{one}"
        );
        ensure!(one["time_wait"].is_u64() && number(one, "/syns") == Some(0), "{one}");
    }
    let found =
        ended.objects.iter().find(|object| finds(object, "connect-fails")).context("a finding")?;
    check_useful(found)?;
    ensure!(
        number(found, "/evidence/port_low").is_some() || found["evidence"]["port_low"] == 40_000.0,
        "{found}"
    );
    Ok(())
}

/// The first address of a name refuses, and the second answers on the same port. Clients with happy
/// eyeballs do this, and so does this client with plain connects.
fn happy(world: &World) -> anyhow::Result<()> {
    let server = world.demo(&["serve"])?;
    let port = server.addr.port();
    let (first, second) = (format!("[::1]:{port}"), format!("127.0.0.1:{port}"));
    let (saw, ended) = watched(world, &["--to", &first, "--to", &second, "--count", "4"])?;
    ensure!(saw.iter().filter(|one| one.1 == 0).count() >= 4, "the second answers: {saw:?}");
    check_counts(&saw, &ended)?;
    let fails = ended.of("finding").filter(|finding| finding["kind"] == "connect-fails");
    let mut fails = fails;
    let warned = fails.find(|finding| finding["severity"] != "info");
    ensure!(warned.is_none(), "nothing is wrong: {warned:?}");
    Ok(())
}

/// Starts nginx as a proxy: nobody answers `/silent`, and `/works` is answered.
fn start_nginx(
    world: &World,
    folder: &Path,
    silent: SocketAddr,
    works: SocketAddr,
) -> anyhow::Result<(Process, u16)> {
    let (place, port) = (folder.display(), free_port()?);
    let config = folder.join("nginx.conf");
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
             proxy_connect_timeout 1500ms;\n\
             server {{ listen 127.0.0.1:{port};\n\
             location /silent {{ proxy_pass http://{silent}; }}\n\
             location /works {{ proxy_pass http://{works}; }} }} }}\n"
        ),
    )?;
    let mut command = Command::new(installed("nginx")?);
    command.arg("-p").arg(folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(&config);
    let process = Process::start(command)?;
    net::await_listening(port, world.patience())?;
    Ok((process, port))
}

/// Requests a path, and returns the status.
fn get(port: u16, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

/// Time of a kind in an exchange, µs.
fn spent_us(exchange: &Value, kind: &str, owner: &str) -> u64 {
    let slices = exchange["slices"].as_array().into_iter().flatten();
    let of_kind = slices.filter(|slice| slice["kind"] == kind && slice["owner"] == owner);
    of_kind.filter_map(|slice| number(slice, "/us")).sum()
}

fn in_nginx(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (full, _first) = silent(world)?;
    let works = world.demo(&["http"])?;
    let (server, port) = start_nginx(world, folder.path(), full.ipv4(), works.ipv4())?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    // Three clients at a time, on one thread of the server: each waits for its own connect.
    let statuses: Vec<String> = std::thread::scope(|scope| {
        let begun: Vec<_> = (0..3).map(|_| scope.spawn(|| get(port, "/silent"))).collect();
        begun.into_iter().filter_map(|one| one.join().ok()?.ok()).collect()
    });
    ensure!(
        statuses.len() == 3 && statuses.iter().all(|line| line.contains("504")),
        "{statuses:?}"
    );
    for _ in 0..3 {
        get(port, "/works")?;
    }
    let finding = agent.await_finding("connect-fails")?;
    agent.await_time(net::monotonic_ns() + 2_500_000_000)?;
    let ended = agent.stop()?;
    ensure!(finding["severity"] == "warning", "three requests failed: {finding}");
    let served: Vec<&Value> = ended.of("exchange").filter(|one| one["role"] == "server").collect();
    let waited: Vec<&&Value> = served.iter().filter(|one| one["connects"].is_array()).collect();
    ensure!(waited.len() == 3, "each request has its connect: {served:?}");
    for one in waited {
        let (connect_us, app_us) =
            (spent_us(one, "connect", "network"), spent_us(one, "app", "app"));
        ensure!(connect_us >= 1_400_000 && app_us < 200_000, "nginx waited for a connect: {one}");
        ensure!(one["connects"][0]["peer"] == full.ipv4().to_string(), "{one}");
    }
    let slow = ended
        .objects
        .iter()
        .find(|object| finds(object, "slow-app") && object["severity"] != "info");
    ensure!(slow.is_none(), "nginx is not slow: {slow:?}");
    Ok(())
}

fn hangs(world: &World) -> anyhow::Result<()> {
    let (full, _first) = silent(world)?;
    let target = full.ipv4().to_string();
    let mut demo = world.demo_waiting(&["connects", "--to", &target, "--limit", "20s"])?;
    demo.await_line("ready")?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    demo.go()?;
    let finding = agent.await_object("a warning", |object| {
        finds(object, "connect-fails") && object["severity"] == "warning"
    })?;
    let said = finding["headline"].as_str().unwrap_or_default();
    ensure!(said.contains(&target) && said.contains("so far"), "it lasts still: {finding}");
    ensure!(demo.lines("asked ").next().is_none(), "it lasts still");
    check_useful(&finding)?;
    agent.stop().map(drop)
}

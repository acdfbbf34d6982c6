//! Accepts that fail.

use std::fs;
use std::time::Instant;

use anyhow::{Context, ensure};

use super::{address, check_silent, python};
use crate::harness::json::{finds, number, sees};
use crate::harness::{World, connect, skip};

/// The soft limit of descriptors of a process.
fn limit_of(pid: u32) -> anyhow::Result<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .context("no such limit")?;
    Ok(line.split_whitespace().next().context("no figure")?.parse()?)
}

pub(super) fn no_descriptor_left(world: &World) -> anyhow::Result<()> {
    let mut twin = world.demo(&["slow-acceptor", "--accept-delay", "0ms", "--keep", "--trace"])?;
    let mut agent = world.watch_queues().pid(twin.pid()).start()?;
    let healthy: Vec<_> = (0..8).map(|_| connect(twin.addr)).collect::<anyhow::Result<_>>()?;
    twin.await_accepts(healthy.len())?;
    agent.await_accepted(twin.addr.port(), 8)?;
    let ended = agent.stop()?;
    check_silent(&ended)?;
    ensure!(number(ended.listener(twin.addr.port())?, "/accept_fails") == Some(0), "none failed");

    let mut demo = world.demo(&[
        "slow-acceptor",
        "--accept-delay",
        "20ms",
        "--keep",
        "--spare",
        "3",
        "--trace",
    ])?;
    let port = demo.addr.port();
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    let clients: Vec<_> = (0..8).map(|_| connect(demo.addr)).collect::<anyhow::Result<_>>()?;
    let finding = agent.await_finding("accept-fails")?;
    ensure!(finding["owner"] == "app" && finding["severity"] != "info", "{finding}");
    ensure!(
        finding["headline"].to_string().contains("EMFILE"),
        "the error has its name: {finding}"
    );
    let limit = limit_of(demo.pid())?;
    ensure!(
        number(&finding, "/evidence/open_limit") == Some(limit),
        "the limit is {limit}: {finding}"
    );
    ensure!(number(&finding, "/evidence/open") == Some(limit), "all of them are open: {finding}");
    ensure!(number(&finding, "/evidence/depth") == Some(5), "3 of 8 were accepted: {finding}");
    agent.await_object("stalled", |object| {
        finds(object, "accept-fails") && object["severity"] == "critical"
    })?;
    // The tool's count lies between two counts of the server, before and after.
    let before = demo.await_lines("failed 24", 5)?.len() as u64;
    let listener = agent.await_listener(port, "what failed before", |listener| {
        number(listener, "/accept_fails") >= Some(before)
    })?;
    let told = number(&listener, "/accept_fails").unwrap_or(0);
    ensure!(
        number(&listener, "/accept_errors/EMFILE") == Some(told),
        "all for one reason: {listener}"
    );
    demo.await_lines("failed 24", told as usize)?;
    drop(clients);
    let ended = agent.stop()?;
    let starved: Vec<_> =
        ended.of("finding").filter(|finding| finding["kind"] == "accept-starved").collect();
    for finding in starved {
        ensure!(!finding["fix"].to_string().contains("two accepts"), "it contradicts: {finding}");
    }
    Ok(())
}

pub(super) fn no_descriptor_for_io_uring(world: &World) -> anyhow::Result<()> {
    let mut demo =
        world.demo(&["io-uring", "--accept-delay", "20ms", "--spare", "3", "--trace"])?;
    let mut agent = world.watch_queues().pid(demo.pid()).start()?;
    if !sees(agent.objects(), "accept_fails_io_uring") {
        return skip("this kernel shows no failure of io_uring's accept");
    }
    let _clients: Vec<_> = (0..8).map(|_| connect(demo.addr)).collect::<anyhow::Result<_>>()?;
    let before = demo.await_lines("failed 24", 5)?.len() as u64;
    let listener = agent.await_listener(demo.addr.port(), "what failed before", |listener| {
        number(listener, "/accept_fails") >= Some(before)
    })?;
    demo.await_lines("failed 24", number(&listener, "/accept_fails").unwrap_or(0) as usize)?;
    agent.await_finding("accept-fails")?;
    agent.stop().map(drop)
}

/// A server that retries at once fails some hundred thousand times a second. All are counted,
/// without a record for each.
pub(super) fn no_flood(world: &World) -> anyhow::Result<()> {
    const SERVER: &str = "
import resource, select, signal, socket, sys
listener = socket.create_server(('127.0.0.1', 0), backlog=64)
print(listener.getsockname()[1], flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))
kept, failed = [], 0
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(1000):
        try:
            kept.append(listener.accept())
        except OSError:
            failed += 1
print(failed, flush=True)
sys.stdin.readline()
";
    let (mut server, port) = python(world, SERVER)?;
    let to = address(&port)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let _clients: Vec<_> = (0..20).map(|_| connect(to)).collect::<anyhow::Result<_>>()?;
    server.write_line("begin")?;
    agent.await_listener(to.port(), "100,000 failures", |listener| {
        number(listener, "/accept_fails") >= Some(100_000)
    })?;
    server.write_line("end")?;
    let failed =
        server.next_line(Instant::now() + world.patience())?.context("the server ended")?;
    let failed: u64 = failed.trim().parse()?;
    agent.await_refresh(to.port())?;
    let ended = agent.stop()?;
    let listener = ended.listener(to.port())?;
    ensure!(number(listener, "/accept_fails") == Some(failed), "{failed} failed: {listener}");
    let events = &ended.summary()?["events"];
    ensure!(number(events, "/seen").is_some_and(|seen| seen < 1_000), "a record each: {events}");
    ensure!(number(events, "/lost") == Some(0), "some were lost: {events}");
    Ok(())
}

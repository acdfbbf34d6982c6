//! With a budget exchanges are watched by turns. What is told of them is as true as without, and
//! queues are watched all the time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{exchange, native};
use crate::harness::json::{Value, is, number};
use crate::harness::ledger::{connection_of, exchanges_of, is_connection, spent_us};
use crate::harness::net::monotonic_ns;
use crate::harness::{Agent, Case, World, skip};

pub(super) const CASES: &[Case] = &[
    exchange("budget::exchanges_are_watched_by_turns", by_turns).by_tier().on_each_kernel(),
    exchange("budget::a_request_across_a_pause_is_no_finding", across),
    native("budget::a_watch_within_it_has_no_pause", within),
    native("budget::the_cost_counts_what_comes_later", cost_of_later),
];

const ANSWER: usize = 200;
/// Pauses that have to be over before a case ends.
const PAUSES: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);

/// Asks once. Returns when, and when the answer had come.
fn ask(socket: &mut TcpStream) -> anyhow::Result<(u64, u64)> {
    let begin_ns = monotonic_ns();
    socket.write_all(b"ask\n")?;
    socket.read_exact(&mut [0; ANSWER]).context("no answer")?;
    Ok((begin_ns, monotonic_ns()))
}

fn client(addr: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpStream::connect(addr)?;
    socket.set_read_timeout(Some(LIMIT))?;
    Ok(socket)
}

/// Pauses that are over.
fn over(agent: &mut Agent) -> anyhow::Result<usize> {
    let objects = agent.arrived()?;
    Ok(objects.iter().filter(|object| is(object, "pause") && object["state"] == "ended").count())
}

/// The times in which exchanges were watched, the first one without an end before a pause left out.
fn watched(objects: &[Value], end_ns: u64) -> anyhow::Result<Vec<(u64, u64)>> {
    let mut times = Vec::new();
    let mut since_ns = Some(0);
    for pause in objects.iter().filter(|object| is(object, "pause")) {
        let ts_ns = number(pause, "/ts_ns").context("a time")?;
        if pause["state"] == "begun" {
            let since_ns = since_ns.take().with_context(|| format!("begun twice: {pause}"))?;
            times.push((since_ns, ts_ns));
        } else {
            ensure!(since_ns.is_none(), "ended twice: {pause}");
            since_ns = Some(ts_ns);
        }
    }
    times.extend(since_ns.map(|since_ns| (since_ns, end_ns)));
    Ok(times)
}

fn by_turns(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll"])?;
    let mut agent = world
        .watch()
        .pid(demo.pid())
        .args(["--budget", "1%"])
        .interval("200ms")
        .env("BACKSCOPE_PAUSES", "1000,1500")
        .start()?;
    let mut lasting = client(demo.addr)?;
    let (mut asked, mut made) = (Vec::new(), 1);
    let deadline = Instant::now() + LIMIT;
    while over(&mut agent)? < PAUSES || asked.len() % 20 != 1 {
        ensure!(Instant::now() < deadline, "{} pauses are over", over(&mut agent)?);
        asked.push(ask(&mut lasting)?);
        if asked.len() % 20 == 0 {
            ask(&mut client(demo.addr)?)?;
            made += 1;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let port = lasting.local_addr()?.port();
    let end_ns = monotonic_ns();
    agent.await_accepted(demo.addr.port(), made)?;
    let ended = agent.stop()?;
    ended.check_clean()?;
    ensure!(ended.of("accept").count() as u64 == made, "each of {made} is told");
    ensure!(ended.of("finding").next().is_none(), "nothing is wrong");
    let connection = connection_of(&ended.objects, "server", port)?;
    ensure!(connection["attached_midway"] == true, "it was not watched all the time: {connection}");
    let exchanges = exchanges_of(&ended.objects, connection);
    let times = watched(&ended.objects, end_ns)?;
    ensure!(times.len() > PAUSES, "{times:?}");
    for &(from_ns, until_ns) in &times {
        let inside = |begin_ns: u64, end_ns: u64| begin_ns >= from_ns && end_ns <= until_ns;
        let asked = asked.iter().filter(|(begin_ns, end_ns)| inside(*begin_ns, *end_ns)).count();
        let mut told = 0;
        for exchange in &exchanges {
            let start_ns = number(exchange, "/start_ns").context("a start")?;
            told += usize::from(inside(start_ns, start_ns));
        }
        // The one in hand when a pause begins is forgotten.
        ensure!(told + 2 >= asked && told <= asked + 1, "{told} of {asked} in {from_ns}");
    }
    for exchange in exchanges {
        // The first begins with the handshake.
        if exchange["midway"] != false || exchange["seq"] == 1 {
            continue;
        }
        ensure!(spent_us(exchange, &["unknown"]) == 0, "all of it was seen: {exchange}");
        let start_ns = number(exchange, "/start_ns").context("a start")?;
        let total_us = number(exchange, "/total_us").context("a time")?;
        // The client's ACK may come when it has the answer, and with its next request.
        let answered_us = total_us - spent_us(exchange, &["ack_wait", "delayed_ack"]);
        let end_ns = start_ns + answered_us * 1_000;
        let slack_ns = 1_000_000;
        let is_one = |(begin_ns, back_ns): &(u64, u64)| {
            *begin_ns <= start_ns + slack_ns && end_ns <= back_ns + slack_ns
        };
        ensure!(asked.iter().any(is_one), "nobody asked that: {exchange}");
    }
    let paused_us = number(ended.summary()?, "/paused_us").context("a time in pauses")?;
    ensure!(paused_us >= 1_500_000 * PAUSES as u64, "{paused_us} µs in pauses");
    Ok(())
}

/// A server that takes longer to answer than exchanges are watched at a time. Whatever of it was not
/// seen is not made up.
fn across(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll", "--sleep", "1500ms"])?;
    let mut agent = world
        .watch()
        .pid(demo.pid())
        .args(["--budget", "1%"])
        .interval("200ms")
        .env("BACKSCOPE_PAUSES", "900,1300")
        .start()?;
    let mut lasting = client(demo.addr)?;
    let mut asked = Vec::new();
    while over(&mut agent)? < PAUSES {
        asked.push(ask(&mut lasting)?);
    }
    let ended = agent.stop()?;
    ended.check_clean()?;
    for kind in ["unanswered", "closed-unserved", "close-wait-leak", "slow-reader", "send-blocked"]
    {
        ended.check_no_finding(kind)?;
    }
    for exchange in ended.of("exchange") {
        let total_us = number(exchange, "/total_us").context("a time")?;
        let whole = exchange["midway"] == false;
        ensure!(!whole || total_us >= 1_400_000, "answered after 1.5 s each: {exchange}");
        ensure!(total_us <= 1_700_000, "none took longer: {exchange}");
    }
    Ok(())
}

fn within(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll"])?;
    let mut agent = world.watch().pid(demo.pid()).args(["--budget", "50%"]).start()?;
    let mut lasting = client(demo.addr)?;
    let end_ns = monotonic_ns() + 7_000_000_000;
    let mut asked = 0;
    while monotonic_ns() < end_ns {
        ask(&mut lasting)?;
        asked += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    let port = lasting.local_addr()?.port();
    drop(lasting);
    agent.await_object("end of the connection", |object| is_connection(object, "server", port))?;
    let ended = agent.stop()?;
    ensure!(ended.of("pause").next().is_none(), "there was nothing to save");
    let told = ended.of("exchange").count();
    ensure!(told == asked, "{told} of {asked} are told");
    ensure!(ended.summary()?["paused_us"].is_null(), "no pause: {}", ended.summary()?);
    Ok(())
}

/// The kernel's statistics can be asked for as long as the watch goes on, though it has given up the
/// right to switch them on.
fn cost_of_later(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--epoll"])?;
    let mut agent = world.watch().pid(demo.pid()).interval("100ms").start()?;
    let begun_ns = monotonic_ns();
    agent.await_time(begun_ns + 1_000_000_000)?;
    let mut lasting = client(demo.addr)?;
    let mut asked = 0;
    while monotonic_ns() < begun_ns + 5_000_000_000 {
        ask(&mut lasting)?;
        asked += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    let ended = agent.stop()?;
    let Some(runs) = number(ended.summary()?, "/overhead/probe_runs") else {
        return skip("this kernel counts no runs of programs");
    };
    // Each is at least two reads and two writes, of both ends.
    ensure!(runs >= 2 * asked, "{asked} requests, {runs} runs of probes");
    Ok(())
}

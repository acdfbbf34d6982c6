//! Connections that end by a RST: requests that come too late, responses that are cut off.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use socket2::Socket;

use crate::cases::finding::check_useful;
use crate::cases::{exchange, native};
use crate::harness::json::{Value, finds, is, number};
use crate::harness::{Agent, Case, Demo, Ended, World};

pub(super) const CASES: &[Case] = &[
    exchange("resets::requests_that_meet_a_close", late_requests).by_tier(),
    exchange("resets::calls_that_meet_a_close", late_calls),
    exchange("resets::responses_to_requests_that_are_not_read", truncated),
    exchange("resets::ordinary_ends_are_no_fault", healthy),
    native("resets::a_half_close_from_before_the_attach_is_no_old_leak", half_closed),
];

/// Asks for a line, and reads the answer of one.
fn ask(stream: &TcpStream) -> anyhow::Result<()> {
    let mut stream = stream;
    stream.write_all(b"a line\n")?;
    let mut line = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut line)?;
    ensure!(line.ends_with(b"\n"), "no answer");
    Ok(())
}

fn connected(demo: &Demo, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let streams = (0..count).map(|_| {
        let stream = TcpStream::connect(demo.ipv4())?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(stream)
    });
    streams.collect()
}

/// Waits for the ends of so many connections.
fn await_ends(agent: &mut Agent, count: usize) -> anyhow::Result<()> {
    let ended = Cell::new(0);
    let found = agent.await_object("every connection's end", |object| {
        ended.set(ended.get() + usize::from(is(object, "connection")));
        ended.get() >= count
    });
    found.map(drop)
}

fn closes<'a>(ended: &'a Ended, why: &'a str) -> impl Iterator<Item = &'a Value> {
    ended.of("connection").filter(move |one| one["close"]["why"] == why)
}

/// Checks that no finding is about the end of connections. A busy machine may keep readers waiting.
fn check_no_warning(ended: &Ended) -> anyhow::Result<()> {
    let kinds = [
        "keepalive-race",
        "truncated-responses",
        "connect-fails",
        "close-wait-leak",
        "connection-churn",
    ];
    let ends = |finding: &&Value| kinds.iter().any(|kind| finding["kind"] == *kind);
    let warned = ended.of("finding").filter(ends).find(|finding| finding["severity"] != "info");
    ensure!(warned.is_none(), "nothing is wrong: {warned:?}");
    Ok(())
}

fn late_requests(world: &World) -> anyhow::Result<()> {
    const CLIENTS: usize = 4;
    let mut demo = world.demo(&["serve", "--trace", "--idle-timeout", "500ms"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let streams = connected(&demo, CLIENTS)?;
    streams.iter().try_for_each(ask)?;
    demo.await_lines("closed ", CLIENTS)?;
    // Acts like a pool that does not check its connections.
    let failed = streams.iter().filter(|stream| ask(stream).is_err()).count();
    ensure!(failed == CLIENTS, "the server had closed: {failed} failed");
    let finding = agent.await_finding("keepalive-race")?;
    await_ends(&mut agent, CLIENTS)?;
    let ended = agent.stop()?;
    check_useful(&finding)?;
    ended.check_no_finding("unanswered")?;
    ensure!(finding["severity"] == "warning", "{finding}");
    let late = closes(&ended, "late_request").count();
    ensure!(
        late == CLIENTS,
        "{late} came too late: {:?}",
        ended.of("connection").collect::<Vec<_>>()
    );
    for one in closes(&ended, "late_request") {
        let close = &one["close"];
        ensure!(
            close["by"] == "local" && close["how"] == "fin" && close["reset_by"] == "local",
            "{one}"
        );
        let idle_us = number(close, "/idle_us").unwrap_or(0);
        ensure!(idle_us >= 400_000, "closed after half a second: {one}");
    }
    let resets = &ended.summary()?["resets"];
    ensure!(number(resets, "/late_requests") == Some(CLIENTS as u64), "{resets}");
    Ok(())
}

/// A server that closes an idle connection after this long, and then serves no more.
fn closes_idle(
    after: Duration,
) -> anyhow::Result<(SocketAddr, thread::JoinHandle<anyhow::Result<()>>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let place = listener.local_addr()?;
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut buffer = [0; 64];
        ensure!(stream.read(&mut buffer)? > 0, "a request");
        stream.write_all(&[b'x'; 200])?;
        thread::sleep(after);
        Ok(())
    });
    Ok((place, served))
}

fn late_calls(world: &World) -> anyhow::Result<()> {
    let (place, served) = closes_idle(Duration::from_millis(500))?;
    let target = place.to_string();
    let knobs = [
        "client",
        "--target",
        &target,
        "--count",
        "2",
        "--pause",
        "1200ms",
        "--pause-every",
        "2",
        "--wait",
    ];
    let mut demo = world.demo_waiting(&[&knobs[..], &["--request", "40", "--trace"]].concat())?;
    demo.await_line("connected ")?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    demo.go()?;
    await_ends(&mut agent, 1)?;
    let ended = agent.stop()?;
    served.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
    ensure!(
        closes(&ended, "late_request").count() == 1,
        "{:?}",
        ended.of("connection").collect::<Vec<_>>()
    );
    let close = closes(&ended, "late_request").next().map(|one| &one["close"]);
    ensure!(close.is_some_and(|close| close["reset_by"] == "peer"), "{close:?}");
    ensure!(number(ended.summary()?, "/resets/late_requests") == Some(1), "{}", ended.summary()?);
    Ok(())
}

fn truncated(world: &World) -> anyhow::Result<()> {
    const CLIENTS: usize = 5;
    // It reads 20 bytes, answers and closes, even if more has come.
    let demo = world.demo(&["serve", "--read-size", "20", "--close-after", "1"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let mut reset = 0;
    for mut stream in connected(&demo, CLIENTS)? {
        stream.write_all(b"nineteen characters\nand the rest of a request\n")?;
        let mut answer = Vec::new();
        reset += usize::from(stream.read_to_end(&mut answer).is_err());
    }
    ensure!(reset == CLIENTS, "{reset} clients met a RST");
    let finding = agent.await_object("a warning", |object| {
        finds(object, "truncated-responses") && object["severity"] == "warning"
    })?;
    await_ends(&mut agent, CLIENTS)?;
    let ended = agent.stop()?;
    check_useful(&finding)?;
    ensure!(
        closes(&ended, "unread_data").count() == CLIENTS,
        "{:?}",
        ended.of("connection").collect::<Vec<_>>()
    );
    for one in closes(&ended, "unread_data") {
        let close = &one["close"];
        ensure!(close["how"] == "reset" && close["reset_by"] == "local", "{one}");
        ensure!(number(close, "/unread_bytes") == Some(26), "the rest of the request: {one}");
    }
    let resets = &ended.summary()?["resets"];
    ensure!(number(resets, "/truncated_responses") == Some(CLIENTS as u64), "{resets}");
    Ok(())
}

/// Four healthy ends: the server closes an idle connection, and then the client; a client resets
/// after its answer; a client shuts its side down first; and a client sends nothing at all.
fn healthy(world: &World) -> anyhow::Result<()> {
    const EACH: usize = 4;
    let mut demo = world.demo(&["serve", "--trace", "--idle-timeout", "500ms"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let idle = connected(&demo, EACH)?;
    idle.iter().try_for_each(ask)?;
    let aborted = connected(&demo, EACH)?;
    for stream in aborted {
        ask(&stream)?;
        Socket::from(stream).set_linger(Some(Duration::ZERO))?;
    }
    for stream in connected(&demo, EACH)? {
        ask(&stream)?;
        stream.shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        (&stream).read_to_end(&mut rest)?;
    }
    drop(connected(&demo, EACH)?);
    demo.await_lines("closed ", 4 * EACH)?;
    drop(idle);
    await_ends(&mut agent, 4 * EACH)?;
    let ended = agent.stop()?;
    check_no_warning(&ended)?;
    let resets = &ended.summary()?["resets"];
    let none = ["late_requests", "truncated_responses", "sent"].map(|name| resets[name].as_u64());
    ensure!(none == [Some(0); 3] && number(resets, "/received") == Some(EACH as u64), "{resets}");
    Ok(())
}

/// The clients closed before the watch began, and the server keeps its sockets. CLOSE_WAIT has then
/// lasted for seconds, not since the boot.
fn half_closed(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["serve", "--leak-close-wait"])?;
    for stream in connected(&demo, 4)? {
        ask(&stream)?;
    }
    let mut agent = world.watch().pid(demo.pid()).start()?;
    agent.await_time(crate::harness::net::monotonic_ns() + 2_000_000_000)?;
    let ended = agent.stop()?;
    ended.check_no_finding("close-wait-leak")
}

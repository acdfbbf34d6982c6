//! Every single event (`--detail events`), compared with the programs' traces, the segments on the
//! link and the kernel's counts.

mod ends;
mod events;
mod many;
mod sending;

use anyhow::{Context, ensure};

use super::ledger::{serve, servers_of_every_way};
use super::{any_exchange, exchange, native};
use crate::harness::json::{number, sees};
use crate::harness::ledger::{check_bytes, is_connection};
use crate::harness::trace::Conversation;
use crate::harness::{Agent, Case, Ended, World};
use ends::{half_closed, reset, time_wait};
use events::{Events, at, sum};
use many::{left_away_first, moderate_load, recorded};
use sending::{delayed_acks, held, shut_window, wire};

pub(super) const CASES: &[Case] = &[
    exchange("socket_events::what_the_programs_did", dialogue),
    any_exchange("socket_events::every_way_to_read_and_write", every_way).by_processor().by_tier(),
    exchange("socket_events::held_and_released", held).by_tier().alone(),
    exchange("socket_events::the_wire", wire).on_each_kernel().alone(),
    any_exchange("socket_events::both_ends_of_a_reset", reset),
    any_exchange("socket_events::both_ends_of_a_shut_window", shut_window).alone(),
    exchange("socket_events::time_wait", time_wait),
    exchange("socket_events::half_closed", half_closed),
    any_exchange("socket_events::delayed_acks", delayed_acks).alone(),
    any_exchange("socket_events::recorded", recorded),
    native("socket_events::none_lost_at_moderate_load", moderate_load).alone(),
    native("socket_events::left_away_first", left_away_first).alone(),
];

const EVENTS: [&str; 2] = ["--detail", "events"];

/// Ends a watch once the connection has ended on these sides, and checks that nothing was lost.
fn finish(mut agent: Agent, talk: &Conversation, roles: &[&str]) -> anyhow::Result<Ended> {
    for role in roles {
        agent.await_object("end of the connection", |object| {
            is_connection(object, role, talk.port)
        })?;
    }
    let ended = agent.stop()?;
    check_nothing_lost(&ended)?;
    Ok(ended)
}

fn check_nothing_lost(ended: &Ended) -> anyhow::Result<()> {
    let summary = ended.summary()?;
    ensure!(number(summary, "/events/lost") == Some(0), "lost: {summary}");
    Ok(())
}

/// Watches a server while a client asks it.
fn watched(
    world: &World,
    server: &[&str],
    client: &[&str],
) -> anyhow::Result<(Ended, Conversation)> {
    let mut demo = serve(world, server)?;
    let agent = world.watch().pid(demo.pid()).args(EVENTS).start()?;
    let talk = Conversation::hold(world, &mut demo, client)?;
    let ended = finish(agent, &talk, &["server"])?;
    check_bytes(&ended, &talk)?;
    Ok((ended, talk))
}

/// Watches both ends of a connection from the client's first request on. With `--keep` the server
/// closes first.
fn both(world: &World, server: &[&str], client: &[&str]) -> anyhow::Result<(Ended, Conversation)> {
    let mut demo = serve(world, server)?;
    let mut begun = Conversation::begin(world, &demo, &[client, &["--wait"]].concat())?;
    begun.0.await_line("connected ")?;
    let agent = world.watch().pid(demo.pid()).pid(begun.0.pid()).args(EVENTS).start()?;
    begun.0.go()?;
    if client.contains(&"--keep") {
        demo.await_line("closed ")?;
        begun.0.go()?;
    }
    let talk = begun.end(&mut demo)?;
    Ok((finish(agent, &talk, &["server", "client"])?, talk))
}

/// Checks that reads, writes, segments and acknowledgements of a server's connection add up to its
/// trace.
fn check_sums(events: &Events<'_>, talk: &Conversation) -> anyhow::Result<()> {
    let (bytes_in, bytes_out) = talk.check_kernel()?;
    let of =
        |field| talk.served.iter().map(|served| served.get(field)).sum::<anyhow::Result<u64>>();
    let (reads, writes) =
        (events.moving("read").count() as u64, events.moving("write").count() as u64);
    ensure!(
        (reads, writes) == (of("reads")?, of("writes")?),
        "{reads} reads, {writes} writes: {:?}",
        talk.served
    );
    ensure!(sum(events.named("read"), "/bytes") == bytes_in, "{bytes_in} bytes were read");
    ensure!(sum(events.named("write"), "/bytes") == bytes_out, "{bytes_out} bytes were written");
    let sent = sum(events.segments(), "/bytes");
    ensure!(sent == bytes_out, "{bytes_out} bytes were written, the segments have {sent}");
    let acknowledged = sum(events.named("ack"), "/bytes");
    ensure!(
        acknowledged == bytes_out,
        "{bytes_out} bytes were written, {acknowledged} acknowledged"
    );
    Ok(())
}

/// Checks the order: data arrive, are read, go out in segments, and these are acknowledged. Each
/// call returns at the time that the program traced.
fn check_order(events: &Events<'_>, talk: &Conversation) -> anyhow::Result<()> {
    let tid = talk.served.first().context("nothing was served")?.get("tid")?;
    let reads: Vec<_> = events.moving("read").collect();
    let writes: Vec<_> = events.moving("write").collect();
    ensure!(
        reads.len() == talk.served.len() && writes.len() == reads.len(),
        "a read and a write for each request"
    );
    let mut before_ns = 0;
    for ((served, read), write) in talk.served.iter().zip(&reads).zip(&writes) {
        let caller = (number(read, "/tid"), number(write, "/tid"));
        ensure!(caller == (Some(tid), Some(tid)), "thread {tid} called: {read} {write}");
        ensure!(at(read) <= served.get("read_ns")?, "after it returned: {read} {served:?}");
        let inside = served.get("write_ns")?..=served.get("written_ns")?;
        ensure!(inside.contains(&at(write)), "outside the call: {write} {served:?}");
        let mut sent = events.since(*inside.start()).take_while(|event| at(event) <= *inside.end());
        ensure!(sent.any(|event| event["name"] == "segment"), "no segment left within: {served:?}");
        let came =
            events.until(at(read)).any(|event| event["name"] == "data" && at(event) >= before_ns);
        ensure!(came, "no data came between the write before and the read: {read}");
        before_ns = *inside.start();
    }
    let (mut sent, mut acknowledged) = (0, 0);
    for event in &events.0 {
        let bytes = number(event, "/bytes").unwrap_or(0);
        match event["name"].as_str() {
            Some("segment") => sent += bytes,
            Some("ack") => acknowledged += bytes,
            _ => {}
        }
        ensure!(acknowledged <= sent, "acknowledged before it was sent: {event}");
    }
    Ok(())
}

fn dialogue(world: &World) -> anyhow::Result<()> {
    let (ended, talk) = watched(world, &[], &["--count", "20"])?;
    let events = Events::of(&ended, "server", talk.port)?;
    check_sums(&events, &talk)?;
    check_order(&events, &talk)?;
    let states = events.states();
    ensure!(
        states == ["ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSE"],
        "the client closes first: {states:?}"
    );
    let end = events.named("read").last().context("no read")?;
    ensure!(number(end, "/bytes") == Some(0), "the end is read last: {end}");
    let fins =
        events.named("segment").filter(|segment| segment["flags"].to_string().contains("FIN"));
    ensure!(fins.count() == 1, "one segment has the FIN");
    let blocked = events
        .named("read")
        .all(|read| read["blocked_us"].is_u64() == sees(&ended.objects, "read_blocked"));
    ensure!(blocked, "a wait is known where it is seen, and nowhere else");
    Ok(())
}

fn every_way(world: &World) -> anyhow::Result<()> {
    let mut servers = servers_of_every_way(world)?;
    let watch = servers.iter().fold(world.watch(), |watch, server| watch.pid(server.pid()));
    let mut agent = watch.args(EVENTS).start()?;
    let client = ["--count", "3", "--response", "12000"];
    let mut talks = Vec::new();
    for server in &mut servers {
        talks.push(Conversation::hold(world, server, &client)?);
    }
    for talk in &talks {
        agent.await_object("end of the connection", |object| {
            is_connection(object, "server", talk.port)
        })?;
    }
    let ended = agent.stop()?;
    check_nothing_lost(&ended)?;
    for (server, talk) in servers.iter().zip(&talks) {
        let events = Events::of(&ended, "server", talk.port)?;
        let (bytes_in, bytes_out) = talk.check_kernel()?;
        let moved = (sum(events.named("read"), "/bytes"), sum(events.named("write"), "/bytes"));
        ensure!(
            moved == (bytes_in, bytes_out),
            "{}: {bytes_in} in, {bytes_out} out: {moved:?}",
            server.name()
        );
    }
    // This server peeks before it reads.
    let peeks = ended
        .of("event")
        .filter(|event| event["name"] == "peek" && number(event, "/bytes") > Some(0));
    ensure!(peeks.count() >= 3, "no peeks");
    Ok(())
}

//! Every single event (`--detail events`), compared with the programs' traces, the segments on the
//! link and the kernel's counts.

mod events;

use anyhow::{Context, ensure};

use events::{Events, at, sum};

use super::ack::{FAR, linked};
use super::ledger::{serve, servers_of_every_way};
use super::record::{equal, replay};
use super::{any_exchange, exchange, native};
use crate::harness::json::{Value, is, number, sees};
use crate::harness::ledger::{check_bytes, connection_of, is_connection, spent_us};
use crate::harness::net::await_closing;
use crate::harness::trace::{Conversation, Trace};
use crate::harness::{Agent, Case, Ended, Tier, World};

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

/// A tail loss probe for one small segment is sent after this time at the earliest
/// (`tcp_schedule_loss_probe`).
const PROBED_US: u64 = 150_000;

fn held(world: &World) -> anyhow::Result<()> {
    let (ended, talk) =
        watched(world, &["--writes", "4,200"], &["--response", "204", "--count", "6"])?;
    let events = Events::of(&ended, "server", talk.port)?;
    let (holds, releases): (Vec<_>, Vec<_>) =
        (events.named("hold").collect(), events.named("release").collect());
    ensure!(
        holds.len() >= 2 && holds.len() == releases.len(),
        "held and sent: {holds:?} {releases:?}"
    );
    for (hold, release) in holds.iter().zip(&releases) {
        ensure!(hold["reason"] == "nagle" && release["reason"] == "nagle", "{hold} {release}");
        ensure!(number(hold, "/bytes") == Some(200), "the second write: {hold}");
        let held_us = number(release, "/held_us").context("how long")?;
        ensure!((at(release) - at(hold)).abs_diff(held_us * 1_000) <= 1_000, "{hold} {release}");
        let unsent = |write: &&Value| {
            write["reason"] == "nagle" && number(write, "/unsent_bytes") == Some(200)
        };
        ensure!(
            events.moving("write").filter(unsent).count() == holds.len(),
            "the writes say so, too"
        );
        // The acknowledgement of the first write releases it; if that is late, a tail loss probe
        // does.
        let acknowledged =
            events.moving("ack").any(|ack| (at(hold)..=at(release)).contains(&at(ack)));
        ensure!(
            acknowledged || held_us > PROBED_US,
            "released without an acknowledgement: {release}"
        );
    }
    let connection = connection_of(&ended.objects, "server", talk.port)?;
    let (told_us, count) =
        (sum(releases.iter().copied(), "/held_us"), number(connection, "/nagle/holds"));
    ensure!(count == Some(holds.len() as u64), "{connection}");
    let held_us = number(connection, "/nagle/held_us").context("no time held")?;
    ensure!(held_us.abs_diff(told_us) <= holds.len() as u64, "{told_us} µs: {connection}");
    Ok(())
}

/// Compares with a device on the link, which saw each segment with data that the server sent, in
/// order. One is dropped.
fn wire(world: &World) -> anyhow::Result<()> {
    let (mut link, mut server) = linked(world, &["--trace", "--drop-nth", "3"], &[])?;
    let agent = world.watch().pid(server.pid()).args(EVENTS).start()?;
    let talk = Conversation::begin_at(world, FAR, &["--count", "5"])?.end(&mut server)?;
    let ended = finish(agent, &talk, &["server"])?;
    let events = Events::of(&ended, "server", talk.port)?;
    check_sums(&events, &talk)?;
    let dropped = Trace::parse(&link.await_line("dropped ")?).get("seq")?;
    let told: Vec<_> = events
        .moving("segment")
        .map(|event| (number(event, "/seq"), number(event, "/bytes")))
        .collect();
    let again: Vec<_> = events.named("retransmit").collect();
    // The kernel's count begins with the SYN-ACK.
    let before = ended.of("event").filter(|event| event["name"] == "synack_retransmit").count();
    let kernel = talk.closed.get("retransmits")?;
    ensure!(
        (before + again.len()) as u64 == kernel,
        "{before} SYN-ACKs, {again:?} {:?}",
        talk.closed
    );
    ensure!(!again.is_empty(), "one was dropped");
    for retransmit in &again {
        ensure!(
            number(retransmit, "/seq") == Some(dropped),
            "the one that was dropped, {dropped}: {retransmit}"
        );
        ensure!(number(retransmit, "/bytes") == Some(200), "all of it: {retransmit}");
        ensure!(
            ["timeout", "tail_loss_probe"].iter().any(|cause| retransmit["cause"] == *cause),
            "{retransmit}"
        );
    }
    let marked = events.moving("segment").filter(|segment| segment["again"] == true);
    ensure!(marked.count() == again.len(), "segments sent again are marked: {told:?}");
    let passed = |link: &crate::harness::Demo| {
        let server = |segment: &Trace| {
            segment.get("source").is_ok_and(|port| port == u64::from(server.addr.port()))
        };
        let lines = link.lines("relayed ").map(Trace::parse).filter(server);
        lines
            .map(|segment| (segment.get("seq").ok(), segment.get("bytes").ok()))
            .collect::<Vec<_>>()
    };
    while passed(&link).len() + 1 < told.len() {
        link.read_line("the segments that passed")?;
    }
    let mut wire = passed(&link);
    wire.insert(2, (Some(dropped), Some(200)));
    ensure!(wire == told, "on the wire: {wire:?}, told: {told:?}");
    Ok(())
}

fn reset(world: &World) -> anyhow::Result<()> {
    let (ended, talk) = both(world, &["--close-after", "1", "--linger0"], &["--keep"])?;
    for (role, by) in [("server", "local"), ("client", "peer")] {
        let events = Events::of(&ended, role, talk.port)?;
        let resets: Vec<_> = events.named("reset").collect();
        ensure!(resets.len() == 1 && resets[0]["by"] == by, "the {role} saw {resets:?}");
        ensure!(events.states() == ["CLOSE"], "the {role} went to {:?}", events.states());
    }
    let server = Events::of(&ended, "server", talk.port)?;
    let sent = server
        .named("segment")
        .filter(|segment| segment["flags"].to_string().contains("RST"))
        .count();
    ensure!(sent == 1, "{sent} segments with RST");
    Ok(())
}

fn shut_window(world: &World) -> anyhow::Result<()> {
    let client =
        ["--response", "60000", "--receive-buffer", "4096", "--slow-read", "300ms", "--count", "2"];
    let (ended, talk) = both(world, &["--response", "60000"], &client)?;
    for (role, side) in [("client", "local"), ("server", "peer")] {
        let events = Events::of(&ended, role, talk.port)?;
        let windows: Vec<_> =
            events.named("window").filter(|window| window["side"] == side).collect();
        ensure!(
            windows.len() >= 2,
            "the client's window was shut and opened, its {role} says {windows:?}"
        );
        for (place, window) in windows.iter().enumerate() {
            ensure!(window["zero"] == (place % 2 == 0), "shut and open by turns: {windows:?}");
            ensure!(
                (number(window, "/bytes") == Some(0)) == (place % 2 == 0),
                "its size: {window}"
            );
        }
        let other = events.named("window").filter(|window| window["side"] != side).count();
        ensure!(other == 0, "nobody but the client shuts a window");
    }
    let server = connection_of(&ended.objects, "server", talk.port)?;
    let exchanges = ended.of("exchange").filter(|exchange| exchange["sock"] == server["sock"]);
    ensure!(
        exchanges
            .map(|exchange| spent_us(exchange, &["receive_window", "send_buffer"]))
            .sum::<u64>()
            > 0,
        "held"
    );
    Ok(())
}

/// Returns the events of a server's connection. The client ends it when the server has printed
/// `done`.
fn ended_by_go(
    world: &World,
    server: &[&str],
    done: &str,
) -> anyhow::Result<(Ended, Conversation)> {
    let mut demo = serve(world, server)?;
    let agent = world.watch().pid(demo.pid()).args(EVENTS).start()?;
    let mut begun = Conversation::begin(world, &demo, &["--keep"])?;
    demo.await_line(done)?;
    if done.starts_with("closed") {
        await_closing(demo.addr.port(), world.patience())?;
    }
    begun.0.go()?;
    let talk = begun.end(&mut demo)?;
    Ok((finish(agent, &talk, &["server"])?, talk))
}

/// Checks the states up to TIME_WAIT. The socket itself is closed once a timewait socket has
/// replaced it.
fn check_time_wait(ended: &Ended, events: &Events<'_>, substates: &[&str]) -> anyhow::Result<()> {
    let states = events.states();
    ensure!(
        states == ["ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE"],
        "{states:?}"
    );
    let state =
        events.named("state").find(|state| state["to"] == "TIME_WAIT").context("no TIME_WAIT")?;
    let seen = ended.objects.first().is_some_and(|attached| attached["tier"] == Tier::Full.name());
    ensure!(state["observed_by"].is_null() == seen, "only what is inferred says so: {state}");
    let substate = &state["substate"];
    let known = substates.iter().any(|expected| substate == expected);
    ensure!(if seen { known } else { substate.is_null() }, "within it {substates:?}: {state}");
    Ok(())
}

fn time_wait(world: &World) -> anyhow::Result<()> {
    let (ended, talk) = ended_by_go(world, &["--close-after", "1"], "closed ")?;
    let events = Events::of(&ended, "server", talk.port)?;
    // Nobody reads there any more, so a timewait socket may wait for the peer's FIN, too.
    check_time_wait(&ended, &events, &["FIN_WAIT2", "TIME_WAIT"])?;
    let fin = events.named("state").find(|state| state["to"] == "FIN_WAIT1").context("no FIN")?;
    ensure!(fin["shutdown"] == "both", "closed: {fin}");
    Ok(())
}

fn half_closed(world: &World) -> anyhow::Result<()> {
    let (ended, talk) = ended_by_go(world, &["--half-close"], "exchange ")?;
    let events = Events::of(&ended, "server", talk.port)?;
    check_time_wait(&ended, &events, &["TIME_WAIT"])?;
    let fin = events.named("state").find(|state| state["to"] == "FIN_WAIT1").context("no FIN")?;
    ensure!(fin["shutdown"] == "send", "it reads on: {fin}");
    Ok(())
}

fn delayed_acks(world: &World) -> anyhow::Result<()> {
    let (ended, talk) =
        both(world, &["--writes", "4,200"], &["--response", "204", "--count", "6"])?;
    let events = Events::of(&ended, "client", talk.port)?;
    let connection = connection_of(&ended.objects, "client", talk.port)?;
    let Some(sent) = number(connection, "/delayed_acks/sent") else { return Ok(()) };
    let delayed: Vec<_> = events.named("delayed_ack").collect();
    ensure!(delayed.len() as u64 == sent && sent >= 2, "{delayed:?}: {connection}");
    let told = number(connection, "/delayed_acks/waited_us");
    ensure!(told == Some(sum(delayed.iter().copied(), "/waited_us")), "{delayed:?}: {connection}");
    for delayed in delayed {
        // It is the only segment nearby, and carries no data.
        let near = |segment: &Value| {
            at(segment).abs_diff(at(delayed)) < 5_000_000 && number(segment, "/bytes") == Some(0)
        };
        ensure!(world.vm || events.named("segment").any(near), "no ACK left then: {delayed}");
    }
    Ok(())
}

fn recorded(world: &World) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let mut demo = serve(world, &["--peek", "--writes", "4,200"])?;
    let watch = world.watch().pid(demo.pid()).args(EVENTS).args(["-o".as_ref(), file.as_os_str()]);
    let agent = watch.start()?;
    let talk = Conversation::hold(world, &mut demo, &["--response", "204", "--count", "4"])?;
    let ended = finish(agent, &talk, &["server"])?;
    ensure!(ended.of("event").count() > 30, "hardly an event to compare");
    let (objects, output) = replay(world, &file)?;
    ensure!(output.status.success(), "replay ended with {}", output.status);
    equal(&ended.objects, &objects)?;
    ensure!(
        ended.objects.len() == objects.len(),
        "{} objects, {} replayed",
        ended.objects.len(),
        objects.len()
    );
    let plain = world.agent_command(&["replay", "--plain", "--speed", "64"]).arg(&file).output()?;
    let text = String::from_utf8_lossy(&plain.stdout);
    let line = format!("127.0.0.1:{}: 40 bytes by thread", talk.port);
    ensure!(plain.status.success() && text.contains(&line), "no read of 40 bytes: {text}");
    Ok(())
}

fn moderate_load(world: &World) -> anyhow::Result<()> {
    let (ended, talk) = watched(world, &[], &["--count", "2000"])?;
    let events = Events::of(&ended, "server", talk.port)?;
    check_sums(&events, &talk)?;
    check_order(&events, &talk)
}

/// Under pressure single events are dropped first, and counted. Everything else is as it would be
/// without them.
fn left_away_first(world: &World) -> anyhow::Result<()> {
    let mut demo = serve(world, &[])?;
    let watch = world.watch().pid(demo.pid()).args(EVENTS).env("BACKSCOPE_RING_BYTES", "65536");
    let mut agent = watch.start()?;
    let talk = Conversation::hold(world, &mut demo, &["--count", "4000"])?;
    agent.await_object("end of the connection", |object| {
        is_connection(object, "server", talk.port)
    })?;
    let ended = agent.stop()?;
    let (told, left) = (ended.of("event").count() as u64, ended.lost("events"));
    ensure!(
        told > 0 && left > 0,
        "{told} events told, {left} left away: {:?}",
        ended.of("lost").collect::<Vec<_>>()
    );
    let (bytes_in, bytes_out) = talk.check_kernel()?;
    let connection = connection_of(&ended.objects, "server", talk.port)?;
    let told = (number(connection, "/bytes/in"), number(connection, "/bytes/out"));
    ensure!(
        told == (Some(bytes_in), Some(bytes_out)),
        "{bytes_in} bytes came, {bytes_out} went: {connection}"
    );
    let shown = ended.objects.iter().filter(|object| is(object, "exchange")).count() as u64;
    let away = ended.lost("exchanges_brief") + ended.lost("exchanges") + ended.lost("ring");
    ensure!(away < left, "{left} events were left away, {away} exchanges");
    ensure!(shown + away >= talk.asked.len() as u64, "{shown} exchanges shown, {away} left away");
    Ok(())
}

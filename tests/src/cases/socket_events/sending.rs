//! Held, sent again, acknowledged late: what the segments on the link say, too.

use anyhow::{Context, ensure};

use super::events::{Events, at, sum};
use super::{EVENTS, both, check_sums, finish, watched};
use crate::cases::ack::{FAR, linked};
use crate::harness::World;
use crate::harness::json::{Value, number};
use crate::harness::ledger::{connection_of, spent_us};
use crate::harness::trace::{Conversation, Trace};

/// A tail loss probe for one small segment is sent after this time at the earliest
/// (`tcp_schedule_loss_probe`).
const PROBED_US: u64 = 150_000;

pub(super) fn held(world: &World) -> anyhow::Result<()> {
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
pub(super) fn wire(world: &World) -> anyhow::Result<()> {
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

pub(super) fn shut_window(world: &World) -> anyhow::Result<()> {
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

pub(super) fn delayed_acks(world: &World) -> anyhow::Result<()> {
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

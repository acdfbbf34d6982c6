//! From the wire to the acknowledgement: the peer's distance, its delayed ACKs, and losses.

use anyhow::{Context, ensure};

use super::ledger::serve;
use super::{EXCHANGES, any_exchange, any_tier, each_tier, native};
use crate::harness::json::{Value, is, number};
use crate::harness::ledger::{
    Truth, check_bytes, check_verdict, connection_of, exchanges_of, is_connection, paired, spent_us,
};
use crate::harness::net::Counters;
use crate::harness::trace::{Conversation, Trace};
use crate::harness::truth::Handshake;
use crate::harness::{Case, Demo, Ended, World, skip};

pub(super) const CASES: &[Case] = &[
    any_exchange("ack::peer_20_ms_away", far_away).alone(),
    any_exchange("ack::segment_dropped", dropped).on_each_kernel().alone(),
    each_tier("ack::both_ends_agree_on_delayed_acks", both_ends)
        .on_each_kernel()
        .since(EXCHANGES)
        .alone(),
    any_tier("ack::open_connections_tell_of_delayed_acks", open_connection)
        .by_tier()
        .since(EXCHANGES)
        .alone(),
    each_tier("ack::nagle_and_delayed_ack_agree", nagle_and_delayed_ack)
        .by_tier()
        .since(EXCHANGES)
        .alone(),
    native("ack::retransmits_are_found", retransmits_found),
];

const RTT_NS: u64 = 40_000_000;
/// Address of the server on the link, and the one at which its client reaches it.
const NEAR: &str = "10.77.0.1:7200";
pub(super) const FAR: &str = "10.77.0.2:7200";
/// Kinds of time that the peer holds after the last byte is sent.
const AFTER_SENDING: [&str; 3] = ["ack_wait", "delayed_ack", "retransmit"];

/// A link with a round-trip time of 40 ms, and a server on it. Skips the case where there is no TUN
/// device.
pub(super) fn linked(
    world: &World,
    link: &[&str],
    server: &[&str],
) -> anyhow::Result<(Demo, Demo)> {
    let mut link = world.demo_waiting(&[&["delay-link", "--rtt", "40ms"], link].concat())?;
    link.await_line("link ")?;
    let server = serve(world, &[&["--listen", NEAR], server].concat())?;
    Ok((link, server))
}

/// Watches the server on the link while a client asks it five times.
fn over_the_link(world: &World, knobs: &[&str]) -> anyhow::Result<(Demo, Ended, Conversation)> {
    let (link, mut server) = linked(world, &[&["--trace"], knobs].concat(), &[])?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let talk = Conversation::begin_at(world, FAR, &["--count", "5"])?.end(&mut server)?;
    agent.await_object("end of the connection", |object| {
        is_connection(object, "server", talk.port)
    })?;
    let ended = agent.stop()?;
    check_bytes(&ended, &talk)?;
    Ok((link, ended, talk))
}

/// Returns the latest time at which an answer was acknowledged: with the next request.
fn acknowledged_ns(talk: &Conversation, place: usize) -> anyhow::Result<u64> {
    talk.served.get(place + 1).context("the last answer")?.get("first_read_ns")
}

fn far_away(world: &World) -> anyhow::Result<()> {
    let (_, ended, talk) = over_the_link(world, &[])?;
    let exchanges = paired(&ended, "server", &talk)?;
    // The first has the handshake in it, and nothing follows the last.
    for (place, (exchange, server, client)) in exchanges.iter().enumerate().skip(1).take(3) {
        check_verdict(exchange, "network", "ack_wait")?;
        let truth = Truth::new(RTT_NS, acknowledged_ns(&talk, place)? - server.get("write_ns")?);
        truth.check(world, "ack_wait", spent_us(exchange, &["ack_wait"]), client)?;
    }
    let first = exchanges.first().context("no exchange")?.0;
    let shake = talk.handshake;
    let truth = Truth::new(RTT_NS, shake.done_ns - shake.started_ns);
    truth.check(world, "handshake", spent_us(first, &["handshake"]), &talk.asked[0])
}

fn dropped(world: &World) -> anyhow::Result<()> {
    let (mut link, ended, talk) = over_the_link(world, &["--drop-nth", "3"])?;
    let lost = Trace::parse(&link.await_line("dropped ")?);
    let seq = lost.get("seq")?;
    let again = loop {
        let copy = link.lines("relayed ").map(Trace::parse).find(|segment| {
            segment.get("seq").is_ok_and(|other| other == seq)
                && segment.get("bytes").is_ok_and(|bytes| bytes == 200)
        });
        match copy {
            Some(copy) => break copy,
            None => link.read_line("the segment sent again")?,
        }
    };
    let gone_ns = again.get("at_ns")? - lost.get("at_ns")?;
    let place = 2;
    let (exchange, server, client) = paired(&ended, "server", &talk)?[place];
    check_verdict(exchange, "network", "retransmit")?;
    let acked_ns = acknowledged_ns(&talk, place)?;
    let truth = Truth::new(gone_ns + RTT_NS, acked_ns - server.get("write_ns")?);
    truth.check(
        world,
        "time to the acknowledgement",
        spent_us(exchange, &AFTER_SENDING),
        client,
    )?;
    // The round trip of the retransmitted copy may or may not be part of it.
    let truth = Truth::new(gone_ns - RTT_NS, gone_ns + RTT_NS);
    truth.check(world, "retransmit", spent_us(exchange, &["retransmit"]), client)?;
    let connection = connection_of(&ended.objects, "server", talk.port)?;
    let told = number(connection, "/retransmits");
    ensure!(told == Some(talk.closed.get("retransmits")?), "{:?}: {connection}", talk.closed);
    Ok(())
}

/// Watches a server and its client from the client's first exchange on, and returns what the kernel
/// counted meanwhile.
fn both(
    world: &World,
    server: &[&str],
    client: &[&str],
) -> anyhow::Result<(Ended, Conversation, u64)> {
    let mut demo = serve(world, server)?;
    let mut begun = Conversation::begin(world, &demo, &[client, &["--wait"]].concat())?;
    begun.0.await_line("connected ")?;
    let mut agent = world.watch().pid(demo.pid()).pid(begun.0.pid()).interval("100ms").start()?;
    let before = Counters::read()?;
    begun.0.go()?;
    let talk = begun.end(&mut demo)?;
    for role in ["server", "client"] {
        agent.await_object("end of the connection", |object| {
            is_connection(object, role, talk.port)
        })?;
    }
    let delayed = Counters::read()?.get("DelayedACKs") - before.get("DelayedACKs");
    Ok((agent.stop()?, talk, delayed))
}

/// Returns the delayed ACKs that the client's end reports as sent, and the sum of their waits, µs;
/// `None` where this kernel and tier do not show them.
fn sent_by_client(ended: &Ended, talk: &Conversation) -> anyhow::Result<Option<(u64, u64)>> {
    let connection = connection_of(&ended.objects, "client", talk.port)?;
    Ok(number(connection, "/delayed_acks/sent").zip(number(connection, "/delayed_acks/waited_us")))
}

/// Checks that two sums over `count` waits agree: within 5 % or 200 µs for each wait; emulated,
/// within a quarter.
fn check_agree(world: &World, count: u64, sender_us: u64, receiver_us: u64) -> anyhow::Result<()> {
    let more = sender_us.max(receiver_us);
    let tolerance = (more / 20).max(200 * count).max(world.lost_ticks(more));
    ensure!(
        sender_us.abs_diff(receiver_us) <= tolerance,
        "{count} delayed ACKs: the sender says {sender_us} µs, the receiver {receiver_us} \
         (± {tolerance})"
    );
    Ok(())
}

/// Less than any delayed ACK, and more than most other delays, µs.
const LEAST_US: u64 = 20_000;

/// Returns the waits of the server's exchanges for a late last ACK, µs, and whether the other end
/// proved it.
fn suffered(objects: &[Value], server: &Value) -> Vec<(u64, bool)> {
    let waited = |exchange: &Value| {
        let last = exchange["slices"].as_array()?.last()?.clone();
        let us =
            number(&last, "/us").filter(|us| last["kind"] == "delayed_ack" && *us > LEAST_US)?;
        Some((us, last["evidence"] == "proved"))
    };
    exchanges_of(objects, server).into_iter().filter_map(waited).collect()
}

fn both_ends(world: &World) -> anyhow::Result<()> {
    // A client that asks again at once sends its delayed ACK with the request. After every fourth
    // answer it pauses, and has nothing to send the ACK with.
    let client = ["--count", "24", "--pause", "300ms", "--pause-every", "4"];
    let (ended, talk, delayed) = both(world, &[], &client)?;
    let server = connection_of(&ended.objects, "server", talk.port)?;
    let waits = suffered(&ended.objects, server);
    ensure!(delayed >= 2, "the kernel delayed only {delayed} ACKs");
    let Some((sent, waited_us)) = sent_by_client(&ended, &talk)? else { return Ok(()) };
    let proved: Vec<u64> = waits.iter().filter(|(_, proved)| *proved).map(|(us, _)| *us).collect();
    ensure!(sent <= delayed, "the kernel sent {delayed}, the client {sent}");
    ensure!(proved.len() as u64 <= sent, "{} are proved, the client sent {sent}", proved.len());
    // Without its hook a delayed ACK is seen only by a scan, or when data arrive next; and not if
    // this host writes first. In an emulated machine scans are rare.
    let hook = ended
        .objects
        .first()
        .and_then(|attached| attached["hooks"]["delayed_ack"].as_str())
        .unwrap_or_default();
    if world.vm && !hook.starts_with("fentry") {
        return Ok(());
    }
    // The ACK of the last answer may go with the FIN, and the server may delay ACKs of its own.
    ensure!(
        sent + 1 >= waits.len() as u64,
        "the server waited for {waits:?}, the client sent {sent}"
    );
    ensure!(
        proved.len() >= 2 && proved.len() + 1 >= waits.len(),
        "the other end is here and known: {waits:?}"
    );
    ensure!(proved.len() as u64 == sent, "the client sent {sent}, the server knows of {waits:?}");
    check_agree(world, sent, proved.iter().sum(), waited_us)
}

fn open_connection(world: &World) -> anyhow::Result<()> {
    let demo = serve(world, &[])?;
    let mut begun = Conversation::begin(world, &demo, &["--count", "8", "--wait", "--keep"])?;
    let port = Handshake::parse(&begun.0.await_line("connected ")?)?.port;
    let mut agent = world.watch().pid(demo.pid()).pid(begun.0.pid()).start()?;
    begun.0.go()?;
    // The last exchange is reported after a second of silence, while the connection is open.
    agent.await_object("last exchange", |object| {
        is(object, "exchange") && object["role"] == "server" && object["seq"] == 8
    })?;
    let ended = agent.stop()?;
    let server = connection_of(&ended.objects, "server", port)?;
    let client = connection_of(&ended.objects, "client", port)?;
    let (sent, waited_us) =
        (number(client, "/delayed_acks/sent"), number(client, "/delayed_acks/waited_us"));
    let (Some(sent), Some(waited_us)) = (sent, waited_us) else {
        return skip("this kernel and tier show no delayed ACKs");
    };
    let waits = suffered(&ended.objects, server);
    ensure!(
        sent == 1 && waits.len() == 1 && waits[0].1,
        "the client sent {sent}, the server waited for {waits:?}"
    );
    check_agree(world, sent, waits[0].0, waited_us)
}

fn nagle_and_delayed_ack(world: &World) -> anyhow::Result<()> {
    let (ended, talk, delayed) =
        both(world, &["--writes", "4,200"], &["--response", "204", "--count", "6"])?;
    let is_held =
        |client: &&Trace| client.between("first_ns", "done_ns").is_ok_and(|ns| ns > 20_000_000);
    let held = talk.asked.iter().filter(is_held).count() as u64;
    ensure!(
        held >= 2 && delayed >= held,
        "{held} answers were held, the kernel delayed {delayed} ACKs"
    );
    let server = connection_of(&ended.objects, "server", talk.port)?;
    let held_us = number(server, "/nagle/held_us").context("no time held")?;
    let Some((sent, waited_us)) = sent_by_client(&ended, &talk)? else { return Ok(()) };
    ensure!(sent >= held, "{held} answers were held for a delayed ACK, the client sent {sent}");
    check_agree(world, sent, held_us, waited_us)
}

fn retransmits_found(world: &World) -> anyhow::Result<()> {
    let (_link, server) = linked(world, &["--drop-every", "4"], &[])?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let _client = Conversation::begin_at(world, FAR, &["--count", "100000"])?;
    super::finding::check_useful(&agent.await_finding("retransmits")?)?;
    agent.stop().map(drop)
}

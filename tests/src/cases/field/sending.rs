//! Responses on their way out: what holds them, and which side a writer waits for.

use anyhow::ensure;

use crate::cases::ack::{FAR, linked};
use crate::cases::finding::check_useful;
use crate::cases::ledger::{serve, watched};
use crate::cases::{any_exchange, native};
use crate::harness::json::{Value, is, number};
use crate::harness::ledger::{is_connection, paired, spent_us};
use crate::harness::trace::Conversation;
use crate::harness::{Case, Ended, World, net};

pub(super) const CASES: &[Case] = &[
    native("field::sending::head_then_body_over_a_narrow_link", |world| without_room(world, "bbr")),
    native("field::sending::the_same_without_pacing", |world| without_room(world, "reno")),
    native("field::sending::a_narrow_link_is_the_networks", narrow),
    native("field::sending::a_far_client_is_no_fault", far),
    // On an emulated machine a writer may be without a CPU for more than a second, which splits one
    // exchange in two.
    native("field::sending::work_between_writes", working),
    native("field::sending::a_window_that_shuts_later", shut_later),
    native("field::sending::a_cork_never_lifted", cork_found),
    native("field::sending::a_cork_lifted", cork_lifted),
    native("field::sending::an_ack_that_this_host_delays", own_ack_found),
    native("field::sending::a_request_in_one_piece", |world| {
        left_in_peace(world, &[], &["--request", "204"])
    }),
    native("field::sending::a_window_that_begins_anew", |world| after_idle(world, 1)),
    native("field::sending::a_window_that_stays", |world| after_idle(world, 0)),
    native("field::sending::a_next_request_that_was_lost", next_request),
    any_exchange("field::sending::delayed_acks_are_bounded", bounded),
];

const MS_US: u64 = 1_000;
/// A link so narrow that a body takes 600 ms.
const NARROW: [&str; 2] = ["--rate", "500000"];

/// Watches a server on the link while a client asks it.
fn over_the_link(
    world: &World,
    link: &[&str],
    server: &[&str],
    client: &[&str],
) -> anyhow::Result<(Ended, Conversation)> {
    let (_link, mut server) = linked(world, link, server)?;
    let mut agent = world.watch().pid(server.pid()).start()?;
    let talk = Conversation::begin_at(world, FAR, client)?.end(&mut server)?;
    agent.await_object("end of the connection", |object| {
        is_connection(object, "server", talk.port)
    })?;
    Ok((agent.stop()?, talk))
}

/// Checks that nothing of warning level or above was found.
fn check_peace(ended: &Ended) -> anyhow::Result<()> {
    let severe = |finding: &&Value| {
        ["warning", "critical"].iter().any(|severity| finding["severity"] == *severity)
    };
    let found: Vec<_> = ended.of("finding").filter(severe).collect();
    ensure!(found.is_empty(), "a healthy server is accused: {found:?}");
    Ok(())
}

/// A blocking server writes a head, then a body. It traces how long its writes took.
fn without_room(world: &World, congestion_control: &str) -> anyhow::Result<()> {
    net::set("ipv4/tcp_congestion_control", congestion_control)?;
    // A growing buffer would take the whole body if the client is quick.
    net::set("ipv4/tcp_wmem", "4096 65536 65536")?;
    let client = ["--response", "300100", "--count", "4"];
    let (ended, talk) = over_the_link(world, &NARROW, &["--writes", "100,300000"], &client)?;
    let mut blocked = 0;
    for (exchange, server, _) in paired(&ended, "server", &talk)? {
        let writing_us = server.between("write_ns", "written_ns")? / 1_000;
        let app_us = spent_us(exchange, &["app"]);
        // A sleep of less than two round trips may have been the server's own, for all that the
        // agent knows.
        if writing_us >= 150 * MS_US {
            blocked += 1;
            ensure!(app_us < writing_us / 4, "it was blocked for {writing_us} us: {exchange}");
        }
        ensure!(exchange["verdict"]["owner"] == "network", "the link is narrow: {exchange}");
    }
    ensure!(blocked > 0, "no write was blocked: {:?}", talk.served);
    ended.check_no_finding("slow-app")
}

fn narrow(world: &World) -> anyhow::Result<()> {
    net::set("ipv4/tcp_congestion_control", "bbr")?;
    let client = ["--response", "300000", "--count", "4"];
    let (ended, talk) = over_the_link(world, &NARROW, &["--response", "300000"], &client)?;
    for (exchange, server, client) in paired(&ended, "server", &talk)? {
        let all_us = (client.get("done_ns")? - server.get("write_ns")?) / 1_000;
        let network_us = spent_us(exchange, &["congestion", "ack_wait", "retransmit"]);
        ensure!(exchange["verdict"]["owner"] == "network", "BBR paces to the link: {exchange}");
        ensure!(network_us > all_us / 10 * 8, "of {all_us} us: {exchange}");
        ensure!(spent_us(exchange, &["pacing"]) < all_us / 10, "nobody set a pace: {exchange}");
    }
    Ok(())
}

fn far(world: &World) -> anyhow::Result<()> {
    let client = ["--response", "204", "--count", "8"];
    let (ended, _) = over_the_link(world, &[], &["--writes", "4,200", "--nodelay"], &client)?;
    check_peace(&ended)
}

/// Small pieces, with work between them. Nagle's algorithm holds some meanwhile, which delays
/// nothing.
fn working(world: &World) -> anyhow::Result<()> {
    let server = ["--writes", "4,4,4", "--between", "25ms"];
    for nodelay in [&[][..], &["--nodelay"]] {
        let (ended, talk) =
            watched(world, &[&server, nodelay].concat(), &["--response", "12", "--count", "6"])?;
        for (exchange, server, _) in paired(&ended, "server", &talk)? {
            let working_us = server.between("write_ns", "written_ns")? / 1_000;
            let own_us = spent_us(exchange, &["app", "run_queue"]);
            ensure!(
                own_us + 2 * MS_US > working_us / 10 * 9,
                "it worked for {working_us} us: {exchange}"
            );
        }
    }
    Ok(())
}

/// Bytes that Nagle's algorithm or segmentation holds first, and then, for long, the peer's shut
/// window.
fn shut_later(world: &World) -> anyhow::Result<()> {
    net::set("ipv4/tcp_congestion_control", "reno")?;
    let pieces = vec!["20100"; 40].join(",");
    let client = [
        "--response",
        "804000",
        "--receive-buffer",
        "65536",
        "--slow-read",
        "500ms",
        "--count",
        "3",
    ];
    let (ended, talk) = watched(world, &["--writes", &pieces], &client)?;
    for (exchange, server, client) in paired(&ended, "server", &talk)? {
        let shut_us = client.get("first_ns")?.saturating_sub(server.get("write_ns")?) / 1_000;
        let (peer, kernel) = (
            spent_us(exchange, &["receive_window", "send_buffer"]),
            spent_us(exchange, &["nagle", "cork"]),
        );
        ensure!(peer > shut_us / 10 * 8, "the peer did not read for {shut_us} us: {exchange}");
        ensure!(kernel < 50 * MS_US, "its window was shut: {exchange}");
    }
    ended.check_no_finding("nagle-delayed-ack")
}

/// Watches until this is found, and returns it.
fn await_found(
    world: &World,
    kind: &str,
    server: &[&str],
    client: &[&str],
) -> anyhow::Result<Value> {
    let demo = serve(world, server)?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let _client = Conversation::begin(world, &demo, &[client, &["--count", "100000"]].concat())?;
    let finding = agent.await_finding(kind)?;
    check_useful(&finding)?;
    agent.stop()?;
    Ok(finding)
}

fn cork_found(world: &World) -> anyhow::Result<()> {
    let finding = await_found(
        world,
        "cork-held",
        &["--writes", "4,200", "--cork", "forget"],
        &["--response", "204"],
    )?;
    ensure!(finding["owner"] == "app" && finding["severity"] == "warning", "{finding}");
    Ok(())
}

fn cork_lifted(world: &World) -> anyhow::Result<()> {
    left_in_peace(world, &["--writes", "4,200", "--cork", "lift"], &["--response", "204"])
}

fn own_ack_found(world: &World) -> anyhow::Result<()> {
    let finding = await_found(world, "delayed-ack", &[], &["--wwr"])?;
    ensure!(finding["owner"] == "kernel" && finding["severity"] == "warning", "{finding}");
    ensure!(finding["inferred"] == true, "the client's side was not seen: {finding}");
    Ok(())
}

fn left_in_peace(world: &World, server: &[&str], client: &[&str]) -> anyhow::Result<()> {
    let (ended, _) = watched(world, server, &[&["--count", "200"], client].concat())?;
    check_peace(&ended)
}

/// Large answers over a long path, with pauses longer than a retransmission timeout. The outcome
/// depends on the kernel's setting.
fn after_idle(world: &World, restarts: u8) -> anyhow::Result<()> {
    net::set("ipv4/tcp_congestion_control", "reno")?;
    net::set("ipv4/tcp_slow_start_after_idle", restarts)?;
    let client = ["--response", "400000", "--count", "6", "--pause", "700ms"];
    let (ended, _) = over_the_link(world, &[], &["--response", "400000"], &client)?;
    let found = ended.of("finding").any(|finding| finding["kind"] == "slow-start-after-idle");
    ensure!(
        found == (restarts == 1),
        "tcp_slow_start_after_idle={restarts}: {:?}",
        ended.of("finding").collect::<Vec<_>>()
    );
    Ok(())
}

/// The third request is lost. The second answer had arrived long before, so the time does not
/// belong to that exchange.
fn next_request(world: &World) -> anyhow::Result<()> {
    let link = ["--trace", "--drop-from", "client", "--drop-nth", "3"];
    let (ended, talk) = over_the_link(world, &link, &[], &["--count", "5"])?;
    for (exchange, ..) in paired(&ended, "server", &talk)? {
        let beyond_us = spent_us(exchange, &["retransmit", "unknown"]);
        ensure!(beyond_us < 50 * MS_US, "none of its bytes was lost: {exchange}");
    }
    Ok(())
}

/// A client that asks seldom, with long silences. Each ACK that this host delayed waited for 200 ms
/// at most.
fn bounded(world: &World) -> anyhow::Result<()> {
    let (ended, _) =
        watched(world, &["--work", "60ms"], &["--wwr", "--count", "4", "--pause", "400ms"])?;
    for connection in ended.objects.iter().filter(|object| is(object, "connection")) {
        let sent = number(connection, "/delayed_acks/sent").unwrap_or(0);
        let waited_us = number(connection, "/delayed_acks/waited_us").unwrap_or(0);
        ensure!(waited_us <= sent * 200 * MS_US, "{sent} ACKs: {connection}");
    }
    Ok(())
}

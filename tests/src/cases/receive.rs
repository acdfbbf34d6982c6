//! From the SYN to the read: data and connections that wait for the application, and an application
//! that waits for data.

use anyhow::ensure;

use super::ledger::{found, watched, watched_in_part};
use super::{any_exchange, exchange, native};
use crate::harness::json::sees;
use crate::harness::ledger::{Truth, check_bytes, check_verdict, is_connection, paired, spent_us};
use crate::harness::trace::Conversation;
use crate::harness::{Case, World};

pub(super) const CASES: &[Case] = &[
    exchange("receive::accept_delayed", accept_delayed).alone(),
    exchange("receive::reader_asleep_50_ms", asleep).on_each_kernel().alone(),
    any_exchange("receive::reader_busy_50_ms", busy).alone(),
    any_exchange("receive::request_in_two_parts", two_parts).alone(),
    native("receive::read_after_one_that_is_not_seen", after_an_unseen).alone(),
    native("receive::slow_reader_is_found", slow_reader),
];

fn accept_delayed(world: &World) -> anyhow::Result<()> {
    // Long enough for the next client to start meanwhile, which is slow under emulation.
    let delay = if world.vm { "2s" } else { "300ms" };
    let mut demo = super::ledger::serve(world, &["--accept-delay", delay])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    // The first connection finds the server in accept; the others come while it sleeps.
    let talks = (0..3)
        .map(|_| Conversation::hold(world, &mut demo, &[]))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for talk in &talks {
        agent.await_object("end of the connection", |object| {
            is_connection(object, "server", talk.port)
        })?;
    }
    let ended = agent.stop()?;
    for talk in &talks {
        check_bytes(&ended, talk)?;
    }
    if !sees(&ended.objects, "queued") {
        return Ok(());
    }
    for talk in &talks[1..] {
        for (exchange, _, client) in paired(&ended, "server", talk)? {
            check_verdict(exchange, "app", "accept_queue")?;
            let (shake, returned_ns) = (talk.handshake, talk.accepted.returned_ns);
            let truth = Truth::new(
                returned_ns - shake.done_ns.min(returned_ns),
                returned_ns - shake.started_ns,
            );
            truth.check(world, "accept_queue", spent_us(exchange, &["accept_queue"]), client)?;
        }
    }
    Ok(())
}

/// Checks that the data waited for their reader in all exchanges but the first, which includes the
/// accept.
fn waits_in_the_queue(world: &World, server: &[&str]) -> anyhow::Result<()> {
    let (ended, talk) = watched(world, server, &["--count", "5"])?;
    for (exchange, server, client) in paired(&ended, "server", &talk)?.into_iter().skip(1) {
        check_verdict(exchange, "app", "receive_queue")?;
        let read_ns = server.get("first_read_ns")?;
        let truth = Truth::new(
            read_ns.saturating_sub(client.get("written_ns")?),
            read_ns.saturating_sub(client.get("write_ns")?),
        );
        // The wait ends with the wait of the woken thread for a processor.
        truth.check(
            world,
            "receive_queue",
            spent_us(exchange, &["receive_queue", "run_queue"]),
            client,
        )?;
    }
    Ok(())
}

fn asleep(world: &World) -> anyhow::Result<()> {
    waits_in_the_queue(world, &["--sleep-before-read", "50ms"])
}

fn busy(world: &World) -> anyhow::Result<()> {
    waits_in_the_queue(world, &["--busy-before-read", "50ms", "--epoll"])
}

/// On the tracepoint tier a read by splice is not seen. The next data must not seem to have waited
/// since before that read.
fn after_an_unseen(world: &World) -> anyhow::Result<()> {
    let client = ["--count", "2", "--pause", "200ms"];
    let (ended, talk) =
        watched_in_part(world, &["--io", "splice,read", "--sleep-before-read", "20ms"], &client)?;
    for (exchange, server, client) in paired(&ended, "server", &talk)?.into_iter().skip(1) {
        let read_ns = server.get("first_read_ns")?;
        let waited = [client.get("written_ns")?, client.get("write_ns")?]
            .map(|ns| read_ns.saturating_sub(ns));
        let truth = Truth::new(waited[0], waited[1]);
        truth.check(
            world,
            "receive_queue",
            spent_us(exchange, &["receive_queue", "run_queue"]),
            client,
        )?;
    }
    Ok(())
}

fn two_parts(world: &World) -> anyhow::Result<()> {
    // Nagle's algorithm on the client holds the second part back. To the server, the peer has not
    // sent it yet.
    let (ended, talk) = watched(world, &[], &["--wwr", "--count", "6"])?;
    let mut held = 0;
    for (exchange, server, client) in paired(&ended, "server", &talk)? {
        let between = server.between("first_read_ns", "read_ns")?;
        if between > 20_000_000 {
            held += 1;
            check_verdict(exchange, "peer", "request")?;
            let truth =
                Truth::new(between, server.get("read_ns")?.saturating_sub(client.get("write_ns")?));
            // When the second part has come, the woken thread waits for a processor.
            truth.check(
                world,
                "request",
                spent_us(exchange, &["request", "receive_queue", "run_queue"]),
                client,
            )?;
        }
    }
    ensure!(held >= 2, "the kernel held only {held} of 6 requests back");
    Ok(())
}

fn slow_reader(world: &World) -> anyhow::Result<()> {
    found(world, "slow-reader", &["--sleep-before-read", "50ms"], &["--count", "100000"])
}

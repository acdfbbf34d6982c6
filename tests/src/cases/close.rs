//! Ends of connections, and connections that do not end.

use anyhow::ensure;

use super::finding::check_useful;
use super::ledger::serve;
use super::{any_exchange, native};
use crate::harness::ledger::{check_bytes, connection_of, is_connection};
use crate::harness::net::{await_closing, monotonic_ns};
use crate::harness::trace::Conversation;
use crate::harness::{Case, World};

pub(super) const CASES: &[Case] = &[
    any_exchange("close::by_the_peer", |world| ends(world, &[], "exchange ", ("peer", "fin"))),
    any_exchange("close::by_the_server", |world| {
        ends(world, &["--close-after", "1"], "closed ", ("local", "fin"))
    }),
    any_exchange("close::by_a_reset", |world| {
        ends(world, &["--close-after", "1", "--linger0"], "closed ", ("local", "reset"))
    })
    .on_each_kernel(),
    any_exchange("close::half_closed", |world| {
        ends(world, &["--half-close"], "exchange ", ("local", "fin"))
    }),
    native("close::close_wait_leak_is_found", close_wait_leak),
    native("close::connection_churn_is_found", churn),
];

/// Checks which side ended a connection of one exchange, and how. The client closes when the server
/// has printed `done`.
fn ends(world: &World, server: &[&str], done: &str, (by, how): (&str, &str)) -> anyhow::Result<()> {
    let mut demo = serve(world, server)?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let mut begun = Conversation::begin(world, &demo, &["--keep"])?;
    demo.await_line(done)?;
    if done.starts_with("closed") {
        await_closing(demo.addr.port(), world.patience())?;
    }
    begun.0.go()?;
    let talk = begun.end(&mut demo)?;
    agent.await_object("end of the connection", |object| {
        is_connection(object, "server", talk.port)
    })?;
    let ended = agent.stop()?;
    check_bytes(&ended, &talk)?;
    let connection = connection_of(&ended.objects, "server", talk.port)?;
    let close = &connection["close"];
    ensure!(close["by"] == by && close["how"] == how, "ended by {by}, {how}: {connection}");
    Ok(())
}

fn close_wait_leak(world: &World) -> anyhow::Result<()> {
    let mut demo = serve(world, &["--leak-close-wait"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    for _ in 0..20 {
        Conversation::hold(world, &mut demo, &[])?;
    }
    // It is called a leak after half a minute, which is longer than one wait may take.
    let begin_ns = monotonic_ns();
    agent.await_time(begin_ns + 15_000_000_000)?;
    agent.await_time(begin_ns + 29_000_000_000)?;
    check_useful(&agent.await_finding("close-wait-leak")?)?;
    agent.stop().map(drop)
}

fn churn(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms", "--reply"])?;
    let mut agent = world.watch().pid(demo.pid()).start()?;
    let target = demo.addr.to_string();
    let _load = world.demo_waiting(&["load", "--target", &target, "--rate", "300/s"])?;
    check_useful(&agent.await_finding("connection-churn")?)?;
    agent.stop().map(drop)
}

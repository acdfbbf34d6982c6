//! How connections end.

use anyhow::{Context, ensure};

use super::events::Events;
use super::{EVENTS, both, finish};
use crate::cases::ledger::serve;
use crate::harness::net::await_closing;
use crate::harness::trace::Conversation;
use crate::harness::{Ended, Tier, World};

pub(super) fn reset(world: &World) -> anyhow::Result<()> {
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

pub(super) fn time_wait(world: &World) -> anyhow::Result<()> {
    let (ended, talk) = ended_by_go(world, &["--close-after", "1"], "closed ")?;
    let events = Events::of(&ended, "server", talk.port)?;
    // Nobody reads there any more, so a timewait socket may wait for the peer's FIN, too.
    check_time_wait(&ended, &events, &["FIN_WAIT2", "TIME_WAIT"])?;
    let fin = events.named("state").find(|state| state["to"] == "FIN_WAIT1").context("no FIN")?;
    ensure!(fin["shutdown"] == "both", "closed: {fin}");
    Ok(())
}

pub(super) fn half_closed(world: &World) -> anyhow::Result<()> {
    let (ended, talk) = ended_by_go(world, &["--half-close"], "exchange ")?;
    let events = Events::of(&ended, "server", talk.port)?;
    check_time_wait(&ended, &events, &["TIME_WAIT"])?;
    let fin = events.named("state").find(|state| state["to"] == "FIN_WAIT1").context("no FIN")?;
    ensure!(fin["shutdown"] == "send", "it reads on: {fin}");
    Ok(())
}

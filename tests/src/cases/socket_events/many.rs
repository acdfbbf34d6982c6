//! More events than usual: recorded, under load, and more than fit.

use anyhow::ensure;

use super::events::Events;
use super::{EVENTS, check_order, check_sums, finish, watched};
use crate::cases::ledger::serve;
use crate::cases::record::{equal, replay};
use crate::harness::World;
use crate::harness::json::{is, number};
use crate::harness::ledger::{connection_of, is_connection};
use crate::harness::trace::Conversation;

pub(super) fn recorded(world: &World) -> anyhow::Result<()> {
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

pub(super) fn moderate_load(world: &World) -> anyhow::Result<()> {
    let (ended, talk) = watched(world, &[], &["--count", "2000"])?;
    let events = Events::of(&ended, "server", talk.port)?;
    check_sums(&events, &talk)?;
    check_order(&events, &talk)
}

/// Under pressure single events are dropped first, and counted. Everything else is as it would be
/// without them.
pub(super) fn left_away_first(world: &World) -> anyhow::Result<()> {
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

//! The target ends, or the time does: the screen stands still, and tells how.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{server, watch};
use crate::cases::record::replay;
use crate::harness::json::{Value, is, number};
use crate::harness::terminal::OnScreen;
use crate::harness::{World, converse, signal};
use crate::servers::installed;

/// The kernel tells how a process ended that is no child of ours.
pub(super) fn how_a_target_ended(world: &World) -> anyhow::Result<()> {
    for (number, name) in [(libc::SIGKILL, "SIGKILL"), (libc::SIGTERM, "SIGTERM")] {
        let demo = server(world)?;
        let agent = world.watch_queues().pid(demo.pid()).start()?;
        signal(demo.pid(), number);
        let ended = agent.ended()?;
        let [process] = ended_of(ended.summary()?) else {
            anyhow::bail!("one ended: {}", ended.summary()?)
        };
        ensure!(process["pid"] == demo.pid(), "{process}");
        ensure!(process["signal"] == name && process["exit_status"].is_null(), "{process}");
        ensure!(process["comm"] == "demo-servers", "{process}");
    }
    // The virtual machines have no Python.
    if installed("python3").is_ok() {
        status_of_threads(world)?;
    }

    // Whoever goes on has not ended.
    let demo = server(world)?;
    let ended = world.watch_queues().pid(demo.pid()).start()?.stop()?;
    ensure!(ended_of(ended.summary()?).is_empty(), "{}", ended.summary()?);
    Ok(())
}

/// The status of a program whose threads end one after the other.
fn status_of_threads(world: &World) -> anyhow::Result<()> {
    let script = "import threading,time,os\n\
                  t=threading.Thread(target=lambda: time.sleep(0.3))\nt.start()\n\
                  time.sleep(2)\nos._exit(7)";
    let child = Command::new("python3").args(["-c", script]).spawn()?;
    let mut child = crate::harness::terminal::Guarded(child);
    let agent = world.watch_queues().pid(child.0.id()).start();
    let agent = agent.context("python3 was there for 2 s")?;
    child.ended(world.patience())?;
    let ended = agent.ended()?;
    let [process] = ended_of(ended.summary()?) else { anyhow::bail!("{}", ended.summary()?) };
    ensure!(process["exit_status"] == 7 && process["signal"].is_null(), "{process}");
    ensure!(process["core_dumped"] == false, "{process}");
    Ok(())
}

pub(super) fn one_of_several(world: &World) -> anyhow::Result<()> {
    let (first, second) = (server(world)?, server(world)?);
    let mut agent = world.watch_queues().pid(first.pid()).pid(second.pid()).start()?;
    signal(first.pid(), libc::SIGKILL);
    agent.await_accepted(second.addr.port(), 0)?;
    converse(second.addr)?;
    agent.await_accepted(second.addr.port(), 1)?;
    // It is told while the watch goes on.
    let before = Instant::now();
    loop {
        let ended = agent.await_refresh(second.addr.port())?;
        if number(&ended, "/accepted") == Some(1) && before.elapsed() > Duration::from_secs(1) {
            break;
        }
    }
    let ended = agent.stop()?;
    let summary = ended.summary()?;
    let [process] = ended_of(summary) else { anyhow::bail!("{summary}") };
    ensure!(process["pid"] == first.pid() && process["signal"] == "SIGKILL", "{process}");
    ensure!(
        ended.stderr.contains("ended: killed by SIGKILL; the watch goes on"),
        "a notice: {}",
        ended.stderr
    );
    Ok(())
}

pub(super) fn target_gone(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let demo = server(world)?;
    let mut screen = watch(world, &demo, &["-o", "a.bsrec"], folder.path())?;
    screen.await_shown(world, "● rec")?;
    signal(demo.pid(), libc::SIGKILL);
    let banner = format!("{} (demo-servers) ended: killed by SIGKILL", demo.pid());
    screen.await_shown(world, &banner)?;
    screen.stays(&banner, Duration::from_secs(1))?;
    for (key, shows) in [("3", "THREAD"), ("4", "othing to report"), ("1", "LISTENER")] {
        screen.type_keys(key)?;
        let shown = screen.await_shown(world, shows)?;
        ensure!(shown.contains(&banner), "on every tab:\n{shown}");
    }
    // The recording is whole while somebody looks.
    let file = folder.path().join("a.bsrec");
    let (objects, output) = replay(world, &file)?;
    ensure!(output.status.success(), "{output:?}");
    let summary = objects.last().filter(|object| is(object, "summary")).context("no summary")?;
    ensure!(ended_of(summary)[0]["signal"] == "SIGKILL", "the replay knows, too: {summary}");
    screen.type_keys("q")?;
    let (status, after) = screen.end(world)?;
    ensure!(status.success(), "{status}: {after}");
    ensure!(after.contains("Summary after") && after.contains(&banner), "{after}");

    // The twin: nobody ends.
    let demo = server(world)?;
    let mut screen = watch(world, &demo, &[], folder.path())?;
    screen.type_keys("q")?;
    let (status, after) = screen.end(world)?;
    let written_banner = after.contains(" ended");
    ensure!(status.success() && !written_banner, "{status}: {after}");
    Ok(())
}

pub(super) fn command_ended(world: &World) -> anyhow::Result<()> {
    for (script, shows, code) in [
        ("sleep 0.5; exit 3", "ended: exit status 3", 3),
        ("sleep 0.5; exit 0", "ended: exit status 0", 0),
        ("sleep 0.5; kill -SEGV $$", "ended: killed by SIGSEGV", 128 + libc::SIGSEGV),
    ] {
        let mut command = world.agent_command(&["watch", "--interval", "100ms", "--", "sh", "-c"]);
        command.arg(script);
        let mut screen = OnScreen::start(command)?;
        screen.await_shown(world, shows)?;
        screen.stays(shows, Duration::from_millis(500))?;
        screen.type_keys("q")?;
        let (status, after) = screen.end(world)?;
        ensure!(status.code() == Some(code), "{script}: {status}: {after}");
        ensure!(after.contains(shows), "{script}: {after}");
    }
    Ok(())
}

pub(super) fn time_is_over(world: &World) -> anyhow::Result<()> {
    let demo = server(world)?;
    let folder = tempfile::tempdir()?;
    let mut screen = watch(world, &demo, &["--duration", "5s"], folder.path())?;
    signal(demo.pid(), libc::SIGTERM);
    screen.await_shown(world, "killed by SIGTERM")?;
    let (status, after) = screen.end(world)?;
    ensure!(status.success() && after.contains("killed by SIGTERM"), "{status}: {after}");
    Ok(())
}

fn ended_of(summary: &Value) -> &[Value] {
    summary["ended"].as_array().map_or(&[], Vec::as_slice)
}

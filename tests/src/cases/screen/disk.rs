//! The disk is full: what is written there ends, and the watch goes on.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{server, talk_until, watch};
use crate::cases::flight::Disk;
use crate::cases::record::replay;
use crate::harness::json::{is, number};
use crate::harness::terminal::OnScreen;
use crate::harness::{Demo, World, converse};

/// Checks a watch whose recording was ended by the system: it went on, and says so.
fn check_stopped(
    world: &World,
    demo: &Demo,
    mut screen: OnScreen,
    file: &Path,
    reason: &str,
) -> anyhow::Result<()> {
    let shown = talk_until(world, demo, &mut screen, "▲ rec ended")?;
    ensure!(shown.contains(reason), "the reason is on the screen:\n{shown}");
    converse(demo.addr)?;
    screen.stays("rec ended", Duration::from_millis(500))?;
    screen.type_keys("q")?;
    let (status, after) = screen.end(world)?;
    ensure!(status.code() == Some(1), "a script can tell: {status}: {after}");
    ensure!(after.contains("the recording ended early") && after.contains(reason), "{after}");
    let (objects, output) = replay(world, file)?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(objects.iter().any(|object| is(object, "listener")), "{told}");
    ensure!(told.contains("the end is missing"), "{told}");
    Ok(())
}

pub(super) fn full_disk(world: &World) -> anyhow::Result<()> {
    let disk = Disk::of(32 << 10)?;
    let demo = server(world)?;
    let args = ["-o", "a.bsrec", "--detail", "events"];
    let screen = watch(world, &demo, &args, disk.path())?;
    check_stopped(world, &demo, screen, &disk.path().join("a.bsrec"), "No space left on device")?;

    // In JSON: when, why, and how far it reaches.
    let full = Disk::of(32 << 10)?;
    let roomy = tempfile::tempdir()?;
    for (folder, is_full) in [(full.path(), true), (roomy.path(), false)] {
        let file = folder.join("b.bsrec").display().to_string();
        let mut agent = world
            .watch()
            .pid(demo.pid())
            .interval("100ms")
            .args(["--detail", "events", "-o", &file])
            .start()?;
        for _ in 0..300 {
            converse(demo.addr)?;
        }
        agent.await_accepted(demo.addr.port(), 300)?;
        let pid = agent.pid();
        agent.signal(libc::SIGINT);
        let ended = agent.ended()?;
        let (status, summary) = (ended.status, ended.summary()?);
        let stopped = &summary["recording_stopped"];
        ensure!(number(summary, "/accepted") == Some(300), "{pid} went on: {summary}");
        if is_full {
            ensure!(status.code() == Some(1), "{status}");
            ensure!(stopped["reason"] == "No space left on device", "{stopped}");
            let reaches = number(stopped, "/reaches_us").context("not known")?;
            let lasted = number(summary, "/duration_us").unwrap_or(0);
            let before = number(stopped, "/before_end_us").unwrap_or(0);
            ensure!(reaches > 0 && reaches <= lasted - before, "{summary}");
        } else {
            ensure!(status.success() && stopped.is_null(), "{status}: {stopped}");
            let (_, output) = replay(world, Path::new(&file))?;
            ensure!(output.status.success(), "{output:?}");
        }
    }
    Ok(())
}

pub(super) fn file_limit(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let demo = server(world)?;
    let pid = demo.pid_arg();
    let args = ["watch", "--interval", "100ms", "--pid", &pid, "--detail", "events"];
    let mut command = world.agent_command(&args);
    command.args(["-o", "a.bsrec"]).current_dir(folder.path());
    // SAFETY: a system call that is async-signal-safe, on the child alone.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: 24 << 10, rlim_max: 24 << 10 };
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
            Ok(())
        });
    }
    let mut screen = OnScreen::start(command)?;
    screen.await_shown(world, &pid)?;
    check_stopped(world, &demo, screen, &folder.path().join("a.bsrec"), "File too large")
}

pub(super) fn report_on_full_disk(world: &World) -> anyhow::Result<()> {
    let (disk, roomy) = (Disk::of(16 << 10)?, tempfile::tempdir()?);
    let demo = server(world)?;
    for (folder, code) in [(disk.path(), 1), (roomy.path(), 0)] {
        let pid = demo.pid_arg();
        let args = ["watch", "--plain", "--duration", "500ms", "--pid", &pid];
        let mut command = world.agent_command(&args);
        let output = command.arg("--report").arg(folder.join("a.html")).output()?;
        let (out, told) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.code() == Some(code), "{}: {told}", output.status);
        ensure!(out.contains("Summary after"), "the summary is there: {out}");
        ensure!(told.contains("cannot write the report") == (code == 1), "{told}");
    }
    Ok(())
}

//! Keys that take along what the screen shows.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{server, talk_until, watch};
use crate::cases::flight::Disk;
use crate::cases::record::replay;
use crate::harness::json::{Value, number};
use crate::harness::schema::keeps_to;
use crate::harness::terminal::OnScreen;
use crate::harness::{World, converse};

/// Waits until so many files with this extension are in a folder.
fn await_files(
    world: &World,
    folder: &Path,
    extension: &str,
    count: usize,
) -> anyhow::Result<Vec<PathBuf>> {
    let deadline = Instant::now() + world.patience();
    loop {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
        if found.len() == count {
            found.sort();
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "{count} files .{extension}: {found:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(super) fn keys_take_along(world: &World) -> anyhow::Result<()> {
    const CALLER: u32 = 65_534;
    let (folder, demo) = (tempfile::tempdir()?, server(world)?);
    let mut command = world.agent_command(&["watch", "--interval", "100ms"]);
    command.args(["--pid", &demo.pid_arg()]).current_dir(folder.path());
    command.env("SUDO_UID", CALLER.to_string()).env("SUDO_GID", CALLER.to_string());
    let mut screen = OnScreen::start(command)?;
    screen.await_shown(world, &demo.pid().to_string())?;
    converse(demo.addr)?;
    screen.type_keys("2")?;
    screen.await_shown(world, " → ")?;

    screen.type_keys("y")?;
    screen.await_shown(world, "copied the connection")?;
    let copied = String::from_utf8_lossy(&screen.written).contains("\u{1b}]52;c;MTI3LjAuMC4x");
    ensure!(copied, "127.0.0.1 in Base64");

    screen.type_keys("w")?;
    screen.await_shown(world, "wrote backscope-")?;
    let [json] = &await_files(world, folder.path(), "json", 1)?[..] else { unreachable!() };
    let object: Value = serde_json::from_slice(&fs::read(json)?)?;
    keeps_to("connection", &object)?;
    ensure!(object["pid"] == demo.pid(), "{object}");
    let [text] = &await_files(world, folder.path(), "txt", 1)?[..] else { unreachable!() };
    let text = fs::read_to_string(text)?;
    ensure!(text.contains("accept") && text.contains(&demo.pid().to_string()), "{text}");
    let metadata = fs::metadata(json)?;
    ensure!(metadata.uid() == CALLER && metadata.mode() & 0o777 == 0o600, "{metadata:?}");

    // Once more, within the same second or not: nothing is overwritten.
    screen.type_keys("w")?;
    await_files(world, folder.path(), "json", 2)?;

    screen.type_keys("r")?;
    screen.await_shown(world, "● rec")?;
    for _ in 0..30 {
        converse(demo.addr)?;
    }
    screen.stays("● rec", Duration::from_millis(500))?;
    screen.type_keys("r")?;
    screen.await_shown(world, "recorded backscope-")?;
    screen.await_gone(world, "● rec")?;
    let [recording] = &await_files(world, folder.path(), "bsrec", 1)?[..] else { unreachable!() };
    let (objects, output) = replay(world, recording)?;
    ensure!(output.status.success(), "{output:?}");
    let summary = objects.last().context("no summary")?;
    ensure!(number(summary, "/accepted") == Some(30), "it begins where the key was: {summary}");

    screen.type_keys("R")?;
    screen.await_shown(world, ".html (")?;
    let [page] = &await_files(world, folder.path(), "html", 1)?[..] else { unreachable!() };
    let page = fs::read_to_string(page)?;
    ensure!(page.contains("</html>") && page.contains("while a watch went on"), "{}", page.len());
    ensure!(page.contains(&demo.addr.to_string()), "its listener");

    // A recording that goes on ends with the watch, and is whole.
    screen.type_keys("r")?;
    screen.await_shown(world, "● rec")?;
    screen.type_keys("q")?;
    let (status, after) = screen.end(world)?;
    ensure!(status.success() && after.contains("wrote "), "{status}: {after}");
    for recording in await_files(world, folder.path(), "bsrec", 2)? {
        let (_, output) = replay(world, &recording)?;
        ensure!(output.status.success(), "{output:?}");
    }

    // `-o` records already, and says so.
    let mut screen = watch(world, &demo, &["-o", "o.bsrec"], folder.path())?;
    screen.type_keys("r")?;
    screen.await_shown(world, "-o records into o.bsrec already")?;
    screen.type_keys("q")?;
    ensure!(screen.end(world)?.0.success(), "a healthy end");
    await_files(world, folder.path(), "bsrec", 3)?;
    Ok(())
}

pub(super) fn keys_on_full_disk(world: &World) -> anyhow::Result<()> {
    let (disk, demo) = (Disk::of(24 << 10)?, server(world)?);
    let folder = disk.path().display().to_string();
    let elsewhere = tempfile::tempdir()?;
    let args = ["--save-to", &folder, "--detail", "events"];
    let mut screen = watch(world, &demo, &args, elsewhere.path())?;
    screen.type_keys("R")?;
    screen.await_shown(world, "No space left on device")?;
    screen.type_keys("r")?;
    let shown = talk_until(world, &demo, &mut screen, "▲ rec ended")?;
    ensure!(shown.contains("No space left"), "{shown}");
    screen.type_keys("q")?;
    let (status, after) = screen.end(world)?;
    ensure!(status.success(), "nobody asked for it beforehand: {status}: {after}");
    ensure!(fs::read_dir(elsewhere.path())?.next().is_none(), "another folder was named");
    Ok(())
}

pub(super) fn keys_in_replay(world: &World) -> anyhow::Result<()> {
    let (folder, demo) = (tempfile::tempdir()?, server(world)?);
    let file = folder.path().join("a.bsrec");
    let path = file.display().to_string();
    let mut agent = world.watch().pid(demo.pid()).args(["-o", &path]).start()?;
    converse(demo.addr)?;
    agent.await_accepted(demo.addr.port(), 1)?;
    agent.stop()?;
    let mut command = world.agent_command(&["replay"]);
    command.arg(&file).current_dir(folder.path());
    let mut screen = OnScreen::start(command)?;
    screen.await_shown(world, &demo.pid().to_string())?;
    screen.type_keys("2")?;
    screen.await_shown(world, " → ")?;
    screen.type_keys("r")?;
    screen.await_shown(world, "this is a recording already")?;
    screen.type_keys("w")?;
    screen.await_shown(world, "wrote backscope-")?;
    screen.type_keys("R")?;
    screen.await_shown(world, ".html (")?;
    let [page] = &await_files(world, folder.path(), "html", 1)?[..] else { unreachable!() };
    ensure!(fs::read_to_string(page)?.contains(&demo.addr.to_string()), "its listener");
    screen.type_keys("y")?;
    screen.await_shown(world, "copied the connection")?;
    // It goes on from where it was.
    screen.type_keys("\u{1b}[H")?;
    screen.await_shown(world, "00:00 /")?;
    screen.type_keys("q")?;
    let (status, after) = screen.end(world)?;
    ensure!(status.success(), "{status}: {after}");
    await_files(world, folder.path(), "json", 1)?;
    Ok(())
}

//! The screen when something ends: the target, the disk; and the keys that take something along.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::flight::Disk;
use super::record::replay;
use super::{any_tier, native};
use crate::harness::json::{Value, is, number};
use crate::harness::schema::keeps_to;
use crate::harness::terminal::OnScreen;
use crate::harness::{Case, Demo, World, converse, signal};
use crate::servers::installed;

pub(super) const CASES: &[Case] = &[
    any_tier("screen::how_a_target_ended", how_a_target_ended).by_processor().on_each_kernel(),
    any_tier("screen::one_of_several_ends", one_of_several),
    native("screen::it_stands_still_once_the_target_has_gone", target_gone),
    native("screen::it_stands_still_once_the_command_has_ended", command_ended),
    native("screen::a_time_that_is_over_ends_it_all_the_same", time_is_over),
    native("screen::a_full_disk_ends_the_recording_alone", full_disk),
    native("screen::a_limit_of_file_sizes_ends_the_recording_alone", file_limit),
    native("screen::a_full_disk_for_a_report", report_on_full_disk),
    native("screen::keys_take_along", keys_take_along),
    native("screen::keys_on_a_full_disk", keys_on_full_disk),
    native("screen::keys_in_a_replay", keys_in_replay),
];

/// A server that answers.
fn server(world: &World) -> anyhow::Result<Demo> {
    world.demo(&["slow-acceptor", "--accept-delay", "0ms"])
}

/// A watch of a server on a terminal, which has shown a connection.
fn watch(world: &World, demo: &Demo, args: &[&str], folder: &Path) -> anyhow::Result<OnScreen> {
    let mut command = world.agent_command(&["watch", "--interval", "100ms"]);
    command.args(["--pid", &demo.pid_arg()]).args(args).current_dir(folder);
    let mut screen = OnScreen::start(command)?;
    screen.await_shown(world, &demo.pid().to_string())?;
    converse(demo.addr)?;
    screen.type_keys("2")?;
    screen.await_shown(world, " → ")?;
    Ok(screen)
}

fn ended_of(summary: &Value) -> &[Value] {
    summary["ended"].as_array().map_or(&[], Vec::as_slice)
}

/// The kernel tells how a process ended that is no child of ours.
fn how_a_target_ended(world: &World) -> anyhow::Result<()> {
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

fn one_of_several(world: &World) -> anyhow::Result<()> {
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

fn target_gone(world: &World) -> anyhow::Result<()> {
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

fn command_ended(world: &World) -> anyhow::Result<()> {
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

fn time_is_over(world: &World) -> anyhow::Result<()> {
    let demo = server(world)?;
    let folder = tempfile::tempdir()?;
    let mut screen = watch(world, &demo, &["--duration", "5s"], folder.path())?;
    signal(demo.pid(), libc::SIGTERM);
    screen.await_shown(world, "killed by SIGTERM")?;
    let (status, after) = screen.end(world)?;
    ensure!(status.success() && after.contains("killed by SIGTERM"), "{status}: {after}");
    Ok(())
}

/// Talks to the server until the screen shows this.
fn talk_until(
    world: &World,
    demo: &Demo,
    screen: &mut OnScreen,
    wanted: &str,
) -> anyhow::Result<String> {
    let deadline = Instant::now() + world.patience();
    while !screen.shown().contains(wanted) {
        ensure!(Instant::now() < deadline, "no {wanted:?}:\n{}", screen.shown());
        for _ in 0..20 {
            converse(demo.addr)?;
        }
        screen.drain()?;
    }
    Ok(screen.shown())
}

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

fn full_disk(world: &World) -> anyhow::Result<()> {
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

fn file_limit(world: &World) -> anyhow::Result<()> {
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

fn report_on_full_disk(world: &World) -> anyhow::Result<()> {
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

fn keys_take_along(world: &World) -> anyhow::Result<()> {
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

fn keys_on_full_disk(world: &World) -> anyhow::Result<()> {
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

fn keys_in_replay(world: &World) -> anyhow::Result<()> {
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

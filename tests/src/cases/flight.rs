//! The flight recorder: what it keeps on live servers, where it makes room, and a full disk.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::record::replay;
use super::{any_tier, exchange, native};
use crate::harness::json::{Value, is, number, overflows};
use crate::harness::{Case, Demo, Protocol, World, connect, connect_nonblocking, skip, talk};

pub(super) const CASES: &[Case] = &[
    any_tier("flight::an_overflow_is_kept_with_what_was_around_it", overflow),
    exchange("flight::only_the_last_seconds_are_kept", rotation),
    native("flight::a_full_disk_takes_the_oldest", full_disk_of_a_flight),
    native("flight::a_full_disk_ends_a_recording_that_can_be_read", full_disk),
];

const LIMIT: Duration = Duration::from_secs(60);
const ECHO: Protocol = Protocol { greeting: b"", request: b"ask\n", end: b"\n" };

/// A recorder whose lines on standard error are read as they come. It is killed when this is
/// dropped.
struct Recorder {
    child: Child,
    lines: Receiver<String>,
    told: Vec<String>,
}

impl Recorder {
    /// Starts it, and waits until it watches.
    fn start(world: &World, demo: &Demo, file: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let mut command = world.agent_command(&["record", "--interval", "100ms"]);
        command.args(["--pid", &demo.pid_arg(), "-o"]).arg(file).args(args);
        Self::of(command)
    }

    fn of(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut recorder = Self { child, lines, told: Vec::new() };
        recorder.await_line("Ctrl-C ends it")?;
        Ok(recorder)
    }

    fn await_line(&mut self, part: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.with_context(|| format!("no line with {part:?} in {:?}", self.told))?;
            self.told.push(line.clone());
            if line.contains(part) {
                return Ok(line);
            }
        }
    }

    /// Ends it, and returns all that it said.
    fn stop(mut self) -> anyhow::Result<(ExitStatus, Vec<String>)> {
        crate::harness::signal(self.child.id(), libc::SIGINT);
        let status = self.child.wait()?;
        self.told.extend(self.lines.iter());
        Ok((status, std::mem::take(&mut self.told)))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // It has ended, or nobody wants it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The files of a folder, by name.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// A whole recording.
fn whole(world: &World, file: &Path) -> anyhow::Result<Vec<Value>> {
    let (objects, output) = replay(world, file)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}: {stderr}", file.display(), output.status);
    Ok(objects)
}

fn summary(objects: &[Value]) -> anyhow::Result<&Value> {
    objects.last().filter(|object| is(object, "summary")).context("no summary")
}

/// Of two servers that are recorded in the same way, one refuses clients: of it there is a file, with
/// all refusals and with the time before. Of the other there is none.
fn overflow(world: &World) -> anyhow::Result<()> {
    let (kept, empty) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let healthy = world.demo(&["serve", "--epoll"])?;
    let refusing = world.demo(&["never-accept", "--backlog", "2"])?;
    let args = ["--on-finding", "warning", "--around", "2s"];
    let mut recorder = Recorder::start(world, &refusing, &kept.path().join("flight"), &args)?;
    let twin = Recorder::start(world, &healthy, &empty.path().join("flight"), &args)?;
    // Accepted long before the finding, so that it is in what was before.
    let _early = connect(healthy.addr)?;
    let _clients = connect_nonblocking(refusing.addr, 10)?;
    let line = recorder.await_line("Keeping it in")?;
    ensure!(line.contains("flight-accept-"), "named after the finding: {line}");
    let _later = connect(healthy.addr)?;
    // The file ends by itself, two seconds after the finding.
    let deadline = Instant::now() + LIMIT;
    let objects = loop {
        let files = files(kept.path())?;
        ensure!(files.len() <= 1, "{files:?}");
        if let Some(file) = files.first()
            && let Ok(objects) = whole(world, file)
        {
            break objects;
        }
        ensure!(Instant::now() < deadline, "it does not end: {files:?}");
        thread::sleep(Duration::from_millis(100));
    };
    let (status, told) = recorder.stop()?;
    ensure!(status.success(), "{status}: {told:?}");
    let refused = objects.iter().filter(|object| is(object, "listener")).map(overflows).max();
    ensure!(refused >= Some(7), "refused in it: {refused:?}");
    let begun = objects.iter().find(|object| is(object, "finding") && object["state"] == "begun");
    let begun_ns = begun.and_then(|finding| number(finding, "/ts_ns")).context("no finding")?;
    let attached_ns = number(&objects[0], "/ts_ns").context("no beginning")?;
    let end_ns = number(summary(&objects)?, "/ts_ns").context("no end")?;
    ensure!(attached_ns < begun_ns, "with the time before");
    let after = Duration::from_nanos(end_ns - begun_ns);
    ensure!((2.0..30.0).contains(&after.as_secs_f64()), "{after:?} after it");

    let (status, told) = twin.stop()?;
    ensure!(status.success(), "{status}: {told:?}");
    ensure!(files(empty.path())?.is_empty(), "nothing was found: {told:?}");
    Ok(())
}

/// Old files go, new ones come, and each tells of its own time: together of no more connections than
/// there were.
fn rotation(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let demo = world.demo(&["serve", "--epoll"])?;
    let _lasting = connect(demo.addr)?;
    let mut command = world.agent_command(&["record", "--interval", "100ms", "--keep", "3s"]);
    command.args(["--pid", &demo.pid_arg(), "-o"]).arg(folder.path());
    let command_as = command.envs([("SUDO_UID", "65534"), ("SUDO_GID", "65533")]);
    let recorder = Recorder::of(std::mem::replace(command_as, Command::new("true")))?;
    let (mut made, mut seen) = (0, Vec::new());
    let deadline = Instant::now() + LIMIT;
    // Until the first three have gone.
    while seen.iter().filter(|file: &&PathBuf| !file.exists()).count() < 3 {
        ensure!(Instant::now() < deadline, "none goes: {:?}", files(folder.path())?);
        talk(demo.addr, ECHO, 1, |asked| asked < 1)?;
        made += 1;
        for file in files(folder.path())? {
            if !seen.contains(&file) {
                seen.push(file);
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    let (status, told) = recorder.stop()?;
    ensure!(status.success(), "{status}: {told:?}");
    let files = files(folder.path())?;
    let (mut accepted, mut begin_ns, mut end_ns) = (0, u64::MAX, 0);
    for file in &files {
        let metadata = fs::metadata(file)?;
        let access = (metadata.permissions().mode() & 0o777, metadata.uid(), metadata.gid());
        ensure!(access == (0o600, 65534, 65533), "of who called sudo alone, not {access:?}");
        let name = file.file_name().context("no name")?.to_string_lossy();
        ensure!(name.starts_with("backscope-20") && name.ends_with(".bsrec"), "{name}");
        let objects = whole(world, file)?;
        let summary = summary(&objects)?;
        accepted += number(summary, "/accepted").context("no accepts")?;
        begin_ns = begin_ns.min(number(&objects[0], "/ts_ns").context("no beginning")?);
        end_ns = end_ns.max(number(summary, "/ts_ns").context("no end")?);
        let open = objects.iter().any(|object| {
            is(object, "connection")
                && object["attached_midway"] == true
                && object["close"].is_null()
        });
        ensure!(open, "the connection that lasts is in {name}");
    }
    let kept = Duration::from_nanos(end_ns - begin_ns);
    ensure!((3.0..20.0).contains(&kept.as_secs_f64()), "{kept:?} are kept");
    ensure!(accepted > 0 && accepted < made, "{accepted} of {made} in {} files", files.len());
    Ok(())
}

/// A small disk, for as long as it lives.
pub(super) struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    pub(super) fn of(bytes: u64) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "none"])
            .arg(folder.path())
            .output()?;
        if !mount.status.success() {
            skip(format!("no tmpfs: {}", String::from_utf8_lossy(&mount.stderr)))?;
        }
        Ok(Self { folder })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, since a recorder of a case that failed may still have files on it.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

/// Asks until the recorder says so, or ends.
fn ask_until(
    demo: &Demo,
    recorder: &mut Recorder,
    part: &str,
) -> anyhow::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + LIMIT;
    loop {
        ensure!(Instant::now() < deadline, "no {part:?} in {:?}", recorder.told);
        talk(demo.addr, ECHO, 2, |asked| asked < 2_000)?;
        recorder.told.extend(recorder.lines.try_iter());
        if recorder.told.iter().any(|line| line.contains(part)) {
            return Ok(None);
        }
        if let Some(status) = recorder.child.try_wait()? {
            return Ok(Some(status));
        }
    }
}

fn full_disk_of_a_flight(world: &World) -> anyhow::Result<()> {
    let disk = Disk::of(4 << 20)?;
    let demo = world.demo(&["serve", "--epoll"])?;
    let args = ["--keep", "1h", "--max-size", "1G", "--budget", "100%"];
    // Nothing is old enough to go: with one file there is no room to make.
    let mut only = Recorder::start(world, &demo, &disk.path().join("only"), &args)?;
    let ended = ask_until(&demo, &mut only, "unreachable")?;
    ensure!(ended.and_then(|status| status.code()) == Some(1), "{ended:?}: {:?}", only.told);
    only.told.extend(only.lines.iter());
    let told = only.told.join("\n");
    ensure!(told.contains("cannot write the recording"), "{told}");
    ensure!(told.contains("only-20") && told.contains("No space left on device"), "{told}");
    let [file] = files(disk.path())?.try_into().map_err(|files| anyhow::anyhow!("{files:?}"))?;
    let (objects, _) = replay(world, &file)?;
    summary(&objects)?;
    fs::remove_file(&file)?;

    let args = ["--keep", "8s", "--budget", "100%"];
    let mut flight = Recorder::start(world, &demo, &disk.path().join("flight"), &args)?;
    let ended = ask_until(&demo, &mut flight, "makes room")?;
    ensure!(ended.is_none(), "it goes on: {ended:?}: {:?}", flight.told);
    let (status, told) = flight.stop()?;
    ensure!(status.success(), "{status}: {told:?}");
    for file in files(disk.path())? {
        let (objects, _) = replay(world, &file)?;
        summary(&objects).with_context(|| format!("{}", file.display()))?;
    }
    Ok(())
}

fn full_disk(world: &World) -> anyhow::Result<()> {
    let disk = Disk::of(1 << 19)?;
    let demo = world.demo(&["serve", "--epoll"])?;
    let file = disk.path().join("run.bsrec");
    let mut recorder = Recorder::start(world, &demo, &file, &[])?;
    let ended = ask_until(&demo, &mut recorder, "unreachable")?;
    recorder.told.extend(recorder.lines.iter());
    let told = recorder.told.join("\n");
    ensure!(ended.and_then(|status| status.code()) == Some(1), "{ended:?}: {told}");
    ensure!(told.contains("No space left on device"), "{told}");
    let (objects, output) = replay(world, &file)?;
    ensure!(output.status.code() == Some(1), "it has no end: {}", output.status);
    let summary = summary(&objects)?;
    ensure!(number(summary, "/exchanges") > Some(1_000), "what was before: {summary}");
    Ok(())
}

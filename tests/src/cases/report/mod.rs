//! `report` and `--report`: what the page says of real servers, and what a browser makes of it.

pub(super) mod browser;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, ensure};

use super::native;
use crate::harness::json::{is, overflows};
use crate::harness::{Case, Client, Demo, Protocol, World, connect, connect_nonblocking, talk};

pub(super) const CASES: &[Case] = &[
    native("report::an_overflow_is_told_first", overflow_is_told_first),
    native("report::a_healthy_server_has_nothing_to_report", healthy),
    native("report::at_the_end_of_a_watch", at_the_end_of_a_watch),
    native("report::files", files),
    native("report::a_recording_that_breaks_off", breaks_off),
    native("report::by_keyboard_and_mouse", browser::by_keyboard_and_mouse),
    native("report::accessible", browser::accessible),
    Case { alone: true, ..native("report::a_hundred_thousand_exchanges", browser::large) },
];

/// Runs `backscope report FILE ARGS…`.
fn report(world: &World, file: &Path, args: &[&str]) -> anyhow::Result<Output> {
    let mut command = world.agent_command(&["report"]);
    command.arg(file).args(args).output().context("backscope report")
}

/// Runs `backscope report FILE`, and returns the page.
fn page_of(world: &World, file: &Path) -> anyhow::Result<(PathBuf, String)> {
    let page = file.with_extension("html");
    let output = report(world, file, &["--force", "-o", &page.display().to_string()])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "report ended with {}: {stderr}", output.status);
    let text = fs::read_to_string(&page)?;
    Ok((page, text))
}

/// Two servers and their clients, which end when it is dropped.
struct Traffic {
    refusing: Demo,
    _accepting: Demo,
    _clients: Vec<Client>,
}

/// Records a server that accepts late and one whose queue overflows, until both were seen. With
/// `more` arguments of the watch.
fn overflowing(world: &World, file: &Path, more: &[&str]) -> anyhow::Result<Traffic> {
    let accepting = world.demo(&["slow-acceptor", "--accept-delay", "50ms"])?;
    let refusing = world.demo(&["never-accept", "--backlog", "2"])?;
    let watch = world.watch().pid(accepting.pid()).pid(refusing.pid()).interval("200ms");
    let mut agent = watch.args(["-o".as_ref(), file]).args(more).start()?;
    let mut clients =
        (0..8).map(|_| connect(accepting.addr)).collect::<Result<Vec<Client>, _>>()?;
    clients.extend(connect_nonblocking(refusing.addr, 10)?);
    agent.await_accepted(accepting.addr.port(), 8)?;
    agent.await_object("overflows", |object| is(object, "listener") && overflows(object) >= 7)?;
    agent.await_finding("accept-queue-overflow")?;
    agent.stop()?;
    Ok(Traffic { refusing, _accepting: accepting, _clients: clients })
}

/// The text between two marks.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> anyhow::Result<&'a str> {
    let (_, rest) = text.split_once(begin).with_context(|| format!("no {begin}"))?;
    let (inner, _) = rest.split_once(end).with_context(|| format!("no {end}"))?;
    Ok(inner)
}

fn overflow_is_told_first(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.bsrec");
    let traffic = overflowing(world, &file, &[])?;
    let (_, page) = page_of(world, &file)?;
    let verdict = between(&page, "class=\"verdict crit\"", "</dl>")?;
    let address = traffic.refusing.addr.to_string();
    for words in ["Critical", &address, "Clients are being refused", "Whose doing", "What to do"] {
        ensure!(verdict.contains(words), "no {words:?} in {verdict}");
    }
    let listeners = between(&page, "id=\"listeners\"", "</section>")?;
    ensure!(listeners.contains("at a limit of 2, so it was full"), "{listeners}");
    ensure!(listeners.contains("type=\"application/json\""), "an animation");
    ensure!(!page.contains("Nothing to report"), "it is not nothing");
    Ok(())
}

fn healthy(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.bsrec");
    let demo = world.demo(&["serve", "--epoll"])?;
    let mut agent = world
        .watch()
        .pid(demo.pid())
        .interval("200ms")
        .args(["-o".as_ref(), file.as_path()])
        .start()?;
    let protocol = Protocol { greeting: b"", request: b"ask\n", end: b"\n" };
    talk(demo.addr, protocol, 20, |asked| asked < 20)?;
    agent.await_accepted(demo.addr.port(), 20)?;
    let ended = agent.stop()?;
    ensure!(ended.of("finding").next().is_none(), "nothing is wrong");
    let (_, page) = page_of(world, &file)?;
    let verdict = between(&page, "class=\"verdict", "</div>")?;
    ensure!(verdict.contains("Nothing to report."), "{verdict}");
    ensure!(page.contains("id=\"gaps\"") && !page.contains("id=\"findings\""), "sections");
    Ok(())
}

/// A page without what tells how it was made: its footer, and whether a recording was read.
fn contents(page: &str) -> anyhow::Result<&str> {
    between(page, "<main>", "</main>")
}

fn at_the_end_of_a_watch(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, live) = (folder.path().join("run.bsrec"), folder.path().join("live.html"));
    let live_arg = live.display().to_string();
    overflowing(world, &file, &["--report", &live_arg])?;
    let live_page = fs::read_to_string(&live)?;
    let (_, page) = page_of(world, &file)?;
    ensure!(
        contents(&live_page)? == contents(&page)?,
        "the page at the end of the watch is that of its recording"
    );
    ensure!(live_page.contains("at the end of a watch"), "how it was made");
    ensure!(fs::metadata(&live)?.permissions().mode() & 0o777 == 0o600, "its owner's alone");

    // `record` makes one as well, and replaces neither file.
    let demo = world.demo(&["serve", "--epoll"])?;
    let other = folder.path().join("other.bsrec");
    let mut record = world.agent_command(&["record", "--duration", "300ms", "--pid"]);
    record.arg(demo.pid_arg()).arg("-o").arg(&other).args(["--report", &live_arg]);
    let refused = record.output()?;
    let stderr = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(2) && stderr.contains("exists already"), "{stderr}");
    ensure!(!other.exists(), "nothing was recorded");
    let same = folder.path().join("same").display().to_string();
    for (files, reason) in [
        (["-o", &same, "--report", &same], "a file each"),
        (["-o", &same, "--report", "-"], "takes a file"),
    ] {
        let mut watch = world.agent_command(&["watch", "--plain", "--pid", &demo.pid_arg()]);
        let refused = watch.args(files).output()?;
        let stderr = String::from_utf8_lossy(&refused.stderr);
        ensure!(refused.status.code() == Some(2) && stderr.contains(reason), "{stderr}");
    }
    let replaced = record.arg("--force").output()?;
    let stderr = String::from_utf8_lossy(&replaced.stderr);
    ensure!(replaced.status.success() && stderr.contains("reported into"), "{stderr}");
    ensure!(fs::read_to_string(&live)?.contains("Nothing to judge"), "nobody came");
    Ok(())
}

fn files(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.bsrec");
    overflowing(world, &file, &[])?;
    let (page, text) = page_of(world, &file)?;
    let page_arg = page.display().to_string();
    ensure!(fs::metadata(&page)?.permissions().mode() & 0o777 == 0o600, "its owner's alone");
    let again = report(world, &file, &["-o", &page_arg])?;
    let stderr = String::from_utf8_lossy(&again.stderr);
    ensure!(again.status.code() == Some(2) && stderr.contains("--force"), "{stderr}");
    ensure!(fs::read_to_string(&page)? == text, "it was touched");
    let printed = report(world, &file, &["-o", "-"])?;
    ensure!(printed.status.success() && printed.stdout == text.as_bytes(), "standard output");

    let (other, none) = (folder.path().join("text"), folder.path().join("none.html"));
    fs::write(&other, "no recording")?;
    let refused = report(world, &other, &["-o", &none.display().to_string()])?;
    let stderr = String::from_utf8_lossy(&refused.stderr);
    ensure!(
        refused.status.code() == Some(2) && stderr.contains("not a backscope recording"),
        "{stderr}"
    );
    let missing = report(world, &folder.path().join("gone"), &["-o", &none.display().to_string()])?;
    ensure!(missing.status.code() == Some(2), "{}", missing.status);
    // A version of tomorrow.
    let mut bytes = fs::read(&file)?;
    bytes[8] = 0x7f;
    fs::write(&other, &bytes)?;
    let newer = report(world, &other, &["-o", &none.display().to_string()])?;
    let stderr = String::from_utf8_lossy(&newer.stderr);
    ensure!(newer.status.code() == Some(2) && stderr.contains("version 127"), "{stderr}");
    ensure!(!none.exists(), "for none of them a page is made");
    if Path::new("/dev/full").exists() {
        let script = "exec \"$0\" report \"$1\" -o - > /dev/full";
        let mut full = std::process::Command::new("sh");
        let full = full.args(["-c", script]).arg(world.agent()).arg(&file).output()?;
        let stderr = String::from_utf8_lossy(&full.stderr);
        ensure!(full.status.code() == Some(1) && stderr.contains("cannot write"), "{stderr}");
    }
    Ok(())
}

fn breaks_off(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.bsrec");
    overflowing(world, &file, &[])?;
    let whole = fs::read(&file)?;
    let (cut, page) = (folder.path().join("cut.bsrec"), folder.path().join("cut.html"));
    let mut pages = 0;
    for part in 0..50 {
        fs::write(&cut, &whole[..whole.len() * part / 50])?;
        let output = report(world, &cut, &["--force", "-o", &page.display().to_string()])?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            matches!(output.status.code(), Some(1 | 2)) && !stderr.is_empty(),
            "{part}/50 ended with {}: {stderr}",
            output.status
        );
        ensure!(!stderr.contains("panicked"), "{part}/50: {stderr}");
        if stderr.contains("the recording is damaged") {
            let text = fs::read_to_string(&page)?;
            ensure!(
                text.ends_with("</html>") && text.contains("Damage to the recording"),
                "{part}"
            );
            pages += 1;
        }
    }
    ensure!(pages > 30, "only {pages} of 50 gave a page");
    Ok(())
}

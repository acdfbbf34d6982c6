//! Exercises (`learn --fix`): each fault shows, its cure cures it, and what does not cure it does
//! not win.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::native;
use crate::harness::terminal::{Guarded, Terminal};
use crate::harness::{Case, Process, World, skip};

pub(super) const CASES: &[Case] = &[
    here("exercise::checkout", |world| cured(world, "checkout", 1)),
    here("exercise::ticket_sale", |world| cured(world, "ticket-sale", 1)),
    here("exercise::price_list", |world| cured(world, "price-list", 1)),
    here("exercise::partner", |world| cured(world, "partner", 1)),
    here("exercise::reports", |world| cured(world, "reports", 1)),
    here("exercise::crowd", |world| cured(world, "crowd", 1)),
    here("exercise::pictures", |world| cured(world, "pictures", 1)),
    here("exercise::four_tills", |world| cured(world, "four-tills", 1)),
    here("exercise::month_end", |world| cured(world, "month-end", 1)),
    here("exercise::night_shift", |world| cured(world, "night-shift", 1)),
    here("exercise::another_cure_cures", |world| cured(world, "reports", 2)),
    here("exercise::a_longer_backlog_is_no_cure", |world| not_cured(world, "checkout", "1")),
    here("exercise::half_a_sysctl_is_no_cure", |world| not_cured(world, "ticket-sale", "1")),
    here("exercise::more_threads_are_no_cure", |world| not_cured(world, "price-list", "1")),
    here("exercise::failures_instead_are_no_cure", |world| not_cured(world, "crowd", "3")),
    here("exercise::more_shards_are_no_cure", |world| not_cured(world, "four-tills", "1")),
    here("exercise::an_ended_server_is_no_cure", |world| not_cured(world, "checkout", "stop")),
    here("exercise::a_restart_is_no_cure", |world| not_cured(world, "price-list", "nothing")),
    here("exercise::by_ones_own_tools", by_own_tools),
    here("exercise::a_script_that_fails_is_told", broken_script),
    native("exercise::signals_end_all_of_it", by_signals),
    native("exercise::the_list_and_a_slip_of_the_finger", list),
];

/// An exercise. It needs exchanges.
const fn here(name: &'static str, run: fn(&World) -> anyhow::Result<()>) -> Case {
    native(name, run).since(super::EXCHANGES)
}

/// `learn --fix ARGS`, with a state folder of its own.
fn fix(world: &World, state: &Path, args: &[&str]) -> Command {
    let mut command = world.agent_command(&["learn", "--fix"]);
    command.args(args).env("XDG_STATE_HOME", state);
    command
}

/// Runs it without a person; returns its status and what it said.
fn auto(world: &World, name: &str, args: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let state = tempfile::tempdir()?;
    let output = fix(world, state.path(), &[&[name, "--auto"], args].concat()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    if text.contains("needs a cgroup") {
        skip("no cgroup with the controller `cpu` can be made here")?;
    }
    Ok((output.status.code(), text))
}

fn cured(world: &World, name: &str, cure: usize) -> anyhow::Result<()> {
    let (status, text) = auto(world, name, &["--cure", &cure.to_string()])?;
    ensure!(status == Some(0) && text.contains(": cured after"), "{status:?}: {text}");
    Ok(())
}

/// The change was made, and the finding or the customers told of it for all the time.
fn not_cured(world: &World, name: &str, wrong: &str) -> anyhow::Result<()> {
    let (status, text) = auto(world, name, &["--wrong", wrong])?;
    ensure!(status == Some(0) && text.contains(": not cured after"), "{status:?}: {text}");
    Ok(())
}

/// A learner's way: a shell beside the server, a sysctl, kill and start.sh.
fn by_own_tools(world: &World) -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let mut play = Process::start(fix(world, state.path(), &["ticket-sale", "--plain"]))?;
    await_line(&play, "that must go", world.patience())?;
    play.write_line("h")?;
    await_line(&play, "Hint 1 of 3", world.patience())?;
    let shell = state.path().join("shell");
    let script = "#!/bin/sh\nset -e\nsysctl -qw net.core.somaxconn=4096\n\
                  kill $(ss -Hltnp | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p')\n\
                  while ss -Hltn | grep -q :8080; do sleep 0.05; done\n\
                  setsid ./start.sh >/dev/null 2>&1 </dev/null &\n";
    fs::write(&shell, script)?;
    fs::set_permissions(&shell, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let output = fix(world, state.path(), &["--shell"]).env("SHELL", &shell).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    ensure!(said.contains("ticket-sale"), "{said}");
    await_line(&play, "Cured in", Duration::from_secs(60))?;
    let status = play.wait(world.patience())?;
    ensure!(status.success(), "{status}");
    let exercises = listed(world, state.path())?;
    let solved = |name: &str| exercises.iter().find(|row| row["name"] == name).cloned();
    let row = solved("ticket-sale").context("it is not in the list")?;
    ensure!(row["solved"] == true && row["hints"] == 1 && row["cure_shown"] == false, "{row}");
    ensure!(solved("crowd").context("no crowd")?["solved"] == false, "{exercises:?}");
    let gone = fix(world, state.path(), &["--shell"]).output()?;
    ensure!(gone.status.code() == Some(2), "there is no exercise any more: {}", gone.status);
    // What the learner started ends with the exercise.
    await_end_of_shops(state.path())
}

fn broken_script(world: &World) -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let folder = state.path().join("work");
    let args = ["crowd", "--plain", "--dir", &folder.to_string_lossy()];
    let mut play = Process::start(fix(world, state.path(), &args))?;
    await_line(&play, "that must go", world.patience())?;
    fs::write(folder.join("start.sh"), "#!/bin/sh\necho my mistake >&2\nexit 7\n")?;
    play.write_line("r")?;
    await_line(&play, "my mistake", world.patience())?;
    await_line(&play, "has ended (exit status: 7)", world.patience())?;
    await_line(&play, "nobody listens", world.patience())?;
    play.write_line("q")?;
    let status = play.wait(world.patience())?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// SIGTERM, SIGINT and SIGHUP restore the terminal and end server and customers.
fn by_signals(world: &World) -> anyhow::Result<()> {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let state = tempfile::tempdir()?;
        let mut terminal = Terminal::open()?;
        let mut play: Guarded = terminal.start(fix(world, state.path(), &["crowd"]), false)?;
        let deadline = Instant::now() + 2 * world.patience();
        let mut shown = String::new();
        while !shown.contains("BROKEN") || shops(state.path()).is_empty() {
            ensure!(terminal.await_output(deadline)?, "not shown: {shown:?}");
            shown += &String::from_utf8_lossy(&terminal.read()?);
        }
        play.signal(signal);
        let deadline = Instant::now() + world.patience();
        let mut shown = String::new();
        // It leaves the alternate screen.
        while !shown.contains("\u{1b}[?1049l") {
            ensure!(terminal.await_output(deadline)?, "signal {signal}: {shown:?}");
            shown += &String::from_utf8_lossy(&terminal.read()?);
        }
        let status = play.ended(world.patience())?;
        ensure!(status.success(), "signal {signal}: {status}");
        await_end_of_shops(state.path())?;
    }
    Ok(())
}

fn list(world: &World) -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    ensure!(listed(world, state.path())?.len() == 10, "ten exercises");
    let output = fix(world, state.path(), &["nihgt-shift"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(2), "{}: {said}", output.status);
    ensure!(said.contains("did you mean night-shift?"), "{said}");
    Ok(())
}

fn listed(world: &World, state: &Path) -> anyhow::Result<Vec<Value>> {
    let output = fix(world, state, &["--list", "--json"]).output()?;
    ensure!(output.status.success(), "{}", output.status);
    let mut rows = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        rows.push(serde_json::from_str(line)?);
    }
    Ok(rows)
}

fn await_line(play: &Process, part: &str, patience: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    let mut heard = Vec::new();
    while let Some(line) = play.next_line(deadline)? {
        if line.contains(part) {
            return Ok(());
        }
        heard.push(line);
    }
    anyhow::bail!("no word of {part}: {heard:?}")
}

/// Servers of an exercise with this state folder.
fn shops(state: &Path) -> Vec<u32> {
    let mut found = Vec::new();
    let ours = format!("XDG_STATE_HOME={}", state.display());
    let Ok(processes) = fs::read_dir("/proc") else { return found };
    for process in processes.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse() else { continue };
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        let is_ours = environment.split(|byte| *byte == 0).any(|word| word == ours.as_bytes());
        let is_part =
            words.split(|byte| *byte == 0).any(|word| word == b"shop" || word == b"customers");
        if is_ours && is_part {
            found.push(pid);
        }
    }
    found
}

fn await_end_of_shops(state: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left = shops(state);
        if left.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "still there: {left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

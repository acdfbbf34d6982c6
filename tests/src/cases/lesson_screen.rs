//! The screens that are no watch: the lessons, and the choice of a process to watch.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::native;
use crate::harness::terminal::OnScreen;
use crate::harness::{Case, World};

pub(super) const CASES: &[Case] = &[
    native("lesson_screen::signals_give_the_terminal_back", lesson_ends).alone(),
    native("lesson_screen::signals_end_the_choice_of_a_process", choice_ends),
    native("lesson_screen::from_the_question_to_the_summary", to_the_summary),
    native("lesson_screen::a_knob_runs_again", knob).alone(),
];

/// The signals that end a run in good order.
const SIGNALS: [i32; 3] = [libc::SIGTERM, libc::SIGHUP, libc::SIGINT];

/// A lesson on a screen, with its progress in a folder of its own.
fn lesson(world: &World, args: &[&str], folder: &Path) -> anyhow::Result<OnScreen> {
    let mut command = world.agent_command(&["learn"]);
    command.args(args).env("XDG_STATE_HOME", folder);
    OnScreen::start_as_from_a_shell(command)
}

/// Whatever ends a lesson amid its run, the terminal is as before, and the server is gone.
fn lesson_ends(world: &World) -> anyhow::Result<()> {
    for signal in SIGNALS {
        let folder = tempfile::tempdir()?;
        let mut screen = lesson(world, &["accept-queue"], folder.path())?;
        screen.await_shown(world, "what do you predict?")?;
        screen.type_keys("b\r")?;
        screen.await_shown(world, "the kernel is being watched")?;
        let parts = children(screen.program.0.id())?;
        ensure!(parts.len() >= 2, "a server and its client: {parts:?}");
        screen.program.signal(signal);
        given_back(world, screen).with_context(|| format!("signal {signal}, amid the run"))?;
        let deadline = Instant::now() + world.patience();
        while let Some(part) = parts.iter().find(|part| runs(**part)) {
            ensure!(Instant::now() < deadline, "{part} still runs after signal {signal}");
            thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

/// A wrong guess, whose doing each step is, a retry, and the summary.
fn to_the_summary(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut screen = lesson(world, &["nagle", "--recorded"], folder.path())?;
    screen.await_shown(world, "what do you predict?")?;
    screen.type_keys("a\r")?;
    screen.await_shown(world, "✗   What was measured is about")?;
    screen.await_shown(world, "WHOSE DOING IS IT? 1 of")?;
    screen.type_keys("k")?;
    screen.await_shown(world, "✓ K ")?;
    screen.type_keys("a")?;
    screen.await_shown(world, "(you said A)")?;
    screen.type_keys(" ")?;
    screen.await_shown(world, "↵ predict again")?;
    screen.type_keys("r")?;
    screen.await_shown(world, "what do you predict?")?;
    for round in 0..4 {
        screen.await_shown(world, &format!("step {} of 8", 2 * round + 1))?;
        screen.type_keys(if round == 0 { "c\r" } else { "a\r" })?;
        screen.await_shown(world, "✓ as you predicted")?;
        screen.type_keys(" ")?;
        screen.await_shown(world, if round == 3 { "↵ summary" } else { "↵ predict again" })?;
        screen.type_keys("\r")?;
    }
    screen.await_shown(world, "4 of 4 right, 3 of 4 at the first try")?;
    screen.type_keys("q")?;
    given_back(world, screen)
}

/// A knob that is turned runs again, and both figures are shown.
fn knob(world: &World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut screen = lesson(world, &["nagle"], folder.path())?;
    screen.await_shown(world, "what do you predict?")?;
    screen.type_keys("c\r")?;
    screen.await_shown(world, "WHOSE DOING IS IT?")?;
    screen.type_keys(" ")?;
    screen.await_shown(world, "k knobs")?;
    screen.type_keys("k")?;
    screen.await_shown(world, "MEASURED IN THE ROUND")?;
    screen.type_keys("\u{1b}[C")?;
    screen.await_shown(world, "▸nodelay◂")?;
    let shown = screen.await_shown(world, "MEASURED JUST NOW")?;
    ensure!(shown.contains(" → "), "no figure changed:\n{shown}");
    screen.type_keys("c")?;
    screen.await_shown(world, "--nodelay --target 127.0.0.1:8080")?;
    screen.type_keys("ckq")?;
    given_back(world, screen)
}

fn choice_ends(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    for signal in SIGNALS {
        let mut command = world.agent_command(&["watch"]);
        command.env("LC_ALL", "C.UTF-8");
        let mut screen = OnScreen::start_as_from_a_shell(command)?;
        screen.await_shown(world, &demo.pid().to_string())?;
        ensure!(!screen.terminal()?.is_cooked()?, "the screen reads keys, not lines");
        screen.program.signal(signal);
        given_back(world, screen).with_context(|| format!("signal {signal}"))?;
    }
    Ok(())
}

/// Checks that a program ends in good order, and leaves the terminal as it found it.
fn given_back(world: &World, mut screen: OnScreen) -> anyhow::Result<()> {
    let terminal = screen.terminal()?;
    let (status, after) = screen.ended(world)?;
    ensure!(status.success(), "it ended with {status}");
    ensure!(terminal.is_cooked()?, "the terminal is raw still");
    ensure!(after.contains("\u{1b}[?25h"), "the cursor is hidden still: {after:?}");
    Ok(())
}

/// The children of all threads of a process.
fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let listed = fs::read_to_string(task?.path().join("children"))?;
        found.extend(listed.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    Ok(found)
}

/// Whether a process is there and no zombie.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

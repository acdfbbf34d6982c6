//! The screen on a real terminal: keys, and clicks at what they are named by.

use std::num::NonZero;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::native;
use crate::harness::terminal::{Guarded, Terminal};
use crate::harness::{Case, World, connect_nonblocking};

pub(super) const CASES: &[Case] =
    &[native("time_line::a_replay_has_a_time_line_that_takes_clicks", time_line)];

/// Records a server that refuses clients all the time, for 3 s.
fn record(world: &World, file: &Path) -> anyhow::Result<()> {
    let refusing = world.demo(&["never-accept", "--backlog", "2"])?;
    let pid = refusing.pid().to_string();
    let mut command = world.agent_command(&["record", "--duration", "3s", "--pid", &pid, "-o"]);
    let mut recorder = Guarded(command.arg(file).spawn()?);
    let mut clients = Vec::new();
    let status = loop {
        if let Some(status) = recorder.0.try_wait()? {
            break status;
        }
        clients.extend(connect_nonblocking(refusing.addr, 2)?);
        thread::sleep(Duration::from_millis(50));
    };
    ensure!(status.success(), "the recorder ended with {status}");
    Ok(())
}

/// A click with the left button at a place, counted from 0, as a terminal reports it.
fn click(column: usize, row: usize) -> String {
    let (column, row) = (column + 1, row + 1);
    format!("\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m")
}

/// A terminal, and what it shows.
struct Shown {
    terminal: Terminal,
    screen: vt100::Parser,
}

impl Shown {
    /// Reads until the screen is as wanted.
    fn await_screen(
        &mut self,
        world: &World,
        what: &str,
        is_so: impl Fn(&str) -> bool,
    ) -> anyhow::Result<String> {
        let deadline = Instant::now() + world.patience();
        loop {
            let text = self.screen.screen().contents();
            if is_so(&text) {
                return Ok(text);
            }
            ensure!(self.terminal.await_output(deadline)?, "{what}: it shows\n{text}");
            self.screen.process(&self.terminal.read()?);
        }
    }

    /// Clicks on the first place of a text.
    fn click(&mut self, hint: &str) -> anyhow::Result<()> {
        let text = self.screen.screen().contents();
        let found = text.lines().enumerate().find(|(_, line)| line.contains(hint));
        let (row, line) = found.with_context(|| format!("no {hint:?}:\n{text}"))?;
        let before = line.split(hint).next().unwrap_or_default();
        self.terminal.write(&click(before.chars().count(), row))
    }
}

/// Returns the place of a replay and its length: "00:01 / 00:03".
fn place(text: &str) -> Option<(&str, &str)> {
    let tabs = text.lines().nth(1)?;
    let (before, after) = tabs.split_once(" / ")?;
    Some((before.get(before.len() - 5..)?, after.get(..5)?))
}

/// A replay pauses at a key, goes where the time line and the hints are clicked, and ends at a
/// click.
fn time_line(world: &World) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    record(world, &file)?;
    let terminal = Terminal::open()?;
    let mut command = world.agent_command(&["replay"]);
    command.arg(&file).env("TERM", "xterm-256color");
    let mut replay = terminal.start(command, true)?;
    let size = |cells| NonZero::new(cells).context("a terminal of some size");
    let screen = vt100::Parser::new(size(24)?, size(80)?, 0);
    let mut shown = Shown { terminal, screen };
    shown.await_screen(world, "no time line", |text| text.contains("space"))?;

    shown.terminal.write(" ")?;
    let text = shown.await_screen(world, "no pause", |text| text.contains("space play"))?;
    let line = text.lines().find(|line| line.contains("Z ") && line.contains('▲'));
    let line = line.with_context(|| format!("no finding on the time line:\n{text}"))?.to_owned();
    let row = text.lines().position(|other| other == line).context("a row")?;

    // The last cell is before the blank and the time at the right end.
    let end = line.trim_end().rfind(' ').context("no end")?;
    let last = line[..end].chars().count() - 1;
    shown.terminal.write(&click(last, row))?;
    let is_at_end = |text: &str| place(text).is_some_and(|(at, length)| at == length);
    shown.await_screen(world, "not at the end", is_at_end)?;

    shown.click("Home")?;
    let is_at_begin = |text: &str| place(text).is_some_and(|(at, _)| at == "00:00");
    shown.await_screen(world, "not at the beginning", |text| {
        is_at_begin(text) && text.contains("FINDINGS 0")
    })?;

    shown.click("fF finding")?;
    shown.await_screen(world, "not at the finding", |text| {
        !text.contains("FINDINGS 0") && text.contains("refused a second")
    })?;

    shown.click("? help")?;
    shown.await_screen(world, "no help", |text| text.contains("KEYS HERE"))?;
    shown.terminal.write("?")?;
    shown.await_screen(world, "still the help", |text| text.contains("q quit"))?;

    shown.click("q quit")?;
    let status = replay.ended(world.patience())?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

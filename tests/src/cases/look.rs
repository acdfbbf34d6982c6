//! How a run looks to people: colours, times, and the configuration file. Scripts see none of it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{native, record};
use crate::harness::json::is;
use crate::harness::terminal::{Guarded, Terminal};
use crate::harness::{Case, World, converse};

pub(super) const CASES: &[Case] = &[
    native("look::lines_have_the_time_of_day", lines),
    native("look::a_replay_shows_the_time_of_then", replayed),
    native("look::a_watch_shows_the_time_of_day", watched),
    native("look::the_file_is_for_terminals", file_and_scripts),
    native("look::what_the_file_says_wrong_is_told", wrong_file),
    native("look::options_go_before_the_file", options_first),
    native("look::the_theme_is_that_of_the_terminal", background),
    native("look::a_terminal_that_never_answers_delays_nothing", silent_terminal),
    native("look::an_answer_that_is_late_is_not_left_behind", late_answer),
];

/// Time in which a program that was told to leave has left, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(8);
/// Time for which a terminal is held for an answer, and that of a slow link.
const HELD: Duration = Duration::from_secs(1);
const LINK: Duration = Duration::from_millis(250);
/// The first of the questions that a screen asks of its terminal.
const QUESTION: &str = "\x1b]11;?";
/// Colours of whom the application's time is, on a dark and on a light background.
const ON_DARK: &str = "38;5;214";
const ON_LIGHT: &str = "38;5;130";

/// A short recording in a folder of its own.
struct Recorded {
    dir: tempfile::TempDir,
    file: PathBuf,
    /// Objects of its accepts.
    accepts: Vec<Value>,
}

fn recorded(world: &World) -> anyhow::Result<Recorded> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let mut agent = world.watch().pid(demo.pid()).args(["-o".as_ref(), &*file]).start()?;
    for _ in 0..3 {
        converse(demo.addr)?;
    }
    agent.await_accepted(demo.addr.port(), 3)?;
    agent.stop()?;
    let (mut accepts, _) = record::replay(world, &file)?;
    accepts.retain(|object| is(object, "accept"));
    ensure!(accepts.len() == 3, "not 3 accepts: {accepts:?}");
    Ok(Recorded { dir, file, accepts })
}

impl Recorded {
    fn replay(&self, world: &World, args: &[&str]) -> Command {
        let mut command = world.agent_command(&["replay"]);
        command.arg(&self.file).args(args).env("TERM", "xterm-256color");
        command
    }

    /// Shows it on a terminal.
    fn on_terminal(
        &self,
        world: &World,
        args: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> anyhow::Result<(Terminal, Guarded)> {
        let mut command = self.replay(world, args);
        change(&mut command);
        let terminal = Terminal::open()?;
        let replay = terminal.start(command, true)?;
        Ok((terminal, replay))
    }

    /// Writes a configuration file.
    fn configure(&self, text: &str) -> anyhow::Result<PathBuf> {
        let folder = self.dir.path().join("config/backscope");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("config.toml"), text)?;
        Ok(self.dir.path().join("config"))
    }
}

/// Makes the configuration file in a folder the user's own.
fn with_file(command: &mut Command, folder: &Path) {
    command.env_remove("BACKSCOPE_CONFIG").env("XDG_CONFIG_HOME", folder);
}

fn text_of(mut command: Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {stderr}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

fn string<'a>(object: &'a Value, key: &str) -> anyhow::Result<&'a str> {
    object[key].as_str().with_context(|| format!("no {key}: {object}"))
}

/// Returns "hh:mm:ss.mmm" of an object's time in UTC, with so many minutes added.
fn time_of(object: &Value, ahead: u32) -> anyhow::Result<String> {
    let time = string(object, "time")?;
    let number =
        |from: usize| time.get(from..from + 2).context("short")?.parse::<u32>().context("no");
    let minutes = (number(11)? * 60 + number(14)? + ahead) % (24 * 60);
    let rest = time.get(16..23).context("short")?;
    Ok(format!("{:02}:{:02}{rest}", minutes / 60, minutes % 60))
}

/// Checks that there is a line of each accept that begins with its time.
fn check_lines(
    recorded: &Recorded,
    text: &str,
    time: impl Fn(&Value) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    for accept in &recorded.accepts {
        let (time, peer) = (time(accept)?, string(accept, "peer")?);
        let line = format!("{time} accept    {peer}");
        ensure!(text.lines().any(|told| told.starts_with(&line)), "no {line:?}: {text}");
    }
    Ok(())
}

fn lines(world: &World) -> anyhow::Result<()> {
    let recorded = recorded(world)?;
    let plain = |args: &[&str]| {
        let mut command = recorded.replay(world, args);
        // Five and a half hours ahead of UTC, all year.
        command.arg("--plain").env("TZ", "IST-5:30");
        text_of(command)
    };
    let utc = plain(&["--clock", "utc"])?;
    check_lines(&recorded, &utc, |accept| Ok(time_of(accept, 0)? + "Z"))?;
    let local = plain(&["--clock", "local"])?;
    check_lines(&recorded, &local, |accept| time_of(accept, 5 * 60 + 30))?;
    ensure!(local.lines().next().is_some_and(|line| line.ends_with(" +05:30.")), "{local}");
    // What scripts know: seconds since the attach. The first line dates them.
    let elapsed = plain(&[])?;
    ensure!(elapsed == plain(&["--clock", "elapsed"])?);
    let first = elapsed.lines().next().unwrap_or_default();
    ensure!(first.starts_with("Watching ") && first.ends_with(" +05:30."), "{first}");
    for accept in &recorded.accepts {
        let peer = string(accept, "peer")?;
        let line = elapsed.lines().find(|line| line.contains(peer)).context("no line")?;
        let seconds = line.split_whitespace().next().context("an empty line")?;
        ensure!(seconds.parse::<f64>().is_ok_and(|seconds| seconds < 60.0), "{line}");
    }
    Ok(())
}

fn replayed(world: &World) -> anyhow::Result<()> {
    let recorded = recorded(world)?;
    let first = &recorded.accepts[0];
    // The stream of accepts, and the header with its date: that of the recording, not today's.
    let (mut terminal, _replay) = recorded.on_terminal(world, &["--clock", "utc"], |_| {})?;
    terminal.await_text(world, &time_of(first, 0)?)?;
    let (mut terminal, _replay) = recorded.on_terminal(world, &["--clock", "utc"], |_| {})?;
    terminal.await_text(world, string(first, "time")?.get(..10).context("short")?)?;
    // The local time is the default.
    let (mut terminal, _replay) = recorded.on_terminal(world, &[], |command| {
        command.env("TZ", "IST-5:30");
    })?;
    terminal.await_text(world, &time_of(first, 5 * 60 + 30)?)?;
    let (mut terminal, mut replay) =
        recorded.on_terminal(world, &["--clock", "elapsed"], |_| {})?;
    let seen = terminal.await_text(world, "accept")?;
    ensure!(!seen.contains(&time_of(first, 0)?), "a time of day: {seen:?}");
    terminal.master.write_all(b"q")?;
    ensure!(replay.ended(AT_ONCE)?.success());
    Ok(())
}

/// A live watch has given its rights up by then, and knows the time zone all the same.
fn watched(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let mut command = world.agent_command(&["watch", "--theme", "light", "-o"]);
    command.arg(&file).args(["--pid", &demo.pid().to_string(), "--interval", "50ms"]);
    command.env("TERM", "xterm-256color").env("TZ", "IST-5:30");
    let mut terminal = Terminal::open()?;
    let mut agent = terminal.start(command, true)?;
    terminal.await_text(world, &demo.addr.port().to_string())?;
    converse(demo.addr)?;
    let shown = terminal.await_texts(world, &["● accept", "taken by"])?;
    ensure!(!shown.contains(QUESTION), "a theme was chosen: nothing is asked");
    terminal.master.write_all(b"q")?;
    // The screen gives way to lines, which are ours to take.
    terminal.await_text(world, "Summary after")?;
    ensure!(agent.ended(AT_ONCE)?.success());
    let (objects, _) = record::replay(world, &file)?;
    let accept = objects.iter().find(|object| is(object, "accept")).context("no accept")?;
    let time = time_of(accept, 5 * 60 + 30)?;
    ensure!(shown.contains(&time), "no {time}: {shown:?}");
    Ok(())
}

const WHOLE: &str = "theme = \"light\"\nclock = \"utc\"\ninterval = \"1s\"\n\n[columns]\n\
                     queues = [\"listener\", \"overflow\"]\n";

fn file_and_scripts(world: &World) -> anyhow::Result<()> {
    let recorded = recorded(world)?;
    let output = |mode: &str, folder: Option<&Path>| {
        let mut command = recorded.replay(world, &[mode]);
        if let Some(folder) = folder {
            with_file(&mut command, folder);
        }
        text_of(command)
    };
    for text in [WHOLE, "this is not TOML", "clock = \"sundial\""] {
        let folder = recorded.configure(text)?;
        for mode in ["--json", "--plain"] {
            let (with, without) = (output(mode, Some(&folder))?, output(mode, None)?);
            ensure!(with == without, "{mode} is changed by {text:?}");
        }
        // JSON is for scripts wherever it goes.
        let (mut terminal, mut replay) =
            recorded.on_terminal(world, &["--json"], |command| with_file(command, &folder))?;
        terminal.await_text(world, "\"summary\"")?;
        ensure!(replay.ended(AT_ONCE)?.success(), "--json at a terminal, with {text:?}");
    }
    // The twin: a person at a terminal does see the difference.
    let folder = recorded.configure(WHOLE)?;
    let (mut terminal, _replay) =
        recorded.on_terminal(world, &[], |command| with_file(command, &folder))?;
    let seen = terminal.await_text(world, &time_of(&recorded.accepts[0], 0)?)?;
    ensure!(seen.contains(ON_LIGHT) && !seen.contains(ON_DARK), "not light: {seen:?}");
    ensure!(!seen.contains(QUESTION), "it was chosen: nothing is asked");
    ensure!(!seen.contains("WAIT p50"), "a column that was left out: {seen:?}");
    let (mut terminal, _replay) =
        recorded.on_terminal(world, &["--plain"], |command| with_file(command, &folder))?;
    terminal.await_text(world, &(time_of(&recorded.accepts[0], 0)? + "Z accept"))?;
    Ok(())
}

fn wrong_file(world: &World) -> anyhow::Result<()> {
    let recorded = recorded(world)?;
    for (text, told) in [
        (
            "theme = \"dark\"\n\nclok = \"utc\"\n",
            "line 3: there is no key “clok”; the nearest is clock",
        ),
        ("theme = \"s3cr3t\"", "line 1: theme is one of \"auto\", \"dark\", \"light\", \"none\""),
        ("root:s3cr3t:19000:0:99999:7:::", "line 1: this is not TOML"),
    ] {
        let folder = recorded.configure(text)?;
        let (mut terminal, mut replay) =
            recorded.on_terminal(world, &[], |command| with_file(command, &folder))?;
        let seen = terminal.await_text(world, "goes on without the file")?;
        ensure!(seen.contains(told), "no {told:?}: {seen}");
        ensure!(seen.contains("config.toml") && !seen.contains("s3cr3t"), "{seen}");
        ensure!(replay.ended(AT_ONCE)?.code() == Some(2), "not unusable");
        let (mut terminal, _replay) =
            recorded.on_terminal(world, &["--no-config"], |command| with_file(command, &folder))?;
        terminal.await_text(world, "QUEUES")?;
        // Another file, or none.
        let (mut terminal, _replay) = recorded.on_terminal(world, &[], |command| {
            with_file(command, &folder);
            command.env("BACKSCOPE_CONFIG", "");
        })?;
        terminal.await_text(world, "QUEUES")?;
    }
    let (mut terminal, mut replay) = recorded.on_terminal(world, &[], |command| {
        command.env("BACKSCOPE_CONFIG", "/nowhere/a.toml");
    })?;
    terminal.await_text(world, "cannot read /nowhere/a.toml")?;
    ensure!(replay.ended(AT_ONCE)?.code() == Some(2), "not unusable");
    let (mut terminal, mut replay) = recorded.on_terminal(world, &[], |command| {
        command.env("BACKSCOPE_THEME", "purple");
    })?;
    terminal
        .await_text(world, "BACKSCOPE_THEME names no theme: there are auto, dark, light, none")?;
    ensure!(replay.ended(AT_ONCE)?.code() == Some(2), "not unusable");
    Ok(())
}

fn options_first(world: &World) -> anyhow::Result<()> {
    let recorded = recorded(world)?;
    let folder = recorded.configure("theme = \"light\"\nclock = \"utc\"")?;
    for (args, variable, expected, other) in [
        (&[][..], None, ON_LIGHT, ON_DARK),
        (&["--theme", "dark"], None, ON_DARK, ON_LIGHT),
        (&[], Some("dark"), ON_DARK, ON_LIGHT),
        (&["--theme", "light"], Some("dark"), ON_LIGHT, ON_DARK),
        (&["--theme", "none"], None, "QUEUES", "38;5;"),
    ] {
        let (mut terminal, _replay) = recorded.on_terminal(world, args, |command| {
            with_file(command, &folder);
            if let Some(theme) = variable {
                command.env("BACKSCOPE_THEME", theme);
            }
        })?;
        let seen = terminal.await_texts(world, &[expected, "accept"])?;
        ensure!(!seen.contains(other), "{args:?}, {variable:?}: {other} in {seen:?}");
    }
    let (mut terminal, _replay) =
        recorded.on_terminal(world, &["--clock", "local"], |command| {
            with_file(command, &folder);
            command.env("TZ", "IST-5:30");
        })?;
    terminal.await_text(world, &time_of(&recorded.accepts[0], 5 * 60 + 30)?)?;
    Ok(())
}

/// A key before the answer does what it does, and the answer is no key: its slashes would begin a
/// filter, which takes the `q` that is to leave.
fn background(world: &World) -> anyhow::Result<()> {
    let recorded = recorded(world)?;
    for (answer, expected) in [
        (&["\x1b]11;rgb:ffff/ffff/ffff\x1b\\"][..], ON_LIGHT),
        (&["\x1b]11;rgb:fdfd/f6f6/e3e3\x07"], ON_LIGHT),
        (&["\x1b]11;rgb:0000/2b2b/3636\x1b\\"], ON_DARK),
        (&["\x1b]11;rgb:ff", "ff/ffff/ffff", "\x1b", "\\"], ON_LIGHT),
    ] {
        for (before, shown, leave) in
            [("", &[expected][..], "q"), ("/", &[expected, " filter "], "\rq")]
        {
            let (mut terminal, mut replay) = recorded.on_terminal(world, &[], |_| {})?;
            terminal.await_text(world, QUESTION)?;
            terminal.master.write_all(before.as_bytes())?;
            for piece in answer {
                terminal.master.write_all(piece.as_bytes())?;
                terminal.await_read(world)?;
            }
            // The first screen is dark; the answer has it drawn once more.
            terminal.await_texts(world, shown).with_context(|| answer.concat())?;
            terminal.master.write_all(leave.as_bytes())?;
            ensure!(replay.ended(AT_ONCE)?.success(), "{answer:?}");
            nothing_left(world, &mut terminal)?;
        }
    }
    Ok(())
}

fn silent_terminal(world: &World) -> anyhow::Result<()> {
    let recorded = recorded(world)?;
    for (name, asked) in [("xterm-256color", true), ("linux", false), ("vt220", false)] {
        let (mut terminal, mut replay) = recorded.on_terminal(world, &[], |command| {
            command.env("TERM", name);
        })?;
        let first = terminal.await_text(world, "QUEUES")?;
        terminal.master.write_all(b"/")?;
        let seen = first + &terminal.await_text(world, " filter ")?;
        ensure!(seen.contains(QUESTION) == asked, "{name}: {seen:?}");
        terminal.master.write_all(b"\rq")?;
        ensure!(replay.ended(AT_ONCE)?.success(), "{name}");
    }
    Ok(())
}

/// Behind the screen, the shell would take it for something typed.
fn late_answer(world: &World) -> anyhow::Result<()> {
    let recorded = recorded(world)?;
    let deadline = Instant::now() + world.patience();
    loop {
        let (mut terminal, mut replay) = recorded.on_terminal(world, &[], |_| {})?;
        terminal.await_text(world, QUESTION)?;
        let asked = Instant::now();
        terminal.master.write_all(b"q")?;
        terminal.await_read(world)?;
        // The key is read, and the program leaves at once unless it waits. The link takes its time.
        thread::sleep(LINK);
        let is_late = asked.elapsed() > HELD - LINK;
        terminal.master.write_all(b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\")?;
        ensure!(replay.ended(AT_ONCE)?.success());
        if !is_late {
            return nothing_left(world, &mut terminal);
        }
        ensure!(Instant::now() < deadline, "this machine is too busy for a time of {HELD:?}");
    }
}

/// Checks that nothing is left to whoever reads the terminal next.
fn nothing_left(world: &World, terminal: &mut Terminal) -> anyhow::Result<()> {
    // It reads by lines again, of which only whole ones count, once the kernel has passed them on.
    terminal.master.write_all(b"\n")?;
    let deadline = Instant::now() + world.patience();
    while terminal.unread()? == 0 {
        ensure!(Instant::now() < deadline, "the end of the line does not arrive");
        thread::sleep(Duration::from_millis(1));
    }
    let unread = terminal.unread()?;
    ensure!(unread == 1, "{unread} bytes are left to the shell, with the one that ends the line");
    Ok(())
}

//! Output that nobody takes: a pipe without a reader, a terminal that stands still or goes away, a
//! full disk. The run ends in good order, and its recording is whole.

use std::ffi::{OsStr, c_int};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{native, record};
use crate::harness::json::{Value, is, number};
use crate::harness::terminal::{Guarded, Terminal};
use crate::harness::{Case, Process, World, converse, net};

pub(super) const CASES: &[Case] = &[
    native("output::a_dumb_terminal_gets_lines", dumb_terminal),
    native("output::a_pipe_that_nobody_reads", pipe),
    native("output::a_terminal_that_stands_still", still_terminal),
    native("output::a_terminal_that_goes_away", lost_terminal),
    native("output::of_a_command_beside_the_screen", command_output),
    native("output::a_full_disk", full_disk),
    native("output::names_that_would_steer_a_terminal", hostile_names),
];

/// A signal ends a run within 2 s. A busy machine may take longer to start the program's last
/// steps.
const AT_ONCE: Duration = Duration::from_secs(8);
/// What so many connections are told with fills any pipe and any terminal.
const CONNECTIONS: u64 = 400;

/// Waits until a thread of this name is blocked in `write`.
fn await_blocked_write(world: &World, pid: u32, name: &str) -> anyhow::Result<()> {
    const WRITE: &str = "1 ";
    let deadline = Instant::now() + world.patience();
    loop {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            let is_it = fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name);
            let blocked = || {
                let call = fs::read_to_string(task.join("syscall")).unwrap_or_default();
                call.starts_with(WRITE)
            };
            if is_it && blocked() {
                return Ok(());
            }
        }
        ensure!(Instant::now() < deadline, "its thread {name} never waited for a reader");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Checks that a recording has its end, and as many accepts as there were.
fn check_recording(world: &World, file: &Path, accepted: u64) -> anyhow::Result<()> {
    let (objects, output) = record::replay(world, file)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = objects.last().filter(|object| is(object, "summary"));
    let summary = summary.context("the recording has no summary")?;
    ensure!(number(summary, "/accepted") == Some(accepted), "not {accepted} accepts: {summary}");
    Ok(())
}

fn pipe(world: &World) -> anyhow::Result<()> {
    for (mode, signal) in
        [("--json", libc::SIGINT), ("--json", libc::SIGHUP), ("--plain", libc::SIGTERM)]
    {
        pipe_with(world, mode, signal).with_context(|| format!("{mode}, signal {signal}"))?;
    }
    Ok(())
}

fn pipe_with(world: &World, mode: &str, signal: c_int) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let pid = demo.pid().to_string();
    let mut command = world.agent_command(&["watch", mode, "--pid", &pid, "--interval", "50ms"]);
    command.arg("-o").arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut agent = Guarded(command.spawn()?);
    let stdout = agent.0.stdout.take().context("no stdout")?;
    // SAFETY: a system call on a descriptor of ours. The kernel rounds up to a page.
    unsafe { libc::fcntl(stdout.as_raw_fd(), libc::F_SETPIPE_SZ, 1) };
    let mut out = BufReader::with_capacity(1, stdout);
    out.read_line(&mut String::new())?;
    for _ in 0..CONNECTIONS {
        converse(demo.addr)?;
    }
    await_blocked_write(world, agent.0.id(), "output")?;
    agent.signal(signal);
    let status = agent.ended(AT_ONCE)?;
    let mut stderr = String::new();
    agent.0.stderr.take().context("no stderr")?.read_to_string(&mut stderr)?;
    ensure!(status.success(), "it ended with {status}: {stderr}");
    ensure!(stderr.contains("nobody read it"), "the loss is not told: {stderr}");
    check_recording(world, &file, CONNECTIONS)
}

/// A watch on a terminal, of a server that has accepted a connection.
fn on_terminal<S: AsRef<OsStr>>(
    world: &World,
    terminal: &mut Terminal,
    args: &[S],
    controls: bool,
) -> anyhow::Result<Guarded> {
    let mut command = world.agent_command(&[]);
    command.args(args).env("TERM", "xterm-256color");
    terminal.start(command, controls)
}

/// A watch that records, on a terminal that has shown which process it watches.
fn recording_on_terminal(
    world: &World,
    watched: u32,
    file: &Path,
    mode: Option<&str>,
    controls: bool,
) -> anyhow::Result<(Terminal, Guarded)> {
    let (pid, file) = (watched.to_string(), file.display().to_string());
    let mut args = vec!["watch", "--pid", &pid, "--interval", "50ms", "-o", &file];
    args.extend(mode);
    let mut terminal = Terminal::open()?;
    let agent = on_terminal(world, &mut terminal, &args, controls)?;
    terminal.await_text(world, &pid)?;
    Ok((terminal, agent))
}

fn still_terminal(world: &World) -> anyhow::Result<()> {
    for mode in [None, Some("--plain"), Some("--json")] {
        still_with(world, mode).with_context(|| format!("{mode:?}"))?;
    }
    Ok(())
}

fn still_with(world: &World, mode: Option<&str>) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let (_terminal, mut agent) = recording_on_terminal(world, demo.pid(), &file, mode, true)?;
    for _ in 0..CONNECTIONS {
        converse(demo.addr)?;
    }
    await_blocked_write(world, agent.0.id(), "output")?;
    agent.signal(libc::SIGINT);
    let status = agent.ended(AT_ONCE)?;
    ensure!(status.success(), "it ended with {status}");
    check_recording(world, &file, CONNECTIONS)
}

fn lost_terminal(world: &World) -> anyhow::Result<()> {
    for controls in [true, false] {
        for mode in [None, Some("--plain"), Some("--json")] {
            lost_with(world, mode, controls)
                .with_context(|| format!("{mode:?}, controlling: {controls}"))?;
        }
        let mut terminal = Terminal::open()?;
        let mut lesson = on_terminal(world, &mut terminal, &["learn", "--recorded"], controls)?;
        terminal.await_text(world, "essons")?;
        drop(terminal);
        let status = lesson.ended(AT_ONCE)?;
        let hung_up = std::os::unix::process::ExitStatusExt::signal(&status) == Some(libc::SIGHUP);
        ensure!(status.success() || hung_up, "a lesson ended with {status}");
    }
    Ok(())
}

fn lost_with(world: &World, mode: Option<&str>, controls: bool) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let (terminal, mut agent) = recording_on_terminal(world, demo.pid(), &file, mode, controls)?;
    converse(demo.addr)?;
    drop(terminal);
    let status = agent.ended(AT_ONCE)?;
    ensure!(status.success(), "it ended with {status}");
    check_recording(world, &file, 1)
}

/// While the screen is shown, what the command writes goes to a file that has no name and that
/// nobody else can read. It is printed at the end, and nothing is left behind, whatever ends it.
fn command_output(world: &World) -> anyhow::Result<()> {
    const WORD: &str = "a-word-of-the-command";
    for signal in [libc::SIGINT, libc::SIGKILL] {
        let dir = tempfile::tempdir()?;
        let mut command = world.agent_command(&["watch", "--", "sh", "-c"]);
        command.arg(format!("echo {WORD}; exec sleep 600")).env("TERM", "xterm-256color");
        command.env("XDG_RUNTIME_DIR", dir.path()).env("TMPDIR", dir.path());
        let left = || fs::read_dir(dir.path()).map(Iterator::count);
        let mut terminal = Terminal::open()?;
        let mut agent = terminal.start(command, true)?;
        let deadline = Instant::now() + world.patience();
        let (child, file) = loop {
            if let Some(child) = child_of(agent.0.id())
                && let file = PathBuf::from(format!("/proc/{child}/fd/1"))
                // Before it is started it has the terminal.
                && fs::metadata(&file).is_ok_and(|metadata| metadata.is_file())
                && fs::read_to_string(&file).is_ok_and(|text| text == format!("{WORD}\n"))
            {
                break (child, file);
            }
            ensure!(Instant::now() < deadline, "the command's output is in no file");
            thread::sleep(Duration::from_millis(20));
        };
        let metadata = fs::metadata(&file)?;
        let (links, mode) = (metadata.nlink(), metadata.mode() & 0o777);
        ensure!(links == 0 && mode == 0o600, "{links} names, mode {mode:o}");
        ensure!(left()? == 0, "it has a name in a folder");
        agent.signal(signal);
        if signal == libc::SIGINT {
            terminal.await_text(world, &format!("the command wrote:\r\n{WORD}"))?;
            let status = agent.ended(world.patience())?;
            ensure!(status.success(), "it ended with {status}");
        } else {
            agent.ended(world.patience())?;
            // What was started has lost its parent.
            let _ = Command::new("kill").arg(child.to_string()).status();
        }
        ensure!(left()? == 0, "something is left behind");
    }
    Ok(())
}

/// Returns the process that this one has started.
fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// A terminal that says of itself that it can only print lines gets lines, and is told why.
fn dumb_terminal(world: &World) -> anyhow::Result<()> {
    const ALTERNATE_SCREEN: &str = "\x1b[?1049h";
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let pid = demo.pid().to_string();
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("run.bsrec");
    let file = file.to_string_lossy();
    let watch = ["watch", "--pid", &pid, "--duration", "1s", "-o", &file];
    let replay = ["replay", &file, "--speed", "64"];
    for args in [&watch[..], &replay[..]] {
        let mut command = world.agent_command(args);
        command.env("TERM", "dumb");
        let mut terminal = Terminal::open()?;
        let mut agent = terminal.start(command, true)?;
        let shown = terminal.await_text(world, "  cost ")?;
        ensure!(agent.ended(world.patience())?.success());
        ensure!(shown.contains("TERM=dumb"), "{args:?}: no word on why: {shown}");
        ensure!(!shown.contains(ALTERNATE_SCREEN), "{args:?}: a screen: {shown}");
        ensure!(!shown.contains("\x1b["), "{args:?}: colours: {shown}");
    }
    Ok(())
}

fn full_disk(world: &World) -> anyhow::Result<()> {
    let demo = world.demo(&["slow-acceptor", "--accept-delay", "0ms"])?;
    let pid = demo.pid().to_string();
    let verbs: [&[&str]; 13] = [
        &["completions", "bash"],
        &["completions", "zsh"],
        &["schema"],
        &["man"],
        &["listeners"],
        &["listeners", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["learn", "--list"],
        &["learn", "nagle", "--auto", "--recorded"],
        &["demo", "--list"],
        &["watch", "--json", "--duration", "300ms", "--pid", &pid],
        &["watch", "--plain", "--duration", "300ms", "--pid", &pid],
    ];
    for verb in verbs {
        let full = File::options().write(true).open("/dev/full")?;
        let output = world.agent_command(verb).stdout(full).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(1) && stderr.contains("No space left"),
            "{verb:?}: {}: {stderr}",
            output.status
        );
    }
    Ok(())
}

/// A command name of 11 bytes: ESC, CSI as one character, an override, a backslash, a line's end, a
/// quotation mark.
const NAME: &str = "\x1b\u{9b}\u{202e}\\\n\"red";
/// The same on a terminal.
const SHOWN: &str = r#"\u{1b}\u{9b}\u{202e}\\\u{a}"red"#;
/// The same in JSON.
const QUOTED: &str = r#"\u001b\u009b\u202e\\\n\"red"#;

/// Starts a process of that name, which listens at the port if there is one.
fn named(world: &World, port: Option<u16>) -> anyhow::Result<Process> {
    let socket = match port {
        Some(port) => format!("s=socket.create_server(('127.0.0.1',{port}))"),
        None => String::new(),
    };
    let script = format!(
        "import socket,sys\n\
         name=b'\\x1b\\xc2\\x9b\\xe2\\x80\\xae\\\\\\n\"red'\n\
         open('/proc/self/comm','wb').write(name)\n\
         {socket}\n\
         print('ready',flush=True)\n\
         sys.stdin.readline()\n"
    );
    let mut python = Command::new("python3");
    python.args(["-c", &script]);
    let process = Process::start(python)?;
    let line = process.next_line(Instant::now() + world.patience())?;
    ensure!(line.as_deref() == Some("ready"), "{line:?}");
    if let Some(port) = port {
        net::await_listening(port, world.patience())?;
    }
    Ok(process)
}

fn with<'a>(start: &[&'a str], end: &'a OsStr) -> Vec<&'a OsStr> {
    let mut words: Vec<&OsStr> = start.iter().map(|word| OsStr::new(*word)).collect();
    words.push(end);
    words
}

/// Runs the agent to its end. Whatever it writes may be shown on a terminal.
fn written(world: &World, args: &[&OsStr]) -> anyhow::Result<(String, String)> {
    let Output { stdout, stderr, .. } = world.agent_command(&[]).args(args).output()?;
    let texts = (String::from_utf8(stdout)?, String::from_utf8(stderr)?);
    for text in [&texts.0, &texts.1] {
        let raw = |one: char| (one.is_control() && one != '\n') || one == '\u{202e}';
        ensure!(!text.contains(raw), "{args:?} let a name through: {text:?}");
    }
    Ok(texts)
}

fn hostile_names(world: &World) -> anyhow::Result<()> {
    let server = named(world, Some(7_013))?;
    let pid = server.pid().to_string();
    let dir = tempfile::tempdir()?;
    let file = dir.path().join(format!("{NAME}.bsrec"));
    let missing = dir.path().join(format!("{NAME}.none"));
    let (file, missing) = (file.as_os_str(), missing.as_os_str());
    let short = ["--duration", "500ms", "--interval", "100ms", "--pid"];

    let record = [&["record"], &short[..]].concat();
    let args = [with(&record, OsStr::new(&pid)), vec![OsStr::new("-o"), file]].concat();
    let (_, told) = written(world, &args)?;
    ensure!(told.matches(SHOWN).count() == 3, "the process, and the file twice: {told:?}");
    for args in [
        args,
        with(&["replay", "--plain"], missing),
        with(&["completions"], OsStr::new(NAME)),
        with(&["watch", "--port"], OsStr::new(NAME)),
        with(&["learn", "nagle", "--auto", "--recorded", "--text"], missing),
    ] {
        let (_, told) = written(world, &args)?;
        ensure!(told.contains(SHOWN), "{args:?} said {told:?}");
    }
    let watch = [&["watch", "--plain"], &short[..]].concat();
    for args in [
        with(&["listeners", "--pid"], OsStr::new(&pid)),
        with(&watch, OsStr::new(&pid)),
        with(&["replay", "--plain"], file),
    ] {
        let (shown, _) = written(world, &args)?;
        ensure!(shown.contains(SHOWN), "{args:?} showed {shown:?}");
    }
    let watch = [&["watch", "--json"], &short[..]].concat();
    for args in [
        with(&["listeners", "--json", "--pid"], OsStr::new(&pid)),
        with(&watch, OsStr::new(&pid)),
        with(&["replay", "--json"], file),
    ] {
        let (objects, _) = written(world, &args)?;
        ensure!(objects.contains(QUOTED), "{args:?} wrote {objects}");
        let names = |line: &str| serde_json::from_str(line).map(|it: Value| it["comm"] == NAME);
        let found: Vec<bool> = objects.lines().map(names).collect::<Result<_, _>>()?;
        ensure!(found.contains(&true), "the name as it came: {objects}");
    }

    let mut terminal = Terminal::open()?;
    let mut agent = on_terminal(world, &mut terminal, &["watch", "--pid", &pid], true)?;
    let shown = terminal.await_text(world, r"\u{1b}\u{9b}\u{202e}\\\u{a}")?;
    ensure!(!shown.contains(['\u{9b}', '\u{202e}']), "{shown:?}");
    agent.signal(libc::SIGINT);
    agent.ended(AT_ONCE)?;
    hostile_notices(world, dir.path())
}

/// Notices name processes; with `--json` they go to standard error, live and from a recording.
fn hostile_notices(world: &World, dir: &Path) -> anyhow::Result<()> {
    let idle = named(world, None)?;
    let pid = idle.pid().to_string();
    let file = dir.join("idle.bsrec");
    let watch = ["watch", "--json", "--duration", "500ms", "--pid", &pid, "-o"].map(OsStr::new);
    let live = [&watch[..], &[file.as_os_str()]].concat();
    let replay = ["replay", "--json"].map(OsStr::new);
    for args in [live, [&replay[..], &[file.as_os_str()]].concat()] {
        let (_, told) = written(world, &args)?;
        let notice = format!("{SHOWN} {pid} has no listening TCP socket");
        ensure!(told.contains(&notice), "{args:?} said {told:?}");
    }
    Ok(())
}

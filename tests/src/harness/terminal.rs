//! Terminals: one of our own, what is written to it, and the screen that it would show.

use std::ffi::c_int;
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::World;

/// Lines and columns of every terminal.
const SIZE: (u16, u16) = (24, 80);

/// A child that is killed and reaped when it is dropped.
pub struct Guarded(pub Child);

impl Guarded {
    /// Sends it a signal.
    pub fn signal(&self, signal: c_int) {
        // SAFETY: a system call on a child that has not been reaped.
        unsafe { libc::kill(self.0.id().cast_signed(), signal) };
    }

    /// Waits for its end, so long at most.
    pub fn ended(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            ensure!(begin.elapsed() < patience, "it still runs after {patience:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A terminal of our own.
pub struct Terminal {
    /// The end that the program has not.
    pub master: File,
    slave: OwnedFd,
}

impl Terminal {
    /// Opens one of 24 lines and 80 columns.
    pub fn open() -> anyhow::Result<Self> {
        // From the beginning on nobody inherits either end: another case may start a process now.
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let opened = |fd: c_int| {
            ensure!(fd >= 0, "no terminal: {}", std::io::Error::last_os_error());
            // SAFETY: a descriptor that was just opened, and that nobody else owns.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        };
        // SAFETY: a plain system call without pointers.
        let master = opened(unsafe { libc::posix_openpt(flags) })?;
        let fd = master.as_raw_fd();
        let size = libc::winsize { ws_row: SIZE.0, ws_col: SIZE.1, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: calls on a descriptor that is open, and a pointer to a struct of ours.
        let slave = unsafe {
            libc::unlockpt(fd);
            libc::ioctl(fd, libc::TIOCSWINSZ, &raw const size);
            libc::ioctl(fd, libc::TIOCGPTPEER, flags)
        };
        Ok(Self { master: File::from(master), slave: opened(slave)? })
    }

    /// Starts a command with it as its three streams. With `controls` it is the controlling
    /// terminal, whose end is announced by SIGHUP.
    pub fn start(&self, mut command: Command, controls: bool) -> anyhow::Result<Guarded> {
        let stream = || Ok::<_, std::io::Error>(Stdio::from(self.slave.try_clone()?));
        command.stdin(stream()?).stdout(stream()?).stderr(stream()?);
        // SAFETY: system calls that are async-signal-safe and touch the child alone.
        unsafe {
            command.pre_exec(move || {
                libc::setsid();
                if controls {
                    libc::ioctl(0, libc::TIOCSCTTY, 0);
                }
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        Ok(Guarded(command.spawn()?))
    }

    /// The end that the program has, for questions on its settings.
    fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings(self.slave.try_clone()?))
    }

    /// Types.
    pub fn write(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.master.write_all(text.as_bytes())?)
    }

    /// Returns the bytes that were typed and that nobody has read.
    pub fn unread(&self) -> anyhow::Result<c_int> {
        let mut count: c_int = 0;
        // SAFETY: a call on a descriptor that is open, and a pointer to an integer of ours.
        let outcome =
            unsafe { libc::ioctl(self.slave.as_raw_fd(), libc::FIONREAD, &raw mut count) };
        ensure!(outcome == 0, "FIONREAD: {}", std::io::Error::last_os_error());
        Ok(count)
    }

    /// Waits until somebody has read what was typed, as far as the kernel has passed it on.
    pub fn await_read(&self, world: &World) -> anyhow::Result<()> {
        let deadline = Instant::now() + world.patience();
        while self.unread()? > 0 {
            ensure!(Instant::now() < deadline, "nobody reads what is typed");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits until there is something to read: false if nothing comes before the deadline. There is
    /// no end of it, since we hold the near end, too.
    pub fn await_output(&self, deadline: Instant) -> anyhow::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        let fd = self.master.as_raw_fd();
        let mut output = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: a pointer to one structure of ours.
        let count = unsafe { libc::poll(&raw mut output, 1, c_int::try_from(left.as_millis())?) };
        ensure!(count >= 0, "poll: {}", std::io::Error::last_os_error());
        Ok(count > 0)
    }

    /// Reads what there is, and waits for it if there is nothing.
    pub fn read(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut buffer = vec![0; 4_096];
        let size = self.master.read(&mut buffer)?;
        buffer.truncate(size);
        Ok(buffer)
    }

    /// Reads until this has been written. Returns what was read.
    pub fn await_text(&mut self, world: &World, wanted: &str) -> anyhow::Result<String> {
        self.await_texts(world, &[wanted])
    }

    /// Reads until all of these have been written, in any order. Returns what was read.
    pub fn await_texts(&mut self, world: &World, wanted: &[&str]) -> anyhow::Result<String> {
        let deadline = Instant::now() + world.patience();
        let mut seen = Vec::new();
        loop {
            let shown = String::from_utf8_lossy(&seen);
            let Some(missing) = wanted.iter().find(|wanted| !shown.contains(**wanted)) else {
                return Ok(shown.into_owned());
            };
            ensure!(self.await_output(deadline)?, "no {missing:?} on the terminal: {shown:?}");
            seen.extend(self.read()?);
        }
    }
}

/// The settings of a terminal.
pub struct Settings(OwnedFd);

impl Settings {
    /// Returns whether it reads lines and echoes them, as a shell leaves it.
    pub fn is_cooked(&self) -> anyhow::Result<bool> {
        // SAFETY: a struct of numbers, and a call on a descriptor that is open.
        let (outcome, settings) = unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            (libc::tcgetattr(self.0.as_raw_fd(), &raw mut settings), settings)
        };
        ensure!(outcome == 0, "tcgetattr: {}", std::io::Error::last_os_error());
        let cooked = libc::ICANON | libc::ECHO | libc::ISIG;
        Ok(settings.c_lflag & cooked == cooked)
    }
}

/// A program on a terminal, and the screen that a user would see.
pub struct OnScreen {
    terminal: Terminal,
    parser: vt100::Parser,
    /// Everything that was written.
    pub written: Vec<u8>,
    /// The program.
    pub program: Guarded,
}

impl OnScreen {
    /// Starts a command on a terminal of its own.
    pub fn start(command: Command) -> anyhow::Result<Self> {
        Self::start_on(command, true)
    }

    /// Starts a command on a terminal that it does not control, and so does not hang up: the
    /// settings outlive it, as with one that a shell controls.
    pub fn start_as_from_a_shell(command: Command) -> anyhow::Result<Self> {
        Self::start_on(command, false)
    }

    fn start_on(mut command: Command, controls: bool) -> anyhow::Result<Self> {
        command.env("TERM", "xterm-256color");
        let terminal = Terminal::open()?;
        let program = terminal.start(command, controls)?;
        let size = |cells| NonZero::new(cells).context("a terminal of some size");
        let parser = vt100::Parser::new(size(SIZE.0)?, size(SIZE.1)?, 0);
        Ok(Self { terminal, parser, written: Vec::new(), program })
    }

    /// The settings of its terminal; they outlive the program.
    pub fn terminal(&self) -> anyhow::Result<Settings> {
        self.terminal.settings()
    }

    /// Types keys.
    pub fn type_keys(&mut self, keys: &str) -> anyhow::Result<()> {
        Ok(self.terminal.master.write_all(keys.as_bytes())?)
    }

    /// Waits until the screen shows this. Returns the whole screen.
    pub fn await_shown(&mut self, world: &World, wanted: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + world.patience();
        loop {
            let shown = self.shown();
            if shown.contains(wanted) {
                return Ok(shown);
            }
            ensure!(self.read(deadline)?, "no {wanted:?} on the screen:\n{shown}");
        }
    }

    /// Waits until the screen does not show this any more.
    pub fn await_gone(&mut self, world: &World, unwanted: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + world.patience();
        while self.shown().contains(unwanted) {
            let came = self.read(deadline)?;
            ensure!(came, "{unwanted:?} is still on the screen:\n{}", self.shown());
        }
        Ok(())
    }

    /// Reads for as long as the screen shows this; fails if it does not in the end.
    pub fn stays(&mut self, wanted: &str, time: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + time;
        while self.read(deadline)? {
            let shown = self.shown();
            ensure!(shown.contains(wanted), "{wanted:?} has gone:\n{shown}");
        }
        let ended = self.program.0.try_wait()?;
        ensure!(ended.is_none(), "it ended: {ended:?}");
        Ok(())
    }

    /// Waits for its end. Returns its status, and what it wrote once it had given the terminal back.
    pub fn end(mut self, world: &World) -> anyhow::Result<(ExitStatus, String)> {
        self.ended(world)
    }

    /// As [`Self::end`]; the terminal stays.
    pub fn ended(&mut self, world: &World) -> anyhow::Result<(ExitStatus, String)> {
        let deadline = Instant::now() + world.patience();
        let status = loop {
            self.read(Instant::now() + Duration::from_millis(20))?;
            if let Some(status) = self.program.0.try_wait()? {
                break status;
            }
            ensure!(Instant::now() < deadline, "it still runs:\n{}", self.shown());
        };
        while self.read(Instant::now() + Duration::from_millis(50))? {}
        let written = String::from_utf8_lossy(&self.written).into_owned();
        let after = written.rsplit("\u{1b}[?1049l").next().unwrap_or_default().to_owned();
        Ok((status, after))
    }

    /// Reads what is there.
    pub fn drain(&mut self) -> anyhow::Result<()> {
        while self.read(Instant::now())? {}
        Ok(())
    }

    /// The screen as it is now.
    pub fn shown(&self) -> String {
        self.parser.screen().contents()
    }

    fn read(&mut self, deadline: Instant) -> anyhow::Result<bool> {
        if !self.terminal.await_output(deadline)? {
            return Ok(false);
        }
        let mut buffer = [0; 65_536];
        let size = self.terminal.master.read(&mut buffer)?;
        self.parser.process(&buffer[..size]);
        self.written.extend_from_slice(&buffer[..size]);
        Ok(true)
    }
}

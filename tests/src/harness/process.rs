//! A child process whose output is read line by line. When the guard is dropped it is killed with
//! its whole process group.

use std::ffi::c_int;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;

/// A running child. Dropping it kills it and its children.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
    name: String,
}

impl Process {
    /// Starts `command` in a process group of its own, with its three streams as pipes.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let name = format!("{command:?}");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        // SAFETY: prctl is async-signal-safe and touches nothing but the child itself.
        unsafe {
            command.pre_exec(|| {
                // An interrupted run leaves nothing behind either.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().context("no stdout")?;
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().context("no stderr")?;
        let errors = thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ok(Self { child, lines, errors: Some(errors), name })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The command, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the next line of output; `None` at its end.
    ///
    /// Fails if there is none until `deadline`.
    pub fn next_line(&self, deadline: Instant) -> anyhow::Result<Option<String>> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => anyhow::bail!("no output in time from {}", self.name),
        }
    }

    /// Returns a line that has been printed already, if there is one.
    pub fn ready_line(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// Writes a line to the child's standard input.
    pub fn write_line(&mut self, line: &str) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().context("no stdin")?;
        writeln!(stdin, "{line}").with_context(|| format!("writing to {}", self.name))
    }

    /// Closes the child's standard input.
    pub fn close_input(&mut self) {
        self.child.stdin = None;
    }

    /// Sends a signal to the process alone, not to its children.
    pub fn signal(&self, number: c_int) {
        signal(self.child.id(), number);
    }

    /// Returns the status if it has ended.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end, `limit` at most.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "still running after {limit:?}: {}",
                self.name
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills the process and its group, and returns what it wrote to standard error.
    pub fn finish(&mut self) -> String {
        terminate(&mut self.child);
        self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// Copies a program, and waits until it can be run: a child that another thread has forked
/// meanwhile holds the copy open for writing until it calls exec.
pub fn copy_program(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    let copy = File::open(to)?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_open_for_writing(&copy) {
        anyhow::ensure!(Instant::now() < deadline, "{} stays open for writing", to.display());
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Returns whether anybody has this file open for writing: the kernel grants no read lease then.
fn is_open_for_writing(file: &File) -> bool {
    let lease = |kind: c_int| {
        // SAFETY: a plain system call on a descriptor that is open, without pointers.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) }
    };
    let refused = lease(libc::F_RDLCK) != 0;
    let is_busy = refused && io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN);
    lease(libc::F_UNLCK);
    is_busy
}

/// Kills a child that leads a process group of its own, with the group.
pub fn terminate(child: &mut Child) {
    // SAFETY: a plain system call. The group's id is the child's: even if the child was waited for,
    // the id stays taken while a member of the group lives; if none does the call fails, as the id
    // was ours a moment ago.
    unsafe { libc::kill(-(child.id() as libc::pid_t), libc::SIGKILL) };
    let _ = child.wait();
}

/// Sets a process's niceness to 15, so that nearly everything else runs before it.
pub(super) fn be_nice(pid: u32) -> io::Result<()> {
    // SAFETY: a plain system call without pointers.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, pid, 15) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to a process that has not been waited for.
pub fn signal(pid: u32, number: c_int) {
    // SAFETY: a plain system call without pointers.
    unsafe { libc::kill(pid as libc::pid_t, number) };
}

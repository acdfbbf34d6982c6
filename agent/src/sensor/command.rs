//! `-- CMD`: starts a program stopped, so that it can be watched from its first system call.

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{
    Pid, Signal, WaitIdOptions, WaitIdStatus, getpid, kill_process,
    set_parent_process_death_signal, waitid,
};

/// A started program that has not begun yet.
pub struct StoppedCommand {
    child: Child,
}

impl StoppedCommand {
    /// Starts this very program once more, which stops itself and will then become `command`.
    ///
    /// # Errors
    /// No process can be made.
    pub fn start(command: &[OsString], stdout: Stdio, stderr: Stdio) -> io::Result<Self> {
        let child = Command::new("/proc/self/exe")
            .arg(STOPPED_VERB)
            .arg("--")
            .args(command)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        let pid = Pid::from_child(&child);
        let status = waitid(
            rustix::process::WaitId::Pid(pid),
            WaitIdOptions::STOPPED | WaitIdOptions::EXITED,
        )?;
        match status {
            Some(status) if WaitIdStatus::stopped(&status) => Ok(Self { child }),
            _ => Err(io::Error::other("the program exited before it was started")),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it begin.
    ///
    /// # Errors
    /// It is gone.
    pub fn go(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// As [`Child::try_wait`].
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end; kills it if that takes longer than `patience`.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn wait_for(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill()?;
        Ok(Some(self.child.wait()?))
    }

    /// Passes a signal on.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }
}

/// Name of the hidden verb that calls [`stop_then_exec`].
pub const STOPPED_VERB: &str = "stop-then-exec";

/// Stops this process until somebody continues it, then becomes `command`. Returns only on failure.
pub fn stop_then_exec(command: &[OsString]) -> io::Error {
    let Some((program, arguments)) = command.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program");
    };
    match stop() {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error.into(),
    }
}

fn stop() -> rustix::io::Result<()> {
    // If backscope is killed now, nobody would ever continue this process.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    kill_process(getpid(), Signal::STOP)?;
    set_parent_process_death_signal(None)
}

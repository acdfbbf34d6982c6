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

use super::user::{User, become_user};

/// A started program that has not begun yet.
pub struct StoppedCommand {
    child: Child,
}

impl StoppedCommand {
    /// Starts this very program once more, which becomes `user`, stops itself and will then become
    /// `command`.
    ///
    /// # Errors
    /// No process can be made.
    pub fn start(
        command: &[OsString],
        user: Option<&User>,
        stdout: Stdio,
        stderr: Stdio,
    ) -> io::Result<Self> {
        let mut program = Command::new("/proc/self/exe");
        program.arg(STOPPED_VERB);
        if let Some(user) = user {
            program.arg("--ids").arg(ids(user));
            if let Some(entry) = &user.entry {
                program.env("HOME", &entry.home).env("SHELL", &entry.shell);
                program.env("USER", &entry.name).env("LOGNAME", &entry.name);
            }
        }
        let child = program.arg("--").args(command).stdout(stdout).stderr(stderr).spawn()?;
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

/// The numbers of a user, its group and all its groups, as an argument.
fn ids(user: &User) -> String {
    let mut ids = vec![user.uid.to_string(), user.gid.to_string()];
    ids.extend(user.groups.iter().map(u32::to_string));
    ids.join(",")
}

/// Becomes the user of these numbers, if there are any ([`StoppedCommand::start`]); stops this
/// process until somebody continues it, then becomes `command`. Returns only on failure.
pub fn stop_then_exec(ids: &[u32], command: &[OsString]) -> io::Error {
    let Some((program, arguments)) = command.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program");
    };
    // A change of user takes the wish to die with the parent back, so it comes first.
    if let [uid, gid, groups @ ..] = ids
        && let Err(error) = become_user(*uid, *gid, groups)
    {
        return error;
    }
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

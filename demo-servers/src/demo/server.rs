//! A demo's server as a process of its own, so that it can be watched.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, bail};

use crate::sock::announce;

/// The command that starts this crate's program: a file, and the arguments before the verb.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The file.
    pub program: PathBuf,
    /// The first arguments.
    pub prefix: Vec<OsString>,
}

impl Launcher {
    /// The running program, which has this crate's verbs behind this prefix.
    pub fn this_program(prefix: &[&str]) -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            prefix: prefix.iter().map(OsString::from).collect(),
        })
    }

    /// The whole command line for these arguments.
    pub fn command_line(&self, args: &[OsString]) -> Vec<OsString> {
        let program = self.program.clone().into_os_string();
        [&[program][..], &self.prefix, args].concat()
    }
}

/// A running server. Ends with its children when this is dropped, and when this process ends.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it listens. Its later output is printed behind `server: `.
    ///
    /// The server ends with the calling thread.
    pub fn start(launcher: &Launcher, args: &[OsString]) -> anyhow::Result<Self> {
        let mut command = Command::new(&launcher.program);
        command.args(&launcher.prefix).args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        // Ctrl-C is for us: the server ends after its client.
        command.process_group(0);
        // SAFETY: prctl is async-signal-safe and touches nothing but the child itself.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", launcher.program.display()))?;
        let output = child.stdout.take().context("the server has no output")?;
        match await_address(output) {
            Ok(address) => Ok(Self { child, address }),
            Err(error) => {
                let _ = child.kill();
                let status = child.wait()?;
                Err(error.context(format!("the server did not start ({status})")))
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its status if it has ended by itself.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SAFETY: a plain system call; the group is the child's, and while it is not waited for the
        // id is its own.
        unsafe { libc::kill(-(self.child.id() as libc::pid_t), libc::SIGTERM) };
        let _ = self.child.wait();
    }
}

/// Reads until the server prints its address. Another thread reads on.
fn await_address(output: ChildStdout) -> anyhow::Result<SocketAddr> {
    let mut lines = BufReader::new(output).lines();
    for line in lines.by_ref() {
        let line = line?;
        if let Some(address) = line.strip_prefix("listening on ") {
            thread::spawn(move || pass_on(lines));
            return address.parse().context("the server's address");
        }
        announce(format_args!("server: {line}"));
    }
    bail!("it is not listening")
}

fn pass_on(lines: io::Lines<BufReader<ChildStdout>>) {
    for line in lines.map_while(Result::ok) {
        announce(format_args!("server: {line}"));
    }
}

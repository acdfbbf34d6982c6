//! A running demo server.

use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;

use super::truth::Accepted;
use super::{Process, World};

/// A running demo server. It ends when the guard is dropped.
#[derive(Debug)]
pub struct Demo {
    process: Process,
    /// Its address; meaningless before it listens.
    pub addr: SocketAddr,
    /// Lines that it printed so far.
    lines: Vec<String>,
    world: World,
}

impl Demo {
    /// Starts it and waits until it listens.
    pub(super) fn listening(world: &World, args: &[&str]) -> anyhow::Result<Self> {
        let mut demo = Self::start(world, args)?;
        demo.await_listening()?;
        Ok(demo)
    }

    /// Starts it.
    pub(super) fn start(world: &World, args: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(world.demo_servers());
        command.args(args);
        Self::start_command(world, command)
    }

    /// Starts it, with its children in a PID namespace of their own.
    pub(super) fn start_apart(world: &World, args: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(world.demo_servers());
        command.args(args);
        // SAFETY: unshare is async-signal-safe and concerns the children of the child alone.
        unsafe {
            command.pre_exec(|| match libc::unshare(libc::CLONE_NEWPID) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        Self::start_command(world, command)
    }

    fn start_command(world: &World, command: Command) -> anyhow::Result<Self> {
        let process = Process::start(command)?;
        Ok(Self {
            process,
            addr: SocketAddr::from(([0, 0, 0, 0], 0)),
            lines: Vec::new(),
            world: world.clone(),
        })
    }

    /// Waits until it listens, and keeps the address.
    pub fn await_listening(&mut self) -> anyhow::Result<()> {
        let line = self.await_line("listening on ")?;
        self.addr = line["listening on ".len()..].parse().context("address of the demo server")?;
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Returns the process's id as an argument.
    pub fn pid_arg(&self) -> String {
        self.pid().to_string()
    }

    /// Its command, for messages.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Returns the address for an IPv4 client of a dual-stack listener.
    pub fn ipv4(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.addr.port()))
    }

    /// Returns the process that will accept, by its line `holder PID`.
    pub fn holder(&mut self) -> anyhow::Result<u32> {
        let line = self.await_line("holder ")?;
        line["holder ".len()..].parse().context("holder")
    }

    /// Sends the line for which it waits on standard input.
    pub fn go(&mut self) -> anyhow::Result<()> {
        self.process.write_line("go")
    }

    /// Waits for the first line that begins with `prefix`, printed already or not.
    pub fn await_line(&mut self, prefix: &str) -> anyhow::Result<String> {
        self.await_lines(prefix, 1).map(|mut lines| lines.swap_remove(0))
    }

    /// Waits until `count` lines begin with `prefix`.
    pub fn await_lines(&mut self, prefix: &str, count: usize) -> anyhow::Result<Vec<String>> {
        let deadline = Instant::now() + self.world.patience();
        loop {
            let found: Vec<_> =
                self.lines.iter().filter(|line| line.starts_with(prefix)).cloned().collect();
            if found.len() >= count {
                return Ok(found);
            }
            match self.process.next_line(deadline).with_context(|| {
                format!(
                    "waiting for {count} × `{prefix}`, got {} of them in {:?}",
                    found.len(),
                    self.lines
                )
            })? {
                Some(line) => self.lines.push(line),
                None => self.explain_end(prefix)?,
            }
        }
    }

    /// The lines so far that begin with `prefix`.
    pub fn lines<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().map(String::as_str).filter(move |line| line.starts_with(prefix))
    }

    /// Reads the lines that have been printed by now.
    pub fn drain(&mut self) {
        self.lines.extend(std::iter::from_fn(|| self.process.ready_line()));
    }

    /// Reads one more line.
    pub fn read_line(&mut self, awaited: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.world.patience();
        match self.process.next_line(deadline).with_context(|| format!("waiting for {awaited}"))? {
            Some(line) => self.lines.push(line),
            None => self.explain_end(awaited)?,
        }
        Ok(())
    }

    fn explain_end(&mut self, awaited: &str) -> anyhow::Result<()> {
        let status = self.process.wait(self.world.patience())?;
        let errors = self.process.finish();
        if status.code() == Some(77) {
            return super::skip(errors.trim());
        }
        anyhow::bail!(
            "{} ended ({status}) before it printed `{awaited}`: {errors}",
            self.process.name()
        )
    }

    /// Waits for the traces of `count` accepts (`--trace`).
    pub fn await_accepts(&mut self, count: usize) -> anyhow::Result<Vec<Accepted>> {
        self.await_lines("accepted ", count)?.iter().map(|line| Accepted::parse(line)).collect()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: std::ffi::c_int) {
        self.process.signal(signal);
    }

    /// Waits for its end.
    pub fn await_end(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        self.process.wait(self.world.patience())
    }
}

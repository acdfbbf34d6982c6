//! Real servers, unmodified: the command that starts each, and its protocol.

pub mod apps;
mod http;
mod postgresql;
mod redis;
mod sharing;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::harness::{Process, Protocol, Skip, World, net, talk};

/// The port of every server: at a time one runs in a network namespace.
pub const PORT: u16 = 7100;

/// A server that can be started.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// The project's name.
    pub name: &'static str,
    /// The bytes with which to ask it.
    pub protocol: Protocol,
    prepare: fn(&Path) -> anyhow::Result<Command>,
}

/// Every server that serves a connection as long as it is asked.
pub const ALL: [Server; 15] = [
    http::NGINX,
    redis::REDIS,
    postgresql::POSTGRESQL,
    http::HAPROXY,
    http::APACHE_PREFORK,
    http::APACHE_EVENT,
    http::NODE,
    http::PYTHON_ASYNCIO,
    http::PYTHON_THREADS,
    http::CADDY,
    apps::GO,
    apps::JAVA,
    apps::GUNICORN,
    apps::UVICORN,
    apps::PUMA,
];

/// Further ones, which differ in how they share connections.
const SHARING: [Server; 7] = [
    sharing::NGINX_REUSEPORT,
    sharing::REDIS_IO_THREADS,
    sharing::NODE_CLUSTER,
    sharing::NODE_CLUSTER_SHARED,
    sharing::GUNICORN_SYNC,
    sharing::GUNICORN_GTHREAD,
    sharing::MEMCACHED,
];

/// A running server. It ends when the guard is dropped.
#[derive(Debug)]
pub struct Running {
    /// Its first process.
    pub process: Process,
    // Fields drop in order: the process that writes there ends first.
    _folder: tempfile::TempDir,
}

impl Server {
    /// The server of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        ALL.into_iter()
            .chain(SHARING)
            .find(|server| server.name == name)
            .with_context(|| format!("no server is called {name}"))
    }

    /// Writes what it needs into the folder, and returns how it is started there.
    ///
    /// # Errors
    /// A [`Skip`] if it is not installed; else whatever keeps it from being prepared.
    pub fn command(&self, folder: &Path) -> anyhow::Result<Command> {
        (self.prepare)(folder)
    }

    /// Starts it, with its files in a folder of its own, and waits until it answers.
    ///
    /// # Errors
    /// A [`Skip`] if it is not installed; else whatever keeps it from answering.
    pub fn start(&self, world: &World) -> anyhow::Result<Running> {
        // Some servers change to another user, who needs access.
        let folder = tempfile::Builder::new().prefix("backscope").tempdir_in("/tmp")?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let process = Process::start(self.command(folder.path())?)?;
        let deadline = Instant::now() + world.patience();
        net::await_listening(PORT, world.patience())?;
        // PostgreSQL listens while it still starts, and rejects clients.
        while let Err(error) =
            talk(([127, 0, 0, 1], PORT).into(), self.protocol, 1, |asked| asked < 1)
        {
            ensure!(Instant::now() < deadline, "{} does not answer: {error:#}", self.name);
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Running { process, _folder: folder })
    }
}

/// Returns the path of an installed program.
///
/// # Errors
/// A [`Skip`] if it is not installed.
pub fn installed(program: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places =
        std::env::split_paths(&path).chain(["/usr/sbin".into()]).map(|dir| dir.join(program));
    let found = places.find(|place| place.is_file());
    found.ok_or_else(|| Skip(format!("{program} is not installed")).into())
}

/// Returns the path of a server that `cargo xtask setup` builds: beside the directory of this
/// program's own build.
///
/// # Errors
/// A [`Skip`] if it was not built.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own
        .ancestors()
        .skip(1)
        .map(|dir| dir.join("servers").join(name))
        .find(|place| place.is_file());
    found.ok_or_else(|| Skip(format!("{name} is not built (cargo xtask setup)")).into())
}

/// Returns the command of an installed program with these arguments, separated by blanks.
///
/// # Errors
/// A [`Skip`] if it is not installed.
pub fn command(program: &str, arguments: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(installed(program)?);
    command.args(arguments.split_whitespace());
    Ok(command)
}

/// Returns the command with a file in the folder as its last argument.
///
/// # Errors
/// A [`Skip`] if it is not installed; else if the file cannot be written.
pub fn with_file(
    program: &str,
    arguments: &str,
    file: &Path,
    text: &str,
) -> anyhow::Result<Command> {
    let mut command = command(program, arguments)?;
    fs::write(file, text)?;
    command.arg(file);
    Ok(command)
}

//! Announces steps, and runs commands so that a failure explains itself.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// A step that takes long enough to be announced. [`Step::done`] prints the time that it took.
pub(crate) struct Step {
    started: Instant,
}

impl Step {
    /// Announces a step.
    pub(crate) fn start(what: impl std::fmt::Display) -> Self {
        eprintln!("==> {what}");
        Self { started: Instant::now() }
    }

    /// Reports that the step ended well, and the time it took.
    pub(crate) fn done(self, result: impl std::fmt::Display) {
        eprintln!("    {result} ({:.1} s)", self.started.elapsed().as_secs_f64());
    }
}

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let manifest = PathBuf::from(manifest);
    manifest.parent().map(Path::to_path_buf).unwrap_or(manifest)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// The cargo that runs this xtask.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The rustc that this cargo uses.
pub(crate) fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// Whether this runs as root.
pub(crate) fn is_root() -> bool {
    // SAFETY: a plain system call without arguments, which cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Returns a command that runs as root: with sudo unless this is root already. Prints the purpose.
pub(crate) fn privileged(program: impl AsRef<OsStr>, what_for: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    eprintln!("    using sudo to {what_for}");
    let mut sudo = Command::new("sudo");
    sudo.arg("--").arg(program);
    sudo
}

/// Finds a program in `PATH`, or where Debian keeps the administrator's programs.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrators)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Returns the command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    // The toolchain's cargo has a long path that nobody types.
    let program = if program.ends_with("cargo") { "cargo".as_ref() } else { command.get_program() };
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Runs a command with its output shown.
///
/// # Errors
/// If it cannot be started, or ends with a status other than 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed.
///
/// # Errors
/// As [`run`]; the message holds what the command wrote to stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !out.status.success() {
        bail!(
            "`{}` failed: {}\n{}",
            shown(command),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

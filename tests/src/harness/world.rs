//! The surroundings of a case: the machine, the tier and the programs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Demo, Watch};

/// The hooks that the agent is made to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// fentry and fexit.
    Full,
    /// Tracepoints alone.
    Tracepoint,
}

impl Tier {
    /// As `--tier` and `attached.tier` spell it.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Full => "full",
            Tier::Tracepoint => "tracepoint",
        }
    }
}

/// The surroundings of a case: the machine, the tier and the programs.
#[derive(Clone, Debug)]
pub struct World {
    /// Whether it runs in the virtual machine.
    pub vm: bool,
    /// The tier that the agent is made to use; its own choice if `None`.
    pub tier: Option<Tier>,
    skipped: Arc<AtomicU64>,
}

impl World {
    /// Makes the world of one run of a case.
    pub fn new(vm: bool, tier: Option<Tier>) -> Self {
        Self { vm, tier, skipped: Arc::default() }
    }

    /// Adds runs of probes that the kernel skipped.
    pub(super) fn note_skipped(&self, runs: u64) {
        self.skipped.fetch_add(runs, Ordering::Relaxed);
    }

    /// Returns the runs of probes that the kernel skipped during the case, by what was seen of its
    /// agents.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Returns the time that a clock of ticks may miss of the time that passed: an emulated machine
    /// under load loses some ticks.
    pub fn lost_ticks(&self, passed_ns: u64) -> u64 {
        if self.vm { passed_ns / 4 } else { 0 }
    }

    /// Returns the time to wait for something that must happen. Software emulation is slow.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(if self.vm { 120 } else { 20 })
    }

    /// A case that takes longer than this hangs.
    pub fn case_limit(&self) -> Duration {
        Duration::from_secs(if self.vm { 300 } else { 120 })
    }

    /// The agent's program.
    pub fn agent(&self) -> PathBuf {
        program("backscope", "BACKSCOPE_BIN")
    }

    /// The probes' object with log lines, if somebody has made it (`cargo xtask probes --log`).
    pub fn log_object(&self) -> Option<PathBuf> {
        let place =
            if self.vm { "/bin" } else { concat!(env!("CARGO_MANIFEST_DIR"), "/../target") };
        let object = Path::new(place).join("backscope-log.bpf.o");
        object.exists().then_some(object)
    }

    /// The demo servers' program.
    pub fn demo_servers(&self) -> PathBuf {
        program("demo-servers", "DEMO_SERVERS_BIN")
    }

    /// `backscope watch --json …`, not started yet.
    pub fn watch(&self) -> Watch<'_> {
        Watch::new(self)
    }

    /// Returns the watch for a case that is about queues alone. In the virtual machine it does
    /// without the hooks of exchanges: loading those would take longer than the rest of the case.
    pub fn watch_queues(&self) -> Watch<'_> {
        let detail = if self.vm { "queues" } else { "exchanges" };
        self.watch().args(["--detail", detail])
    }

    /// Starts a demo server and waits until it listens.
    pub fn demo(&self, args: &[&str]) -> anyhow::Result<Demo> {
        Demo::listening(self, args)
    }

    /// Starts a demo server that does not listen at once.
    pub fn demo_waiting(&self, args: &[&str]) -> anyhow::Result<Demo> {
        Demo::start(self, args)
    }

    /// Starts a demo server whose children are in a PID namespace of their own.
    pub fn demo_apart(&self, args: &[&str]) -> anyhow::Result<Demo> {
        Demo::start_apart(self, args)
    }

    /// `backscope ARGS…`, run to its end.
    pub fn agent_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.agent());
        command.args(args);
        without_sudo(&mut command);
        // Whatever the user who runs the tests prefers.
        command.env("BACKSCOPE_CONFIG", "");
        for name in ["BACKSCOPE_THEME", "NO_COLOR", "COLORFGBG"] {
            command.env_remove(name);
        }
        command
    }
}

/// Hides who called sudo for the tests: the agent would run a command as that user.
pub(super) fn without_sudo(command: &mut Command) -> &mut Command {
    for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER"] {
        command.env_remove(name);
    }
    command
}

/// Returns the program of that name: from the environment, from `/bin` (in the virtual machine), or
/// beside this program's own build (`target/PROFILE/deps/e2e-…`).
fn program(name: &str, variable: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        return path.into();
    }
    let installed = Path::new("/bin").join(name);
    if installed.exists() {
        return installed;
    }
    let own = env::current_exe().unwrap_or_default();
    let profile = own.ancestors().skip(1).find(|dir| dir.join(name).is_file());
    profile.map_or_else(|| name.into(), |dir| dir.join(name))
}

/// The reason why a case cannot run here. It counts neither as a failure nor as a pass.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Ends a case as skipped.
pub fn skip(reason: impl Into<String>) -> anyhow::Result<()> {
    Err(Skip(reason.into()).into())
}

/// Returns the reason why nothing can be tested without privileges; `None` with them.
pub fn unprivileged_reason() -> Option<String> {
    // SAFETY: a plain system call without arguments.
    let user = unsafe { libc::geteuid() };
    (user != 0).then(|| {
        format!(
            "needs root to load BPF programs (effective user {user}); set BACKSCOPE_SKIP_ROOT=1 to \
             skip instead"
        )
    })
}

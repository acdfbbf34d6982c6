//! What is given up for good once the probes are attached, or the recording to replay is open.
//!
//! It is a thread's, like capabilities. A watch and a replay call [`enter`] on the main thread,
//! before the threads that write output, read the terminal and wait for signals are started, so it
//! holds for all of them.
//!
//! A lesson attaches once a round, so its main thread, which shows it, needs the rights for the
//! next one. There the thread that watches calls it: what the kernel shows is parsed by a thread
//! without rights. That protects against what the parsers could be made to ask of the kernel, not
//! against one that is taken over: the memory is the other threads', too.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::thread::{CapabilitySet, set_no_new_privs};

pub use super::filter::Calls;
use super::{filter, keep, names};
use crate::model::Sandbox;

/// What is still needed.
#[derive(Clone, Debug)]
pub struct Needs {
    /// Capabilities.
    pub capabilities: CapabilitySet,
    /// System calls beyond those that everybody needs.
    pub calls: Calls,
    /// Files of other processes in `/proc`, which Landlock would hide.
    pub processes: bool,
}

impl Needs {
    /// Needs of whoever reads the probes' maps, and `attaches_again` programs to tracepoints.
    pub fn of_watch(capabilities: CapabilitySet, attaches_again: bool) -> Self {
        let calls = Calls { bpf: true, perf_events: attaches_again, ..Calls::default() };
        Self { capabilities, calls, processes: true }
    }
}

/// Removes one more capability, by its name, for tests of what it is needed for.
const WITHOUT: &str = "BACKSCOPE_WITHOUT";

/// The reason why a watch has no Landlock.
const HIDES_PROCESSES: &str = "no Landlock: it would hide the files of other processes in /proc, \
                               which the watch reads; the filter of system calls lets it open no \
                               file for writing";

/// Threads that confined themselves to less than [`enter`] leaves.
static CONFINED: AtomicUsize = AtomicUsize::new(0);

/// A thread that is confined, until it drops this and ends.
pub struct Confined(());

impl Drop for Confined {
    fn drop(&mut self) {
        CONFINED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Confines the calling thread to switching statistics of programs on and off: it keeps
/// CAP_SYS_ADMIN for that, and can make no call that could use it for anything else.
///
/// # Errors
/// The kernel does not let go of the other rights, or has no filter of system calls.
pub fn enter_for_statistics() -> io::Result<Confined> {
    keep(CapabilitySet::SYS_ADMIN)?;
    set_no_new_privs(true)?;
    filter::apply_to_statistics().map_err(io::Error::other)?;
    CONFINED.fetch_add(1, Ordering::Relaxed);
    Ok(Confined(()))
}

/// Confines the calling thread to making files in one folder and writing them, as who runs this
/// program could, and where it `removes` to removing files there. It opens none that is there.
/// Returns what is missing of that on this kernel, too.
///
/// # Errors
/// The kernel does not let go of the other rights, or has no filter of system calls.
pub fn enter_for_files(folder: &Path, removes: bool) -> io::Result<(Confined, Option<String>)> {
    // Root records into folders that are another's, and under sudo for the user that called it.
    keep(CapabilitySet::DAC_OVERRIDE | CapabilitySet::CHOWN)?;
    set_no_new_privs(true)?;
    let gap = close_all_but(folder, removes).err();
    filter::apply_to_files(removes).map_err(io::Error::other)?;
    CONFINED.fetch_add(1, Ordering::Relaxed);
    Ok((Confined(()), gap))
}

/// Gives up everything else, and returns what is held.
///
/// # Errors
/// The kernel does not let go of capabilities, or of the right to gain them by exec. What an old
/// kernel does not have is left out and said.
pub fn enter(needs: Needs) -> rustix::io::Result<Sandbox> {
    let mut gaps = Vec::new();
    let known = 1 + CONFINED.load(Ordering::Relaxed);
    if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > known) {
        gaps.push("other threads of this program were there before, and are outside".to_owned());
    }
    let wanted = match std::env::var(WITHOUT) {
        Ok(name) => without(needs.capabilities, &name),
        Err(_) => needs.capabilities,
    };
    let kept = keep(wanted)?;
    set_no_new_privs(true)?;
    let landlock = match needs.processes {
        true => Err(HIDES_PROCESSES.to_owned()),
        false => close_files(),
    };
    let landlock = landlock.map_err(|reason| gaps.push(reason)).ok();
    let filtered = filter::apply(&needs.calls);
    if let Err(error) = &filtered {
        gaps.push(format!("no filter of system calls: {error}"));
    }
    Ok(Sandbox {
        capabilities: names(kept),
        no_new_privs: true,
        seccomp: filtered.is_ok(),
        landlock,
        gaps,
    })
}

fn without(set: CapabilitySet, name: &str) -> CapabilitySet {
    match CapabilitySet::from_name(name.trim_start_matches("CAP_")) {
        Some(capability) => set - capability,
        None => set,
    }
}

/// Lets no file be opened any more, nor a port, by Landlock. Returns the version of its interface,
/// or why there is none.
fn close_files() -> Result<u32, String> {
    told(everything().and_then(|ruleset| ruleset.create()?.restrict_self()))
}

/// The same, but for files in one folder.
fn close_all_but(folder: &Path, removes: bool) -> Result<u32, String> {
    let mut files = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg;
    if removes {
        files |= AccessFs::RemoveFile;
    }
    let folder = PathFd::new(folder).map_err(|error| format!("no Landlock: {error}"))?;
    told(everything().and_then(|ruleset| {
        ruleset.create()?.add_rule(PathBeneath::new(folder, files))?.restrict_self()
    }))
}

/// Everything that this kernel can restrict: older ones know fewer rights, and what they know is
/// taken.
fn everything() -> Result<Ruleset, RulesetError> {
    let newest = ABI::V6;
    Ruleset::default()
        .handle_access(AccessFs::from_all(newest))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(newest)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(newest)))
}

fn told(restricted: Result<RestrictionStatus, RulesetError>) -> Result<u32, String> {
    match restricted {
        Ok(status) => match status.landlock {
            LandlockStatus::Available { effective_abi, .. } => Ok(effective_abi as u32),
            LandlockStatus::NotEnabled => {
                Err("no Landlock: this kernel was started without it".to_owned())
            }
            _ => Err("no Landlock: this kernel has none (before 5.13)".to_owned()),
        },
        Err(error) => Err(format!("no Landlock: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    const NOTHING: Needs = Needs {
        capabilities: CapabilitySet::empty(),
        calls: Calls {
            bpf: false,
            perf_events: false,
            tracing: false,
            cut: false,
            serve: false,
            connect: false,
            children: Vec::new(),
        },
        processes: false,
    };

    #[test]
    fn a_reader_that_needs_nothing_keeps_nothing() {
        let confined = thread::spawn(|| {
            let sandbox = enter(NOTHING).unwrap();
            (sandbox, fs::read_to_string("/etc/passwd").is_err())
        });
        let (sandbox, is_closed) = confined.join().unwrap();
        assert!(sandbox.capabilities.is_empty() && sandbox.seccomp, "{sandbox:?}");
        assert_eq!(sandbox.landlock.is_some(), is_closed, "{sandbox:?}");
    }

    #[test]
    fn who_makes_files_makes_them_in_one_folder() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, beside) = (folder.path().to_owned(), other.path().join("file"));
        let confined = thread::spawn(move || {
            let (_confined, gap) = enter_for_files(&path, false).unwrap();
            let new = |path| fs::File::options().write(true).create_new(true).open(path).is_ok();
            (gap, new(path.join("file")), new(beside))
        });
        let (gap, inside, outside) = confined.join().unwrap();
        assert!(inside, "{gap:?}");
        assert_eq!(outside, gap.is_some(), "{gap:?}");
    }

    /// This is why a watch has none.
    #[test]
    fn landlock_hides_other_processes() {
        let own = std::process::id();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let link = format!("/proc/{}/ns/net", child.id());
        assert!(fs::read_link(&link).is_ok());
        let hidden = thread::spawn(move || {
            let has_it = close_files().is_ok();
            (has_it, fs::read_link(&link).is_err())
        });
        let (has_it, is_hidden) = hidden.join().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(has_it, is_hidden, "of {own}");
    }

    #[test]
    fn a_test_can_take_one_more_away() {
        let set = CapabilitySet::SYS_PTRACE | CapabilitySet::KILL;
        assert_eq!(without(set, "CAP_KILL"), CapabilitySet::SYS_PTRACE);
        assert_eq!(without(set, "nonsense"), set);
    }
}

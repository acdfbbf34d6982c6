//! Rights of this program: who called it, and what it gives up.
//!
//! A program that was given capabilities by its file (`setcap`) runs for a user who has none. So
//! [`begin`], which comes before anything else, lowers them all: they stay *permitted*, and
//! [`raise`] makes them *effective* while the probes are loaded and attached. All that the program
//! opens in between it opens with the caller's rights. Commands that need none call [`give_up`].
//!
//! Once the probes are attached, [`sandbox::enter`] keeps what reading them still needs, for good.
//!
//! The kernel holds capabilities, filters and Landlock's domains by thread, and a new thread has
//! those of the thread that starts it. So each of these is called on the main thread before it
//! starts another; `sandbox` says where that cannot be had.

mod filter;
mod needs;
pub mod sandbox;
mod trace;

use std::{os::unix::fs::MetadataExt, sync::OnceLock};

use rustix::{
    process::{getgid, getgroups, getuid},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set,
        clear_ambient_capability_set, set_capabilities,
    },
};

pub use needs::{CommandNeeds, network_blocker};
pub use trace::may_trace;

/// Who called this program, as far as it decides what they may watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Root; or a user to whom somebody gave capabilities (ambient ones, as systemd gives them); or
    /// one without any, for whom the kernel decides.
    Themselves,
    /// A user for whom the file has capabilities, and who is in the group that owns the file, which
    /// others cannot run: they may watch everything.
    InGroup,
    /// A user for whom the file has capabilities, as for everybody: they may watch what they could
    /// trace without them.
    Anybody,
}

static CALLER: OnceLock<Caller> = OnceLock::new();

/// Finds out who called this program, and lowers the capabilities of its file.
pub fn begin() {
    let caller = caller();
    if caller != Caller::Themselves {
        // Less is always allowed.
        let _ = set_effective(CapabilitySet::empty());
    }
}

/// Who called this program.
pub fn caller() -> Caller {
    *CALLER.get_or_init(find_caller)
}

/// Exec gives a user who is not root permitted capabilities by the file, which clears the ambient
/// set, or by the ambient set.
fn find_caller() -> Caller {
    let permitted = permitted();
    if getuid().is_root() || permitted.is_empty() || has_ambient(permitted) {
        return Caller::Themselves;
    }
    let Ok(file) = std::fs::metadata("/proc/self/exe") else { return Caller::Anybody };
    let mut groups = getgroups().unwrap_or_default();
    groups.push(getgid());
    let is_member = groups.iter().any(|group| group.as_raw() == file.gid());
    if is_group_only(file.mode()) && is_member { Caller::InGroup } else { Caller::Anybody }
}

/// True if the owner's group may run a file of this mode and others may not.
fn is_group_only(mode: u32) -> bool {
    mode & 0o011 == 0o010
}

fn has_ambient(permitted: CapabilitySet) -> bool {
    permitted.iter().any(|capability| capability_is_in_ambient_set(capability).unwrap_or(false))
}

fn sets() -> CapabilitySets {
    let empty = CapabilitySet::empty();
    let none = CapabilitySets { effective: empty, permitted: empty, inheritable: empty };
    capabilities(None).unwrap_or(none)
}

/// The capabilities that this thread has or may raise.
pub fn permitted() -> CapabilitySet {
    sets().permitted
}

fn set_effective(effective: CapabilitySet) -> rustix::io::Result<()> {
    set_capabilities(None, CapabilitySets { effective, ..sets() })
}

/// Gives the capabilities of this thread up for good.
pub fn give_up() {
    // Less is always allowed.
    let _ = keep(CapabilitySet::empty());
}

/// Gives the capabilities up that a file gave, and leaves root's alone.
pub fn give_up_those_of_the_file() {
    if caller() != Caller::Themselves {
        give_up();
    }
}

/// Gives up the capabilities that exec brings back: root's, and those of a file. What this thread
/// starts has them again, and it has none itself. Ambient ones stay: no exec would bring them back.
pub fn give_up_until_exec() {
    if getuid().is_root() || caller() != Caller::Themselves {
        give_up();
    }
}

/// Keeps these capabilities of those that this thread has, in force, and gives the others up for
/// good. Returns those that are kept.
///
/// # Errors
/// The kernel refuses.
pub fn keep(wanted: CapabilitySet) -> rustix::io::Result<CapabilitySet> {
    let kept = permitted() & wanted;
    let empty = CapabilitySet::empty();
    clear_ambient_capability_set()?;
    set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: empty },
    )?;
    Ok(kept)
}

/// Capabilities that are in force until this is dropped; then those are that were before.
#[must_use]
#[derive(Debug)]
pub struct InForce {
    before: CapabilitySet,
}

/// Puts all capabilities of this thread in force for a while.
pub fn raise() -> InForce {
    in_force(permitted())
}

/// Puts only what the caller has without the file in force for a while.
pub fn lower() -> InForce {
    match caller() {
        Caller::Themselves => in_force(sets().effective),
        Caller::InGroup | Caller::Anybody => in_force(CapabilitySet::empty()),
    }
}

fn in_force(wanted: CapabilitySet) -> InForce {
    let before = sets().effective;
    if before != wanted {
        // What is permitted may be put in force.
        let _ = set_effective(wanted);
    }
    InForce { before }
}

impl Drop for InForce {
    fn drop(&mut self) {
        let CapabilitySets { effective, permitted, .. } = sets();
        let before = self.before & permitted;
        if effective != before {
            let _ = set_effective(before);
        }
    }
}

/// Returns true if `work` can be done without a capability.
pub fn can_do_without(capability: CapabilitySet, work: impl FnOnce() -> bool) -> bool {
    let _without = in_force(sets().effective - capability);
    work()
}

/// Returns the names of capabilities, as capabilities(7) has them.
pub fn names(set: CapabilitySet) -> Vec<String> {
    let mut names = Vec::new();
    for (name, _) in set.iter_names() {
        names.push(format!("CAP_{name}"));
    }
    names
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_group_counts_only_where_others_cannot_run_the_file() {
        assert!(is_group_only(0o100_750));
        assert!(!is_group_only(0o100_755), "everybody can run it");
        assert!(!is_group_only(0o100_700), "the group cannot run it");
    }

    #[test]
    fn what_was_given_up_does_not_come_back() {
        // They are a thread's.
        let given_up = thread::spawn(|| {
            give_up();
            let _raised = raise();
            sets()
        });
        let left = given_up.join().unwrap();
        assert!(left.effective.is_empty() && left.permitted.is_empty());
    }

    #[test]
    fn what_was_put_in_force_goes_back() {
        let before = sets();
        let inside = thread::spawn(move || {
            let outside = in_force(CapabilitySet::empty());
            let inside = sets();
            drop(outside);
            (inside, sets())
        });
        let (inside, after) = inside.join().unwrap();
        assert!(inside.effective.is_empty());
        assert_eq!(inside.permitted, before.permitted);
        assert_eq!(after, before);
    }

    #[test]
    fn capabilities_have_the_names_of_the_manual() {
        assert_eq!(names(CapabilitySet::SYS_PTRACE | CapabilitySet::BPF).len(), 2);
        assert!(names(CapabilitySet::SYS_PTRACE).contains(&"CAP_SYS_PTRACE".to_owned()));
    }
}

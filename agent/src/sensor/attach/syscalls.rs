//! Programs on the tracepoints of system calls, which can be taken off and put on again.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    thread,
};

use aya::programs::ProgramFd;

use super::sys;

/// Programs that are loaded, and attached or not. Dropping it detaches them.
#[derive(Default)]
pub(in crate::sensor) struct Syscalls {
    /// Open while programs are added.
    tracefs: Option<OwnedFd>,
    hooks: Vec<Hook>,
}

struct Hook {
    tracepoint: &'static str,
    /// Number of the tracepoint: it takes less to attach by it than to look it up.
    id: u64,
    program: ProgramFd,
    /// It is attached while this is open.
    event: Option<OwnedFd>,
}

/// The end of the call that a hook is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Entry,
    Return,
}

impl Hook {
    fn end(&self) -> End {
        if self.tracepoint.starts_with("sys_exit_") { End::Return } else { End::Entry }
    }
}

impl Syscalls {
    /// Attaches a program.
    ///
    /// # Errors
    /// There is no such tracepoint, or the kernel refuses.
    pub(super) fn add(&mut self, tracepoint: &'static str, program: ProgramFd) -> io::Result<()> {
        let root = match &self.tracefs {
            Some(root) => root,
            None => self.tracefs.insert(sys::own_tracefs()?),
        };
        let id = sys::tracepoint_id(root.as_fd(), tracepoint)?;
        let event = Some(sys::attach_tracepoint(id, program.as_fd())?);
        self.hooks.push(Hook { tracepoint, id, program, event });
        Ok(())
    }

    /// Closes what only adding needs.
    pub(super) fn have_all(&mut self) {
        self.tracefs = None;
    }

    /// True if there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Whether what is taken off can be put on again, found by trying. Some distributions ask for
    /// more than CAP_PERFMON (`kernel.perf_event_paranoid` above 2).
    pub(super) fn can_attach_again(&self) -> bool {
        let Some(hook) = self.hooks.first() else { return false };
        let Ok(event) = sys::perf_event_open(hook.id) else { return false };
        close(vec![event]);
        true
    }

    /// Takes off those at one end, on a thread of its own: the kernel waits for every processor,
    /// some tenths of a second, in which the ring buffer has to be emptied.
    pub(super) fn detach(&mut self, end: End) {
        let mut events: Vec<OwnedFd> = Vec::new();
        for hook in &mut self.hooks {
            if hook.end() == end {
                events.extend(hook.event.take());
            }
        }
        close(events);
    }

    /// Puts on again those at one end.
    ///
    /// # Errors
    /// The kernel refuses what it allowed before, for want of memory or descriptors.
    pub(super) fn attach_again(&mut self, end: End) -> io::Result<()> {
        for hook in &mut self.hooks {
            if hook.end() == end && hook.event.is_none() {
                hook.event = Some(sys::attach_tracepoint(hook.id, hook.program.as_fd())?);
            }
        }
        Ok(())
    }
}

/// Closes events on a thread of its own; here and now, if there can be none.
fn close(events: Vec<OwnedFd>) {
    let _ = thread::Builder::new().spawn(move || drop(events));
}

//! Takes hooks off for a pause, and puts them on again.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    thread,
};

use aya::programs::ProgramFd;

use super::{plan::Signal, programs::Link, sys};

/// Signals whose hooks run for each segment, read or write. Those of connections that begin and end
/// stay on.
pub(super) fn is_off_in_pauses(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::DataIn
            | Signal::Read
            | Signal::ReadSplice
            | Signal::Write
            | Signal::WriteBlocked
            | Signal::DelayedAck
            | Signal::Retransmit
    )
}

/// Programs that are attached, but not all the time. Dropping it detaches them.
#[derive(Default)]
pub(in crate::sensor) struct Pausable {
    hooks: Vec<Hook>,
}

struct Hook {
    program: ProgramFd,
    link: Option<Held>,
}

/// The link that keeps a program attached, as long as it is there.
#[expect(dead_code, reason = "nothing is asked of a link")]
enum Held {
    /// From the attach of all.
    First(Link),
    /// From the end of a pause.
    Again(OwnedFd),
}

impl Pausable {
    pub(super) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    pub(super) fn add(&mut self, program: ProgramFd, link: Option<Link>) {
        self.hooks.push(Hook { program, link: link.map(Held::First) });
    }

    /// Takes them off, on a thread of its own: the kernel may wait for every processor.
    pub(in crate::sensor) fn detach(&mut self) {
        let mut links = Vec::new();
        for hook in &mut self.hooks {
            links.extend(hook.link.take());
        }
        // If there can be no thread, here and now.
        let _ = thread::Builder::new().spawn(move || drop(links));
    }

    /// Puts them on again.
    ///
    /// # Errors
    /// The kernel refuses what it allowed before, for want of memory or descriptors. Those that were
    /// put on before stay.
    pub(in crate::sensor) fn attach_again(&mut self) -> io::Result<()> {
        for hook in &mut self.hooks {
            if hook.link.is_none() {
                hook.link = Some(Held::Again(sys::attach_tracing(hook.program.as_fd())?));
            }
        }
        Ok(())
    }
}

//! Processes that serve while something else is done.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use anyhow::{Context, Result};

use crate::step;

/// A process that is killed when this value is dropped or this process dies.
pub(crate) struct Background(pub(crate) Child);

impl Background {
    /// Starts it.
    ///
    /// # Errors
    /// If there is no such program, or no process can be made.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let shown = step::shown(command);
        Ok(Self(command.spawn().with_context(|| format!("cannot start `{shown}`"))?))
    }
}

/// Restricts a command, and all that it starts, to this processor.
pub(crate) fn pin(command: &mut Command, processor: usize) -> &mut Command {
    // SAFETY: the set is plain data for which all zeroes is valid, and the macro stays within it
    // for such numbers.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        set
    };
    // SAFETY: between fork and exec only sched_setaffinity is called, which is async-signal-safe;
    // the set is a copy.
    unsafe {
        command.pre_exec(move || {
            match libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself, at the same Ctrl-C.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! Processes that serve while something else is done.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use anyhow::{Context, Result};

use crate::step;

/// A process that ends with this one, whichever way this one ends.
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

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself, at the same Ctrl-C.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

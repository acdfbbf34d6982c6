//! The signals that end a run in good order.

use anyhow::Context;
use tokio::signal::unix::{Signal as Caught, SignalKind, signal};

/// The signals that end a run.
pub(super) struct Signals {
    interrupt: Caught,
    terminate: Caught,
    hangup: Caught,
    have_come: bool,
}

impl Signals {
    pub(super) fn catch() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("cannot catch signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
            have_come: false,
        })
    }

    /// Waits for the next one.
    pub(super) async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
        self.have_come = true;
    }

    /// Returns true once [`Signals::any`] has seen one.
    pub(super) fn have_come(&self) -> bool {
        self.have_come
    }
}

/// Lets a write beyond the limit of file sizes (`ulimit -f`) fail, where it would end the program.
/// The signal is caught and not ignored: a command that is started next would inherit that.
pub(super) fn survive_file_limit() -> anyhow::Result<()> {
    // Who listens may go; the handler stays.
    drop(signal(SignalKind::from_raw(libc::SIGXFSZ)).context("cannot catch signals")?);
    Ok(())
}

//! Switches the kernel's own statistics of programs on and off.
//!
//! That takes CAP_SYS_ADMIN each time (`bpf_enable_stats`, 5.10 to 7.3), which a watch gives up. So
//! a thread of its own keeps the right, and can make no system call but those that this takes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use aya::sys::Stats;

use crate::privileges::sandbox;

/// Size of its stack, bytes.
const STACK: usize = 64 * 1024;

const OFF: u8 = 0;
const ON: u8 = 1;
const OVER: u8 = 2;

/// The switch. Dropping it switches them off.
pub(super) struct Statistics {
    wanted: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

impl Statistics {
    /// Switches them on for the first time.
    ///
    /// # Errors
    /// The kernel refuses them, or there can be no such thread.
    pub(super) fn on() -> io::Result<Self> {
        let wanted = Arc::new(AtomicU8::new(ON));
        let (begun, outcome) = mpsc::sync_channel(1);
        let thread =
            thread::Builder::new().name("statistics".to_owned()).stack_size(STACK).spawn({
                let wanted = Arc::clone(&wanted);
                move || serve(&wanted, &begun)
            })?;
        match outcome.recv() {
            Ok(Ok(())) => Ok(Self { wanted, thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the thread ended")),
        }
    }

    /// Switches them on or off, soon.
    pub(super) fn set(&self, on: bool) {
        self.tell(if on { ON } else { OFF });
    }

    fn tell(&self, wanted: u8) {
        self.wanted.store(wanted, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        self.tell(OVER);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has let go of them, too.
            let _ = thread.join();
        }
    }
}

/// Confines itself, switches them on, says so, and then does as it is told.
fn serve(wanted: &AtomicU8, begun: &mpsc::SyncSender<io::Result<()>>) {
    let enable = || {
        aya::sys::enable_stats(Stats::RunTime).map_err(|error| {
            io::Error::from_raw_os_error(error.io_error.raw_os_error().unwrap_or(0))
        })
    };
    let confined = match sandbox::enter_for_statistics() {
        Ok(confined) => confined,
        Err(error) => {
            let _ = begun.send(Err(error));
            return;
        }
    };
    let mut held = match enable() {
        Ok(held) => {
            // The other end waits for it.
            let _ = begun.send(Ok(()));
            Some(held)
        }
        Err(error) => {
            let _ = begun.send(Err(error));
            return;
        }
    };
    loop {
        match wanted.load(Ordering::Acquire) {
            OVER => break,
            ON if held.is_none() => held = enable().ok(),
            ON => {}
            _ => held = None,
        }
        thread::park();
    }
    drop(held);
    drop(confined);
}

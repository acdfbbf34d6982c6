//! Where output leaves the program: a bounded queue, and a thread that writes.
//!
//! A reader that does not read, or a terminal that stands still (Ctrl-S), blocks whoever writes to
//! it. Only the thread here is blocked then: the ring buffer is drained on, a recording goes on, and
//! a signal ends the run. What no longer fits in the queue is dropped, and counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::Notify;

use crate::text::Untrusted;

/// Bytes that may wait for the reader.
pub const MAX_QUEUED: usize = 16 << 20;

/// Time that a line on standard error may take.
const NOTE_PATIENCE: Duration = Duration::from_secs(1);

/// Writes a line to standard error, as far as somebody takes it there: where nobody does,
/// `eprintln!` would panic or block.
///
/// This is where errors and notices are escaped, as a whole: they hold file names, command names and
/// words of the kernel as these came.
pub fn note(line: &Untrusted) {
    static OUTLET: OnceLock<Option<Outlet>> = OnceLock::new();
    static STALLED: AtomicBool = AtomicBool::new(false);
    let Some(outlet) = OUTLET.get_or_init(|| Outlet::new(io::stderr().as_fd()).ok()) else {
        return;
    };
    outlet.send(format!("{}\n", line.for_terminal()).into_bytes(), 1);
    let patience = if STALLED.load(Ordering::Relaxed) { Duration::ZERO } else { NOTE_PATIENCE };
    STALLED.store(!outlet.finish(patience), Ordering::Relaxed);
}

/// Composes a line for [`note()`].
macro_rules! note {
    ($($text:tt)*) => { $crate::outlet::note(&compose!($($text)*)) };
}

/// A queue of output for one descriptor.
///
/// Clones share the queue. It is written in order, by a thread that lives as long as the process:
/// who drops an outlet waits for nothing. [`Outlet::finish`] waits.
#[derive(Clone, Debug)]
pub struct Outlet {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something was queued.
    queued: Condvar,
    /// Something was written, or never will be.
    written: Condvar,
    /// The same, for those who wait asynchronously.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Chunk>,
    /// Bytes of the chunks, and of the one that is being written.
    bytes: usize,
    /// Lines that did not fit since the last call of [`Outlet::take_dropped`].
    dropped: u64,
    /// Set once nothing can be written any more: whatever is sent then is let go of.
    gone: Option<Gone>,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    lines: u64,
}

/// Reason why nothing can be written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    /// The reader closed the pipe, or the terminal was hung up. That is its right.
    Left,
    /// The number of the error.
    Failed(i32),
}

impl Outlet {
    /// Returns an outlet to standard output.
    ///
    /// # Errors
    /// Fails if it is closed, or the thread cannot be started.
    pub fn stdout() -> io::Result<Self> {
        Self::new(io::stdout().as_fd())
    }

    /// Returns an outlet to a copy of this descriptor.
    ///
    /// # Errors
    /// As [`Self::stdout`].
    pub fn new(to: BorrowedFd<'_>) -> io::Result<Self> {
        let file = File::from(to.try_clone_to_owned()?);
        let shared = Arc::new(Shared::default());
        let writer = shared.clone();
        thread::Builder::new().name("output".to_owned()).spawn(move || writer.write(file))?;
        Ok(Self { shared })
    }

    /// Queues a chunk, in which so many lines end. If there is no room for it, it is dropped and its
    /// lines are counted.
    pub fn send(&self, chunk: Vec<u8>, lines: u64) {
        let mut state = self.shared.lock();
        if state.gone.is_some() || chunk.is_empty() {
            return;
        }
        if state.bytes > 0 && state.bytes + chunk.len() > MAX_QUEUED {
            state.dropped += lines;
            return;
        }
        state.push(chunk, lines);
        self.shared.queued.notify_one();
    }

    /// Queues a chunk whether there is room or not: the last one, or one of many that
    /// [`Outlet::caught_up`] keeps few.
    pub fn send_anyway(&self, chunk: Vec<u8>, lines: u64) {
        let mut state = self.shared.lock();
        if state.gone.is_none() && !chunk.is_empty() {
            state.push(chunk, lines);
            self.shared.queued.notify_one();
        }
    }

    /// Gives up what has not been written, and returns the number of its lines and of those that
    /// were dropped.
    pub fn give_up(&self) -> u64 {
        let mut state = self.shared.lock();
        let mut lines = std::mem::take(&mut state.dropped);
        for chunk in state.chunks.drain(..) {
            lines += chunk.lines;
        }
        lines
    }

    /// Returns the number of lines that were dropped since the last call.
    pub fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.shared.lock().dropped)
    }

    /// Returns true if everything has been written.
    pub fn is_idle(&self) -> bool {
        self.shared.lock().bytes == 0
    }

    /// Returns true if nothing can be written any more.
    pub fn is_gone(&self) -> bool {
        self.shared.lock().gone.is_some()
    }

    /// Waits until the reader has gone; for ever if it stays.
    pub async fn gone(&self) {
        loop {
            let notified = self.shared.changed.notified();
            if self.is_gone() {
                return;
            }
            notified.await;
        }
    }

    /// Waits until everything is written but for so many bytes, or the reader has gone.
    pub async fn caught_up(&self, ahead: usize) {
        loop {
            let notified = self.shared.changed.notified();
            if self.shared.lock().bytes <= ahead {
                return;
            }
            notified.await;
        }
    }

    /// Returns the error for which output was lost. That the reader has left is none.
    pub fn failure(&self) -> Option<io::Error> {
        match self.shared.lock().gone {
            Some(Gone::Failed(errno)) => Some(io::Error::from_raw_os_error(errno)),
            Some(Gone::Left) | None => None,
        }
    }

    /// Waits until everything is written, for so long at most. Returns false if something is not:
    /// the reader does not read. If it has gone there is nothing left to write.
    pub fn finish(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.lock();
        while state.bytes > 0 && state.gone.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (state, _) = self
                .shared
                .written
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}

impl State {
    fn push(&mut self, bytes: Vec<u8>, lines: u64) {
        self.bytes += bytes.len();
        self.chunks.push_back(Chunk { bytes, lines });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is queued, until the reader goes.
    fn write(&self, mut file: File) {
        loop {
            let chunk = self.next();
            let outcome = write_all(&mut file, &chunk.bytes);
            let mut state = self.lock();
            state.bytes = state.bytes.saturating_sub(chunk.bytes.len());
            if let Err(error) = outcome {
                // The next write would not fare better.
                state.gone = Some(reason(&error, &file));
                (state.chunks, state.bytes) = (VecDeque::new(), 0);
            }
            self.changed.notify_waiters();
            self.written.notify_all();
            if state.gone.is_some() {
                return;
            }
        }
    }

    fn next(&self) -> Chunk {
        let mut state = self.lock();
        loop {
            match state.chunks.pop_front() {
                Some(chunk) => return chunk,
                None => {
                    state = self.queued.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// Returns what an error of a write means: a terminal that was hung up fails with EIO.
fn reason(error: &io::Error, file: &File) -> Gone {
    // `isatty` fails there, too; but it is a character device still.
    let is_device = file.metadata().is_ok_and(|file| file.file_type().is_char_device());
    let hung_up = error.raw_os_error() == Some(libc::EIO) && is_device;
    if hung_up || error.kind() == io::ErrorKind::BrokenPipe {
        Gone::Left
    } else {
        Gone::Failed(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// Writes all of it, also where whoever shares the descriptor has made it non-blocking.
fn write_all(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut waited = [PollFd::new(file, PollFlags::OUT)];
                poll(&mut waited, None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(30);

    fn piped() -> (io::PipeReader, Outlet) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, Outlet::new(writer.as_fd()).unwrap())
    }

    #[test]
    fn a_reader_that_reads_gets_all_in_order() {
        let (mut reader, outlet) = piped();
        let mut sent = Vec::new();
        for number in 0..10_000u32 {
            let line = format!("{number}\n").into_bytes();
            sent.extend_from_slice(&line);
            outlet.send(line, 1);
        }
        let mut read = vec![0; sent.len()];
        reader.read_exact(&mut read).unwrap();
        assert!(outlet.finish(LONG) && outlet.is_idle());
        assert_eq!((read, outlet.take_dropped()), (sent, 0));
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted_and_nobody_waits() {
        let (mut reader, outlet) = piped();
        let chunk = vec![b'x'; MAX_QUEUED / 2];
        for _ in 0..5 {
            outlet.send(chunk.clone(), 7);
        }
        assert!(!outlet.finish(SHORT), "nobody reads");
        assert_eq!((outlet.take_dropped(), outlet.take_dropped()), (21, 0));
        let mut read = vec![0; MAX_QUEUED];
        reader.read_exact(&mut read).unwrap();
        assert!(outlet.finish(LONG), "what was queued is written once it is read");
        outlet.send(b"and more".to_vec(), 1);
        assert!(outlet.finish(LONG));
        assert_eq!(outlet.take_dropped(), 0);
    }

    #[test]
    fn a_reader_that_has_gone_is_told_of() {
        let (reader, outlet) = piped();
        drop(reader);
        outlet.send(b"to nobody".to_vec(), 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(outlet.gone());
        outlet.send(b"nor this".to_vec(), 1);
        outlet.send_anyway(b"nor this".to_vec(), 1);
        assert!(outlet.finish(LONG) && outlet.is_idle());
        assert_eq!(outlet.take_dropped(), 0);
        assert!(outlet.failure().is_none(), "it may leave");
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let outlet = Outlet::new(File::options().write(true).open("/dev/full").unwrap().as_fd());
        let outlet = outlet.unwrap();
        outlet.send(b"a line".to_vec(), 1);
        assert!(outlet.finish(LONG));
        let error = outlet.failure().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    }

    #[test]
    fn a_filter_waits_for_its_reader() {
        let (mut reader, outlet) = piped();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let reading = thread::spawn(move || {
            let mut read = vec![0; 64 << 20];
            reader.read_exact(&mut read).is_ok()
        });
        for _ in 0..64 {
            outlet.send_anyway(vec![b'y'; 1 << 20], 1);
            runtime.block_on(outlet.caught_up(1 << 20));
            assert!(outlet.shared.lock().bytes <= 1 << 20);
        }
        assert!(reading.join().unwrap());
        assert_eq!(outlet.take_dropped(), 0);
    }
}

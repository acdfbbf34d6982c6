//! One io_uring operation at a time.

use std::io;

use io_uring::{IoUring, squeue};

/// Submits the operation and waits for its result: a descriptor or a count.
///
/// # Safety
/// Everything that the entry points to must live until this returns.
pub(crate) unsafe fn complete(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<usize> {
    // SAFETY: the caller's promise.
    unsafe { ring.submission().push(entry) }.map_err(io::Error::other)?;
    let completion = loop {
        match ring.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if let Some(completion) = ring.completion().next() {
            break completion;
        }
    };
    usize::try_from(completion.result())
        .map_err(|_| io::Error::from_raw_os_error(-completion.result()))
}

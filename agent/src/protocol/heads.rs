//! Heads of records or frames that follow one another in a stream of bytes, each with its length.

use super::Scrubbed;

/// Follows heads of `LENGTH` bytes through bytes that come in order, with gaps.
#[derive(Clone, Debug)]
pub(super) struct Heads<const LENGTH: usize> {
    /// Where the next head begins.
    next: u64,
    /// The part of it that is there; it is no head, perhaps, but what somebody wrote.
    head: Scrubbed,
    lost: bool,
}

impl<const LENGTH: usize> Heads<LENGTH> {
    /// Starts with a head behind so many bytes.
    pub(super) fn starting_at(next: u64) -> Self {
        Self { next, head: Scrubbed::default(), lost: false }
    }

    /// Takes bytes that came behind `at` others. `body` gets the place and the bytes of each head,
    /// and returns the length of its body; `None` where it is no head. From there on, and where a
    /// head was not among the bytes, `body` is not called any more.
    pub(super) fn take(
        &mut self,
        at: u64,
        bytes: &[u8],
        mut body: impl FnMut(u64, &[u8; LENGTH]) -> Option<u64>,
    ) {
        let end = at + bytes.len() as u64;
        while !self.lost {
            let from = self.next + self.head.len() as u64;
            if from >= end {
                return;
            }
            let Some(there) = bytes_from(from, at, bytes) else {
                self.lost = true;
                return;
            };
            let missing = LENGTH - self.head.len();
            self.head.append(&there[..missing.min(there.len())]);
            let Ok(head) = <&[u8; LENGTH]>::try_from(&self.head[..]) else { return };
            let length = body(self.next, head);
            self.head.clear();
            let Some(length) = length else {
                self.lost = true;
                return;
            };
            self.next += LENGTH as u64 + length;
        }
    }

    /// Whether the place of the next head is not known any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }
}

/// Returns the bytes from a place on, of those that came behind `at` others.
fn bytes_from(from: u64, at: u64, bytes: &[u8]) -> Option<&[u8]> {
    let skipped = usize::try_from(from.checked_sub(at)?).ok()?;
    bytes.get(skipped..)
}

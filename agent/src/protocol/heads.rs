//! The heads of what comes one behind the other in a stream of bytes, each with its length:
//! records, frames.

/// Follows heads of so many bytes through bytes that come in order, with gaps.
#[derive(Clone, Debug)]
pub(super) struct Heads<const LENGTH: usize> {
    /// Where the next head begins.
    next: u64,
    /// As much of it as is there.
    head: Vec<u8>,
    lost: bool,
}

impl<const LENGTH: usize> Heads<LENGTH> {
    /// The first one begins behind so many bytes.
    pub(super) fn starting_at(next: u64) -> Self {
        Self { next, head: Vec::new(), lost: false }
    }

    /// Takes bytes that came behind `at` others. `body` is told each head and where it begins, and
    /// says how much follows it; `None` where it is none. From there on, and where a head was not
    /// among the bytes, nothing is told.
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
            let Some(there) =
                from.checked_sub(at).and_then(|from| bytes.get(usize::try_from(from).ok()?..))
            else {
                self.lost = true;
                return;
            };
            let missing = LENGTH - self.head.len();
            self.head.extend_from_slice(&there[..missing.min(there.len())]);
            let Ok(head) = <&[u8; LENGTH]>::try_from(&self.head[..]) else { return };
            let Some(length) = body(self.next, head) else {
                self.lost = true;
                return;
            };
            self.next += LENGTH as u64 + length;
            self.head.clear();
        }
    }

    /// Nothing more will be told.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }
}

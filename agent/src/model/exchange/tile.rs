//! Slices that follow one another without gap or overlap.

use std::mem;

use crate::model::snapshot::{Slice, SliceKind};

const US: u64 = 1_000;

/// The newest piece, as long as it may grow.
#[derive(Clone, Copy, Debug)]
struct Piece {
    kind: SliceKind,
    cpu_ns: Option<u64>,
}

/// Lays slices one behind the other. Time never goes back: a piece that would end before the last
/// one is left out, so that facts out of order make a shorter slice, never an overlap.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    start_ns: u64,
    /// Where the newest piece ends.
    end_ns: u64,
    newest: Option<Piece>,
    /// Where that begins, on the grid of whole microseconds from the start.
    from_us: u64,
    slices: Vec<Slice>,
}

impl Tile {
    /// Lays the slices into `room`, which is empty.
    pub(super) fn new(room: Vec<Slice>) -> Self {
        Self { start_ns: 0, end_ns: 0, newest: None, from_us: 0, slices: room }
    }

    /// Where the first piece begins.
    pub(super) fn begin(&mut self, start_ns: u64) {
        (self.start_ns, self.end_ns) = (start_ns, start_ns);
    }

    pub(super) fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// Where the next piece begins.
    pub(super) fn end_ns(&self) -> u64 {
        self.end_ns
    }

    /// Time from the last piece to `end_ns`.
    pub(super) fn room(&self, end_ns: u64) -> u64 {
        end_ns.saturating_sub(self.end_ns)
    }

    /// Everything up to `end_ns` was this.
    pub(super) fn until(&mut self, end_ns: u64, kind: SliceKind) {
        self.until_with_cpu(end_ns, kind, None);
    }

    /// The same, the thread having been on a CPU for `cpu_ns` of it.
    pub(super) fn until_with_cpu(&mut self, end_ns: u64, kind: SliceKind, cpu_ns: Option<u64>) {
        if end_ns <= self.end_ns {
            return;
        }
        let cpu_ns = cpu_ns.map(|cpu_ns| cpu_ns.min(end_ns - self.end_ns));
        match self.newest.as_mut().filter(|newest| newest.kind == kind) {
            Some(newest) => {
                newest.cpu_ns = newest.cpu_ns.zip(cpu_ns).map(|(one, other)| one + other)
            }
            None => {
                self.close();
                self.newest = Some(Piece { kind, cpu_ns });
            }
        }
        self.end_ns = end_ns;
    }

    /// Shares the time up to `end_ns` out: to each claim as much as it asks while there is some
    /// left, what remains to `rest`.
    pub(super) fn split(
        &mut self,
        end_ns: u64,
        claims: impl IntoIterator<Item = (SliceKind, u64)>,
        rest: SliceKind,
    ) {
        for (kind, ns) in claims {
            self.until(self.end_ns.saturating_add(ns).min(end_ns), kind);
        }
        self.until(end_ns, rest);
    }

    /// The newest piece becomes a slice.
    fn close(&mut self) {
        let Some(Piece { kind, cpu_ns }) = self.newest.take() else { return };
        let to_us = (self.end_ns - self.start_ns) / US;
        let us = to_us - self.from_us;
        if us > 0 {
            self.slices.push(Slice {
                kind,
                start_ns: self.start_ns + self.from_us * US,
                us,
                cpu_us: cpu_ns.map(|ns| (ns / US).min(us)),
                proved: false,
                upstream_us: None,
            });
        }
        self.from_us = to_us;
    }

    /// The total in µs, and the slices on the grid of whole microseconds from the start: they add
    /// up to the total, and each begins where the one before it ends.
    pub(super) fn finish(&mut self) -> (u64, Vec<Slice>) {
        self.close();
        (self.from_us, mem::take(&mut self.slices))
    }
}

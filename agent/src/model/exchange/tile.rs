//! Slices that follow one another without gap or overlap.

use std::mem;

use crate::model::snapshot::{Slice, SliceKind};

const US: u64 = 1_000;

/// The newest piece, which may still grow.
#[derive(Clone, Copy, Debug)]
struct Piece {
    kind: SliceKind,
    cpu_ns: Option<u64>,
}

/// Lays slices one behind the other. Time never goes back: a piece that would end before the last
/// one is left out, so that facts out of order make a shorter slice, never an overlap.
///
/// In the order of use: [`begin`](Self::begin) once; [`until`](Self::until),
/// [`until_with_cpu`](Self::until_with_cpu) or [`split`](Self::split) for each piece, with
/// [`end_ns`](Self::end_ns) and [`span_to`](Self::span_to) to measure; [`finish`](Self::finish).
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

/// Time on a CPU in two pieces together; `None` unless it is known for both.
pub(super) fn sum_of_both(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    Some(one? + other?)
}

impl Tile {
    /// Lays the slices into `buf`, which is empty.
    pub(super) fn new(buf: Vec<Slice>) -> Self {
        Self { start_ns: 0, end_ns: 0, newest: None, from_us: 0, slices: buf }
    }

    /// Sets where the first piece begins.
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
    pub(super) fn span_to(&self, end_ns: u64) -> u64 {
        end_ns.saturating_sub(self.end_ns)
    }

    /// Lays a piece of this kind up to `end_ns`.
    pub(super) fn until(&mut self, end_ns: u64, kind: SliceKind) {
        self.until_with_cpu(end_ns, kind, None);
    }

    /// Lays a piece up to `end_ns`. The thread was on a CPU for `cpu_ns` of it, if that is known.
    pub(super) fn until_with_cpu(&mut self, end_ns: u64, kind: SliceKind, cpu_ns: Option<u64>) {
        if end_ns <= self.end_ns {
            return;
        }
        let cpu_ns = cpu_ns.map(|cpu_ns| cpu_ns.min(end_ns - self.end_ns));
        match &mut self.newest {
            Some(newest) if newest.kind == kind => {
                newest.cpu_ns = sum_of_both(newest.cpu_ns, cpu_ns);
            }
            _ => {
                self.close();
                self.newest = Some(Piece { kind, cpu_ns });
            }
        }
        self.end_ns = end_ns;
    }

    /// Shares out the time up to `end_ns`. Each claim gets as much as it asks for while there is
    /// some left; `rest` gets what remains.
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

    /// Makes a slice of the newest piece.
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

    /// Returns the total in µs, and the slices on the grid of whole microseconds from the start:
    /// they add up to the total, and each begins where the one before it ends.
    pub(super) fn finish(&mut self) -> (u64, Vec<Slice>) {
        self.close();
        (self.from_us, mem::take(&mut self.slices))
    }
}

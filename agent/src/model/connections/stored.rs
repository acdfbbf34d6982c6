//! An exchange that is over, kept small: nearly all have a few slices and nothing unusual.

use crate::model::exchange;
use crate::model::snapshot::{ExchangeView, Slice, SliceKind};

/// Most slices of a compact exchange: a connection's first one, from the handshake to the ACK of
/// the answer, has no more.
const SLICES: usize = 7;

/// An exchange in as few bytes as it needs.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    Compact(Compact),
    Full(Box<ExchangeView>),
}

/// An exchange without joins, holds and proofs, whose figures are small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compact {
    start_ns: u64,
    seq: u32,
    request_bytes: u32,
    response_bytes: u32,
    reads: u16,
    writes: u16,
    last_sizes: [u32; 2],
    /// 0 where not known.
    read_tid: u32,
    /// 0 where not known.
    write_tid: u32,
    us: [u32; SLICES],
    /// One more than the time on a CPU; 0 where not known.
    cpu_us: [u32; SLICES],
    kinds: [SliceKind; SLICES],
    slices: u8,
    multiplexed: bool,
    handshake: bool,
    unanswered: bool,
}

impl Stored {
    /// Stores a view, whose verdict need not be there.
    pub(super) fn new(view: &ExchangeView) -> Self {
        match Compact::of(view) {
            Some(compact) => Self::Compact(compact),
            None => {
                let verdict = exchange::verdict(&view.slices);
                Self::Full(Box::new(ExchangeView { verdict, ..view.clone() }))
            }
        }
    }

    pub(super) fn seq(&self) -> u32 {
        match self {
            Self::Compact(compact) => compact.seq,
            Self::Full(view) => view.seq,
        }
    }

    pub(super) fn view(&self) -> ExchangeView {
        match self {
            Self::Compact(compact) => compact.view(),
            Self::Full(view) => ExchangeView::clone(view),
        }
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut ExchangeView)) {
        let mut view = self.view();
        change(&mut view);
        *self = Self::new(&view);
    }
}

impl Compact {
    /// `None` for an exchange that has more than a compact one can hold.
    fn of(view: &ExchangeView) -> Option<Self> {
        let joins =
            view.downstream.is_some() || !(view.inside.is_empty() && view.within.is_empty());
        let joins = joins
            || !view.connects.is_empty()
            || view.pieces.is_some()
            || view.pushed_after_us.is_some();
        if !view.done || joins || !view.upstream.is_empty() || view.held_sizes != [0; 2] {
            return None;
        }
        let mut compact = Self {
            start_ns: view.start_ns,
            seq: view.seq,
            request_bytes: view.request_bytes.try_into().ok()?,
            response_bytes: view.response_bytes.try_into().ok()?,
            reads: view.reads.try_into().ok()?,
            writes: view.writes.try_into().ok()?,
            last_sizes: view.last_sizes,
            read_tid: packed_tid(view.read_tid)?,
            write_tid: packed_tid(view.write_tid)?,
            us: [0; SLICES],
            cpu_us: [0; SLICES],
            kinds: [SliceKind::Unknown; SLICES],
            slices: view.slices.len() as u8,
            multiplexed: view.multiplexed,
            handshake: view.handshake,
            unanswered: view.unanswered,
        };
        if view.slices.len() > SLICES {
            return None;
        }
        let mut begun_us: u64 = 0;
        for (at, slice) in view.slices.iter().enumerate() {
            let follows = slice.start_ns == view.start_ns + begun_us * 1_000;
            if slice.proved || slice.upstream_us.is_some() || !follows {
                return None;
            }
            compact.kinds[at] = slice.kind;
            compact.us[at] = slice.us.try_into().ok()?;
            compact.cpu_us[at] = match slice.cpu_us {
                Some(us) => u32::try_from(us.checked_add(1)?).ok()?,
                None => 0,
            };
            begun_us = begun_us.saturating_add(slice.us);
        }
        if begun_us == view.total_us { Some(compact) } else { None }
    }

    fn view(&self) -> ExchangeView {
        let mut total_us = 0;
        let mut slices = Vec::with_capacity(self.slices.into());
        for at in 0..usize::from(self.slices) {
            let us = u64::from(self.us[at]);
            slices.push(Slice {
                kind: self.kinds[at],
                start_ns: self.start_ns + total_us * 1_000,
                us,
                cpu_us: self.cpu_us[at].checked_sub(1).map(u64::from),
                proved: false,
                upstream_us: None,
            });
            total_us = total_us.saturating_add(us);
        }
        ExchangeView {
            seq: self.seq,
            start_ns: self.start_ns,
            total_us,
            done: true,
            stands_for: 1,
            verdict: exchange::verdict(&slices),
            slices,
            request_bytes: self.request_bytes.into(),
            response_bytes: self.response_bytes.into(),
            reads: self.reads.into(),
            writes: self.writes.into(),
            last_sizes: self.last_sizes,
            pieces: None,
            pushed_after_us: None,
            put_aside: false,
            held_sizes: [0; 2],
            read_tid: unpacked_tid(self.read_tid),
            write_tid: unpacked_tid(self.write_tid),
            inside: Vec::new(),
            connects: Vec::new(),
            within: Vec::new(),
            upstream: Vec::new(),
            downstream: None,
            multiplexed: self.multiplexed,
            several: self.multiplexed,
            handshake: self.handshake,
            unanswered: self.unanswered,
        }
    }
}

/// A thread's id, or 0 if it is not known; `None` if the id itself is 0.
fn packed_tid(tid: Option<u32>) -> Option<u32> {
    match tid {
        Some(0) => None,
        Some(tid) => Some(tid),
        None => Some(0),
    }
}

/// The reverse of [`packed_tid`].
fn unpacked_tid(tid: u32) -> Option<u32> {
    if tid == 0 { None } else { Some(tid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(us: &[u64]) -> ExchangeView {
        let slice = |at: usize| Slice {
            kind: SliceKind::ALL[at],
            start_ns: 5_000_000_007 + us[..at].iter().sum::<u64>() * 1_000,
            us: us[at],
            cpu_us: [None, Some(0), Some(us[at])][at % 3],
            proved: false,
            upstream_us: None,
        };
        let slices: Vec<Slice> = (0..us.len()).map(slice).collect();
        ExchangeView {
            seq: 7,
            start_ns: 5_000_000_007,
            total_us: us.iter().sum(),
            done: true,
            stands_for: 1,
            verdict: exchange::verdict(&slices),
            slices,
            request_bytes: 44,
            response_bytes: u32::MAX.into(),
            reads: 2,
            writes: 3,
            last_sizes: [5, 6],
            pieces: None,
            pushed_after_us: None,
            put_aside: false,
            held_sizes: [0; 2],
            read_tid: None,
            write_tid: Some(9),
            inside: Vec::new(),
            connects: Vec::new(),
            within: Vec::new(),
            upstream: Vec::new(),
            downstream: None,
            multiplexed: true,
            several: true,
            handshake: false,
            unanswered: us.len() == 1,
        }
    }

    #[test]
    fn every_exchange_comes_back_as_it_was() {
        let large = ExchangeView { request_bytes: 1 << 32, ..view(&[1, 2]) };
        let joined = ExchangeView { inside: vec![(1, 2)], ..view(&[1, 2]) };
        let held = ExchangeView { held_sizes: [1, 2], ..view(&[1]) };
        let mut proved = view(&[1, 2]);
        proved.slices[1].proved = true;
        for full in [large, joined, held, proved, view(&[1; SLICES + 1]), view(&[1 << 32])] {
            let stored = Stored::new(&full);
            assert!(matches!(stored, Stored::Full(_)), "{full:?}");
            assert_eq!(stored.view(), full);
        }
        for small in [view(&[]), view(&[3]), view(&[1, 20, 300, 4_000, u32::MAX as u64 - 1])] {
            let stored = Stored::new(&small);
            assert!(matches!(stored, Stored::Compact(_)), "{small:?}");
            assert_eq!(stored.view(), small);
        }
    }
}

//! An exchange that is over, kept small: nearly all have a few slices and nothing out of the
//! ordinary.

use crate::model::exchange;
use crate::model::snapshot::{ExchangeView, Slice, SliceKind};

/// Slices of a plain exchange, at most: a first one, from the handshake to the ACK of the answer,
/// has as many, or fewer.
const SLICES: usize = 7;

/// An exchange in as few bytes as it needs.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    Compact(Compact),
    Full(Box<ExchangeView>),
}

/// One without joins, holds and proofs, whose figures are small.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compact {
    start_ns: u64,
    seq: u32,
    request_bytes: u32,
    response_bytes: u32,
    reads: u16,
    writes: u16,
    last_sizes: [u32; 2],
    /// 0 where not known, as below.
    read_tid: u32,
    write_tid: u32,
    us: [u32; SLICES],
    /// One more than they are.
    cpu_us: [u32; SLICES],
    kinds: [SliceKind; SLICES],
    slices: u8,
    multiplexed: bool,
    handshake: bool,
    unanswered: bool,
}

impl Stored {
    /// The view's verdict need not be there.
    pub(super) fn new(view: &ExchangeView) -> Self {
        let full = || ExchangeView { verdict: exchange::verdict(&view.slices), ..view.clone() };
        Compact::of(view).map_or_else(|| Self::Full(Box::new(full())), Self::Compact)
    }

    pub(super) fn seq(&self) -> u32 {
        match self {
            Self::Compact(plain) => plain.seq,
            Self::Full(view) => view.seq,
        }
    }

    pub(super) fn view(&self) -> ExchangeView {
        match self {
            Self::Compact(plain) => plain.view(),
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
    /// `None` for one that is more.
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
        let mut plain = Self {
            start_ns: view.start_ns,
            seq: view.seq,
            request_bytes: view.request_bytes.try_into().ok()?,
            response_bytes: view.response_bytes.try_into().ok()?,
            reads: view.reads.try_into().ok()?,
            writes: view.writes.try_into().ok()?,
            last_sizes: view.last_sizes,
            read_tid: tid(view.read_tid)?,
            write_tid: tid(view.write_tid)?,
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
            plain.kinds[at] = slice.kind;
            plain.us[at] = slice.us.try_into().ok()?;
            plain.cpu_us[at] =
                slice.cpu_us.map_or(Some(0), |us| u32::try_from(us.checked_add(1)?).ok())?;
            begun_us += slice.us;
        }
        (begun_us == view.total_us).then_some(plain)
    }

    fn view(&self) -> ExchangeView {
        let mut total_us = 0;
        let mut slice = |((&kind, &us), &cpu_us): ((&SliceKind, &u32), &u32)| {
            let start_ns = self.start_ns + total_us * 1_000;
            total_us += u64::from(us);
            let cpu_us = cpu_us.checked_sub(1).map(u64::from);
            Slice { kind, start_ns, us: us.into(), cpu_us, proved: false, upstream_us: None }
        };
        let slices = self.kinds.iter().zip(&self.us).zip(&self.cpu_us).take(self.slices.into());
        let slices: Vec<Slice> = slices.map(&mut slice).collect();
        ExchangeView {
            seq: self.seq,
            start_ns: self.start_ns,
            total_us,
            done: true,
            verdict: exchange::verdict(&slices),
            slices,
            request_bytes: self.request_bytes.into(),
            response_bytes: self.response_bytes.into(),
            reads: self.reads.into(),
            writes: self.writes.into(),
            last_sizes: self.last_sizes,
            pieces: None,
            pushed_after_us: None,
            held_sizes: [0; 2],
            read_tid: (self.read_tid != 0).then_some(self.read_tid),
            write_tid: (self.write_tid != 0).then_some(self.write_tid),
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

/// 0 if it is not known; `None` if 0 cannot stand for that.
fn tid(tid: Option<u32>) -> Option<u32> {
    tid.map_or(Some(0), |tid| (tid != 0).then_some(tid))
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
            verdict: exchange::verdict(&slices),
            slices,
            request_bytes: 44,
            response_bytes: u32::MAX.into(),
            reads: 2,
            writes: 3,
            last_sizes: [5, 6],
            pieces: None,
            pushed_after_us: None,
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
        for plain in [view(&[]), view(&[3]), view(&[1, 20, 300, 4_000, u32::MAX as u64 - 1])] {
            let stored = Stored::new(&plain);
            assert!(matches!(stored, Stored::Compact(_)), "{plain:?}");
            assert_eq!(stored.view(), plain);
        }
    }
}

//! Exchanges in full, for a bounded number of connections.

use std::collections::BTreeSet;
use std::mem;

use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

use super::connection::counted_us;
use super::kept::Kept;
use crate::model::event::SockId;
use crate::model::snapshot::ExchangeView;

/// Connections whose exchanges are kept in full. When there are more, the one whose worst exchange was shortest gives
/// way.
pub const MAX_DETAILED: usize = 1_000;
/// Exchanges kept of each, besides its worst.
pub const MAX_RECENT: usize = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct Detail {
    /// In a ring. Connections that come in floods have one or two; these are no allocations of their own, which would
    /// be all over the memory that is free behind a flood.
    recent: SmallVec<[Kept; 2]>,
    /// Where in it the oldest is.
    oldest: u8,
    /// Where in it the worst is, unless that is older.
    worst_at: Option<u8>,
    older_worst: Option<Box<Kept>>,
    worst_us: u64,
}

impl Detail {
    /// Oldest first.
    pub(super) fn recent(&self) -> impl Iterator<Item = ExchangeView> {
        let (newer, older) = self.recent.split_at(self.oldest.into());
        older.iter().chain(newer).map(Kept::view)
    }

    pub(super) fn worst(&self) -> Option<ExchangeView> {
        let recent = self.worst_at.and_then(|at| self.recent.get(usize::from(at)));
        recent.or(self.older_worst.as_deref()).map(Kept::view)
    }

    /// Adds one, in the place of the oldest if there are enough. Gives where it is.
    fn push(&mut self, kept: Kept) -> u8 {
        if self.recent.len() < MAX_RECENT {
            self.recent.push(kept);
            return self.recent.len() as u8 - 1;
        }
        let at = self.oldest;
        self.oldest = (at + 1) % MAX_RECENT as u8;
        let oldest = mem::replace(&mut self.recent[usize::from(at)], kept);
        if self.worst_at == Some(at) {
            self.worst_at = None;
            self.older_worst = Some(Box::new(oldest));
        }
        at
    }

    /// Changes the exchange of this number, wherever it is kept.
    fn change(&mut self, seq: u32, change: impl Fn(&mut ExchangeView)) {
        let kept = self.recent.iter_mut().chain(self.older_worst.as_deref_mut());
        kept.filter(|kept| kept.seq() == seq).for_each(|kept| kept.change(&change));
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    table: FxHashMap<SockId, Detail>,
    /// By the time of the worst exchange, µs.
    order: BTreeSet<(u64, SockId)>,
}

impl Details {
    pub(super) fn get(&self, sock: SockId) -> Option<&Detail> {
        self.table.get(&sock)
    }

    /// Keeps an exchange that is over, if it is among the worst.
    pub(super) fn add(&mut self, sock: SockId, view: &ExchangeView) {
        let us = counted_us(view);
        let Some(detail) = self.table.get_mut(&sock) else {
            if self.make_room(us) {
                let recent = smallvec![Kept::new(view)];
                self.order.insert((us, sock));
                let detail = Detail { recent, oldest: 0, worst_at: Some(0), older_worst: None, worst_us: us };
                self.table.insert(sock, detail);
            }
            return;
        };
        let at = detail.push(Kept::new(view));
        if us > detail.worst_us {
            self.order.remove(&(detail.worst_us, sock));
            self.order.insert((us, sock));
            detail.worst_us = us;
            (detail.worst_at, detail.older_worst) = (Some(at), None);
        }
    }

    /// Changes an exchange, if it is kept.
    pub(super) fn change(&mut self, sock: SockId, seq: u32, change: impl Fn(&mut ExchangeView)) {
        if let Some(detail) = self.table.get_mut(&sock) {
            detail.change(seq, change);
        }
    }

    /// A client exchange turned out to have run inside this one.
    pub(super) fn note_inside(&mut self, sock: SockId, seq: u32, inside: (SockId, u32)) {
        self.change(sock, seq, |view| view.inside.push(inside));
    }

    /// The delayed ACK at the end of this exchange turned out to be proved.
    pub(super) fn prove(&mut self, sock: SockId, seq: u32) {
        self.change(sock, seq, |view| view.slices.last_mut().into_iter().for_each(|last| last.proved = true));
    }

    pub(super) fn forget(&mut self, sock: SockId) {
        if let Some(detail) = self.table.remove(&sock) {
            self.order.remove(&(detail.worst_us, sock));
        }
    }

    /// Whether there is a place for an exchange this long.
    fn make_room(&mut self, us: u64) -> bool {
        if self.table.len() < MAX_DETAILED {
            return true;
        }
        let Some(&(least_us, sock)) = self.order.first().filter(|&&(least_us, _)| least_us <= us) else {
            return false;
        };
        self.order.remove(&(least_us, sock));
        self.table.remove(&sock);
        true
    }
}

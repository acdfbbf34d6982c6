//! Exchanges in full, for a bounded number of connections.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

use super::connection::counted_us;
use crate::model::event::SockId;
use crate::model::snapshot::ExchangeView;

/// Connections whose exchanges are kept in full. When there are more, the one whose worst exchange was shortest gives
/// way.
pub const MAX_DETAILED: usize = 1_000;
/// Exchanges kept of each, besides its worst.
pub const MAX_RECENT: usize = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct Detail {
    /// Oldest first. Connections that have only one are the ones that come in floods.
    pub(super) recent: SmallVec<[Arc<ExchangeView>; 1]>,
    /// Mostly one of the recent.
    pub(super) worst: Option<Arc<ExchangeView>>,
    worst_us: u64,
}

impl Detail {
    /// Adds one, in the place of the oldest if there are enough.
    fn push(&mut self, view: ExchangeView) {
        if self.recent.len() < MAX_RECENT {
            return self.recent.push(Arc::new(view));
        }
        self.recent.rotate_left(1);
        let place = &mut self.recent[MAX_RECENT - 1];
        match Arc::get_mut(place) {
            // Its memory serves again.
            Some(oldest) => *oldest = view,
            None => *place = Arc::new(view),
        }
    }

    /// Changes the exchange of this number, wherever it is kept.
    fn change(&mut self, seq: u32, change: impl Fn(&mut ExchangeView)) {
        for view in self.recent.iter_mut().chain(&mut self.worst).filter(|view| view.seq == seq) {
            change(Arc::make_mut(view));
        }
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
    pub(super) fn add(&mut self, sock: SockId, view: ExchangeView) {
        let us = counted_us(&view);
        let Some(detail) = self.table.get_mut(&sock) else {
            if self.make_room(us) {
                let view = Arc::new(view);
                let recent = smallvec![Arc::clone(&view)];
                self.order.insert((us, sock));
                self.table.insert(sock, Detail { recent, worst: Some(view), worst_us: us });
            }
            return;
        };
        detail.push(view);
        if us > detail.worst_us {
            self.order.remove(&(detail.worst_us, sock));
            self.order.insert((us, sock));
            detail.worst_us = us;
            detail.worst = detail.recent.last().cloned();
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

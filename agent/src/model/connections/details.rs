//! Exchanges in full, for a bounded number of connections.

use std::collections::{BTreeSet, HashMap, VecDeque};

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
    pub(super) recent: VecDeque<ExchangeView>,
    pub(super) worst: Option<ExchangeView>,
    worst_us: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    table: HashMap<SockId, Detail>,
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
        if !self.table.contains_key(&sock) && !self.make_room(us) {
            return;
        }
        let detail = self.table.entry(sock).or_default();
        if detail.recent.len() == MAX_RECENT {
            detail.recent.pop_front();
        }
        detail.recent.push_back(view.clone());
        if detail.worst.is_none() || us > detail.worst_us {
            self.order.remove(&(detail.worst_us, sock));
            self.order.insert((us, sock));
            detail.worst_us = us;
            detail.worst = Some(view.clone());
        }
    }

    /// A client exchange turned out to have run inside this one.
    pub(super) fn note_inside(&mut self, sock: SockId, seq: u32, inside: (SockId, u32)) {
        let Some(detail) = self.table.get_mut(&sock) else { return };
        for view in detail.recent.iter_mut().chain(&mut detail.worst).filter(|view| view.seq == seq) {
            view.inside.push(inside);
        }
    }

    /// The delayed ACK at the end of this exchange turned out to be proved.
    pub(super) fn prove(&mut self, sock: SockId, seq: u32) {
        let Some(detail) = self.table.get_mut(&sock) else { return };
        for view in detail.recent.iter_mut().chain(&mut detail.worst).filter(|view| view.seq == seq) {
            view.slices.last_mut().into_iter().for_each(|last| last.proved = true);
        }
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

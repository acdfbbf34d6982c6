//! Exchanges in full, for a bounded number of connections.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

use super::connection::counted_us;
use super::stored::Stored;
use crate::model::event::SockId;
use crate::model::snapshot::ExchangeView;

/// Connections whose exchanges are kept in full. When there are more, the one whose worst exchange
/// was shortest gives way.
pub const MAX_DETAILED: usize = 1_000;
/// Exchanges kept of each, besides its worst.
pub const MAX_RECENT: usize = 8;

/// The exchanges of one connection that are kept: the newest ones, and the worst.
#[derive(Clone, Debug, Default)]
pub(super) struct Detail {
    /// In a ring. Two are in place: short connections have no more, and a flood of small
    /// allocations would fragment the memory.
    recent: SmallVec<[Stored; 2]>,
    /// Place of the oldest in the ring.
    oldest: u8,
    /// Place of the worst in the ring, unless that is older.
    worst_at: Option<u8>,
    older_worst: Option<Box<Stored>>,
    worst_us: u64,
}

impl Detail {
    /// Oldest first.
    pub(super) fn recent(&self) -> impl Iterator<Item = ExchangeView> {
        let (newer, older) = self.recent.split_at(self.oldest.into());
        older.iter().chain(newer).map(Stored::view)
    }

    fn newest(&self) -> Option<&Stored> {
        let (newer, older) = self.recent.split_at(self.oldest.into());
        newer.last().or(older.last())
    }

    pub(super) fn worst(&self) -> Option<ExchangeView> {
        let worst = match self.worst_at {
            Some(at) => self.recent.get(usize::from(at)),
            None => self.older_worst.as_deref(),
        };
        Some(worst?.view())
    }

    /// Adds one, in the place of the oldest if there are enough. Returns its place.
    fn push(&mut self, stored: Stored) -> u8 {
        if self.recent.len() < MAX_RECENT {
            self.recent.push(stored);
            return self.recent.len() as u8 - 1;
        }
        let at = self.oldest;
        self.oldest = (at + 1) % MAX_RECENT as u8;
        let oldest = &mut self.recent[usize::from(at)];
        if self.worst_at == Some(at) {
            self.worst_at = None;
            self.older_worst = Some(Box::new(mem::replace(oldest, stored)));
        } else {
            *oldest = stored;
        }
        at
    }

    /// Changes the exchange of this number, wherever it is kept.
    fn change(&mut self, seq: u32, change: impl Fn(&mut ExchangeView)) {
        for stored in self.recent.iter_mut().chain(self.older_worst.as_deref_mut()) {
            if stored.seq() == seq {
                stored.change(&change);
            }
        }
    }
}

/// The exchanges that are kept, by connection. [`add`](Self::add) takes each that is over;
/// [`change`](Self::change), [`note_inside`](Self::note_inside) and [`confirm`](Self::confirm) add
/// what is known later.
#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    table: FxHashMap<SockId, Detail>,
    /// By the time of the worst exchange, µs, the shortest first. Entries of connections that have
    /// gone, or have a worse exchange now, are in it still. `None` while nobody has to give way.
    order: Option<BinaryHeap<Reverse<(u64, SockId)>>>,
}

impl Details {
    pub(super) fn get(&self, sock: SockId) -> Option<&Detail> {
        self.table.get(&sock)
    }

    /// Approximate time of the last write of an exchange that is over, if it is the newest one kept
    /// of its connection: it was acknowledged a round trip later.
    pub(super) fn written_ns(&self, sock: SockId, seq: u32) -> Option<u64> {
        let newest = self.table.get(&sock)?.newest()?;
        if newest.seq() != seq {
            return None;
        }
        let newest = newest.view();
        Some(newest.start_ns + counted_us(&newest) * 1_000)
    }

    /// Keeps an exchange that is over, if it is among the worst.
    pub(super) fn add(&mut self, sock: SockId, view: &ExchangeView) {
        let us = counted_us(view);
        let Some(detail) = self.table.get_mut(&sock) else {
            if self.make_room(us) {
                let recent = smallvec![Stored::new(view)];
                let detail = Detail {
                    recent,
                    oldest: 0,
                    worst_at: Some(0),
                    older_worst: None,
                    worst_us: us,
                };
                self.table.insert(sock, detail);
                self.note_worst(us, sock);
            }
            return;
        };
        let at = detail.push(Stored::new(view));
        if us > detail.worst_us {
            detail.worst_us = us;
            (detail.worst_at, detail.older_worst) = (Some(at), None);
            self.note_worst(us, sock);
        }
    }

    fn note_worst(&mut self, us: u64, sock: SockId) {
        let Some(order) = &mut self.order else { return };
        order.push(Reverse((us, sock)));
        if order.len() > 2 * MAX_DETAILED {
            self.order = None;
        }
    }

    /// Changes an exchange, if it is kept.
    pub(super) fn change(&mut self, sock: SockId, seq: u32, change: impl Fn(&mut ExchangeView)) {
        if let Some(detail) = self.table.get_mut(&sock) {
            detail.change(seq, change);
        }
    }

    /// Notes a call that turned out to be nested in this exchange.
    pub(super) fn note_inside(&mut self, sock: SockId, seq: u32, nested: (SockId, u32)) {
        self.change(sock, seq, |view| view.inside.push(nested));
    }

    /// Marks the delayed ACK at the end of this exchange as proved.
    pub(super) fn confirm(&mut self, sock: SockId, seq: u32) {
        self.change(sock, seq, |view| {
            if let Some(last) = view.slices.last_mut() {
                last.proved = true;
            }
        });
    }

    pub(super) fn forget(&mut self, sock: SockId) {
        self.table.remove(&sock);
    }

    /// Makes room for a connection whose exchange took this long. False if all kept took longer.
    fn make_room(&mut self, us: u64) -> bool {
        if self.table.len() < MAX_DETAILED {
            return true;
        }
        let Self { table, order } = self;
        let order = order.get_or_insert_with(|| {
            let worst = |(sock, detail): (&SockId, &Detail)| Reverse((detail.worst_us, *sock));
            table.iter().map(worst).collect()
        });
        while let Some(&Reverse((least_us, sock))) = order.peek() {
            let is_valid = matches!(table.get(&sock), Some(detail) if detail.worst_us == least_us);
            if is_valid && least_us > us {
                return false;
            }
            order.pop();
            if is_valid {
                table.remove(&sock);
                return true;
            }
        }
        false
    }
}

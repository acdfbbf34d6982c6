//! The connections by their ids: a table of places, and the connections themselves close together
//! behind it.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::BuildHasher;

use rustc_hash::FxBuildHasher;

use super::Connection;
use crate::model::event::SockId;

/// A map that spends few bytes on free entries: a place takes four bytes and one of the hash
/// table's own, and the free slots lie behind those that are used.
#[derive(Debug, Default)]
pub(super) struct ConnectionMap {
    places: HashTable<u32>,
    slots: Vec<(SockId, Connection)>,
}

/// Ids come from the kernel: nobody else can make them collide.
fn hash(sock: SockId) -> u64 {
    FxBuildHasher.hash_one(sock)
}

impl ConnectionMap {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn place(&self, sock: SockId) -> Option<usize> {
        let is_it = |place: &u32| self.slots[*place as usize].0 == sock;
        let place = self.places.find(hash(sock), is_it)?;
        Some(*place as usize)
    }

    pub(super) fn contains(&self, sock: SockId) -> bool {
        self.place(sock).is_some()
    }

    pub(super) fn get(&self, sock: SockId) -> Option<&Connection> {
        let place = self.place(sock)?;
        Some(&self.slots[place].1)
    }

    pub(super) fn get_mut(&mut self, sock: SockId) -> Option<&mut Connection> {
        let place = self.place(sock)?;
        Some(&mut self.slots[place].1)
    }

    /// Returns a connection that has not ended.
    pub(super) fn open_mut(&mut self, sock: SockId) -> Option<&mut Connection> {
        self.get_mut(sock).filter(|connection| connection.is_open())
    }

    /// Those that have not ended.
    pub(super) fn open_ones_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.slots.iter_mut().map(|(_, connection)| connection).filter(|one| one.is_open())
    }

    /// Adds one. Returns the one that had this id before.
    pub(super) fn insert(&mut self, sock: SockId, connection: Connection) -> Option<Connection> {
        let Self { places, slots } = self;
        let place = places.entry(
            hash(sock),
            |place| slots[*place as usize].0 == sock,
            |place| hash(slots[*place as usize].0),
        );
        match place {
            Entry::Occupied(place) => {
                Some(std::mem::replace(&mut slots[*place.get() as usize].1, connection))
            }
            Entry::Vacant(place) => {
                // The bound on connections is far below.
                place.insert(u32::try_from(slots.len()).unwrap_or(u32::MAX));
                slots.push((sock, connection));
                None
            }
        }
    }

    /// Takes one out; the last one moves to its place.
    pub(super) fn remove(&mut self, sock: SockId) -> Option<Connection> {
        let Self { places, slots } = self;
        let entry = places.find_entry(hash(sock), |place| slots[*place as usize].0 == sock).ok()?;
        let (place, _) = entry.remove();
        let last = slots.len() as u32 - 1;
        if place != last
            && let Some(moved) =
                places.find_mut(hash(slots[last as usize].0), |other| *other == last)
        {
            *moved = place;
        }
        Some(slots.swap_remove(place as usize).1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SockId, &Connection)> {
        self.slots.iter().map(|(sock, connection)| (*sock, connection))
    }
}

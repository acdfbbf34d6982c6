//! A table of bounded size, in which the oldest entry gives way to a new one.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// A share of the entries is ordered by age at a time: one of so many.
const SHARE: usize = 64;

/// A map with room for a number of entries. When it is full, the entry that was made first gives
/// way, and is counted.
///
/// Only a full table is searched for its oldest entries, some at a time: an entry costs eight bytes
/// and a compare more than in a plain map.
#[derive(Clone, Debug)]
pub(crate) struct Bounded<K, V> {
    /// Each value with its number, in the order in which they were made.
    table: FxHashMap<K, (u64, V)>,
    room: usize,
    made: u64,
    gave_way: u64,
    /// Some of the oldest, by number, the oldest last. They may be gone by now.
    oldest: Vec<(u64, K)>,
}

impl<K: Copy + Eq + Hash + Ord, V> Bounded<K, V> {
    pub(crate) fn new(room: usize) -> Self {
        Self { table: FxHashMap::default(), room, made: 0, gave_way: 0, oldest: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(crate) fn contains(&self, key: K) -> bool {
        self.table.contains_key(&key)
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        let (_, value) = self.table.get(&key)?;
        Some(value)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let (_, value) = self.table.get_mut(&key)?;
        Some(value)
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let (_, value) = self.table.remove(&key)?;
        Some(value)
    }

    /// Puts an entry in, as the newest. Returns the one that gave way to it.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<(K, V)> {
        let gone = if self.table.len() < self.room || self.table.contains_key(&key) {
            None
        } else {
            self.make_room()
        };
        self.made += 1;
        self.table.insert(key, (self.made, value));
        gone
    }

    /// Keeps the entries of which this is true, and those that were made after [`Self::made`] was
    /// `made`.
    pub(crate) fn keep(&mut self, made: u64, mut is_kept: impl FnMut(K) -> bool) {
        self.table.retain(|key, (number, _)| *number > made || is_kept(*key));
    }

    /// Keeps the entries whose values this is true of.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&V) -> bool) {
        self.table.retain(|_, (_, value)| is_kept(value));
    }

    /// Tells whether both have the same entries, whatever their age.
    pub(crate) fn same(&self, other: &Self) -> bool
    where
        V: PartialEq,
    {
        self.table.len() == other.table.len()
            && self.table.iter().all(|(key, (_, value))| other.get(*key) == Some(value))
    }

    /// Returns the values, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.table.values().map(|(_, value)| value)
    }

    /// Entries that were ever made.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// Entries that gave way.
    pub(crate) fn gave_way(&self) -> u64 {
        self.gave_way
    }

    /// Takes the oldest entry out.
    fn make_room(&mut self) -> Option<(K, V)> {
        let oldest = match self.oldest_known() {
            Some(key) => key,
            None => {
                self.find_oldest();
                self.oldest_known()?
            }
        };
        self.gave_way += 1;
        let value = self.remove(oldest)?;
        Some((oldest, value))
    }

    /// The oldest entry, if it is among those that are known to be.
    fn oldest_known(&mut self) -> Option<K> {
        while let Some((number, key)) = self.oldest.pop() {
            if matches!(self.table.get(&key), Some((known, _)) if *known == number) {
                return Some(key);
            }
        }
        None
    }

    fn find_oldest(&mut self) {
        let mut all = Vec::with_capacity(self.table.len());
        for (key, (number, _)) in &self.table {
            all.push((*number, *key));
        }
        self.oldest = eldest(all, SHARE);
    }
}

/// The eldest of all, one of so many and at least one; the very eldest last.
pub(crate) fn eldest<T: Ord>(mut all: Vec<T>, share: usize) -> Vec<T> {
    let count = (all.len() / share).max(1);
    if count < all.len() {
        all.select_nth_unstable(count);
        all.truncate(count);
    }
    all.sort_unstable_by(|one, other| other.cmp(one));
    all.shrink_to_fit();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_and_is_counted() {
        let mut table = Bounded::new(1_000);
        // The keys say nothing of the age.
        for number in 0..1_000_u64 {
            assert_eq!(table.insert(number * 7 % 1_000, number), None);
        }
        assert_eq!(table.insert(7, 5_000), None, "that one is made anew, and is the newest");
        assert_eq!(table.remove(14), Some(2));
        assert_eq!(table.insert(2_000, 0), None, "there was room");
        assert_eq!(table.gave_way(), 0);
        for number in (0..1_000).filter(|number| ![1, 2].contains(number)) {
            let gone = table.insert(10_000 + number, 0);
            assert_eq!(gone, Some((number * 7 % 1_000, number)));
        }
        assert_eq!((table.gave_way(), table.contains(7), table.contains(2_000)), (998, true, true));
        assert_eq!(table.insert(0, 0), Some((7, 5_000)));
    }

    #[test]
    fn only_older_entries_are_let_go() {
        let mut table = Bounded::new(8);
        table.insert(1, ());
        table.insert(2, ());
        let made = table.made();
        table.insert(3, ());
        table.keep(made, |key| key == 2);
        assert_eq!([1, 2, 3].map(|key| table.contains(key)), [false, true, true]);
        assert_eq!(table.gave_way(), 0);
    }
}

//! Which rows of a list are shown, in which order, and which one is selected.

use super::order::{By, Key};
use crate::model::snapshot::{Finding, Snapshot};

/// Findings that the first selection is looked for in: the worst ones.
const FINDINGS: usize = 16;

/// What a list has as rows.
pub(super) trait Item: Sized {
    /// What these can be sorted by; first the order of the snapshot.
    const ORDERS: &'static [By];

    /// What the order of the snapshot is called.
    const AS_GIVEN: &'static str;

    /// All of them.
    fn all(snapshot: &Snapshot) -> &[Self];

    /// What stays the same from one snapshot to the next, and differs from row to row.
    fn id(&self) -> u64;

    /// The id of the row that a finding is about, if it is about such a row.
    fn subject(finding: &Finding) -> Option<u64> {
        Some(finding.sock)
    }

    /// What it is sorted by; unused for the order of the snapshot.
    fn key(&self, by: By) -> Key;

    /// It has the text, given in lower case, where a filter looks.
    fn matches(&self, needle: &str) -> bool;
}

/// The rows on screen.
#[derive(Debug)]
pub(super) struct List<T> {
    /// Positions in the snapshot, in the order shown.
    rows: Vec<usize>,
    /// Position of the selected row in `rows`.
    cursor: usize,
    /// The row that the user chose; until then the one with the worst finding is selected.
    chosen: Option<u64>,
    by: By,
    reversed: bool,
    filter: String,
    _items: std::marker::PhantomData<fn() -> T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            cursor: 0,
            chosen: None,
            by: By::Known,
            reversed: false,
            filter: String::new(),
            _items: std::marker::PhantomData,
        }
    }
}

/// A list, whatever its rows are.
pub(super) trait Listing {
    /// Follows a new snapshot, sort order or filter. The selection stays with its row.
    fn rebuild(&mut self, snapshot: &Snapshot);

    /// How many rows are shown.
    fn len(&self) -> usize;

    /// How many there are without the filter.
    fn all(&self, snapshot: &Snapshot) -> usize;

    /// Row of the selected one.
    fn cursor(&self) -> usize;

    /// Selects a row; beyond the last means the last.
    fn select(&mut self, row: usize, snapshot: &Snapshot);

    /// Selects the row with an id, now or once it appears.
    fn choose(&mut self, id: u64);

    /// What it is sorted by, and whether from the end.
    fn order(&self) -> (By, bool);

    /// What that is called.
    fn order_name(&self) -> &'static str;

    /// Turns to the next thing to sort by.
    fn sort_next(&mut self);

    /// Sorts by this; reverses if that is so already.
    fn sort_by(&mut self, by: By);

    /// Turns the order round.
    fn reverse(&mut self);

    /// Text that a row must contain, as typed.
    fn filter(&self) -> &str;

    /// The same, to be changed; [`Self::rebuild`] has to follow.
    fn filter_mut(&mut self) -> &mut String;
}

impl<T: Item> Listing for List<T> {
    fn rebuild(&mut self, snapshot: &Snapshot) {
        let items = T::all(snapshot);
        let needle = self.filter.to_lowercase();
        self.rows = (0..items.len())
            .filter(|&at| needle.is_empty() || items[at].matches(&needle))
            .collect();
        if self.by != By::Known {
            self.rows.sort_by_cached_key(|&at| items[at].key(self.by));
        }
        if self.reversed {
            self.rows.reverse();
        }
        let row_of = |id| self.rows.iter().position(|&at| items[at].id() == id);
        let worst =
            || snapshot.findings.iter().take(FINDINGS).filter_map(T::subject).find_map(row_of);
        self.cursor = self.chosen.map_or_else(worst, row_of).unwrap_or(0);
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn all(&self, snapshot: &Snapshot) -> usize {
        T::all(snapshot).len()
    }

    fn cursor(&self) -> usize {
        self.cursor
    }

    fn select(&mut self, row: usize, snapshot: &Snapshot) {
        self.cursor = row.min(self.rows.len().saturating_sub(1));
        self.chosen = self.selected(snapshot).map(T::id);
    }

    fn choose(&mut self, id: u64) {
        self.chosen = Some(id);
    }

    fn order(&self) -> (By, bool) {
        (self.by, self.reversed)
    }

    fn order_name(&self) -> &'static str {
        if self.by == By::Known { T::AS_GIVEN } else { self.by.name() }
    }

    fn sort_next(&mut self) {
        let at = T::ORDERS.iter().position(|&by| by == self.by).unwrap_or(0);
        (self.by, self.reversed) = (T::ORDERS[(at + 1) % T::ORDERS.len()], false);
    }

    fn sort_by(&mut self, by: By) {
        (self.by, self.reversed) = (by, self.by == by && !self.reversed);
    }

    fn reverse(&mut self) {
        self.reversed = !self.reversed;
    }

    fn filter(&self) -> &str {
        &self.filter
    }

    fn filter_mut(&mut self) -> &mut String {
        &mut self.filter
    }
}

impl<T: Item> List<T> {
    /// The rows from `first` on.
    pub(super) fn window<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        first: usize,
    ) -> impl Iterator<Item = &'a T> {
        self.rows.iter().skip(first).filter_map(|&at| T::all(snapshot).get(at))
    }

    /// The selected row.
    pub(super) fn selected<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a T> {
        self.rows.get(self.cursor).and_then(|&at| T::all(snapshot).get(at))
    }
}

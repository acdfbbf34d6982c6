//! Lists: which rows are shown, in which order, and which one is selected.

use super::order::{By, Key};
use crate::model::snapshot::{ConnectionQuery, Finding, FoundConnections, Selection, Snapshot};

/// Findings that the first selection is looked for in: the worst ones.
const FINDINGS: usize = 16;

/// A kind of row.
pub(super) trait Item: Sized {
    /// Columns that the rows can be sorted by; first the order of the snapshot.
    const ORDERS: &'static [By];

    /// Name of the order of the snapshot.
    const AS_GIVEN: &'static str;

    /// Returns the rows that the snapshot holds.
    fn all(snapshot: &Snapshot) -> &[Self];

    /// Number of rows that a list without a filter has.
    fn count(snapshot: &Snapshot) -> usize {
        Self::all(snapshot).len()
    }

    /// Returns the window of the list, where the snapshot does not hold all rows.
    fn found(_: &Snapshot) -> Option<&FoundConnections> {
        None
    }

    /// Returns the rows of such a window.
    fn rows_of(_: &FoundConnections) -> &[Self] {
        &[]
    }

    /// Returns what stays the same from one snapshot to the next, and differs from row to row.
    fn id(&self) -> u64;

    /// Returns the id of the row that a finding is about, if it is about such a row.
    fn subject(finding: &Finding) -> Option<u64> {
        Some(finding.sock)
    }

    /// Returns the value in a column; unused for the order of the snapshot.
    fn key(&self, by: By) -> Key;

    /// True if it has the text, given in lower case, where a filter looks.
    fn matches(&self, needle: &str) -> bool;
}

/// The rows on screen.
#[derive(Debug)]
pub(super) struct List<T> {
    /// Positions in the snapshot, in the order shown.
    rows: Vec<usize>,
    /// Where the model has filtered and ordered them: the row that the first of `rows` is, and
    /// the number of all.
    window: Option<(usize, usize)>,
    /// The selected row.
    cursor: usize,
    /// The user chose a row that the window does not hold.
    is_away: bool,
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
            window: None,
            cursor: 0,
            is_away: false,
            chosen: None,
            by: By::Known,
            reversed: false,
            filter: String::new(),
            _items: std::marker::PhantomData,
        }
    }
}

/// A list, whatever its rows are.
///
/// [`Listing::rebuild`] follows each new snapshot and each change of order or filter. After it
/// [`Listing::select`] moves the selection.
pub(super) trait Listing {
    /// Follows a new snapshot, sort order or filter. The selection stays with its row.
    fn rebuild(&mut self, snapshot: &Snapshot);

    /// Returns the number of rows shown.
    fn len(&self) -> usize;

    /// Returns the number of rows without the filter.
    fn all(&self, snapshot: &Snapshot) -> usize;

    /// Returns the row of the selected one.
    fn cursor(&self) -> usize;

    /// Selects a row; beyond the last means the last.
    fn select(&mut self, row: usize, snapshot: &Snapshot);

    /// Selects the row with an id, now or once it appears.
    fn choose(&mut self, id: u64);

    /// Returns the column that it is sorted by, and whether from the end.
    fn order(&self) -> (By, bool);

    /// Returns the name of that order.
    fn order_name(&self) -> &'static str;

    /// Sorts by the next column.
    fn sort_next(&mut self);

    /// Sorts by a column; reverses if that is so already.
    fn sort_by(&mut self, by: By);

    /// Turns the order round.
    fn reverse(&mut self);

    /// Returns the text that a row must contain, as typed.
    fn filter(&self) -> &str;

    /// Returns that text to be changed; [`Self::rebuild`] has to follow.
    fn filter_mut(&mut self) -> &mut String;
}

impl<T: Item> Listing for List<T> {
    fn rebuild(&mut self, snapshot: &Snapshot) {
        if let Some(found) = T::found(snapshot) {
            return self.follow(found);
        }
        (self.window, self.is_away) = (None, false);
        let items = T::all(snapshot);
        let needle = self.filter.to_lowercase();
        self.rows.clear();
        for (index, item) in items.iter().enumerate() {
            if needle.is_empty() || item.matches(&needle) {
                self.rows.push(index);
            }
        }
        if self.by != By::Known {
            self.rows.sort_by_cached_key(|&at| items[at].key(self.by));
        }
        if self.reversed {
            self.rows.reverse();
        }
        let row = match self.chosen {
            Some(id) => self.row_of(id, items),
            None => self.worst_row(snapshot),
        };
        self.cursor = row.unwrap_or(0);
    }

    fn len(&self) -> usize {
        match self.window {
            Some((_, all)) => all,
            None => self.rows.len(),
        }
    }

    fn all(&self, snapshot: &Snapshot) -> usize {
        T::count(snapshot)
    }

    fn cursor(&self) -> usize {
        self.cursor
    }

    fn select(&mut self, row: usize, snapshot: &Snapshot) {
        self.cursor = row.min(self.len().saturating_sub(1));
        self.chosen = self.selected(snapshot).map(T::id);
        self.is_away = self.chosen.is_none();
    }

    fn choose(&mut self, id: u64) {
        (self.chosen, self.is_away) = (Some(id), false);
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
    /// Returns the rows from `first` on.
    pub(super) fn window<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        first: usize,
    ) -> impl Iterator<Item = &'a T> {
        let (items, begin) = (Self::items(snapshot), self.begin());
        self.rows.iter().skip(first.saturating_sub(begin)).filter_map(move |&at| items.get(at))
    }

    /// Returns the selected row.
    pub(super) fn selected<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a T> {
        let index = *self.rows.get(self.cursor.checked_sub(self.begin())?)?;
        Self::items(snapshot).get(index)
    }

    /// Returns the selection for a list that the model filters and orders.
    pub(super) fn selection(&self) -> Selection {
        match self.chosen {
            _ if self.is_away => Selection::Row(self.cursor),
            Some(id) => Selection::Sock(id, self.cursor),
            None => Selection::Finding,
        }
    }

    /// True if the window that is shown does not answer this query: it has another filter or
    /// order, or ends so near that the screen may show what is beyond it.
    pub(super) fn misses(&self, found: &FoundConnections, query: &ConnectionQuery) -> bool {
        const NEAR: usize = 64;
        let asked = |query: &ConnectionQuery| {
            (query.filter.clone(), query.order, query.reversed, query.open)
        };
        let end = found.first + found.rows.len();
        let begins_near = found.first > 0 && self.cursor < found.first + NEAR;
        let ends_near = end < found.matching && self.cursor + NEAR >= end;
        asked(&found.query) != asked(query) || self.is_away || begins_near || ends_near
    }

    /// Takes the rows as the model has filtered and ordered them.
    fn follow(&mut self, found: &FoundConnections) {
        self.rows.clear();
        self.rows.extend(0..found.rows.len());
        self.window = Some((found.first, found.matching));
        self.cursor = found.cursor;
        if self.is_away {
            // It is there now, and the selection stays with it.
            let row = found.cursor.saturating_sub(found.first);
            self.chosen = T::rows_of(found).get(row).map(T::id);
            self.is_away = false;
        }
    }

    fn begin(&self) -> usize {
        match self.window {
            Some((first, _)) => first,
            None => 0,
        }
    }

    fn items(snapshot: &Snapshot) -> &[T] {
        match T::found(snapshot) {
            Some(found) => T::rows_of(found),
            None => T::all(snapshot),
        }
    }

    fn row_of(&self, id: u64, items: &[T]) -> Option<usize> {
        self.rows.iter().position(|&index| items[index].id() == id)
    }

    /// Returns the row with the worst finding.
    fn worst_row(&self, snapshot: &Snapshot) -> Option<usize> {
        let items = T::all(snapshot);
        for finding in snapshot.findings.iter().take(FINDINGS) {
            if let Some(id) = T::subject(finding)
                && let Some(row) = self.row_of(id, items)
            {
                return Some(row);
            }
        }
        None
    }
}

//! Which listeners are shown, in which order, and which one is selected.

use crate::model::event::SockId;
use crate::model::snapshot::{ListenerView, Snapshot};

/// What the listeners are sorted by; figures in descending order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// The order in which they became known.
    #[default]
    Known,
    /// Accept-queue depth.
    Depth,
    /// Overflows.
    Overflow,
    /// 99th percentile of the wait.
    Wait,
    /// Accepts a second.
    Accepts,
}

impl Sort {
    /// The one that `s` turns to.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Known => Self::Depth,
            Self::Depth => Self::Overflow,
            Self::Overflow => Self::Wait,
            Self::Wait => Self::Accepts,
            Self::Accepts => Self::Known,
        }
    }

    /// As the footer names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Known => "as found",
            Self::Depth => "depth",
            Self::Overflow => "overflow",
            Self::Wait => "wait p99",
            Self::Accepts => "accepts/s",
        }
    }
}

/// The listeners on screen.
#[derive(Debug, Default)]
pub(super) struct List {
    /// Positions in `Snapshot::listeners`, in the order shown.
    rows: Vec<usize>,
    /// Position of the selected listener in `rows`.
    cursor: usize,
    /// The listener that the user chose; until then the one with the worst finding is selected.
    chosen: Option<SockId>,
    pub(super) sort: Sort,
    /// Text that the address, the process or a holder's pid must contain, as typed.
    pub(super) filter: String,
}

impl List {
    /// Follows a new snapshot, sort order or filter. The selection stays with its listener.
    pub(super) fn rebuild(&mut self, snapshot: &Snapshot) {
        let listeners = &snapshot.listeners;
        let needle = self.filter.to_lowercase();
        self.rows = (0..listeners.len()).filter(|&at| matches(&listeners[at], &needle)).collect();
        match self.sort {
            Sort::Known => {}
            Sort::Depth => self.sort_by(listeners, |l| u64::from(l.depth)),
            Sort::Overflow => self.sort_by(listeners, |l| l.totals.overflows()),
            Sort::Wait => self.sort_by(listeners, |l| l.wait.p99),
            Sort::Accepts => self.sort_by(listeners, |l| (l.rates.accepts.max(0.0) * 1_000.0) as u64),
        }
        let wanted = self.chosen.or_else(|| snapshot.findings.first().map(|finding| finding.sock));
        self.cursor = wanted.and_then(|sock| self.rows.iter().position(|&at| listeners[at].sock == sock)).unwrap_or(0);
    }

    fn sort_by(&mut self, listeners: &[ListenerView], figure: impl Fn(&ListenerView) -> u64) {
        self.rows.sort_by_cached_key(|&at| std::cmp::Reverse(figure(&listeners[at])));
    }

    /// How many are shown.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Row of the selected one.
    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    /// The rows from `first` on, with their listeners.
    pub(super) fn window<'a>(&'a self, snapshot: &'a Snapshot, first: usize) -> impl Iterator<Item = &'a ListenerView> {
        self.rows.iter().skip(first).filter_map(|&at| snapshot.listeners.get(at))
    }

    /// The selected listener.
    pub(super) fn selected<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a ListenerView> {
        self.rows.get(self.cursor).and_then(|&at| snapshot.listeners.get(at))
    }

    /// Selects a row; beyond the last means the last.
    pub(super) fn select(&mut self, row: usize, snapshot: &Snapshot) {
        self.cursor = row.min(self.rows.len().saturating_sub(1));
        self.chosen = self.selected(snapshot).map(|listener| listener.sock);
    }
}

fn matches(listener: &ListenerView, needle: &str) -> bool {
    needle.is_empty()
        || listener.local.to_string().contains(needle)
        || listener.comm.to_lowercase().contains(needle)
        || listener.holders.iter().chain([&listener.pid]).any(|pid| pid.to_string() == needle)
}

//! The state of the screen: what is shown, selected, sorted, filtered and scrolled to.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::found::{Found, FoundOrder};
use super::help::Help;
use super::jump::Place;
use super::keys::View;
use super::list::{List, Listing};
use super::order::By;
use super::take::Take;
use super::theme::Theme;
use super::track::Track;
use super::view::{self, KeyPlace};
use crate::model::event::SockId;
use crate::model::snapshot::{
    ConnectionQuery, ConnectionView, Finding, FoundConnections, ListenerView, Snapshot, ThreadView,
};
use crate::preferences::Columns;
use crate::text::Untrusted;
use crate::time_of_day::TimeOfDay;

/// A request to the caller, after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Draw again.
    Redraw,
    /// End the program in good order.
    Quit,
    /// Call [`super::Guard::suspend`], then draw again.
    Suspend,
    /// Go to this moment of the replay, µs since its beginning, then draw again.
    Seek(u64),
    /// Take something along, tell with [`App::tell`] what came of it, then draw again.
    Take(Take),
}

/// The place and the speed of a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Playback {
    /// It goes on by itself.
    pub playing: bool,
    /// Since the beginning, µs.
    pub position_us: u64,
    /// The whole, µs.
    pub length_us: u64,
    /// So many times as fast as it was.
    pub speed: f64,
    /// Parts of the recording that cannot be read.
    pub damages: u64,
}

/// A tab.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tab {
    /// The listeners and their queues.
    #[default]
    Queues,
    /// The connections, and who held their time.
    Connections,
    /// The threads, and how they spend theirs.
    Threads,
    /// The findings, with evidence.
    Findings,
}

impl Tab {
    /// Every tab, from left to right.
    pub(super) const ALL: [Self; 4] =
        [Self::Queues, Self::Connections, Self::Threads, Self::Findings];

    /// Returns the tab so many to the right, round the end.
    pub(super) fn turned(self, by: usize) -> Self {
        Self::ALL[(self as usize + by) % Self::ALL.len()]
    }
}

/// A listener, connection or past finding that is open over a tab.
#[derive(Clone, Debug)]
pub(super) enum Open {
    /// A listener.
    Listener(SockId),
    /// A connection, as it was last seen: the snapshot holds only so many, and this one is not to
    /// vanish from view.
    Connection(Box<ConnectionView>),
    /// A finding that has ended, as it last was.
    Past(Box<Finding>),
}

/// Places on the last drawn screen that the mouse can hit, and how far it can be scrolled.
#[derive(Clone, Debug, Default)]
pub(super) struct Hits {
    /// The tabs.
    pub(super) tabs: Vec<(Rect, Tab)>,
    /// The titles of columns that can be sorted by.
    pub(super) titles: Vec<(Rect, By)>,
    /// The rows of the list in view, and what number the first one has.
    pub(super) rows: Rect,
    pub(super) first_row: usize,
    /// Lines that the long view in front, and the live stream, can be scrolled by.
    pub(super) scroll_end: usize,
    pub(super) stream_end: usize,
    /// Lines of the stream, and of what is open over a tab: a page.
    pub(super) stream_rows: usize,
    pub(super) page: usize,
    /// The hints at keys.
    pub(super) keys: Vec<KeyPlace>,
    /// The time line of a replay.
    pub(super) track: Rect,
    /// The terminal is small: only a few lines are shown.
    pub(super) is_compact: bool,
}

/// The screen of a watch or a replay.
///
/// The caller feeds [`App::update`] with snapshots, [`App::set_playback`] with the place of a
/// replay, and [`App::on_event`] with keys and mouse. After each it calls [`App::draw`].
/// [`App::has_keys`] says that a key belongs to the app alone.
///
/// Inside, `input.rs` changes the state: `show_tab`, `select`, `move_by`, `open_selected` and
/// `back` move through the views, and [`App::change_list`] sorts and filters. `view/` reads the
/// state, and writes back only [`Hits`] and how far it was possible to scroll.
#[derive(Debug)]
pub struct App {
    pub(super) theme: Theme,
    /// Makes times of the day; `None` where those since the attach are shown.
    pub(super) time_of_day: Option<TimeOfDay>,
    /// Columns that the user chose.
    pub(super) columns: Columns,
    /// The snapshot on screen.
    pub(super) shown: Option<Snapshot>,
    /// While paused: the newest that is not shown.
    pub(super) waiting: Option<Snapshot>,
    pub(super) paused: bool,
    pub(super) listeners: List<ListenerView>,
    pub(super) connections: List<ConnectionView>,
    pub(super) threads: List<ThreadView>,
    /// `None` when the watch is live.
    pub(super) playback: Option<Playback>,
    /// What is marked on the time line of a replay.
    pub(super) track: Track,
    pub(super) tab: Tab,
    pub(super) open: Option<Open>,
    /// Number of the exchange that the user chose on the open connection; the worst until then.
    pub(super) exchange: Option<u32>,
    /// Where jumps between requests and calls began, the newest last.
    pub(super) jumps: Vec<Place>,
    /// The row of the selected finding.
    pub(super) finding: usize,
    pub(super) finding_order: FoundOrder,
    /// Lines scrolled off the top of the long view in front.
    pub(super) scroll: usize,
    /// Entries of the stream, from the newest, that are scrolled past.
    pub(super) stream_scroll: usize,
    pub(super) typing_filter: bool,
    /// The help, while it lies over the screen.
    pub(super) help: Option<Help>,
    /// Feedback on the last key.
    pub(super) told: Option<Untrusted>,
    pub(super) hits: Hits,
}

impl App {
    /// Returns an app that has seen nothing yet.
    pub fn new(theme: Theme) -> Self {
        Self {
            theme,
            time_of_day: None,
            columns: Columns::default(),
            shown: None,
            waiting: None,
            paused: false,
            listeners: List::default(),
            connections: List::default(),
            threads: List::default(),
            playback: None,
            track: Track::default(),
            tab: Tab::Queues,
            open: None,
            exchange: None,
            jumps: Vec::new(),
            finding: 0,
            finding_order: FoundOrder::default(),
            scroll: 0,
            stream_scroll: 0,
            typing_filter: false,
            help: None,
            told: None,
            hits: Hits::default(),
        }
    }

    /// Shows times of the day.
    pub fn set_time_of_day(&mut self, time_of_day: Option<TimeOfDay>) {
        self.time_of_day = time_of_day;
    }

    /// Shows these columns in lists.
    pub fn set_columns(&mut self, columns: Columns) {
        self.columns = columns;
    }

    /// Takes the newest snapshot. While paused it is kept back.
    pub fn update(&mut self, snapshot: Snapshot) {
        if self.paused && self.shown.is_some() {
            self.waiting = Some(snapshot);
        } else {
            self.show(snapshot);
        }
    }

    /// Returns the question of the list of connections, which the model answers
    /// ([`Model::view`](crate::model::Model::view)) for the next snapshot.
    pub fn query(&self) -> ConnectionQuery {
        let (by, reversed) = self.connections.order();
        ConnectionQuery {
            filter: self.connections.filter().to_owned(),
            order: by.connection_order(),
            reversed,
            selection: self.connections.selection(),
            open: match &self.open {
                Some(Open::Connection(connection)) => Some(connection.sock),
                _ => None,
            },
        }
    }

    /// Returns the question, if the snapshot does not answer it: it has not all connections, and
    /// the user has moved on or asked for others since. The answer goes to
    /// [`show_found`](Self::show_found).
    pub fn query_due(&self) -> Option<ConnectionQuery> {
        let found = self.shown.as_ref()?.found.as_ref()?;
        let query = self.query();
        if self.connections.misses(found, &query) { Some(query) } else { None }
    }

    /// Takes another window of the list of connections into the snapshot that is shown. While
    /// paused, its rows are newer than the rest of the screen.
    pub fn show_found(&mut self, found: Option<FoundConnections>) {
        let Some(snapshot) = &mut self.shown else { return };
        if found.is_some() {
            snapshot.found = found;
            self.connections.rebuild(snapshot);
        }
    }

    /// Takes the place of the replay whose snapshots are shown.
    pub fn set_playback(&mut self, playback: Playback) {
        self.playback = Some(playback);
    }

    /// Takes what is marked on the time line of the replay.
    pub fn set_track(&mut self, track: Track) {
        self.track = track;
    }

    /// True while keys go to what is typed or to the help, so that no key means anything else.
    pub fn has_keys(&self) -> bool {
        self.typing_filter || self.help.is_some()
    }

    /// Draws the whole screen. The work is bounded by the size of the screen, whatever the snapshot
    /// holds.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        view::draw(self, frame);
    }

    /// Returns the view in front, as far as keys are concerned.
    pub(super) fn view(&self) -> View {
        match (&self.open, self.tab) {
            _ if self.hits.is_compact => View::Compact,
            (Some(Open::Listener(_) | Open::Past(_)), _) => View::Listener,
            (Some(Open::Connection(_)), _) => View::Connection,
            (None, Tab::Queues) => View::Queues,
            (None, Tab::Connections) => View::Connections,
            (None, Tab::Threads) => View::Threads,
            (None, Tab::Findings) => View::Findings,
        }
    }

    pub(super) fn toggle_pause(&mut self) {
        self.paused = !self.paused;
        if let Some(snapshot) = self.waiting.take_if(|_| !self.paused) {
            self.show(snapshot);
        }
    }

    /// Returns the list of the tab in front. Findings have none: their two lists are made one, and
    /// have an order of their own.
    pub(super) fn list(&self) -> Option<&dyn Listing> {
        match self.tab {
            Tab::Queues => Some(&self.listeners),
            Tab::Connections => Some(&self.connections),
            Tab::Threads => Some(&self.threads),
            Tab::Findings => None,
        }
    }

    /// Changes the list of the tab in front, and brings it in line with the change.
    pub(super) fn change_list(&mut self, change: impl FnOnce(&mut dyn Listing)) {
        let list: &mut dyn Listing = match self.tab {
            Tab::Queues => &mut self.listeners,
            Tab::Connections => &mut self.connections,
            Tab::Threads => &mut self.threads,
            Tab::Findings => return,
        };
        change(list);
        if let Some(snapshot) = &self.shown {
            list.rebuild(snapshot);
        }
    }

    /// Returns the selected finding, whether or not it stands.
    pub(super) fn selected_finding(&self) -> Option<Found<'_>> {
        let rows = self.finding_order.rows(self.shown.as_ref()?);
        rows.get(self.finding).copied()
    }

    /// Changes the order of the findings. The selection stays with its row.
    pub(super) fn order_findings(&mut self, change: impl FnOnce(&mut FoundOrder)) {
        let selected = self.selected_finding().map(|found| found.id());
        change(&mut self.finding_order);
        if let Some(snapshot) = &self.shown {
            let rows = self.finding_order.rows(snapshot);
            let place = rows.iter().position(|found| Some(found.id()) == selected);
            self.finding = place.unwrap_or(0);
        }
    }

    fn show(&mut self, snapshot: Snapshot) {
        self.keep_place_in_log(&snapshot);
        self.finding = self.finding_in(&snapshot);
        if let Some(Open::Connection(open)) = &mut self.open
            && let Some(newer) = snapshot.connection(open.sock)
        {
            **open = newer.clone();
        }
        self.listeners.rebuild(&snapshot);
        self.connections.rebuild(&snapshot);
        self.threads.rebuild(&snapshot);
        self.shown = Some(snapshot);
    }

    /// Lets a stream that is scrolled back stand still: what is newer comes above it.
    fn keep_place_in_log(&mut self, newer: &Snapshot) {
        if let Some(shown) = &self.shown
            && self.stream_scroll > 0
        {
            let more = newer.events_logged.saturating_sub(shown.events_logged);
            self.stream_scroll = self.stream_scroll.saturating_add(more as usize);
        }
    }

    /// Returns the place of the selected finding in a newer snapshot. Its findings are sorted anew,
    /// and it may have ended or come back.
    fn finding_in(&self, newer: &Snapshot) -> usize {
        // Nobody has chosen one: the first is the cause of what is gravest.
        if self.finding == 0 && self.tab != Tab::Findings {
            return 0;
        }
        let rows = self.finding_order.rows(newer);
        if let Some(selected) = self.selected_finding()
            && let Some(index) = rows.iter().position(|found| found.id() == selected.id())
        {
            return index;
        }
        self.finding.min(rows.len().saturating_sub(1))
    }
}

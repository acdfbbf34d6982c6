//! Keys and mouse: what each changes in the app.

use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Position;

use super::app::{Action, App, Open, Tab};
use super::found::FoundOrder;
use super::help::Help;
use super::keys::{self, View};
use super::list::Listing;
use super::subject::{Subject, subject};
use super::take::Take;
use super::view;
use crate::model::snapshot::TID;

/// Lines that the wheel scrolls.
const WHEEL: isize = 3;

impl App {
    /// Takes a key, a movement of the mouse or a new size, and says what the caller must do.
    pub fn on_event(&mut self, event: Event) -> Action {
        match self.translated(event) {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.on_key(key),
            Event::Mouse(mouse) => self.on_mouse(mouse),
            Event::Resize(..) => Action::Redraw,
            _ => Action::None,
        }
    }

    /// Returns the key that a click on a hint stands for; every other event as it is. Who takes
    /// keys before the app does asks first.
    pub fn translated(&self, event: Event) -> Event {
        if let Event::Mouse(mouse) = &event
            && mouse.kind == MouseEventKind::Down(MouseButton::Left)
            && self.help.is_none()
            && let Some(code) = view::hit(&self.hits.keys, mouse.column, mouse.row)
        {
            return Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
        }
        event
    }

    fn on_key(&mut self, key: KeyEvent) -> Action {
        self.told = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Action::Quit,
                KeyCode::Char('z') => Action::Suspend,
                KeyCode::Char('l') => Action::Redraw,
                _ => Action::None,
            };
        }
        if let Some(help) = &mut self.help {
            if !help.on_key(key.code) {
                self.help = None;
            }
            return Action::Redraw;
        }
        // What cannot be seen is not to change.
        if self.hits.is_compact && !keys::has(View::Compact, key.code) {
            return Action::None;
        }
        if self.typing_filter {
            return self.on_filter_key(key.code);
        }
        match key.code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Char('?') => self.help = Some(Help::default()),
            KeyCode::Char('p') => self.toggle_pause(),
            KeyCode::Tab => self.show_tab(self.tab.turned(1)),
            KeyCode::BackTab => self.show_tab(self.tab.turned(Tab::ALL.len() - 1)),
            KeyCode::Char(digit @ '1'..='4') => {
                self.show_tab(Tab::ALL[digit as usize - '1' as usize])
            }
            KeyCode::Enter if self.open.is_some() => self.jump(),
            KeyCode::Enter => self.open_selected(),
            KeyCode::Backspace if self.open.is_some() => self.back(),
            KeyCode::Esc => self.back(),
            KeyCode::Char('y') => return Action::Take(Take::Copy),
            KeyCode::Char('w') => return Action::Take(Take::Write),
            KeyCode::Char('r') => return Action::Take(Take::Record),
            KeyCode::Char('R') => return Action::Take(Take::Report),
            code => return self.on_list_key(code),
        }
        Action::Redraw
    }

    /// Takes keys of a list, or of the connection that is open over it.
    fn on_list_key(&mut self, code: KeyCode) -> Action {
        match (code, &self.open) {
            (KeyCode::Left | KeyCode::Char('h'), Some(Open::Connection(_))) => {
                self.turn_exchange(-1)
            }
            (KeyCode::Right | KeyCode::Char('l'), Some(Open::Connection(_))) => {
                self.turn_exchange(1)
            }
            (KeyCode::Char('W'), Some(Open::Connection(_))) => {
                self.exchange = None;
                self.scroll = 0;
            }
            (KeyCode::Char('s'), None) if self.tab == Tab::Findings => {
                self.order_findings(FoundOrder::sort_next)
            }
            (KeyCode::Char('S'), None) if self.tab == Tab::Findings => {
                self.order_findings(FoundOrder::reverse)
            }
            (KeyCode::Char('s'), None) => self.change_list(|list| list.sort_next()),
            (KeyCode::Char('S'), None) => self.change_list(|list| list.reverse()),
            (KeyCode::Char('/'), _) => {
                self.show_tab(if self.tab == Tab::Findings { Tab::Queues } else { self.tab });
                self.typing_filter = true;
            }
            _ => return self.on_movement(code),
        }
        Action::Redraw
    }

    fn on_filter_key(&mut self, code: KeyCode) -> Action {
        match code {
            KeyCode::Char(c) => self.change_list(|list| list.filter_mut().push(c)),
            KeyCode::Backspace => self.change_list(|list| {
                list.filter_mut().pop();
            }),
            KeyCode::Enter => self.typing_filter = false,
            KeyCode::Esc => self.back(),
            code => return self.on_movement(code),
        }
        Action::Redraw
    }

    fn on_movement(&mut self, code: KeyCode) -> Action {
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.move_by(-1),
            KeyCode::Down | KeyCode::Char('j') => self.move_by(1),
            KeyCode::Home | KeyCode::Char('g') => self.move_by(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.move_by(isize::MAX),
            KeyCode::PageUp => self.turn_page(-1),
            KeyCode::PageDown => self.turn_page(1),
            KeyCode::Char('<') => self.scroll_stream(-1),
            KeyCode::Char('>') => self.scroll_stream(1),
            _ => return Action::None,
        }
        Action::Redraw
    }

    fn on_mouse(&mut self, mouse: MouseEvent) -> Action {
        let at = Position::new(mouse.column, mouse.row);
        match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => return self.click(at),
            MouseEventKind::ScrollUp => self.wheel(at, -WHEEL),
            MouseEventKind::ScrollDown => self.wheel(at, WHEEL),
            _ => return Action::None,
        }
        Action::Redraw
    }

    fn click(&mut self, at: Position) -> Action {
        if self.help.take().is_some() {
        } else if self.hits.track.contains(at)
            && let Some(playback) = self.playback
        {
            return Action::Seek(self.track.moment(self.hits.track, at.x, playback.length_us));
        } else if let Some(&(_, tab)) = self.hits.tabs.iter().find(|(area, _)| area.contains(at)) {
            self.show_tab(tab);
        } else if self.open.is_some() {
        } else if let Some(&(_, by)) = self.hits.titles.iter().find(|(area, _)| area.contains(at)) {
            self.change_list(|list| list.sort_by(by));
        } else if self.hits.rows.contains(at) {
            let row = self.hits.first_row + usize::from(at.y - self.hits.rows.y);
            if row == self.cursor() {
                self.open_selected();
            } else {
                self.select(row);
            }
        }
        Action::Redraw
    }

    fn wheel(&mut self, at: Position, lines: isize) {
        if let Some(help) = &mut self.help {
            help.scroll_by(lines);
        } else if self.open.is_none() && self.hits.rows.contains(at) {
            self.move_by(lines.signum());
        } else {
            self.scroll_by(lines);
        }
    }

    /// Returns the row that is selected in the tab in front.
    fn cursor(&self) -> usize {
        match self.list() {
            Some(list) => list.cursor(),
            None => self.finding,
        }
    }

    /// Moves the selection, or scrolls where there is none.
    fn move_by(&mut self, rows: isize) {
        if self.open.is_some() {
            self.scroll = self.scroll.saturating_add_signed(rows);
        } else {
            self.select(self.cursor().saturating_add_signed(rows));
        }
    }

    fn scroll_by(&mut self, lines: isize) {
        match self.tab {
            _ if self.open.is_some() => self.scroll = self.scroll.saturating_add_signed(lines),
            Tab::Findings => self.scroll = self.scroll.saturating_add_signed(lines),
            Tab::Queues => self.stream_scroll = self.stream_scroll.saturating_add_signed(lines),
            Tab::Connections | Tab::Threads => self.move_by(lines),
        }
    }

    /// Moves by as much as is on screen: of the list, or of what is scrolled where no list is. On
    /// the first tab that is the stream, unless there are more listeners than fit.
    fn turn_page(&mut self, pages: isize) {
        let rows = usize::from(self.hits.rows.height);
        let is_list = match self.tab {
            _ if self.open.is_some() => false,
            Tab::Queues => self.listeners.len() > rows,
            Tab::Connections | Tab::Threads => true,
            Tab::Findings => false,
        };
        if is_list {
            self.move_by(pages.saturating_mul(rows.max(1) as isize));
        } else if self.open.is_none() && self.tab == Tab::Queues {
            self.scroll_stream(pages);
        } else {
            self.scroll_by(pages.saturating_mul(self.hits.page.max(1) as isize / 2));
        }
    }

    /// Scrolls the stream by as much as is on screen.
    fn scroll_stream(&mut self, pages: isize) {
        if self.tab == Tab::Queues && self.open.is_none() {
            let rows = self.hits.stream_rows.max(1) as isize;
            self.stream_scroll =
                self.stream_scroll.saturating_add_signed(pages.saturating_mul(rows));
        }
    }

    fn select(&mut self, row: usize) {
        let Some(snapshot) = &self.shown else { return };
        match self.tab {
            Tab::Queues => self.listeners.select(row, snapshot),
            Tab::Connections => self.connections.select(row, snapshot),
            Tab::Threads => self.threads.select(row, snapshot),
            Tab::Findings => {
                let rows = snapshot.findings.len() + snapshot.past_findings.len();
                self.finding = row.min(rows.saturating_sub(1));
                self.scroll = 0;
            }
        }
    }

    fn show_tab(&mut self, tab: Tab) {
        self.tab = tab;
        self.open = None;
        self.scroll = 0;
        self.typing_filter = false;
        self.jumps.clear();
    }

    /// Drills down: to the selected listener or connection, to what a finding is about, to the
    /// connections of a thread.
    fn open_selected(&mut self) {
        let (Some(snapshot), None) = (&self.shown, &self.open) else { return };
        match self.tab {
            Tab::Queues => {
                if let Some(listener) = self.listeners.selected(snapshot) {
                    self.open = Some(Open::Listener(listener.sock));
                }
            }
            Tab::Connections => {
                if let Some(connection) = self.connections.selected(snapshot) {
                    self.open = Some(Open::Connection(Box::new(connection.clone())));
                }
            }
            Tab::Threads => {
                if let Some(thread) = self.threads.selected(snapshot) {
                    let filter = format!("{TID}{}", thread.tid);
                    self.show_tab(Tab::Connections);
                    self.change_list(|list| *list.filter_mut() = filter);
                }
            }
            Tab::Findings => self.open_subject(),
        }
        self.scroll = 0;
        self.exchange = None;
    }

    /// Drills down to the subject of the selected finding. One that has ended opens itself: its
    /// subject tells nothing of it any more.
    fn open_subject(&mut self) {
        let Some(snapshot) = &self.shown else { return };
        let Some(found) = self.selected_finding() else { return };
        let finding = found.finding;
        if found.is_past {
            self.open = Some(Open::Past(Box::new(finding.clone())));
            return;
        }
        match subject(snapshot, finding) {
            Subject::Listener(listener) => self.open = Some(Open::Listener(listener.sock)),
            Subject::Connection(connection) => {
                self.open = Some(Open::Connection(Box::new(connection.clone())));
            }
            Subject::Process(thread) => {
                self.threads.choose(thread.tid.into());
                self.threads.rebuild(snapshot);
                self.tab = Tab::Threads;
            }
            Subject::Gone => {}
        }
    }

    /// Turns to an earlier or later exchange of the open connection.
    fn turn_exchange(&mut self, by: isize) {
        let Some(Open::Connection(connection)) = &self.open else { return };
        let all = view::exchanges(connection);
        let mut index = 0;
        if let Some(shown) = view::shown_exchange(connection, self.exchange) {
            index = all.iter().position(|exchange| exchange.seq == shown.seq).unwrap_or(0);
        }
        let turned = index.saturating_add_signed(by).min(all.len().saturating_sub(1));
        self.exchange = all.get(turned).map(|exchange| exchange.seq);
        self.scroll = 0;
    }

    /// Goes a step back: out of the drill-down, then out of the filter.
    fn back(&mut self) {
        self.scroll = 0;
        if !self.jump_back() && self.open.take().is_none() {
            self.typing_filter = false;
            self.change_list(|list| list.filter_mut().clear());
        }
    }
}

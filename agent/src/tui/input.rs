//! What keys and mouse do.

use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Position;

use super::app::{Action, App, Tab};

/// Lines that the wheel and the page keys scroll.
const WHEEL: isize = 3;
const PAGE: isize = 10;

impl App {
    /// Takes a key, a movement of the mouse or a new size, and says what the caller must do.
    pub fn on_event(&mut self, event: Event) -> Action {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.on_key(key),
            Event::Mouse(mouse) => self.on_mouse(mouse),
            Event::Resize(..) => Action::Redraw,
            _ => Action::None,
        }
    }

    fn on_key(&mut self, key: KeyEvent) -> Action {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Action::Quit,
                KeyCode::Char('z') => Action::Suspend,
                KeyCode::Char('l') => Action::Redraw,
                _ => Action::None,
            };
        }
        if self.help {
            self.help = false;
            return if key.code == KeyCode::Char('q') { Action::Quit } else { Action::Redraw };
        }
        if self.typing_filter {
            return self.on_filter_key(key.code);
        }
        match key.code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char('p') => self.toggle_pause(),
            KeyCode::Char('s') => {
                self.list.sort = self.list.sort.next();
                self.rebuild();
            }
            KeyCode::Char('/') => {
                self.show_tab(Tab::Queues);
                self.typing_filter = true;
            }
            KeyCode::Tab | KeyCode::BackTab => self.show_tab(match self.tab {
                Tab::Queues => Tab::Findings,
                Tab::Findings => Tab::Queues,
            }),
            KeyCode::Enter => self.open_selected(),
            KeyCode::Esc => self.back(),
            code => return self.on_movement(code),
        }
        Action::Redraw
    }

    fn on_filter_key(&mut self, code: KeyCode) -> Action {
        match code {
            KeyCode::Char(c) => self.list.filter.push(c),
            KeyCode::Backspace => drop(self.list.filter.pop()),
            KeyCode::Enter => self.typing_filter = false,
            KeyCode::Esc => self.back(),
            code => return self.on_movement(code),
        }
        self.rebuild();
        Action::Redraw
    }

    fn on_movement(&mut self, code: KeyCode) -> Action {
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.move_by(-1),
            KeyCode::Down | KeyCode::Char('j') => self.move_by(1),
            KeyCode::Home | KeyCode::Char('g') => self.move_by(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.move_by(isize::MAX),
            KeyCode::PageUp => self.page(-PAGE),
            KeyCode::PageDown => self.page(PAGE),
            _ => return Action::None,
        }
        Action::Redraw
    }

    fn on_mouse(&mut self, mouse: MouseEvent) -> Action {
        let at = Position::new(mouse.column, mouse.row);
        match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => self.click(at),
            MouseEventKind::ScrollUp => self.wheel(at, -WHEEL),
            MouseEventKind::ScrollDown => self.wheel(at, WHEEL),
            _ => return Action::None,
        }
        Action::Redraw
    }

    fn click(&mut self, at: Position) {
        if self.help {
            self.help = false;
        } else if let Some(&(_, tab)) = self.hits.tabs.iter().find(|(area, _)| area.contains(at)) {
            self.show_tab(tab);
        } else if self.open.is_none() && self.hits.rows.contains(at) {
            self.select(self.hits.first_row + usize::from(at.y - self.hits.rows.y));
        }
    }

    fn wheel(&mut self, at: Position, lines: isize) {
        if self.open.is_none() && self.hits.rows.contains(at) {
            self.move_by(lines.signum());
        } else {
            self.page(lines);
        }
    }

    /// Moves the selection, or scrolls where there is none.
    fn move_by(&mut self, rows: isize) {
        if self.open.is_some() {
            self.scroll = self.scroll.saturating_add_signed(rows);
            return;
        }
        let from = match self.tab {
            Tab::Queues => self.list.cursor(),
            Tab::Findings => self.finding,
        };
        self.select(from.saturating_add_signed(rows));
    }

    fn page(&mut self, lines: isize) {
        if self.open.is_some() || self.tab == Tab::Findings {
            self.scroll = self.scroll.saturating_add_signed(lines);
        } else {
            self.stream_scroll = self.stream_scroll.saturating_add_signed(lines);
        }
    }

    fn select(&mut self, row: usize) {
        let Some(snapshot) = &self.shown else { return };
        match self.tab {
            Tab::Queues => self.list.select(row, snapshot),
            Tab::Findings => {
                self.finding = row.min(snapshot.findings.len().saturating_sub(1));
                self.scroll = 0;
            }
        }
    }

    fn show_tab(&mut self, tab: Tab) {
        self.tab = tab;
        self.open = None;
        self.scroll = 0;
    }

    fn open_selected(&mut self) {
        let Some(snapshot) = &self.shown else { return };
        let sock = match self.tab {
            Tab::Queues => self.list.selected(snapshot).map(|listener| listener.sock),
            Tab::Findings => snapshot.findings.get(self.finding).map(|finding| finding.sock),
        };
        let known = sock.filter(|sock| snapshot.listeners.iter().any(|listener| listener.sock == *sock));
        if self.open.is_none() && known.is_some() {
            self.open = known;
            self.scroll = 0;
        }
    }

    /// One step back: out of the drill-down, then out of the filter.
    fn back(&mut self) {
        self.scroll = 0;
        if self.open.take().is_none() {
            self.typing_filter = false;
            self.list.filter.clear();
            self.rebuild();
        }
    }
}

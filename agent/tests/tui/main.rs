//! The screen, drawn into a buffer from snapshots made by hand.

mod connection;
mod connections;
#[cfg(feature = "lessons")]
mod lesson;
mod queues;
#[path = "../../examples/picture/scene.rs"]
mod scene;
mod threads;
#[path = "../../examples/picture/traffic.rs"]
mod traffic;

use backscope::model::snapshot::Snapshot;
use backscope::tui::{Action, App, Theme};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind as Mouse,
};

/// An app and the size of its terminal.
struct Screen {
    app: App,
    size: (u16, u16),
}

impl Screen {
    fn new(snapshot: Snapshot) -> Self {
        let mut app = App::new(Theme::colour());
        app.update(snapshot);
        Self { app, size: (80, 24) }
    }

    fn sized(mut self, width: u16, height: u16) -> Self {
        self.size = (width, height);
        self
    }

    fn buffer(&mut self) -> Buffer {
        let mut terminal =
            Terminal::new(TestBackend::new(self.size.0, self.size.1)).expect("a buffer");
        terminal.draw(|frame| self.app.draw(frame)).expect("a buffer");
        terminal.backend().buffer().clone()
    }

    fn lines(&mut self) -> Vec<String> {
        let buffer = self.buffer();
        let line = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..buffer.area.height).map(|y| line(y).trim_end().to_owned()).collect()
    }

    fn text(&mut self) -> String {
        self.lines().join("\n")
    }

    fn key(&mut self, code: KeyCode) -> Action {
        self.app.on_event(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    fn type_text(&mut self, text: &str) {
        for c in text.chars() {
            assert_eq!(self.key(KeyCode::Char(c)), Action::Redraw);
        }
    }

    fn mouse(&mut self, kind: Mouse, column: u16, row: u16) {
        self.app.on_event(Event::Mouse(MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::NONE,
        }));
    }

    /// The row with the selection's mark.
    fn selected(&mut self) -> String {
        self.lines().into_iter().find(|line| line.starts_with('▸')).unwrap_or_default()
    }
}

#[track_caller]
fn assert_shows(text: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(text.contains(part), "“{part}” is not on the screen:\n{text}");
    }
}

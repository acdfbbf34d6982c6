//! Screens, drawn into a buffer from snapshots of the model made by hand.
//!
//! A test that draws a screen compares all of it with a file in `snapshots/`, by
//! [`assert_screen`]. The name says the view and the size: `connection_nagle_80x24.snap`. Colours
//! are not in these files: `look.rs` has others for them. Assertions beside a snapshot are for what
//! it does not say: keys, order, what must be gone.
//!
//! To review and accept a screen that is new or was changed on purpose:
//!
//! 1. `cargo test -p backscope --test tui` fails, shows the difference, and leaves the new screen
//!    beside the old one as `.snap.new`.
//! 2. Read the new screen as text, in the size of its name: is everything there, aligned, and true
//!    of the snapshot that it was drawn from?
//! 3. `INSTA_UPDATE=always cargo test -p backscope --test tui` accepts; `cargo insta review` does
//!    so one by one, where it is installed. Read `git diff` once more before the commit.
//!
//! A test that goes takes its files with it: nothing else removes them.

mod chain;
mod connection;
mod connections;
#[path = "../../examples/keys/crowd.rs"]
mod crowd;
#[cfg(feature = "lessons")]
mod exercise;
mod incidents;
mod layout;
#[cfg(feature = "lessons")]
mod lesson;
mod lists;
mod look;
mod past;
mod queues;
#[path = "../../examples/picture/scene.rs"]
mod scene;
mod take;
mod threads;
#[path = "../../examples/picture/traffic.rs"]
mod traffic;
mod upstream;
mod words;

use backscope::model::snapshot::Snapshot;
use backscope::tui::{Action, App, Theme};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind as Mouse,
};

/// Sizes of a terminal: the least, that of the pictures in the documentation, and wider ones.
const SIZES: [(u16, u16); 4] = [(80, 24), (100, 30), (160, 50), (220, 70)];

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

    fn without_colour(snapshot: Snapshot) -> Self {
        let mut app = App::new(Theme::plain());
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
        lines(&self.buffer())
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

    /// Returns the row with the selection's mark.
    fn selected(&mut self) -> String {
        self.lines().into_iter().find(|line| line.starts_with('▸')).unwrap_or_default()
    }
}

/// Returns the lines of a buffer, without blanks at their ends.
fn lines(buffer: &Buffer) -> Vec<String> {
    let mut out = Vec::new();
    for y in 0..buffer.area.height {
        let line: String = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect();
        out.push(line.trim_end().to_owned());
    }
    out
}

/// Compares a whole screen with `snapshots/NAME_WIDTHxHEIGHT.snap`.
#[track_caller]
fn assert_screen(name: &str, screen: &mut Screen) {
    assert_buffer(name, &screen.buffer());
}

#[track_caller]
fn assert_buffer(name: &str, buffer: &Buffer) {
    let name = format!("{name}_{}x{}", buffer.area.width, buffer.area.height);
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, lines(buffer).join("\n")));
}

#[track_caller]
fn assert_shows(text: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(text.contains(part), "“{part}” is not on the screen:\n{text}");
    }
}

//! From an event to every output, which must keep its promises whatever the event is.

use std::time::{Duration, UNIX_EPOCH};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyModifiers};

use crate::model::event::Event;
use crate::model::output::Output;
use crate::model::{Model, Setup, WallClock};
use crate::record::RecordEntry;
use crate::report::Sink;
use crate::report::json::Json;
use crate::report::plain::{Colour, Plain};
use crate::tui::{App, Theme};

/// Time at which the watch of a target begins, ns.
pub(super) const START: u64 = 1_000_000_000_000;
/// Samples after which the screen is drawn: drawing takes longest.
const DRAWN: usize = 1;
/// Keys that lead through the screen: every tab, what a list opens, an exchange, the help.
const KEYS: &str = "1\n\u{1b}2\nl?\u{1b}\u{1b}3\n\u{1b}4\n\u{1b}";

/// A model with everything behind it.
pub(super) struct Shown {
    model: Model,
    outputs: Vec<Output>,
    json: Json,
    plain: Plain,
    drawn: usize,
}

impl Shown {
    pub(super) fn new() -> Self {
        let setup = Setup {
            attached_ns: START,
            target: "server 4242".into(),
            tier: "full".into(),
            detail_events: true,
            exchanges: true,
        };
        Self::of(setup, clock())
    }

    pub(super) fn of(setup: Setup, clock: WallClock) -> Self {
        let (json, plain) = (Json::new(clock), Plain::new(Colour::Never));
        Self { model: Model::new(setup), outputs: Vec::new(), json, plain, drawn: 0 }
    }

    pub(super) fn take(&mut self, event: &Event) {
        self.model.apply(event, &mut self.outputs);
        if matches!(event, Event::Sample(_)) {
            self.refresh();
        }
    }

    pub(super) fn entry(&mut self, entry: &RecordEntry) {
        entry.give(&mut self.model, &mut self.outputs);
        match entry {
            RecordEntry::Event(Event::Sample(_)) => self.refresh(),
            RecordEntry::Batch(_) | RecordEntry::Finish(_) => self.show(),
            _ => {}
        }
    }

    /// Ends the run, a second behind the newest event, and shows the end.
    pub(super) fn end(&mut self) {
        let now_ns = self.model.brief().now_ns;
        self.drawn = 0;
        self.refresh();
        self.model.finish(now_ns.saturating_add(1_000_000_000), &mut self.outputs);
        self.show();
    }

    fn refresh(&mut self) {
        self.show();
        if self.drawn < DRAWN {
            self.drawn += 1;
            self.draw();
        }
    }

    fn show(&mut self) {
        if self.outputs.is_empty() {
            return;
        }
        let snapshot = self.model.snapshot();
        let mut text = Vec::new();
        let written = self.json.write(&mut text, &self.outputs, &snapshot);
        assert!(written.is_ok(), "JSON: {written:?}");
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let object: Result<serde_json::Value, _> = serde_json::from_slice(line);
            assert!(object.is_ok_and(|object| object.is_object()), "a line is no object");
        }
        text.clear();
        let written = self.plain.write(&mut text, &self.outputs, &snapshot);
        assert!(written.is_ok(), "lines: {written:?}");
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "a control character");
        self.outputs.clear();
    }

    fn draw(&mut self) {
        let Ok(mut terminal) = Terminal::new(TestBackend::new(80, 24));
        let mut app = App::new(Theme::plain());
        app.update(self.model.snapshot());
        for key in KEYS.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                other => KeyCode::Char(other),
            };
            app.on_event(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)));
            let Ok(_) = terminal.draw(|frame| app.draw(frame));
        }
        for cell in terminal.backend().buffer().content() {
            assert!(!cell.symbol().contains(char::is_control), "a control character on the screen");
        }
    }
}

pub(super) fn clock() -> WallClock {
    WallClock { mono_ns: START, wall: UNIX_EPOCH + Duration::from_secs(1_700_000_000) }
}

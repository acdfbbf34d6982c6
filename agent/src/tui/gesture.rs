//! What an event asks of a screen whose keys are those of its hints: the lessons' and the
//! exercises'.

use ratatui::crossterm::event::{
    Event, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind,
};

use super::view::{KeyPlace, hit};

/// What an event asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gesture {
    /// A key, pressed or clicked on.
    Key(KeyEvent),
    /// So many lines down.
    Scroll(isize),
    /// The size has changed.
    Resized,
    /// Nothing.
    Nothing,
}

impl Gesture {
    /// Lines of a step of the wheel.
    const WHEEL: isize = 3;

    /// Reads an event; `places` are those of the hints.
    pub(super) fn of(event: &Event, places: &[KeyPlace]) -> Self {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => Self::Key(*key),
            Event::Mouse(mouse) => match mouse.kind {
                MouseEventKind::ScrollUp => Self::Scroll(-Self::WHEEL),
                MouseEventKind::ScrollDown => Self::Scroll(Self::WHEEL),
                MouseEventKind::Down(MouseButton::Left) => {
                    match hit(places, mouse.column, mouse.row) {
                        Some(code) => Self::Key(KeyEvent::new(code, KeyModifiers::NONE)),
                        None => Self::Nothing,
                    }
                }
                _ => Self::Nothing,
            },
            Event::Resize(..) => Self::Resized,
            _ => Self::Nothing,
        }
    }
}

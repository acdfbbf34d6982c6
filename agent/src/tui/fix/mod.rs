//! The screen of `learn --fix`: a broken server, what its customers see, and what to do.
//!
//! The caller owns the loop, as with [`super::App`]: it feeds keys and the news of the run, does
//! what the returned [`FixAction`] asks, and draws.

mod draw;

use std::path::PathBuf;

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::Theme;
use super::gesture::Gesture;
use super::view::KeyPlace;
use crate::learn::fix::{Exercise, Game, News, Score};
use crate::text::Untrusted;

/// Seconds for which a word is shown.
const SHOWN_FOR: u32 = 4;

/// A request to the caller, after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixAction {
    /// Nothing.
    None,
    /// Draw again.
    Redraw,
    /// End the program in good order.
    Quit,
    /// Call [`super::Guard::suspend`], then draw again.
    Suspend,
    /// Restart the server.
    Restart,
    /// End this exercise, and begin the next one.
    Next,
}

/// The screen of one exercise.
pub struct FixApp {
    theme: Theme,
    game: Game,
    folder: Option<PathBuf>,
    /// A word on what was just done, and the seconds for which it is still shown.
    told: Option<(Untrusted, u32)>,
    failed: Option<Untrusted>,
    /// `g` was pressed once: the next one shows the cure.
    asked: bool,
    /// Lines scrolled off the top of the text; `None` while its end is followed.
    scroll: Option<usize>,
    scrolled: usize,
    scroll_end: usize,
    hints: Vec<KeyPlace>,
}

impl FixApp {
    /// Shows this exercise.
    pub fn new(theme: Theme, exercise: Exercise) -> Self {
        Self {
            theme,
            game: Game::new(exercise),
            folder: None,
            told: None,
            failed: None,
            asked: false,
            scroll: None,
            scrolled: 0,
            scroll_end: 0,
            hints: Vec::new(),
        }
    }

    /// Changes the colours.
    pub fn set_theme(&mut self, theme: Theme) {
        self.theme = theme;
    }

    /// The game.
    pub fn game(&self) -> &Game {
        &self.game
    }

    /// Shows a word in place of the last one.
    pub fn tell(&mut self, text: impl Into<Untrusted>) {
        self.told = Some((text.into(), SHOWN_FOR));
    }

    /// Takes news. Returns the score if that won it.
    pub fn take(&mut self, news: News) -> Option<Score> {
        match news {
            News::Told(text) => self.tell(text),
            News::Begun { folder, kept } => {
                if let Some(kept) = kept {
                    self.tell(format!("your earlier script is now {}", kept.display()));
                }
                self.folder = Some(folder);
            }
            News::ServerSaid(line) => self.game.server_said(line),
            News::Failed(error) => self.failed = Some(error),
            News::Second(second) => {
                self.told =
                    self.told.take().and_then(|(text, left)| Some((text, left.checked_sub(1)?)));
                if self.game.take(*second) {
                    self.scroll = Some(0);
                    return self.game.score();
                }
            }
        }
        None
    }

    /// Takes a key, the mouse or a new size.
    pub fn on_event(&mut self, event: &Event) -> FixAction {
        match Gesture::of(event, &self.hints) {
            Gesture::Key(key) => self.on_key(key),
            Gesture::Scroll(lines) => self.scroll_by(lines),
            Gesture::Resized => FixAction::Redraw,
            Gesture::Nothing => FixAction::None,
        }
    }

    fn on_key(&mut self, key: KeyEvent) -> FixAction {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => FixAction::Quit,
                KeyCode::Char('z') => FixAction::Suspend,
                _ => FixAction::None,
            };
        }
        let asked = std::mem::take(&mut self.asked);
        match key.code {
            KeyCode::Char('q') => return FixAction::Quit,
            KeyCode::Char('n') if self.is_over() => return FixAction::Next,
            KeyCode::Up | KeyCode::Char('k') => return self.scroll_by(-1),
            KeyCode::Down | KeyCode::Char('j') => return self.scroll_by(1),
            KeyCode::PageUp => return self.scroll_by(-10),
            KeyCode::PageDown => return self.scroll_by(10),
            _ if self.is_over() => return FixAction::None,
            KeyCode::Char('r') => return FixAction::Restart,
            KeyCode::Char('h') => {
                if !self.game.show_hint() {
                    self.tell("there is no further hint; g shows the cure");
                }
                self.scroll = None;
            }
            KeyCode::Char('g') if self.game.gave_up() => return FixAction::None,
            KeyCode::Char('g') if asked => {
                self.game.give_up();
                self.scroll = None;
            }
            KeyCode::Char('g') => {
                self.asked = true;
                self.tell("press g once more to be shown the cure");
            }
            _ => return FixAction::None,
        }
        FixAction::Redraw
    }

    fn is_over(&self) -> bool {
        self.game.is_won() || self.failed.is_some()
    }

    fn scroll_by(&mut self, lines: isize) -> FixAction {
        self.scroll = Some(self.scrolled.saturating_add_signed(lines).min(self.scroll_end));
        FixAction::Redraw
    }
}

//! The state of the help: how far it is scrolled, and what is searched for in it.

use ratatui::crossterm::event::KeyCode;

/// Lines that the page keys scroll.
const PAGE: isize = 10;

/// The help, while it lies over the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Help {
    /// Only entries with this text are shown, whatever its case.
    pub(super) query: String,
    /// Keys go to that text.
    pub(super) typing: bool,
    /// Lines scrolled off the top.
    pub(super) scroll: usize,
}

impl Help {
    /// Takes a key; false if it closes the help.
    pub(super) fn on_key(&mut self, code: KeyCode) -> bool {
        match code {
            KeyCode::Char(c) if self.typing => self.query.push(c),
            KeyCode::Backspace if self.typing => {
                self.query.pop();
            }
            KeyCode::Enter if self.typing => self.typing = false,
            KeyCode::Esc if self.typing || !self.query.is_empty() => {
                self.typing = false;
                self.query.clear();
            }
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Up | KeyCode::Char('k') => return self.scroll_by(-1),
            KeyCode::Down | KeyCode::Char('j') => return self.scroll_by(1),
            KeyCode::PageUp => return self.scroll_by(-PAGE),
            KeyCode::PageDown | KeyCode::Char(' ') => return self.scroll_by(PAGE),
            KeyCode::Home | KeyCode::Char('g') => return self.scroll_by(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => return self.scroll_by(isize::MAX),
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?') => return false,
            _ => return true,
        }
        self.scroll = 0;
        true
    }

    /// Scrolls; the next drawing ends it at the last line. The help stays open.
    pub(super) fn scroll_by(&mut self, lines: isize) -> bool {
        self.scroll = self.scroll.saturating_add_signed(lines);
        true
    }
}

#[cfg(test)]
mod tests {
    use KeyCode::{Backspace, Char, Enter, Esc};

    use super::*;

    fn typed(help: &mut Help, codes: &[KeyCode]) -> bool {
        codes.iter().all(|&code| help.on_key(code))
    }

    #[test]
    fn what_is_typed_after_a_slash_is_searched_for() {
        let mut help = Help::default();
        assert!(typed(&mut help, &[Char('/'), Char('q'), Char('u'), Char('x'), Backspace, Enter]));
        assert_eq!((help.query.as_str(), help.typing), ("qu", false));
        assert!(help.on_key(Esc), "it only clears the search");
        assert_eq!(help.query, "");
        assert!(!help.on_key(Esc), "nothing else is left to leave");
    }

    #[test]
    fn the_keys_that_close_it_close_it() {
        for code in [Char('q'), Char('?'), Esc, Enter] {
            assert!(!Help::default().on_key(code), "{code:?}");
        }
        assert!(Help::default().on_key(Char('p')));
    }
}

//! Keys and the mouse on the lessons' screen.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::turning::{Turned, Turning};
use super::{LessonAction, LessonApp, Seen, Stage};
use crate::tui::gesture::Gesture;

impl LessonApp {
    /// Takes a key, the mouse or a new size.
    pub fn on_event(&mut self, event: &Event) -> LessonAction {
        match Gesture::of(event, &self.hints) {
            Gesture::Key(key) => self.on_key(key),
            Gesture::Scroll(lines) => self.scroll_by(lines),
            Gesture::Resized => LessonAction::Redraw,
            Gesture::Nothing => LessonAction::None,
        }
    }

    fn on_key(&mut self, key: KeyEvent) -> LessonAction {
        self.hint = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => LessonAction::Quit,
                KeyCode::Char('z') => LessonAction::Suspend,
                _ => LessonAction::None,
            };
        }
        if self.is_over_page(key.code) {
            self.scroll = Some(0);
            return LessonAction::Redraw;
        }
        match key.code {
            KeyCode::Char('q') => return LessonAction::Quit,
            KeyCode::PageUp => return self.scroll_by(-10),
            KeyCode::PageDown => return self.scroll_by(10),
            KeyCode::Up if self.scrolls() => return self.scroll_by(-1),
            KeyCode::Down if self.scrolls() => return self.scroll_by(1),
            // A run is not left: what it started would go on.
            _ if matches!(self.stage, Stage::Running(_)) => return LessonAction::None,
            _ if self.evidence || self.commands => return LessonAction::None,
            _ => {}
        }
        if let Some(action) = self.on_stage_key(key.code) {
            if action != LessonAction::None {
                self.scroll = None;
            }
            return action;
        }
        match key.code {
            KeyCode::Char('n') => self.open((self.at + 1) % self.lessons.len()),
            KeyCode::Char('p') => self.go_back(),
            KeyCode::Char('r') if !matches!(self.stage, Stage::List) => self.ask_again(),
            KeyCode::Char('k') => self.open_bench(),
            KeyCode::Char('l') | KeyCode::Esc => self.stage = Stage::List,
            _ => return LessonAction::None,
        }
        self.scroll = None;
        LessonAction::Redraw
    }

    /// Opens or closes a page that lies over the others, if that is what the key does.
    fn is_over_page(&mut self, code: KeyCode) -> bool {
        let over = match code {
            KeyCode::Esc if self.evidence || self.commands => (false, false),
            KeyCode::Char('e') if matches!(self.stage, Stage::Reveal(_)) => (!self.evidence, false),
            KeyCode::Char('c') if self.has_commands() => (false, !self.commands),
            _ => return false,
        };
        (self.evidence, self.commands) = over;
        true
    }

    fn has_commands(&self) -> bool {
        // On the question page it is the letter of an answer.
        matches!(self.stage, Stage::Reveal(_) | Stage::Bench(_) | Stage::Summary)
    }

    /// True if ↑ and ↓ scroll, and select nothing.
    fn scrolls(&self) -> bool {
        self.evidence || self.commands || !matches!(self.stage, Stage::List | Stage::Bench(_))
    }

    /// Takes a key that has a meaning on this page; `None` if it has none of its own.
    fn on_stage_key(&mut self, code: KeyCode) -> Option<LessonAction> {
        let lesson = &self.lessons[self.at];
        match &mut self.stage {
            Stage::List => match code {
                KeyCode::Up => self.at = self.at.saturating_sub(1),
                KeyCode::Down => self.at = (self.at + 1).min(self.lessons.len() - 1),
                KeyCode::Enter => self.open(self.at),
                KeyCode::Esc | KeyCode::Char('k' | 'n' | 'p') => return Some(LessonAction::None),
                _ => return None,
            },
            Stage::Predict => return self.on_guess(code),
            Stage::Failed(_) if code == KeyCode::Enter => self.stage = Stage::Predict,
            Stage::Reveal(reveal) => {
                let goes_on = matches!(code, KeyCode::Enter | KeyCode::Char(' '));
                if reveal.on_key(lesson, self.round, code) {
                    self.note_owners();
                } else if goes_on {
                    self.go_on();
                } else {
                    return None;
                }
            }
            Stage::Bench(turning) => match turning.on_key(code) {
                Turned::Run => return Some(LessonAction::Turn { lesson: self.at }),
                Turned::Redraw => {}
                Turned::Nothing => return self.leave_bench(code),
            },
            Stage::Summary if code == KeyCode::Enter => self.open_next(),
            Stage::Summary if code == KeyCode::Char('r') => self.open(self.at),
            _ => return None,
        }
        Some(LessonAction::Redraw)
    }

    fn on_guess(&mut self, code: KeyCode) -> Option<LessonAction> {
        let offered = self.lesson().rounds[self.round].plan.offered.len();
        match (code, self.guess) {
            (KeyCode::Right | KeyCode::Tab, None) => self.guess = Some(0),
            (KeyCode::Right | KeyCode::Tab, Some(at)) => self.guess = Some((at + 1) % offered),
            (KeyCode::Left | KeyCode::BackTab, guess) => {
                self.guess = Some((guess.unwrap_or(0) + offered - 1) % offered);
            }
            (KeyCode::Char(key @ 'a'..='d'), _) => {
                let at = key as usize - 'a' as usize;
                if at < offered {
                    self.guess = Some(at);
                }
            }
            (KeyCode::Enter, None) => self.hint = Some("predict first: ← → or a letter".to_owned()),
            (KeyCode::Enter, Some(_)) => {
                self.stage = Stage::Running(Vec::new());
                self.welcome = false;
                return Some(LessonAction::Run { lesson: self.at, round: self.round });
            }
            _ => return None,
        }
        Some(LessonAction::Redraw)
    }

    /// Notes the owners that were named, once the last of them is known.
    fn note_owners(&mut self) {
        let lesson = &self.lessons[self.at];
        let Stage::Reveal(reveal) = &self.stage else { return };
        if reveal.asked(lesson, self.round).is_none()
            && let Some(score) = reveal.score(lesson, self.round)
        {
            self.progress.note_owners(&lesson.slug, self.round, score);
            self.unsaved = true;
        }
    }

    /// Goes on from the end of a reveal: to the next round, else to the summary.
    fn go_on(&mut self) {
        let rounds = self.lesson().rounds.len();
        self.seen.resize_with(rounds, || None);
        let stage = std::mem::replace(&mut self.stage, Stage::Summary);
        if let Stage::Reveal(reveal) = stage {
            self.seen[self.round] = Some(Seen { guess: self.guess, reveal });
        }
        if self.round + 1 < rounds {
            self.round += 1;
            self.guess = None;
            self.stage = Stage::Predict;
        }
    }

    /// Goes back to the question before; from the first one to the lesson before.
    fn go_back(&mut self) {
        if self.round > 0 {
            self.round -= 1;
            self.ask_again();
        } else {
            self.open((self.at + self.lessons.len() - 1) % self.lessons.len());
        }
    }

    /// Asks the question of the round again.
    fn ask_again(&mut self) {
        self.guess = None;
        self.stage = Stage::Predict;
    }

    /// Lays the bench over the reveal, or over the summary.
    fn open_bench(&mut self) {
        let outcome = match &self.stage {
            Stage::Reveal(reveal) => Some(&reveal.outcome),
            Stage::Summary => match self.seen.get(self.round) {
                Some(Some(seen)) => Some(&seen.reveal.outcome),
                _ => None,
            },
            _ => None,
        };
        let Some(outcome) = outcome.cloned() else { return };
        if self.recorded {
            let slug = &self.lesson().slug;
            self.hint = Some(format!("knobs need a live run: sudo backscope learn {slug}"));
            return;
        }
        let back = std::mem::replace(&mut self.stage, Stage::List);
        let turning = Turning::new(self.lesson(), self.round, outcome, back);
        self.stage = Stage::Bench(Box::new(turning));
    }

    fn leave_bench(&mut self, code: KeyCode) -> Option<LessonAction> {
        if !matches!(code, KeyCode::Char('k') | KeyCode::Esc | KeyCode::Enter) {
            return Some(LessonAction::None);
        }
        match std::mem::replace(&mut self.stage, Stage::List) {
            Stage::Bench(turning) if turning.running.is_none() => self.stage = *turning.back,
            // Two runs at once would measure one another.
            other => {
                self.stage = other;
                self.hint = Some("it still runs".to_owned());
            }
        }
        Some(LessonAction::Redraw)
    }

    fn open_next(&mut self) {
        if self.at + 1 < self.lessons.len() {
            self.open(self.at + 1);
        } else {
            self.stage = Stage::List;
        }
    }

    fn open(&mut self, at: usize) {
        (self.at, self.round, self.guess, self.stage) = (at, 0, None, Stage::Predict);
        self.seen.clear();
        self.scroll = None;
    }

    fn scroll_by(&mut self, lines: isize) -> LessonAction {
        self.scroll = Some(self.scrolled.saturating_add_signed(lines).min(self.scroll_end));
        LessonAction::Redraw
    }
}

//! The screen of `learn`: the list of lessons, a question, its run, and what it shows.
//!
//! The caller owns the loop, as with [`super::App`]: it feeds keys and what became of a run, does
//! what the returned [`LessonAction`] asks, and draws.

mod draw;
mod list;
mod nested;
mod page;
mod text;
mod words;

use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind,
};

pub use text::{LessonText, list_text};

use super::Theme;
use super::view::{KeyPlace, hit};
use crate::learn::{Lesson, Outcome, Progress};
use crate::text::Untrusted;

/// A request to the caller, after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LessonAction {
    /// Nothing.
    None,
    /// Draw again.
    Redraw,
    /// End the program in good order.
    Quit,
    /// Call [`super::Guard::suspend`], then draw again.
    Suspend,
    /// Run this round of this lesson, and tell what comes of it.
    Run {
        /// The lesson's place.
        lesson: usize,
        /// The round's place.
        round: usize,
    },
}

/// The page that is shown.
enum Stage {
    /// The list of lessons.
    List,
    /// The question.
    Predict,
    /// The run, with what was told of it.
    Running(Vec<Untrusted>),
    /// The reveal of what it shows, up to this part.
    Reveal(Box<Outcome>, usize),
    /// It could not be run.
    Failed(Untrusted),
}

/// The screen of `learn`.
///
/// The caller feeds [`LessonApp::on_event`] with keys. If that asks for a run, what is told of it
/// goes to [`LessonApp::told`], and its outcome to [`LessonApp::ran`]. After each of these
/// [`LessonApp::take_progress`] has what is to be saved, and [`LessonApp::draw`] draws.
pub struct LessonApp {
    theme: Theme,
    lessons: Vec<Lesson>,
    progress: Progress,
    /// The progress has changed and was not taken yet.
    unsaved: bool,
    recorded: bool,
    welcome: bool,
    at: usize,
    round: usize,
    guess: Option<usize>,
    stage: Stage,
    /// A word on what was just done.
    hint: Option<String>,
    /// The evidence lies over the page.
    evidence: bool,
    /// Lines scrolled off the top; `None` while the newest part is followed.
    scroll: Option<usize>,
    /// Lines that were off the top in the last drawing.
    scrolled: usize,
    /// Lines that it can be scrolled by, as of the last drawing.
    scroll_end: usize,
    /// The hints at keys in the last drawing.
    hints: Vec<KeyPlace>,
}

impl LessonApp {
    /// Changes the colours.
    pub fn set_theme(&mut self, theme: Theme) {
        self.theme = theme;
    }

    /// Opens the lesson at this place; the list if there is none.
    pub fn new(
        theme: Theme,
        lessons: Vec<Lesson>,
        progress: Progress,
        at: Option<usize>,
        recorded: bool,
    ) -> Self {
        let stage = if at.is_some() { Stage::Predict } else { Stage::List };
        let welcome = progress.is_empty();
        Self {
            theme,
            lessons,
            progress,
            unsaved: false,
            recorded,
            welcome,
            at: at.unwrap_or(0),
            round: 0,
            guess: None,
            stage,
            hint: None,
            evidence: false,
            scroll: None,
            scrolled: 0,
            scroll_end: 0,
            hints: Vec::new(),
        }
    }

    /// Returns the progress, if it has changed since the last time.
    pub fn take_progress(&mut self) -> Option<&Progress> {
        if std::mem::take(&mut self.unsaved) { Some(&self.progress) } else { None }
    }

    /// Shows a word beside the keys.
    pub fn hint(&mut self, text: String) {
        self.hint = Some(text);
    }

    /// Tells of the run in progress.
    pub fn told(&mut self, text: Untrusted) {
        if let Stage::Running(told) = &mut self.stage {
            told.push(text);
        }
    }

    /// Takes the outcome of the run.
    pub fn ran(&mut self, outcome: Result<Outcome, Untrusted>) {
        self.stage = match outcome {
            Ok(outcome) => {
                let right = self.lesson().rounds[self.round].right(&outcome.facts);
                let guessed = self.guess.is_some() && self.guess == right;
                let slug = self.lesson().slug.clone();
                self.progress.note(&slug, self.round, guessed);
                self.unsaved = true;
                Stage::Reveal(Box::new(outcome), 1)
            }
            Err(error) => Stage::Failed(error),
        };
        self.scroll = None;
    }

    fn lesson(&self) -> &Lesson {
        &self.lessons[self.at]
    }

    /// Takes a key, the mouse or a new size.
    pub fn on_event(&mut self, event: &Event) -> LessonAction {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.on_key(*key),
            Event::Mouse(mouse) => match mouse.kind {
                MouseEventKind::ScrollUp => self.scroll_by(-3),
                MouseEventKind::ScrollDown => self.scroll_by(3),
                MouseEventKind::Down(MouseButton::Left) => {
                    match hit(&self.hints, mouse.column, mouse.row) {
                        Some(code) => self.on_key(KeyEvent::new(code, KeyModifiers::NONE)),
                        None => LessonAction::None,
                    }
                }
                _ => LessonAction::None,
            },
            Event::Resize(..) => LessonAction::Redraw,
            _ => LessonAction::None,
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
        match key.code {
            KeyCode::Char('q') => return LessonAction::Quit,
            KeyCode::Esc if self.evidence => self.evidence = false,
            KeyCode::Char('e') if matches!(self.stage, Stage::Reveal(..)) => {
                self.evidence = !self.evidence
            }
            KeyCode::Up | KeyCode::Char('k') if !matches!(self.stage, Stage::List) => {
                return self.scroll_by(-1);
            }
            KeyCode::Down | KeyCode::Char('j') if !matches!(self.stage, Stage::List) => {
                return self.scroll_by(1);
            }
            KeyCode::PageUp => return self.scroll_by(-10),
            KeyCode::PageDown => return self.scroll_by(10),
            // A run is not left: what it started would go on.
            _ if matches!(self.stage, Stage::Running(_)) || self.evidence => {
                return LessonAction::None;
            }
            KeyCode::Char('n') => self.open((self.at + 1) % self.lessons.len()),
            KeyCode::Char('l') | KeyCode::Esc => self.stage = Stage::List,
            code => return self.on_stage_key(code),
        }
        self.scroll = if self.evidence { Some(0) } else { None };
        LessonAction::Redraw
    }

    fn on_stage_key(&mut self, code: KeyCode) -> LessonAction {
        match &mut self.stage {
            Stage::List => match code {
                KeyCode::Up | KeyCode::Char('k') => self.at = self.at.saturating_sub(1),
                KeyCode::Down | KeyCode::Char('j') => {
                    self.at = (self.at + 1).min(self.lessons.len() - 1)
                }
                KeyCode::Enter => self.open(self.at),
                _ => return LessonAction::None,
            },
            Stage::Predict => return self.on_guess(code),
            Stage::Failed(_) if code == KeyCode::Enter => self.stage = Stage::Predict,
            Stage::Reveal(_, shown) if matches!(code, KeyCode::Enter | KeyCode::Char(' ')) => {
                *shown += 1;
                let shown = *shown;
                self.scroll = None;
                if shown > self.parts() {
                    self.go_on();
                }
            }
            _ => return LessonAction::None,
        }
        LessonAction::Redraw
    }

    fn on_guess(&mut self, code: KeyCode) -> LessonAction {
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
                return LessonAction::Run { lesson: self.at, round: self.round };
            }
            _ => return LessonAction::None,
        }
        LessonAction::Redraw
    }

    /// Returns the number of parts of the reveal.
    fn parts(&self) -> usize {
        let (lesson, round) = (self.lesson(), self.round);
        let closing = usize::from(round == 0) + usize::from(round + 1 < lesson.rounds.len());
        lesson.rounds[round].reveal.len() + closing
    }

    /// Goes on to the next round, else to the next lesson.
    fn go_on(&mut self) {
        if self.round + 1 < self.lesson().rounds.len() {
            self.round += 1;
            self.guess = None;
            self.stage = Stage::Predict;
        } else if self.at + 1 < self.lessons.len() {
            self.open(self.at + 1);
        } else {
            self.stage = Stage::List;
        }
    }

    fn open(&mut self, at: usize) {
        (self.at, self.round, self.guess, self.stage) = (at, 0, None, Stage::Predict);
        self.scroll = None;
    }

    fn scroll_by(&mut self, lines: isize) -> LessonAction {
        self.scroll = Some(self.scrolled.saturating_add_signed(lines).min(self.scroll_end));
        LessonAction::Redraw
    }
}

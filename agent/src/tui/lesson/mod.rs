//! The screen of `learn`: the list of lessons, a question, its run, and what it shows.
//!
//! The caller owns the loop, as with [`super::App`]: it feeds keys and what became of a run, does
//! what the returned [`LessonAction`] asks, and draws.

mod draw;
mod foot;
mod knobs;
mod list;
mod owners;
mod page;
mod reveal;
mod summary;
mod text;
mod turning;
mod words;

use std::borrow::Cow;

use ratatui::crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind,
};

pub use text::{LessonText, TextReveal, list_text, summary_text};

use super::Theme;
use super::view::{KeyPlace, hit};
use crate::learn::{Bench, CommandLines, Lesson, Outcome, Progress};
use crate::text::Untrusted;
use reveal::Reveal;
use turning::{Turned, Turning};

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
    /// Run what [`LessonApp::bench`] says, and tell what comes of it.
    Turn {
        /// The lesson's place.
        lesson: usize,
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
    /// The reveal of what it shows.
    Reveal(Reveal),
    /// The knobs of the round.
    Bench(Box<Turning>),
    /// What the lesson came to.
    Summary,
    /// It could not be run.
    Failed(Untrusted),
}

/// A round that was seen to its end.
struct Seen {
    guess: Option<usize>,
    reveal: Reveal,
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
    /// The rounds of the lesson that were seen to their ends, since it was opened.
    seen: Vec<Option<Seen>>,
    /// A word on what was just done.
    hint: Option<String>,
    /// The evidence lies over the page.
    evidence: bool,
    /// The command lines lie over the page.
    commands: bool,
    /// The command lines of a round, by its lesson and its place.
    typed: Option<((usize, usize), CommandLines)>,
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
            seen: Vec::new(),
            hint: None,
            evidence: false,
            commands: false,
            typed: None,
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
        match &mut self.stage {
            Stage::Running(told) => told.push(text),
            Stage::Bench(turning) => {
                if let Some(told) = &mut turning.running {
                    told.push(text);
                }
            }
            _ => {}
        }
    }

    /// Takes the outcome of the run. If it has to run again, this is the request for it.
    pub fn ran(&mut self, outcome: Result<Outcome, Untrusted>) -> LessonAction {
        self.scroll = None;
        match &mut self.stage {
            Stage::Bench(turning) => {
                if turning.ran(outcome) {
                    return LessonAction::Turn { lesson: self.at };
                }
            }
            Stage::Running(_) => self.reveal(outcome),
            // The run of a bench that was left.
            _ => {}
        }
        LessonAction::Redraw
    }

    fn reveal(&mut self, outcome: Result<Outcome, Untrusted>) {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                self.stage = Stage::Failed(error);
                return;
            }
        };
        let (lesson, round) = (&self.lessons[self.at], self.round);
        if let Some(guess) = self.guess
            && let Some(answer) = lesson.rounds[round].plan.offered.get(guess)
        {
            let right = lesson.rounds[round].right(&outcome.facts) == Some(guess);
            self.progress.note(&lesson.slug, round, answer, right);
            self.unsaved = true;
        }
        self.stage = Stage::Reveal(Reveal::new(lesson, round, Box::new(outcome)));
    }

    /// Returns the bench in hand, with the knobs as they are turned.
    pub fn bench(&self) -> Option<&Bench> {
        match &self.stage {
            Stage::Bench(turning) => Some(&turning.bench),
            _ => None,
        }
    }

    /// True while a picture moves: [`Self::next_frame`] is due every 45 ms.
    pub fn moves(&self) -> bool {
        matches!(&self.stage, Stage::Bench(turning) if turning.moves())
    }

    /// Moves the picture on.
    pub fn next_frame(&mut self) {
        if let Stage::Bench(turning) = &mut self.stage {
            turning.next_frame();
        }
    }

    /// Returns the command lines that do what runs on the page that is shown.
    fn command_lines(&self) -> Cow<'_, CommandLines> {
        match (&self.stage, &self.typed) {
            (Stage::Bench(turning), _) => Cow::Owned(turning.bench.scenario().command_lines()),
            (_, Some((of, typed))) if *of == (self.at, self.round) => Cow::Borrowed(typed),
            _ => Cow::Owned(self.command_lines_of(self.round)),
        }
    }

    fn command_lines_of(&self, round: usize) -> CommandLines {
        let lesson = self.lesson();
        (lesson.check.scenario)(&lesson.rounds[round].plan.knobs).command_lines()
    }

    /// Keeps the command lines of the round in hand: a screen is drawn more often than they change.
    fn keep_command_lines(&mut self) {
        let of = (self.at, self.round);
        let is_kept = matches!(&self.typed, Some((kept, _)) if *kept == of);
        if !is_kept && !matches!(self.stage, Stage::List) {
            self.typed = Some((of, self.command_lines_of(self.round)));
        }
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

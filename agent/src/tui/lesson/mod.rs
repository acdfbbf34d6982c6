//! The screen of `learn`: the list of lessons, a question, its run, and what it shows.
//!
//! The caller owns the loop, as with [`super::App`]: it feeds keys and what became of a run, does
//! what the returned [`LessonAction`] asks, and draws.

mod draw;
mod foot;
mod input;
mod knobs;
mod list;
mod nested;
mod owners;
mod page;
mod parts;
mod reveal;
mod summary;
mod text;
mod turning;
mod typed;
mod words;

use std::borrow::Cow;

pub use text::{LessonText, TextReveal, list_text, summary_text};

use super::Theme;
use super::view::KeyPlace;
use crate::learn::{Bench, CommandLines, Lesson, Outcome, Progress};
use crate::text::Untrusted;
use reveal::Reveal;
use turning::Turning;

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
        if let Stage::Bench(turning) = &mut self.stage {
            let runs_again = turning.ran(outcome);
            return if runs_again {
                LessonAction::Turn { lesson: self.at }
            } else {
                LessonAction::Redraw
            };
        }
        if matches!(self.stage, Stage::Running(_)) {
            self.reveal(outcome);
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
}

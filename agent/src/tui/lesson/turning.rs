//! The bench on the screen: knobs that are turned, the run that follows, the picture that moves.

use ratatui::crossterm::event::KeyCode;

use super::Stage;
use crate::learn::{Bench, Lesson, Outcome, Picture};
use crate::text::Untrusted;

/// Frames in which a picture moves to the next.
const FRAMES: u8 = 8;

/// The bench of a round.
pub(super) struct Turning {
    pub bench: Bench,
    /// What was measured before the last change, and since.
    pub earlier: Option<Box<Outcome>>,
    pub now: Box<Outcome>,
    /// What was told of the run in progress; `None` if there is none.
    pub running: Option<Vec<Untrusted>>,
    /// A knob was turned since that run began.
    changed: bool,
    /// The reason for which the last run failed.
    pub failed: Option<Untrusted>,
    frame: u8,
    /// The page that it lies over.
    pub back: Box<Stage>,
}

/// Outcome of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// It has no meaning here.
    Nothing,
    /// Draw again.
    Redraw,
    /// Run it.
    Run,
}

impl Turning {
    pub(super) fn new(lesson: &Lesson, round: usize, now: Box<Outcome>, back: Stage) -> Self {
        Self {
            bench: Bench::of(lesson, round),
            earlier: None,
            now,
            running: None,
            changed: false,
            failed: None,
            frame: FRAMES,
            back: Box::new(back),
        }
    }

    /// Takes a key.
    pub(super) fn on_key(&mut self, code: KeyCode) -> Turned {
        match code {
            KeyCode::Up => self.bench.select(false),
            KeyCode::Down => self.bench.select(true),
            KeyCode::Left | KeyCode::Right => {
                if !self.bench.turn(code == KeyCode::Right) {
                    return Turned::Redraw;
                }
                if self.running.is_some() {
                    self.changed = true;
                    return Turned::Redraw;
                }
                self.running = Some(Vec::new());
                return Turned::Run;
            }
            _ => return Turned::Nothing,
        }
        Turned::Redraw
    }

    /// Takes the outcome of a run. True if it has to run again, since a knob was turned meanwhile.
    pub(super) fn ran(&mut self, outcome: Result<Outcome, Untrusted>) -> bool {
        if std::mem::take(&mut self.changed) {
            self.running = Some(Vec::new());
            return true;
        }
        self.running = None;
        match outcome {
            Ok(outcome) => {
                let earlier = std::mem::replace(&mut self.now, Box::new(outcome));
                self.earlier = Some(earlier);
                (self.failed, self.frame) = (None, 0);
            }
            Err(error) => self.failed = Some(error),
        }
        false
    }

    /// True while the picture moves.
    pub(super) fn moves(&self) -> bool {
        self.frame < FRAMES
    }

    /// Goes on to the next frame.
    pub(super) fn next_frame(&mut self) {
        self.frame = (self.frame + 1).min(FRAMES);
    }

    /// Returns the picture as it is now, and the length that its bars are drawn to.
    pub(super) fn picture(&self) -> (Picture, f64) {
        let now = &self.now.picture;
        match &self.earlier {
            None => (now.clone(), now.longest()),
            Some(earlier) => {
                let share = f64::from(self.frame) / f64::from(FRAMES);
                let longest = now.longest().max(earlier.picture.longest());
                (now.since(&earlier.picture, share), longest)
            }
        }
    }
}

//! The last line of the lessons' screen: the keys that have a meaning on this page.

use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{LessonApp, Stage};
use crate::tui::keys::Press;
use crate::tui::view::hints;
use crate::tui::view::parts::{Row, span};

/// A hint: keys, and what they do.
type Hint = (&'static [Press], &'static str);

const UP_DOWN: &[Press] = &[("↑", KeyCode::Up), ("↓", KeyCode::Down)];
const SIDEWAYS: &[Press] = &[("←", KeyCode::Left), ("→", KeyCode::Right)];
const ENTER: &[Press] = &[("↵", KeyCode::Enter)];
const ALL: Hint = (&[("Space", KeyCode::Char(' '))], "all of it");
const QUIT: Hint = (&[("q", KeyCode::Char('q'))], "quit");
const EVIDENCE: &[Press] = &[("e", KeyCode::Char('e'))];
const COMMANDS: &[Press] = &[("c", KeyCode::Char('c'))];
const KNOBS: &[Press] = &[("k", KeyCode::Char('k'))];
const NEXT: Hint = (&[("n", KeyCode::Char('n'))], "next lesson");
const PREVIOUS: Hint = (&[("p", KeyCode::Char('p'))], "previous");
const RETRY: Hint = (&[("r", KeyCode::Char('r'))], "retry");
const LESSONS: Hint = (&[("l", KeyCode::Char('l'))], "lessons");
const SCROLL: Hint = (UP_DOWN, "scroll");
const OWNERS: Hint = (
    &[
        ("k", KeyCode::Char('k')),
        ("a", KeyCode::Char('a')),
        ("n", KeyCode::Char('n')),
        ("p", KeyCode::Char('p')),
    ],
    "whose doing",
);

impl LessonApp {
    pub(super) fn foot(&mut self, area: Rect) -> Line<'static> {
        let mut start = Row::new();
        if let Some(hint) = &self.hint {
            start.push(span(format!(" {hint} "), self.theme.reversed()));
        }
        let hints = self.hints_here();
        self.hints.clear();
        hints::line(self.theme, start, hints, area, &mut self.hints)
    }

    /// The hints of the page, the most useful first: those at the end may find no room.
    fn hints_here(&self) -> Vec<Hint> {
        if self.evidence {
            return vec![(EVIDENCE, "back"), SCROLL, QUIT];
        }
        if self.commands {
            return vec![(COMMANDS, "back"), SCROLL, QUIT];
        }
        match &self.stage {
            Stage::List => vec![(UP_DOWN, "select"), (ENTER, "open"), QUIT],
            Stage::Predict => {
                vec![(SIDEWAYS, "choose"), (ENTER, "run"), NEXT, PREVIOUS, LESSONS, QUIT, SCROLL]
            }
            Stage::Running(_) => vec![QUIT],
            Stage::Reveal(reveal) if reveal.asked(self.lesson(), self.round).is_some() => {
                vec![OWNERS, (ENTER, "skip"), ALL, (EVIDENCE, "evidence"), QUIT, SCROLL]
            }
            Stage::Reveal(reveal) => {
                let is_last = self.round + 1 == self.lesson().rounds.len();
                let mut hints = match (reveal.is_over(), is_last) {
                    (false, _) => vec![(ENTER, "go on"), ALL],
                    (true, false) => vec![(ENTER, "predict again")],
                    (true, true) => vec![(ENTER, "summary")],
                };
                hints.extend([(KNOBS, "knobs"), (EVIDENCE, "evidence"), RETRY, QUIT, LESSONS]);
                hints.extend([(COMMANDS, "commands"), NEXT, PREVIOUS, SCROLL]);
                hints
            }
            Stage::Bench(turning) => {
                let mut hints = vec![(SIDEWAYS, "turn"), (UP_DOWN, "select")];
                if turning.running.is_none() {
                    hints.push((KNOBS, "back"));
                }
                hints.extend([(COMMANDS, "commands"), QUIT]);
                hints
            }
            Stage::Summary => vec![
                (ENTER, "next lesson"),
                (KNOBS, "knobs"),
                (COMMANDS, "commands"),
                (RETRY.0, "the lesson again"),
                LESSONS,
                QUIT,
            ],
            Stage::Failed(_) => vec![(ENTER, "back"), NEXT, LESSONS, QUIT],
        }
    }
}

//! The pages of a lesson as plain text, for output that is no terminal.

use ratatui::text::Line;

use super::list;
use super::page::{self, Lines};
use crate::learn::{Lesson, Outcome, Progress};
use crate::tui::Theme;

/// Columns of plain text.
const WIDTH: usize = 80;

/// One round of a lesson as plain text.
pub struct LessonText<'a> {
    /// The lesson.
    pub lesson: &'a Lesson,
    /// The place of the round.
    pub round: usize,
    /// It is played from a recording.
    pub recorded: bool,
}

impl LessonText<'_> {
    /// Returns the question, with the answers offered.
    pub fn question(&self) -> String {
        let theme = Theme::plain();
        let mut lines = vec![
            page::header(theme, self.lesson, 2 * self.round + 1, self.recorded, WIDTH),
            Line::default(),
        ];
        lines.extend(page::intro(theme, self.lesson, self.round, WIDTH));
        lines.extend(page::question(theme, self.lesson, self.round, WIDTH));
        lines.push(page::answers(theme, self.lesson, self.round, None, None));
        plain(lines)
    }

    /// Returns what the run shows.
    pub fn reveal(&self, outcome: &Outcome, guess: Option<usize>) -> String {
        let theme = Theme::plain();
        let mut lines = page::verdict(theme, self.lesson, self.round, outcome, guess, WIDTH);
        lines.push(Line::default());
        lines.extend(page::picture(theme, outcome, WIDTH, 0));
        lines.push(Line::default());
        let mut parts = page::parts(theme, self.lesson, self.round, outcome, WIDTH);
        if self.round + 1 < self.lesson.rounds.len() {
            // The next round says it.
            parts.pop();
        }
        lines.extend(parts.into_iter().flatten());
        plain(lines)
    }
}

/// Returns the list of lessons as plain text, for a terminal of so many columns; `None` where it
/// goes elsewhere.
pub fn list_text(lessons: &[Lesson], progress: &Progress, columns: Option<usize>) -> String {
    let width = columns.unwrap_or(WIDTH).max(WIDTH);
    let mut lines = vec![list::header(Theme::plain(), lessons, progress, width), Line::default()];
    lines.extend(list::lines(Theme::plain(), lessons, progress, None, width, 0));
    plain(lines)
}

fn plain(lines: Lines) -> String {
    let mut out = String::new();
    for line in lines {
        let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

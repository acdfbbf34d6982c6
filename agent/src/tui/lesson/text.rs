//! The pages of a lesson as plain text, for output that is no terminal.

use ratatui::text::Line;

use super::page::{self, Lines};
use super::reveal::{self, Part, Reveal};
use super::summary::{self, After, RoundSeen};
use super::{list, parts};
use crate::learn::{Lesson, Outcome, Progress, Score};
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
        let (at, steps) = (2 * self.round + 1, 2 * self.lesson.rounds.len());
        let step = format!("step {at} of {steps}");
        let mut lines =
            vec![page::header(theme, self.lesson, &step, self.recorded, WIDTH), Line::default()];
        lines.extend(page::intro(theme, self.lesson, self.round, WIDTH));
        lines.extend(page::question(theme, self.lesson, self.round, WIDTH));
        lines.push(page::answers(theme, self.lesson, self.round, None, None));
        plain(lines)
    }

    /// Returns the question as it is asked again, with what is different this time; "" if nothing
    /// is.
    pub fn asked_again(&self, change: &str) -> String {
        let theme = Theme::plain();
        let mut lines =
            vec![page::again_header(theme, self.lesson, self.recorded, WIDTH), Line::default()];
        lines.extend(page::question(theme, self.lesson, self.round, WIDTH));
        if !change.is_empty() {
            lines.pop();
            lines.push(Line::from(format!(" With other numbers this time: {change}.")));
            lines.push(Line::default());
        }
        plain(lines)
    }

    /// Returns the facts and the picture of a question that was asked again.
    pub fn shown_again(&self, outcome: &Outcome) -> String {
        let theme = Theme::plain();
        let mut lines = page::claimed_facts(self.lesson, self.round, outcome);
        lines.push(Line::default());
        lines.extend(page::picture(theme, outcome, WIDTH, 0));
        plain(lines)
    }

    /// Returns the verdict on the prediction, with the answers as they are marked, and the picture.
    pub fn verdict(&self, outcome: &Outcome, guess: Option<usize>) -> String {
        let theme = Theme::plain();
        let right = self.lesson.rounds[self.round].right(&outcome.facts);
        let mut lines = vec![page::answers(theme, self.lesson, self.round, guess, right)];
        lines.push(Line::default());
        lines.extend(page::verdict(theme, self.lesson, self.round, outcome, guess, WIDTH));
        lines.push(Line::default());
        lines.extend(page::picture(theme, outcome, WIDTH, 0));
        lines.push(Line::default());
        plain(lines)
    }

    /// Begins the reveal of what the run shows.
    pub fn reveal(&self, outcome: &Outcome) -> TextReveal<'_> {
        let reveal = Reveal::new(self.lesson, self.round, Box::new(outcome.clone()));
        TextReveal { lesson: self.lesson, round: self.round, reveal: Reveal { shown: 0, ..reveal } }
    }
}

/// The reveal of a round as plain text, part by part.
pub struct TextReveal<'a> {
    lesson: &'a Lesson,
    round: usize,
    reveal: Reveal,
}

impl TextReveal<'_> {
    /// Returns the question whose doing the next part is; `None` if it has no owner, or everything
    /// is revealed.
    pub fn question(&self) -> Option<String> {
        self.reveal.asked(self.lesson, self.round)?;
        let theme = Theme::plain();
        let lines = parts::asked_owner(theme, self.lesson, self.round, &self.reveal, WIDTH);
        Some(plain(lines))
    }

    /// Returns the next part, with the owner that was named for it; `None` once everything is
    /// revealed.
    pub fn next(&mut self, said: Option<char>) -> Option<String> {
        let part = *self.reveal.parts.get(self.reveal.shown)?;
        if let (Some((at, _)), Some(said)) = (self.reveal.asked(self.lesson, self.round), said) {
            self.reveal.said[at] = reveal::named(said);
        }
        self.reveal.shown += 1;
        if part == Part::Change {
            // The next round says it.
            return self.next(None);
        }
        let parts = parts::parts(Theme::plain(), self.lesson, self.round, &self.reveal, WIDTH);
        Some(plain(parts.into_iter().next_back()?))
    }

    /// Returns how many owners were named rightly; `None` if none was named.
    pub fn score(&self) -> Option<Score> {
        self.reveal.score(self.lesson, self.round)
    }
}

/// Returns the summary of a lesson as plain text. A round has the prediction, what was measured and
/// how many owners were named rightly.
pub fn summary_text(
    lesson: &Lesson,
    rounds: &[(usize, Outcome, Option<Score>)],
    progress: &Progress,
    next: Option<&Lesson>,
) -> String {
    let seen = rounds.iter().map(|(guess, outcome, owners)| {
        Some(RoundSeen { guess: Some(*guess), outcome, owners: *owners })
    });
    let seen: Vec<_> = seen.collect();
    let command =
        lesson.rounds.last().and_then(|round| (lesson.check.scenario)(&round.plan.knobs).as_demo());
    let after = After { next, command, keys: false };
    let done = progress.of(&lesson.slug);
    plain(summary::lines(Theme::plain(), lesson, &seen, &done, &after, WIDTH))
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

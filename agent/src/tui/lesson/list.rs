//! The list of lessons.

use ratatui::text::Line;

use super::page::Lines;
use crate::learn::{Lesson, Progress};
use crate::tui::Theme;
use crate::tui::text::{left, right, wrap};
use crate::tui::view::parts::{Row, cut, raw, span, spread};

const INTRO: &str = "Each lesson asks a question, runs a real server on this machine, and shows what the kernel did \
                     with it. They go with the lectures of the course, and stand alone as well.";

/// What this is, and how many are done.
pub(super) fn header(theme: Theme, lessons: &[Lesson], progress: &Progress, width: usize) -> Line<'static> {
    let done = lessons.iter().filter(|lesson| progress.is_done(&lesson.slug)).count();
    let title = vec![span(" backscope learn ", theme.reversed())];
    spread(title, vec![span(format!("{done} of {} lessons done ", lessons.len()), theme.dim())], width)
}

/// What lessons are, and the table of them.
pub(super) fn lines(theme: Theme, lessons: &[Lesson], progress: &Progress, selected: usize, width: usize) -> Lines {
    let intro = wrap(INTRO, width.saturating_sub(2)).into_iter();
    let mut out: Lines = intro.map(|line| Line::from(raw(format!(" {line}")))).collect();
    out.push(Line::default());
    out.extend(table(theme, lessons, progress, selected, width));
    out
}

/// One line a lesson, the one in hand marked.
pub(super) fn table(theme: Theme, lessons: &[Lesson], progress: &Progress, selected: usize, width: usize) -> Lines {
    let mut out = Lines::new();
    let name = lessons.iter().map(|lesson| lesson.slug.chars().count()).max().unwrap_or(0).max(4);
    let titles = width.saturating_sub(name + 32);
    let head = format!("  LECTURE  {}  {}   TIME  RIGHT", left("LESSON", titles), left("NAME", name));
    out.push(Line::from(span(head, theme.dim())));
    for (at, lesson) in lessons.iter().enumerate() {
        let marked = at == selected;
        let style = if marked { theme.strong() } else { ratatui::style::Style::new() };
        let row: Row = vec![
            span(if marked { "▸" } else { " " }, theme.strong()),
            span(format!(" {}  ", right(&lesson.lecture.to_string(), 7)), theme.dim()),
            span(left(&lesson.title, titles), style),
            span(format!("  {}", left(&lesson.slug, name)), theme.dim()),
            span(format!("  {} min", right(&lesson.minutes.to_string(), 2)), theme.dim()),
            span(format!("  {}", done(lesson, progress)), theme.strong()),
        ];
        out.push(Line::from(cut(row, width)));
    }
    out
}

/// "✓ 2 of 3": so many predictions were right.
pub(super) fn done(lesson: &Lesson, progress: &Progress) -> String {
    let done = progress.of(&lesson.slug);
    if done.rounds == 0 { String::new() } else { format!("✓ {} of {}", done.right, done.rounds) }
}

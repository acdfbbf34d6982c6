//! The list of lessons.

use ratatui::text::Line;

use super::page::Lines;
use crate::learn::{Block, Lesson, Progress};
use crate::tui::Theme;
use crate::tui::text::{left, right, wrap};
use crate::tui::view::parts::{Row, cut, raw, span, spread};

const INTRO: &str = "Each lesson asks a question, runs a real server on this machine, and shows what the kernel did \
                     with it. They go with the lectures of the course, and stand alone as well.";

/// From here on lessons are shown with their names.
const NAMED: usize = 76;
/// Columns of the list at most, but for how lessons begin.
const WIDEST: usize = 110;

/// What this is, and how many are done.
pub(super) fn header(
    theme: Theme,
    lessons: &[Lesson],
    progress: &Progress,
    width: usize,
) -> Line<'static> {
    let done = lessons.iter().filter(|lesson| progress.is_done(lesson)).count();
    let title = vec![span(" backscope learn ", theme.reversed())];
    spread(
        title,
        vec![span(format!("{done} of {} lessons done ", lessons.len()), theme.dim())],
        width,
    )
}

/// What lessons are, and the table of them, in at most `room` lines where it can be so short.
pub(super) fn lines(
    theme: Theme,
    lessons: &[Lesson],
    progress: &Progress,
    selected: Option<usize>,
    width: usize,
    room: usize,
) -> Lines {
    let intro = wrap(INTRO, width.saturating_sub(2)).into_iter();
    let mut out: Lines = intro.map(|line| Line::from(raw(format!(" {line}")))).collect();
    out.push(Line::default());
    let room = room.saturating_sub(out.len());
    out.extend(table(theme, lessons, progress, selected, width, room));
    out
}

/// How far to scroll so that the lesson in hand is seen, of lines of which there are more than fit.
pub(super) fn scroll(lines: &Lines, lessons: usize, selected: usize, height: usize) -> usize {
    let before = lines.len().saturating_sub(lessons);
    (before + selected + 1).saturating_sub(height).min(lines.len().saturating_sub(height))
}

/// A lesson a line, the one in hand marked; each with how it begins where there is room for it.
pub(super) fn table(
    theme: Theme,
    lessons: &[Lesson],
    progress: &Progress,
    selected: Option<usize>,
    width: usize,
    room: usize,
) -> Lines {
    let mut out = Lines::new();
    let begins = room > 2 * lessons.len();
    let apart = room > 3 * lessons.len();
    let widest =
        lessons.iter().map(|lesson| lesson.slug.chars().count()).max().unwrap_or(0).max(4) + 2;
    let name = if width < NAMED { 0 } else { widest };
    let titles = width.min(WIDEST).saturating_sub(name + 30);
    let head =
        format!("  LECTURE  {}{}   TIME  RIGHT", left("LESSON", titles), left("  NAME", name));
    out.push(Line::from(span(head, theme.dim())));
    for (at, lesson) in lessons.iter().enumerate() {
        let marked = selected == Some(at);
        let style = if marked { theme.strong() } else { ratatui::style::Style::new() };
        let row: Row = vec![
            span(if marked { "▸" } else { " " }, theme.strong()),
            span(format!(" {}  ", right(&lesson.lecture(), 7)), theme.dim()),
            span(left(&lesson.title, titles), style),
            span(left(&format!("  {}", lesson.slug), name), theme.dim()),
            span(format!("  {} min", right(&lesson.minutes.to_string(), 2)), theme.dim()),
            span(format!("  {}", done(lesson, progress)), theme.strong()),
        ];
        out.push(Line::from(cut(row, width)));
        if begins {
            let about: String = lesson
                .intro
                .iter()
                .flat_map(Block::pieces)
                .map(|piece| piece.filled(None))
                .collect();
            out.push(Line::from(cut(vec![span(format!("{:11}{about}", ""), theme.dim())], width)));
        }
        if apart {
            out.push(Line::default());
        }
    }
    out
}

/// "✓ 2 of 3": so many predictions were right, and the lesson is done.
pub(super) fn done(lesson: &Lesson, progress: &Progress) -> String {
    let done = progress.of(&lesson.slug);
    let sign = if progress.is_done(lesson) { '✓' } else { ' ' };
    if done.rounds == 0 {
        String::new()
    } else {
        format!("{sign} {} of {}", done.right, done.rounds)
    }
}

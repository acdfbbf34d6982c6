//! The list of lessons.

use ratatui::style::Style;
use ratatui::text::Line;

use super::page::Lines;
use crate::learn::{Block, Lesson, Progress};
use crate::tui::Theme;
use crate::tui::text::{left, right};
use crate::tui::view::parts::{Row, cut, paragraph, span, spread};

const INTRO: &str = "Each lesson asks a question, runs a real server on this machine, \
                     and shows what the kernel did with it. \
                     They follow the lectures of the course, but also stand on their own.";

/// Columns from which on lessons are shown with their names.
const NAMED: usize = 76;
/// Columns of the list at most, but for the first words of lessons.
const WIDEST: usize = 110;

/// Returns the name of the program, and how many lessons are done.
pub(super) fn header(
    theme: Theme,
    lessons: &[Lesson],
    progress: &Progress,
    width: usize,
) -> Line<'static> {
    let done = lessons.iter().filter(|lesson| progress.is_done(lesson)).count();
    let title = vec![span(" backscope learn ", theme.reversed())];
    let mut far = vec![span(format!("{done} of {} lessons done ", lessons.len()), theme.dim())];
    let due = progress.due().len();
    if due > 0 {
        let text = format!("{due} to be asked again: backscope learn --again   ");
        far.insert(0, span(text, theme.strong()));
    }
    spread(title, far, width)
}

/// Returns the introduction and the table of lessons, in at most `room` lines where they can be so
/// short.
pub(super) fn lines(
    theme: Theme,
    lessons: &[Lesson],
    progress: &Progress,
    selected: Option<usize>,
    width: usize,
    room: usize,
) -> Lines {
    let mut out = paragraph(INTRO, 1, Style::new(), width);
    out.push(Line::default());
    let room = room.saturating_sub(out.len());
    out.extend(table(theme, lessons, progress, selected, width, room));
    out
}

/// Returns how far to scroll so that the lesson in hand is seen.
pub(super) fn scroll(lines: &Lines, lessons: usize, selected: usize, height: usize) -> usize {
    let before = lines.len().saturating_sub(lessons);
    (before + selected + 1).saturating_sub(height).min(lines.len().saturating_sub(height))
}

/// Returns a lesson a line, the one in hand marked; each with its first words where there is room
/// for them.
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
        let style = if marked { theme.strong() } else { Style::new() };
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
            let mut about = " ".repeat(11);
            for piece in lesson.intro.iter().flat_map(Block::pieces) {
                about.push_str(&piece.filled(None));
            }
            out.push(Line::from(cut(vec![span(about, theme.dim())], width)));
        }
        if apart {
            out.push(Line::default());
        }
    }
    out
}

/// Returns how many predictions were right, with a mark if the lesson is done: "✓ 2 of 3".
pub(super) fn done(lesson: &Lesson, progress: &Progress) -> String {
    let done = progress.of(&lesson.slug);
    let sign = if progress.is_done(lesson) { '✓' } else { ' ' };
    if done.rounds == 0 {
        String::new()
    } else {
        format!("{sign} {} of {}", done.right, done.rounds)
    }
}

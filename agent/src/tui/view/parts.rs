//! Pieces of lines, and how lines are put together.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::model::snapshot::ListenerView;
use crate::tui::text::{clip, left, wrap};
use crate::tui::theme::Theme;

/// Pieces of a line.
pub(in crate::tui) type Row = Vec<Span<'static>>;

/// Width of the labels that stand before charts and figures.
pub(in crate::tui) const LABEL: usize = 12;

/// Returns the columns that a row takes.
pub(in crate::tui) fn columns(row: &[Span<'_>]) -> usize {
    row.iter().map(Span::width).sum()
}

/// Returns one piece of text.
pub(in crate::tui) fn span(text: impl Into<String>, style: Style) -> Span<'static> {
    Span::styled(text.into(), style)
}

/// Returns one piece of text in no style.
pub(in crate::tui) fn raw(text: impl Into<String>) -> Span<'static> {
    Span::raw(text.into())
}

/// Returns the label before a chart or figure.
pub(in crate::tui) fn label(theme: Theme, text: &str) -> Span<'static> {
    span(format!(" {}", left(text, LABEL - 1)), theme.dim())
}

/// Cuts a row to a width, with an ellipsis where it was cut.
pub(in crate::tui) fn cut(row: Row, width: usize) -> Row {
    if columns(&row) <= width {
        return row;
    }
    let mut room = width;
    let mut out = Row::new();
    for piece in row {
        let wide = piece.width();
        // One column stays for the ellipsis, since it is known that not everything fits.
        if wide < room {
            room -= wide;
            out.push(piece);
        } else {
            let text = clip(&format!("{} ", piece.content), room.min(wide));
            out.push(Span::styled(text, piece.style));
            break;
        }
    }
    out
}

/// Puts `left` and `right` at the two ends of a line; `left` gives way.
pub(in crate::tui) fn spread(left: Row, right: Row, width: usize) -> Line<'static> {
    let mut row = cut(left, width.saturating_sub(columns(&right) + 1));
    let gap = width.saturating_sub(columns(&row) + columns(&right));
    row.push(raw(" ".repeat(gap)));
    row.extend(right);
    Line::from(row)
}

/// Puts lines at the right of others, in a column of their own.
pub(in crate::tui) fn side_by_side(
    left: Vec<Line<'static>>,
    right: Vec<Line<'static>>,
    at: usize,
) -> Vec<Line<'static>> {
    let lines = left.len().max(right.len());
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    let mut out = Vec::with_capacity(lines);
    for _ in 0..lines {
        let mut row = left.next().unwrap_or_default();
        let gap = at.saturating_sub(row.width());
        row.push_span(raw(" ".repeat(gap)));
        row.extend(right.next().unwrap_or_default());
        out.push(row);
    }
    out
}

/// Returns a rule with a title.
pub(in crate::tui) fn rule(theme: Theme, title: Row, width: usize) -> Line<'static> {
    let mut row = vec![span("─ ", theme.dim())];
    row.extend(cut(title, width.saturating_sub(4)));
    let rest = width.saturating_sub(columns(&row) + 1);
    row.push(span(format!(" {}", "─".repeat(rest)), theme.dim()));
    Line::from(row)
}

/// True if connections were refused in the last period. A full queue alone is no loss yet, and not
/// red.
pub(in crate::tui) fn refusing(listener: &ListenerView) -> bool {
    listener.rates.overflows > 0.0
}

/// Wraps `text` into lines behind an indent, with a column left free at the right.
pub(in crate::tui) fn paragraph(
    text: &str,
    indent: usize,
    style: Style,
    width: usize,
) -> Vec<Line<'static>> {
    let blanks = " ".repeat(indent);
    let mut out = Vec::new();
    for line in wrap(text, width.saturating_sub(indent + 1)) {
        out.push(Line::from(span(format!("{blanks}{line}"), style)));
    }
    out
}

/// Returns the width of the widest text, within bounds.
pub(in crate::tui) fn widest<T: AsRef<str>>(texts: &[T], least: usize, most: usize) -> usize {
    let mut width = least;
    for text in texts {
        width = width.max(text.as_ref().width());
    }
    width.min(most)
}

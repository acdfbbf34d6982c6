//! A table: columns of given widths with titles that show, and take, the order of the rows.

use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use super::parts::{Row, columns, cut, raw, span};
use crate::tui::app::Hits;
use crate::tui::order::By;
use crate::tui::theme::Theme;

/// A column.
pub(super) struct Column {
    /// Its title.
    pub(super) title: &'static str,
    /// Its width.
    pub(super) width: usize,
    /// Blanks that follow it.
    gap: usize,
    /// The order that sorts the rows by it.
    pub(super) by: By,
    /// Figures stand at the right.
    pub(super) right: bool,
}

impl Column {
    /// A column of text or bars.
    pub(super) fn left(title: &'static str, width: usize, by: By) -> Self {
        Self { title, width, gap: 1, by, right: false }
    }

    /// A column of figures.
    pub(super) fn right(title: &'static str, width: usize, by: By) -> Self {
        Self { title, width, gap: 1, by, right: true }
    }

    /// Removes the blank behind the column: the next one brings its own.
    pub(super) fn close(self) -> Self {
        Self { gap: 0, ..self }
    }

    /// Puts a blank behind the column, whatever comes next.
    pub(super) fn apart(self) -> Self {
        Self { gap: 1, ..self }
    }

    fn pad(&self, content: Row) -> Row {
        let mut content = cut(content, self.width);
        let blank = raw(" ".repeat(self.width.saturating_sub(columns(&content))));
        if self.right {
            content.insert(0, blank);
        } else {
            content.push(blank);
        }
        content.push(raw(" ".repeat(self.gap)));
        content
    }
}

/// Returns the characters of a width that are left once these columns have theirs.
pub(super) fn rest(width: usize, columns: &[Column]) -> usize {
    let mut taken = 1;
    for column in columns {
        taken += column.width + column.gap;
    }
    width.saturating_sub(taken)
}

/// Returns the line of titles in `area`, the one sorted by marked. Remembers for the mouse those
/// that can be sorted by.
pub(super) fn titles(
    theme: Theme,
    grid: &[Column],
    order: (By, bool),
    area: Rect,
    hits: Option<&mut Hits>,
) -> Line<'static> {
    let mut row = vec![raw(" ")];
    let mut places = Vec::new();
    for column in grid {
        let mut piece = title(theme, column.title, column.by, order);
        if column.by != By::Known {
            let x = area.x + columns(&row) as u16;
            places.push((Rect { x, y: area.y, width: column.width as u16, height: 1 }, column.by));
        }
        // Where the mark has no room before the title, it takes the blank after it.
        if piece.width() > column.width && column.gap > 0 {
            let mark = piece.content.to_mut().remove(0).to_string();
            row.extend([piece.clone(), span(mark, piece.style)]);
        } else {
            row.extend(column.pad(vec![piece]));
        }
    }
    if let Some(hits) = hits {
        hits.titles = places;
    }
    Line::from(row)
}

/// Returns a title, marked if the rows are sorted by it.
fn title(theme: Theme, text: &str, by: By, order: (By, bool)) -> Span<'static> {
    match order {
        (sorted, reversed) if sorted == by && by != By::Known => {
            let mark = if reversed { '▴' } else { '▾' };
            span(
                format!("{mark}{}", text.trim_start()),
                theme.strong().add_modifier(Modifier::UNDERLINED),
            )
        }
        _ => span(text.to_owned(), theme.dim()),
    }
}

/// Returns a row of cells, one a column.
pub(super) fn row(theme: Theme, grid: &[Column], cells: Vec<Row>, selected: bool) -> Line<'static> {
    let mut row = vec![span(if selected { "▸" } else { " " }, theme.strong())];
    for (column, cell) in grid.iter().zip(cells) {
        row.extend(column.pad(cell));
    }
    Line::from(row)
}
